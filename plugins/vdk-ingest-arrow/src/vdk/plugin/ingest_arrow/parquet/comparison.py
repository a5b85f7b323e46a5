# SPDX-License-Identifier: Apache-2.0
"""Compares rows of a source with the files of a table, in the types of its columns.

Both sides are one text per row and per key in memory: about twice the bytes of the compared columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import (
    DELETED_AT,
    HASH,
    MOST_HASHES,
    Comparison,
    ComparisonResult,
    ComparisonSpec,
    pc,
    row_texts,
)

from .data_file import FileColumns
from .table import TableFolder
from .types import cast_column, file_table

_NOTHING = pa.schema([("row", pa.large_binary()), ("key", pa.large_binary()), ("hash", pa.int64())]).empty_table()


class ParquetComparison(Comparison):
    """A comparison with the rows of a table.

    :param columns: those of the table. :param landed: the table.
    :raises DestinationError: it lacks a column of the key.
    """

    def __init__(self, spec: ComparisonSpec, columns: FileColumns, landed: TableFolder) -> None:
        self._spec = spec
        self._columns = {name: columns[name] for name in spec.columns if name in columns}
        self._has_mark = DELETED_AT in columns
        if missing := sorted({*spec.key} - {*self._columns}):
            raise DestinationError(f"table {spec.table!r} lacks the columns {missing}")
        self._landed = landed
        self._claimed: list[pa.Table] = []
        self._others: list[pa.Table] = []

    def add(self, rows: pa.Table, *, claimed: bool) -> None:
        (self._claimed if claimed else self._others).append(self._texts(file_table(rows, self._spec.table)))

    def _texts(self, table: pa.Table) -> pa.Table:
        names = self._columns
        columns: dict[str, pa.ChunkedArray] = {}
        for name, type_ in names.items():
            column = table.column(name) if name in table.schema.names else _nulls(table.num_rows, type_)
            columns[name] = _texts_as(column, type_)
        key = self._spec.key or tuple(names)
        hashes = table.column(HASH) if HASH in table.schema.names else _nulls(table.num_rows, pa.int64())
        return pa.table(
            {
                "row": _joined(list(columns.values())),
                "key": _joined([columns[name] for name in key]),
                "hash": hashes,
            }
        )

    def result(self, names: int) -> ComparisonResult:
        claimed = _group(self._claimed)
        landed = _group([self._texts(table) for table in self._tables()])
        counts = claimed.join(landed, "row", right_suffix="_t", join_type="full outer")
        s = pc.fill_null(counts.column("count"), 0)
        t = pc.fill_null(counts.column("count_t"), 0)
        fewer = counts.filter(pc.greater(s, t))
        keys_landed = landed.column("key").combine_chunks()
        is_different = pc.is_in(fewer.column("key"), value_set=keys_landed) if self._spec.key else None
        amounts = pc.subtract(s, t).filter(pc.greater(s, t))
        total = pc.sum(amounts).as_py() or 0
        different = (pc.sum(amounts.filter(is_different)).as_py() or 0) if is_different is not None else 0
        more = pc.and_(pc.greater(s, 0), pc.greater(t, s))
        repeated = pc.sum(pc.subtract(t, s).filter(more)).as_py() or 0
        only_landed = counts.filter(pc.equal(s, 0))
        known = pa.concat_tables([_NOTHING, *self._claimed, *self._others]).column("key").combine_chunks()
        extra = only_landed.filter(pc.invert(pc.is_in(only_landed.column("key_t"), value_set=known)))
        return ComparisonResult(
            rows=sum(table.num_rows for table in self._claimed),
            missing=total - different,
            different=different,
            repeated=0 if self._spec.versions else repeated,
            extra=pc.sum(extra.column("count_t")).as_py() or 0,
            uncompared=[name for name in self._spec.columns if name not in self._columns],
            named=_names(fewer.column("key"), names),
            named_extra=_names(extra.column("key_t"), names),
            hashes=fewer.column("hash").slice(0, MOST_HASHES).to_pylist(),
        )

    def _tables(self) -> Iterable[pa.Table]:
        names = [*self._columns, *([DELETED_AT] if self._has_mark else [])]
        for rows in self._landed.rows():
            for table in rows.tables([name for name in names if name in rows.types]):
                if DELETED_AT in table.schema.names:
                    yield table.filter(table.column(DELETED_AT).is_null())
                else:
                    yield table

    def close(self) -> None:
        self._claimed, self._others = [], []


def _texts_as(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    """The texts of values as a type; those that do not survive as one have not landed, and keep their own text."""
    try:
        return row_texts(cast_column(column, type_))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if len(column) == 1:
            return row_texts(column)
        middle = len(column) // 2
        halves = [_texts_as(half, type_) for half in (column.slice(0, middle), column.slice(middle))]
        return pa.chunked_array([chunk for half in halves for chunk in half.chunks], pa.large_binary())


def _nulls(count: int, type_: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(count, type_)])


def _joined(columns: Sequence[pa.ChunkedArray]) -> Any:
    separator = pa.scalar(b"\x1f", pa.large_binary())
    return pc.binary_join_element_wise(*columns, separator, null_handling="replace", null_replacement=b"\0")


def _group(tables: Sequence[pa.Table]) -> pa.Table:
    """Row, key, hash and how often each row is there."""
    whole = pa.concat_tables([_NOTHING, *tables])
    grouped = whole.group_by("row").aggregate([("key", "min"), ("hash", "min"), ("row", "count")])
    return grouped.select(["row", "key_min", "hash_min", "row_count"]).rename_columns(["row", "key", "hash", "count"])


def _names(keys: pa.ChunkedArray, count: int) -> list[tuple[str, ...]]:
    """Keys as they are shown, without the lengths of their parts."""
    return [tuple(map(_shown, key.split(b"\x1f"))) for key in keys.slice(0, count).to_pylist()]


def _shown(part: bytes) -> str:
    return "NULL" if part == b"\0" else part.partition(b":")[2].decode("utf-8", "replace")
