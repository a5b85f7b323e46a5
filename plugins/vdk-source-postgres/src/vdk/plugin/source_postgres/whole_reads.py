# SPDX-License-Identifier: Apache-2.0
"""Large tables without a cursor: read in parts, in parallel, all of them from one snapshot.

A part is a range of the table's blocks, which the server reads without an index and without looking at other blocks.
Rows are in other blocks after they were changed, so that ranges mean the same only in one snapshot.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    DataSourcePayload,
    DataSourceStream,
    Proof,
    SnapshotLostError,
    StreamPartition,
    StreamSchema,
    VerifiableStream,
)
from vdk.plugin.datasource_sql import (
    MIN_BULK_ROWS,
    ONE,
    PayloadBuilder,
    SqlSession,
    SqlStream,
    TablePlan,
    TableQuery,
    TableRange,
)
from vdk.plugin.datasource_sql.kinds import Kind

from . import adbc
from .adbc import AdbcConnection, SpanTooLargeError
from .backend import PostgresBackend
from .bulk import SpanSize, bulk_columns
from .bulk_columns import BulkColumns
from .key_ranges import KeyRange
from .literals import with_literals
from .snapshots import Snapshots
from .table_sizes import TableSize, table_sizes

log = logging.getLogger(__name__)
FIRST_BLOCKS = 512
_LOST = frozenset({"22023", "42704", "55000"})
"""What importing a snapshot fails with that nobody holds any more."""


class WholeTable(VerifiableStream):
    """A large table that is read whole.

    :param table: the stream that reads it row by row.
    :param partition_rows: rows of a part, about.
    """

    def __init__(self, table: SqlStream, backend: PostgresBackend, snapshots: Snapshots, partition_rows: int) -> None:
        self.name, self.plan, self.relations = table.name, table.plan, table.relations
        self._table, self._backend = table, backend
        self._snapshots, self._partition_rows = snapshots, partition_rows

    def schema(self, table: str | None = None) -> StreamSchema:
        return self._table.schema(table)

    def between(self, begin: str | None, end: str | None) -> DataSourceStream:
        return self._table.between(begin, end)

    def proof(
        self, states: Mapping[str, Mapping[str, Any]], *, values: bool = False, whole_rows: bool = False
    ) -> Proof:
        return self._table.proof({}, values=values, whole_rows=whole_rows)

    def split(
        self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None, *, parts: int, min_rows: int
    ) -> list[StreamPartition]:
        ranges = self._table.split(state, end, parts=parts, min_rows=min_rows)
        if not ranges or not self._is_readable():
            return list(ranges)
        return [KeyRange.of(self, each) if isinstance(each, TableRange) else each for each in ranges]

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterator[StreamPartition]:
        """Take a snapshot, and describe the parts that are read in it."""
        self.schema()  # raises for a table that cannot be read
        query = TableQuery(self.plan, self._backend, keyed=False)
        schema, name = self.plan.table.schema or "", self.plan.table.table_name
        with SqlSession(self._backend) as session:
            kinds = self._backend.kinds(session, query)
            size = table_sizes(session, [schema]).get((schema, name))
        if (
            size is None
            or any(state.values())
            or bulk_columns(query, kinds, with_cursor=False) is None
            or not self._is_readable()
        ):
            self._table.counts_rows = self.counts_rows
            yield self._table
            return
        snapshot = self._snapshots.export(self.name, self._backend, query.all_rows(ONE).limit(0))
        parts = max(1, -(-size.rows // self._partition_rows))
        starts = list(range(0, size.blocks, -(-size.blocks // parts)))
        for start, end in zip(starts, [*starts[1:], None], strict=True):
            yield TablePart(self, kinds, snapshot, start, end, size.blocks, counts_rows=self.counts_rows and start == 0)

    def _is_readable(self) -> bool:
        """Whether the driver can connect, and reads what it should."""
        try:
            self.connect().close()
        except adbc.failures() as error:
            log.info("%s is read row by row: %s", self.name, type(error).__name__)
            return False
        return True

    def query(self) -> TableQuery:
        return TableQuery(self.plan, self._backend, keyed=False)

    def connect(self) -> AdbcConnection:
        return AdbcConnection(self._backend.conninfo, self._backend.settings(self._backend.bulk_version))

    def translated(self, error: Exception) -> Exception:
        """An error of the driver as one of the contract's."""
        return self._backend.translate(adbc.as_driver_error(error)) or error

    def payload_builder(self, query: TableQuery, kinds: dict[str, Kind]) -> PayloadBuilder:
        return PayloadBuilder(self.plan, kinds, query, self._backend)


def in_parts(
    streams: Iterable[SqlStream],
    sizes: Mapping[tuple[str, str], TableSize],
    backend: PostgresBackend,
    snapshots: Snapshots,
    partition_rows: int,
) -> list[DataSourceStream]:
    """The streams, of which those that read large tables whole are read in parts."""

    def is_large(plan: TablePlan) -> bool:
        size = sizes.get((plan.table.schema or "", plan.table.table_name))
        return not plan.cursor and plan.deleted_column is None and size is not None and size.rows >= MIN_BULK_ROWS

    def split(stream: SqlStream) -> WholeTable:
        table = WholeTable(stream, backend, snapshots, partition_rows)
        table.unsplit = WholeTable(stream, backend, snapshots, sys.maxsize)
        return table

    return [split(stream) if is_large(stream.plan) else stream for stream in streams]


@dataclass
class TablePart(StreamPartition):
    """A range of blocks of a table.

    :param snapshot: the name of the snapshot that all parts are read in.
    :param end: the first block that is not read; None: the last part, which has no end.
    :param blocks: about how many the table has. :param counts_rows: whether it counts the rows of all parts.
    """

    table: WholeTable
    kinds: dict[str, Kind]
    snapshot: str
    start: int
    end: int | None
    blocks: int
    counts_rows: bool = False

    def __post_init__(self) -> None:
        self.id = f"blocks from {self.start}"

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        query = self.table.query()
        columns = bulk_columns(query, self.kinds, with_cursor=False)
        assert columns is not None
        builder, full = self.table.payload_builder(query, dict(self.kinds)), FullPages(query.plan.page_rows)
        for span in self._spans(query, columns):
            for page in columns.pages(span, query.plan.page_rows):
                if isinstance(page, list):
                    yield from builder.payloads(page)
                else:
                    yield from map(DataSourcePayload, full.add(page.table))
        yield from map(DataSourcePayload, full.rest())
        if self.counts_rows:
            yield DataSourcePayload(None, metadata={f"{COUNTER_PREFIX}rows_at_source": self._count(query)})

    def _count(self, query: TableQuery) -> int:
        """The rows of the whole table, in the snapshot of its parts."""
        connection = None
        try:
            connection = self._connect()
            counted = connection.fetch(with_literals(query.select(sa.func.count())))
        except adbc.failures() as error:
            raise self.table.translated(error) from error
        finally:
            if connection is not None:
                connection.close()
        return int(counted.column(0)[0].as_py())

    def _spans(self, query: TableQuery, columns: BulkColumns) -> Iterator[pa.Table]:
        """The part, in tables of about ``adbc.SPAN_BYTES``."""
        size, start, connection = SpanSize(FIRST_BLOCKS), self.start, None
        try:
            while self.end is None or start < self.end:
                connection = connection or self._connect()
                end = self._end_of(start, size.units)
                try:
                    span = connection.fetch(_statement(query, columns, start, end))
                except SpanTooLargeError:
                    connection = None
                    if size.units > 1:
                        size.shrink()
                    else:
                        columns.read_times_as_text()
                        connection = self._connect()
                        yield from connection.stream(_statement(query, columns, start, end))
                        start += 1
                    continue
                if not columns.accept(span):
                    continue
                size.record((end or self.blocks) - start, span.nbytes)
                yield span
                if end is None:
                    return
                start = end
        except adbc.failures() as error:
            raise self.table.translated(error) from error
        finally:
            if connection is not None:
                connection.close()

    def _end_of(self, start: int, units: int) -> int | None:
        """Where a span ends; None: nowhere, after the table's last block."""
        end = start + units
        if self.end is not None:
            return min(end, self.end)
        return end if end < self.blocks else None

    def _connect(self) -> AdbcConnection:
        connection = self.table.connect()
        try:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(f"SET TRANSACTION SNAPSHOT '{self.snapshot}'")
        except adbc.failures() as error:
            connection.close()
            if adbc.as_driver_error(error).sqlstate in _LOST:
                raise SnapshotLostError(
                    f"stream {self.table.name!r}: the snapshot that its parts share is lost, because the connection "
                    "that held it was closed"
                ) from error
            raise
        return connection


class FullPages:
    """Tables cut again, so that each but the last has ``rows`` rows; fewer if these are ``adbc.SPAN_BYTES`` or more.

    Batches are made of whole pages, and DuckDB compresses a batch once only if it has as many rows as a row group.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._tables: list[pa.Table] = []

    def add(self, table: pa.Table) -> Iterator[pa.Table]:
        """The pages that are full with the rows of this table."""
        waiting = pa.concat_tables([*self._tables, table])
        whole = waiting.num_rows - waiting.num_rows % self._rows
        for start in range(0, whole, self._rows):
            yield waiting.slice(start, self._rows)
        rest = waiting.slice(whole)
        is_large = rest.nbytes >= adbc.SPAN_BYTES
        self._tables = [] if is_large else [rest]
        if is_large:
            yield rest

    def rest(self) -> list[pa.Table]:
        """The rows that are left."""
        return [table for table in self._tables if table.num_rows]


def _statement(query: TableQuery, columns: BulkColumns, start: int, end: int | None) -> str:
    block: sa.ColumnElement[Any] = sa.literal_column("ctid")
    conditions = [block >= sa.literal_column(f"'({start},0)'::tid")]
    if end is not None:
        conditions.append(block < sa.literal_column(f"'({end},0)'::tid"))
    return with_literals(query.select(*columns.selected(query)).where(*conditions))
