# SPDX-License-Identifier: Apache-2.0
"""Nested rows: objects as columns of their row, and lists as rows of tables of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ...contract import ConfigurationError
from .rows import rows_of

Row = Mapping[str, Any]
SEPARATOR = "__"
"""Between the names of an object and of its field."""
_ROW = "\0row"
"""The column with the number of a row whose lists were taken out. No source has a column of this name."""


def flattened(rows: Sequence[Row], depth: int, stream: str) -> list[Row]:
    """Rows whose objects are columns: ``{"a": {"b": 1}}`` is ``{"a__b": 1}``. Lists and what is deeper stay.

    :raises ConfigurationError: for a field that has the name of such a column, since one of the two would be lost.
    """
    return [_flat(row, depth, stream) if _has_objects(row) else row for row in rows]


def _has_objects(row: Row) -> bool:
    return any(isinstance(value, Mapping) for value in row.values())


def _flat(row: Row, depth: int, stream: str) -> Row:
    columns: dict[str, Any] = {}
    _add(columns, row, "", depth, stream)
    return columns


def _add(columns: dict[str, Any], fields: Row, prefix: str, depth: int, stream: str) -> None:
    for field, value in fields.items():
        name = f"{prefix}{field}"
        if isinstance(value, Mapping) and depth > 0 and value:
            _add(columns, value, f"{name}{SEPARATOR}", depth - 1, stream)
        elif name in columns:
            raise ConfigurationError(
                f"stream {stream!r}: two fields of a record are the column {name!r}, one of them in an object; set "
                'nested = "json" to keep objects as they are'
            )
        else:
            columns[name] = value


class Lists:
    """The lists of rows, taken out before the rows are converted, and found again by the rows that land.

    :param keep: columns whose lists stay in them, as JSON.
    """

    def __init__(self, keep: Collection[str] = ()) -> None:
        self._keep = keep
        self._rows: list[Row] = []
        self._lists: list[Row] = []

    def take(self, data: Sequence[Row] | pa.Table) -> Sequence[Row] | pa.Table:
        """Rows without their lists, each with its number. A table without lists stays as it is."""
        if isinstance(data, pa.Table):
            if not any(pa.types.is_nested(field.type) for field in data.schema):
                return data
            data = rows_of(data)
        return [self._taken(row) for row in data]

    def _taken(self, row: Row) -> Row:
        lists = {name: value for name, value in row.items() if isinstance(value, (list, tuple))}
        lists = {name: value for name, value in lists.items() if name not in self._keep}
        if not lists:
            return row
        self._rows.append(row)
        self._lists.append(lists)
        return {**{name: value for name, value in row.items() if name not in lists}, _ROW: len(self._lists) - 1}

    def whole(self, row: Row) -> Row:
        """A row as it was before its lists were taken out."""
        return self._rows[row[_ROW]] if _ROW in row else row

    def split(self, table: pa.Table) -> tuple[pa.Table, list[tuple[int, Row]]]:
        """A table of converted rows without their numbers, and its rows with lists: their position and the lists."""
        if _ROW not in table.schema.names:
            return table, []
        numbers = table.column(_ROW).to_pylist()
        lists = [(position, self._lists[number]) for position, number in enumerate(numbers) if number is not None]
        return table.drop_columns([_ROW]), lists


def names_without_row(names: Collection[str]) -> set[str]:
    """Names of columns without that of the number."""
    return set(names) - {_ROW}
