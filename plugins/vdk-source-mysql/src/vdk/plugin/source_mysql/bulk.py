# SPDX-License-Identifier: Apache-2.0
"""Pages as one value: the server writes the rows of a page as CSV, and Arrow reads it.

A driver in Python spends most of a read on taking each value of each row out of a packet. A page that is one value
costs it nothing, and Arrow parses CSV faster than the server writes it. It is the same connection and the same driver,
so all that holds for rows (TLS, privileges, snapshots) holds for such pages.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import csv

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import pc
from vdk.plugin.datasource_sql import (
    MIN_BULK_ROWS,
    ONE,
    BulkPass,
    Expression,
    Row,
    SqlSession,
    TableQuery,
    last_row_values,
)
from vdk.plugin.datasource_sql.kinds import MISFIT_ERRORS, Kind

from .column_types import base_type, kind_of

log = logging.getLogger(__name__)
MIN_PAGE_ROWS = 500
"""Pages with fewer rows than this, because a row is so wide, are read row by row."""
_END = "."
"""A column that ends each line: the server may cut a page anywhere, in the middle of a number too."""
_PLAIN = frozenset({"decimal", "date", "datetime", "timestamp", "time"})
"""Types whose text has neither quotes nor commas."""


def bulk_reader(query: TableQuery, kinds: Mapping[str, Kind]) -> MysqlBulkReader | None:
    """A bulk reader of the query's table; None for one that a page does not describe."""
    names, declared = query.names, query.plan.table.columns
    if query.deleted_index is not None or query.cursor_index >= len(names) or not set(names) <= set(kinds):
        return None
    if any("zerofill" in declared[name] for name in names):  # the zeros are lost where a number becomes text
        return None
    return MysqlBulkReader(query, [kinds[name] for name in names])


class MysqlBulkReader:
    """Reads passes of one table on the session's own connection."""

    def __init__(self, query: TableQuery, kinds: Sequence[Kind]) -> None:
        self._query, self._kinds = query, kinds
        declared = query.plan.table.columns
        self._received = [kind_of(declared[name]).received for name in query.names]
        self._session: SqlSession | None = None
        self._is_large: bool | None = None

    def should_use(self, session: SqlSession) -> bool:
        if self._is_large is None:
            self._is_large = bool(session.all(self._query.all_rows(ONE).limit(1).offset(MIN_BULK_ROWS)))
            self._session = session
        return self._is_large

    def pages(self, bulk_pass: BulkPass) -> Iterator[ArrowPage | list[Row] | None]:
        query, limit = self._query, bulk_pass.limit
        after, values = bulk_pass.next_page, last_row_values(bulk_pass.start)
        by_cursor, tied = len(bulk_pass.order) > len(query.keys), None
        while limit >= min(MIN_PAGE_ROWS, bulk_pass.limit):
            try:
                page, rows = self._page(self._statement(bulk_pass, after, limit), values)
            except ConfigurationError as error:  # such as temporary tables that are full
                log.debug("%s is read row by row from here: %s", self._query.plan.name, error)
                return
            if page is None and rows:  # the server cut a value that is longer than max_allowed_packet
                limit //= 4
                continue
            if page is not None:
                values = last_row_values({index: page.value(-1, index) for index in bulk_pass.start})
                yield page if page.lands() else page.rows()
            if rows == limit and page is not None:
                tied = page.only_cursor if by_cursor else None
                # Else the server reads all rows with the cursor for each page of them.
                after = bulk_pass.next_page if tied is None else self._ties(page)
            elif tied is not None:
                after, tied = query.after(tied, None), None
            else:
                yield None
                return

    def _ties(self, page: ArrowPage) -> Expression:
        """The rows with the cursor of the page's last row, after that."""
        query = self._query
        key = tuple(page.value(-1, index) for index in query.key_indexes)
        return sa.and_(query.cursor == query.bound(page.value(-1, query.cursor_index)), query.after_key(key))

    def _page(self, statement: sa.Select[Any], values: Mapping[str, Any]) -> tuple[ArrowPage | None, int]:
        """A page and the number of its rows; no page if there are none, or not all of them arrived."""
        assert self._session is not None
        self._session.begin()
        try:
            ((text, rows),) = self._session.all(statement, values)
        finally:
            self._session.end()
        table = self._parse(text) if rows and text is not None else None
        if table is None or table.num_rows != rows:
            return None, rows
        return ArrowPage(table, self._kinds, self._query), rows

    def _statement(self, bulk_pass: BulkPass, after: Expression, limit: int) -> sa.Select[Any]:
        query = self._query
        columns = [column.label(f"c{number}") for number, column in enumerate(query.selected)]
        order = [column.label(f"o{number}") for number, column in enumerate(bulk_pass.order)]
        rows = query.select(*columns, *order).where(*bulk_pass.conditions, after)
        page = rows.order_by(*bulk_pass.order).limit(limit).subquery("page")
        fields = [
            _field(page.c[f"c{number}"], query.plan.table.columns[name], received)
            for number, (name, received) in enumerate(zip(query.names, self._received, strict=True))
        ]
        line = sa.func.concat_ws(sa.literal_column("','"), *fields, sa.literal_column(f"'{_END}'"))
        by = ", ".join(f"page.o{number}" for number in range(len(order)))
        ordered = line.op("ORDER BY")(sa.literal_column(rf"{by} SEPARATOR '\n'"))
        return sa.select(sa.func.group_concat(ordered), sa.func.count()).select_from(page)

    def _parse(self, text: str) -> pa.Table | None:
        """The columns; None if the text was cut in a row."""
        names = [f"c{number}" for number in range(len(self._received))]
        types = [pa.string() if pa.types.is_binary(type_) else type_ for type_ in self._received]
        data = text.encode()
        try:
            table = csv.read_csv(
                pa.py_buffer(data),
                csv.ReadOptions(column_names=[*names, _END], use_threads=False, block_size=len(data) + 1),
                csv.ParseOptions(newlines_in_values=True),
                csv.ConvertOptions(
                    column_types=dict(zip(names, types, strict=True)),
                    include_columns=names,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            ).combine_chunks()
        except pa.ArrowInvalid:  # the last line lacks a column
            return None
        for number, received in enumerate(self._received):
            if pa.types.is_binary(received):
                texts = table.column(number).to_pylist()
                decoded = pa.array([None if text is None else bytes.fromhex(text) for text in texts], received)
                table = table.set_column(number, names[number], decoded)
        return table

    def close(self) -> None:
        self._session = None


def _field(column: Expression, declared: str, received: pa.DataType) -> Expression:
    """A value as a field of CSV: NULL is empty, and an empty text has quotes."""
    quote: Expression = sa.literal_column("'\"'")
    empty: Expression = sa.literal_column("''")
    if pa.types.is_binary(received):
        return sa.func.ifnull(sa.func.concat(quote, sa.func.hex(column), quote), empty)
    if not pa.types.is_string(received) or base_type(declared) in _PLAIN:
        return sa.func.ifnull(column, empty)
    text = sa.func.convert(column.op("USING")(sa.literal_column("utf8mb4")))
    doubled = sa.func.replace(text, quote, sa.literal_column("'\"\"'"))
    return sa.func.ifnull(sa.func.concat(quote, doubled, quote), empty)


class ArrowPage:
    """A page whose values are those that the driver's cursor hands out."""

    def __init__(self, received: pa.Table, kinds: Sequence[Kind], query: TableQuery) -> None:
        self._received, self._cursor_index = received, query.cursor_index
        names = query.plan.columns
        self._kinds = dict(zip(names, kinds, strict=False))
        self.table = received

    def lands(self) -> bool:
        """Whether all values do. False: one of them is a bad record."""
        columns = zip(self._kinds.values(), self._received.columns, strict=False)
        try:
            landed = [kind.landed(column.combine_chunks()) for kind, column in columns]
        except MISFIT_ERRORS:
            return False
        schema = pa.schema([pa.field(name, kind.arrow) for name, kind in self._kinds.items()])
        self.table = pa.Table.from_arrays(landed, schema=schema)
        return True

    @property
    def cursors(self) -> pa.Array:
        return self._received.column(self._cursor_index).combine_chunks()

    @property
    def only_cursor(self) -> Any:
        """The cursor that all rows have; None: they differ."""
        first, last = (self.value(row, self._cursor_index) for row in (0, -1))
        return last if first == last else None

    def value(self, row: int, column: int) -> Any:
        return self._received.column(column)[row].as_py()

    def rows(self) -> list[Row]:
        return list(zip(*(column.to_pylist() for column in self._received.columns), strict=True))

    def rows_from(self, window: Any) -> Iterator[Row]:
        if pa.types.is_integer(self.cursors.type):  # a day, or a second, may begin between two integers
            window = math.ceil(window)
            window = max(window, 0) if pa.types.is_unsigned_integer(self.cursors.type) else window
        mask = pc.greater_equal(self.cursors, pa.scalar(window, self.cursors.type))
        near = self._received.filter(mask)
        yield from zip(*(column.to_pylist() for column in near.columns), strict=True)
