# SPDX-License-Identifier: Apache-2.0
"""What a table will be once its files are moved, for the expectations of a flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.parts import DELETED_AT, TableFacts, pc, row_texts

from .data_file import FileColumns, Rows


class ParquetTableFacts(TableFacts):
    """A table with the files and rows that are about to join it, or to replace it.

    :param rows: returns all of them, each time it is called. :param before: how many rows it had before the run.
    """

    def __init__(self, columns: FileColumns, rows: Callable[[], Iterable[Rows]], before: int) -> None:
        self._columns, self._rows, self._before = columns, rows, before

    def rows(self) -> int:
        return sum(table.num_rows for table in self._tables([]))

    def rows_before(self) -> int:
        return self._before

    def columns(self) -> Sequence[str]:
        return list(self._columns)

    def repeated(self, columns: Sequence[str]) -> tuple[Any, ...] | None:
        texts = [
            pa.table({str(number): row_texts(table.column(name)) for number, name in enumerate(columns)})
            for table in self._tables(columns)
        ]
        if not texts:
            return None
        names = texts[0].schema.names
        counts = pa.concat_tables(texts).drop_null().group_by(names).aggregate([([], "count_all")])
        first = counts.filter(pc.greater(counts.column("count_all"), 1)).slice(0, 1).to_pylist()
        if not first:
            return None
        return (*(_text(first[0][name]) for name in names), first[0]["count_all"])

    def nulls(self, column: str) -> int:
        return sum(table.column(column).null_count for table in self._tables([column]))

    def newest(self, column: str) -> Any:
        largest = [pc.max(table.column(column)).as_py() for table in self._tables([column])]
        return max((value for value in largest if value is not None), default=None)

    def _tables(self, names: Sequence[str]) -> Iterator[pa.Table]:
        """The rows that are not marked as deleted, with these columns; NULL where a file lacks one."""
        for rows in self._rows():
            present = [name for name in dict.fromkeys([*names, DELETED_AT]) if name in rows.types]
            for table in rows.tables(present or [next(iter(rows.types))] if rows.types else None):
                if DELETED_AT in table.schema.names:
                    table = table.filter(table.column(DELETED_AT).is_null())
                for name in names:
                    if name not in table.schema.names:
                        table = table.append_column(name, pa.nulls(table.num_rows, self._columns.get(name, pa.null())))
                yield table


def _text(value: bytes) -> str:
    """A value without its length."""
    return value.partition(b":")[2].decode("utf-8", "replace")
