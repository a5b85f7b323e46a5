# SPDX-License-Identifier: Apache-2.0
"""The parts of a large table that a cluster reads in parallel, each by a connection of its own; see ``splitting``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DataSourcePayload, StreamPartition

from ..backend import Backend
from ..cursors.formats import CursorFormat
from ..incremental.cursor_validation import CursorValidator
from ..incremental.expected_rows import ExpectedRows
from ..kinds import Kind
from ..pages.paging import BulkPage, PageReader, PageSizer
from ..pages.payload_builder import PayloadBuilder
from ..plans.planning import TablePlan
from ..session import Row, SqlSession
from ..statements import CursorRange, TableQuery


@dataclass
class TableRange(StreamPartition):
    """A range of a table. Its payloads have no state.

    :param plan: with the range. :param kinds: how columns land, the same in all ranges.
    :param cursors: which cursors are read; None: the table has none, and the range is read in one snapshot.
    :param format: of the cursors. :param expected: near the end of the read; None: all that there are.
    """

    id: str = field(init=False)
    number: int
    plan: TablePlan
    backend: Backend
    kinds: Mapping[str, Kind]
    cursors: CursorRange | None = None
    format: CursorFormat | None = None
    expected: ExpectedRows | None = None

    def __post_init__(self) -> None:
        self.id = f"range {self.number}"

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        kinds = dict(self.kinds)  # one that waits for a value is resolved while reading
        with SqlSession(self.backend) as session:
            session.begin()
            query = TableQuery(self.plan, self.backend, keyed=has_safe_key(self.plan))
            builder = PayloadBuilder(self.plan, kinds, query, self.backend)
            if self.cursors is None:
                yield from read_whole(session, query, builder)
                return
            bulk = self.backend.bulk_reader(query, kinds)
            try:
                yield from self._pages(session, query, builder, bulk)
            finally:
                if bulk is not None:
                    bulk.close()

    def _pages(
        self, session: SqlSession, query: TableQuery, builder: PayloadBuilder, bulk: Any
    ) -> Iterator[DataSourcePayload]:
        assert self.cursors is not None
        assert self.plan.part is not None
        sizer, validator = PageSizer(self.plan.page_rows), CursorValidator(self.backend, session, query)
        expected = None if self.expected is None else self.expected.copy()
        window = None if expected is None else expected.window
        reader = PageReader(session, query, sizer, None, bulk=bulk, window=window)
        by_key = self.plan.part.by == "key"
        for page in reader.by_key(self.cursors, None) if by_key else reader.by_cursor(self.cursors, None):
            if isinstance(page, BulkPage):
                validator.check_arrow(self.format, page.rows)
                table = page.rows.table if expected is None else expected.of_page(page.rows, query.cursor_index)[0]
                yield DataSourcePayload(table)
                continue
            validator.check_rows(self.format, page.rows)
            rows = page.rows
            if expected is not None:
                rows = [row for row in rows if expected.admits(row, row[query.cursor_index])]
            if rows:
                yield from _packed(builder, rows, sizer)


@dataclass
class RememberedRows(StreamPartition):
    """The part of a table beside its ranges: rows up to the state that may have changed, and rows without a cursor."""

    id: str = field(init=False, default="remembered rows")
    table: RemembersRows
    start: Mapping[str, Any]
    end: Mapping[str, Any]

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return self.table.read_remembered(state or self.start, self.end)


class RemembersRows(Protocol):
    """A table that is read by its cursor."""

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """See ``BoundedPartition``."""

    def read_remembered(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        """What ``read`` yields, without the rows above the state."""


def read_whole(session: SqlSession, query: TableQuery, builder: PayloadBuilder) -> Iterator[DataSourcePayload]:
    """Every row, in one snapshot."""
    sizer = PageSizer(query.plan.page_rows)
    for rows in session.stream(query.rows(), sizer):
        yield from _packed(builder, rows, sizer)


def _packed(builder: PayloadBuilder, rows: Sequence[Row], sizer: PageSizer) -> Iterator[DataSourcePayload]:
    for payload in builder.payloads(rows):
        if isinstance(payload.data, pa.Table):
            sizer.record_page(payload.data.num_rows, payload.data.nbytes)
        if payload.data is not None:
            yield payload


def has_safe_key(plan: TablePlan) -> bool:
    """Whether the database gives every row a key."""
    return plan.order_key is not None and not plan.order_key.nullable
