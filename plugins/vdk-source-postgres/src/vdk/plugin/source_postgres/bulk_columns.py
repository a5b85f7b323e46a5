# SPDX-License-Identifier: Apache-2.0
"""Columns as they are read in bulk: as the driver's own types, or as the text that PostgreSQL writes.

Both ways end in the same values: a page lands as the row path would land it, and its rows are those that the row path
reads, because states, hashes and errors are made of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from vdk.plugin.datasource_base.parts import pc
from vdk.plugin.datasource_sql import Expression, Row, TableQuery
from vdk.plugin.datasource_sql.kinds import MISFIT_ERRORS, Kind, MisfitError

from .adbc import NATIVE, is_in_range
from .column_types import without_length

_CAST_TO_TEXT = frozenset({"numeric", "money", "uuid", "json", "jsonb", "interval", "xml", "time with time zone"})
"""Types whose cast to text is what PostgreSQL writes. That of ``inet`` adds a netmask, that of ``character`` cuts."""


@dataclass(frozen=True)
class BulkColumn:
    """One column.

    :param kind: how it lands.
    :param native: the type that the driver reads; None: it is read as text.
    """

    name: str
    declared: str
    kind: Kind
    native: pa.DataType | None

    @classmethod
    def of(cls, name: str, declared: str, kind: Kind) -> BulkColumn:
        native = pa.int64() if declared == "oid" else NATIVE.get(without_length(declared))
        return cls(name, declared, kind, native if native == kind.arrow else None)

    def as_text(self) -> BulkColumn:
        return replace(self, native=None)

    def selected(self, query: TableQuery) -> Expression:
        """The column in a statement."""
        column = query.read_column(self.name)
        if self.declared == "oid":
            return sa.cast(column, sa.BigInteger)
        if self.native is not None:
            return column
        is_converted = column is not query.column(self.name)
        if is_converted or without_length(self.declared) in {*_CAST_TO_TEXT, *NATIVE}:
            return sa.cast(column, sa.Text).label(self.name)
        is_null = column.is_not_distinct_from(sa.null())  # a row of NULLs is not
        return sa.case((is_null, None), else_=sa.func.format("%s", column)).label(self.name)

    def landed(self, values: pa.Array) -> pa.Array:
        """As it lands. Raises one of ``MISFIT_ERRORS``."""
        if self.native is not None or values.type == self.kind.arrow:
            return values
        if self.kind.read is not None:
            return self.kind.array(values.to_pylist())
        if isinstance(self.kind.arrow, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(self.kind.arrow, values.cast(self.kind.arrow.storage_type))
        return values.cast(self.kind.arrow)

    def as_read(self, values: pa.Array) -> list[Any]:
        """As the driver of the rows reads it."""
        if self.native is None:
            return list(values.to_pylist())
        if pa.types.is_floating(self.native):  # a NaN may have a sign here, which is another hash
            return list(pc.if_else(pc.is_nan(values), pa.scalar(float("nan"), self.native), values).to_pylist())
        if pa.types.is_temporal(self.native):
            return [None if value is None else _time_text(value) for value in values.to_pylist()]
        return list(values.to_pylist())


def _time_text(value: dt.date | dt.time) -> str:
    """A date or time as PostgreSQL writes it: with as many digits of the second as it has."""
    text = value.isoformat().replace("T", " ")
    text, zone = (text[:-6], "+00") if text.endswith("+00:00") else (text, "")
    return (text.rstrip("0") if "." in text else text) + zone


class BulkColumns:
    """The columns of a query. One whose times are beyond those of Arrow is read as text from then on."""

    def __init__(self, columns: Sequence[BulkColumn], landing: int, cursor_index: int | None) -> None:
        self._columns, self._landing, self._cursor_index = list(columns), landing, cursor_index

    def selected(self, query: TableQuery) -> list[Expression]:
        return [column.selected(query) for column in self._columns]

    def read_times_as_text(self) -> None:
        """From now on, whatever is read is accepted."""
        self._columns = [
            column.as_text() if pa.types.is_temporal(column.kind.arrow) else column for column in self._columns
        ]

    def accept(self, table: pa.Table) -> bool:
        """Whether what was read is right. If not, the statement, which is another one now, has to be run again.

        :raises MisfitError: for other types than expected, as after a change of the table.
        """
        wrong = False
        for index, (column, values) in enumerate(zip(self._columns, table.columns, strict=True)):
            if values.type != (column.native or pa.string()):
                raise MisfitError(f"column {column.name} arrives as {values.type}")
            if column.native is not None and not is_in_range(values):
                self._columns[index], wrong = column.as_text(), True
        return not wrong

    def pages(self, table: pa.Table, size: int) -> Iterator[BulkRows | list[Row]]:
        """A table that was accepted, in pages: as rows where a value does not fit the type that its column lands as."""
        for start in range(0, table.num_rows, size):
            page = BulkRows(self._columns, table.slice(start, size), self._landing, self._cursor_index)
            yield page.rows() if page.table is None else page


class BulkRows:
    """A page as Arrow. ``table`` has the columns that land; None: a value does not fit."""

    def __init__(self, columns: Sequence[BulkColumn], read: pa.Table, landing: int, cursor_index: int | None) -> None:
        self._columns, self._read, self._cursor_index = columns, read, cursor_index
        names = [column.name for column in columns[:landing]]
        try:
            arrays = [_by_chunk(column.landed, read.column(index)) for index, column in enumerate(columns[:landing])]
            self.table: Any = pa.Table.from_arrays(arrays, names)
        except MISFIT_ERRORS:
            self.table = None

    @property
    def cursors(self) -> pa.Array:
        """The cursor of each row."""
        assert self._cursor_index is not None
        return self._read.column(self._cursor_index).combine_chunks()

    def value(self, row: int, column: int) -> Any:
        """One value as the driver of the rows reads it."""
        row = row if row >= 0 else self._read.num_rows + row
        return self._as_read(column, self._read.slice(row, 1))[0]

    def rows(self) -> list[Row]:
        """All rows as the driver of the rows reads them."""
        return self._rows(self._read)

    def rows_from(self, window: Any) -> Iterator[Row]:
        """The rows whose cursor is at or above ``window``, as the driver of the rows reads them."""
        assert self._cursor_index is not None
        if _highest(self.cursors, self._columns[self._cursor_index]) < window:
            return
        cursors = self._as_read(self._cursor_index, self._read)
        indexes = [index for index, cursor in enumerate(cursors) if cursor >= window]
        yield from self._rows(self._read.take(pa.array(indexes)))

    def _rows(self, table: pa.Table) -> list[Row]:
        return list(zip(*(self._as_read(index, table) for index in range(len(self._columns))), strict=True))

    def _as_read(self, index: int, table: pa.Table) -> list[Any]:
        column = self._columns[index]
        return [value for chunk in table.column(index).chunks for value in column.as_read(chunk)]


def _highest(cursors: pa.Array, column: BulkColumn) -> Any:
    return column.as_read(pa.array([pc.max(cursors).as_py()], cursors.type))[0]


def _by_chunk(convert: Callable[[pa.Array], pa.Array], values: pa.ChunkedArray) -> pa.ChunkedArray:
    chunks = [convert(chunk) for chunk in values.chunks] or [convert(pa.array([], values.type))]
    return pa.chunked_array(chunks, chunks[0].type)
