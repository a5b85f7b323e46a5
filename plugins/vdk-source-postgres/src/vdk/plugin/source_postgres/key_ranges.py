# SPDX-License-Identifier: Apache-2.0
"""Large tables without a cursor in ranges of their key, which a cluster reads in parallel.

A cluster plans in a process that ends, so nobody holds a snapshot that all ranges could share. Between two snapshots a
row may move to another block, but it keeps its key. Each range is read in a snapshot of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vdk.plugin.datasource_base.contract import DataSourcePayload, StreamPartition
from vdk.plugin.datasource_sql import Expression, Row, TableQuery, TableRange, rows_after

from . import adbc
from .adbc import AdbcConnection, SpanTooLargeError
from .bulk import SpanSize, bulk_columns
from .bulk_columns import BulkColumns, BulkRows
from .literals import with_literals

if TYPE_CHECKING:
    from .whole_reads import WholeTable


@dataclass
class KeyRange(StreamPartition):
    """A range that is read with ADBC.

    :param rows: the same range, read row by row.
    """

    id: str = field(init=False)
    table: WholeTable
    rows: TableRange

    def __post_init__(self) -> None:
        self.id = self.rows.id

    @classmethod
    def of(cls, table: WholeTable, rows: TableRange) -> StreamPartition:
        """The range; read row by row, if its columns or its key do not allow anything else."""
        query = TableQuery(rows.plan, rows.backend)
        key = query.key.columns if query.key is not None else ()
        has_key = bool(key) and set(key) <= set(query.names)
        is_bulk = has_key and bulk_columns(query, rows.kinds, with_cursor=False) is not None
        return cls(table, rows) if is_bulk else rows

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        query = TableQuery(self.rows.plan, self.rows.backend)
        columns = bulk_columns(query, self.rows.kinds, with_cursor=False)
        assert columns is not None
        builder = self.table.payload_builder(query, dict(self.rows.kinds))
        try:
            for page in self._pages(query, columns):
                if isinstance(page, list):
                    yield from builder.payloads(page)
                else:
                    yield DataSourcePayload(page.table)
        except adbc.failures() as error:
            raise self.table.translated(error) from error

    def _pages(self, query: TableQuery, columns: BulkColumns) -> Iterator[BulkRows | list[Row]]:
        assert query.key is not None
        indexes = [query.names.index(name) for name in query.key.columns]
        size, connection = SpanSize(query.plan.page_rows), self._begin()
        after: list[Expression] = []
        page: BulkRows | list[Row] = []
        try:
            while True:
                limit = size.units
                statement = query.select(*columns.selected(query)).where(*after).order_by(*query.keys).limit(limit)
                try:
                    span = connection.fetch(with_literals(statement))
                except SpanTooLargeError:  # its connection is closed: the rest is read in another snapshot
                    if limit == 1:
                        raise
                    size.shrink()
                    connection = self._begin()
                    continue
                if not columns.accept(span):
                    continue
                size.record(limit, span.nbytes, query.plan.page_rows)
                for page in columns.pages(span, query.plan.page_rows):
                    yield page
                if span.num_rows < limit:
                    return
                last = [page[-1][index] if isinstance(page, list) else page.value(-1, index) for index in indexes]
                after = [rows_after(query.keys, [query.bound(value) for value in last])]
        finally:
            connection.close()

    def _begin(self) -> AdbcConnection:
        connection = self.table.connect()
        try:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        except BaseException:
            connection.close()
            raise
        return connection
