# SPDX-License-Identifier: Apache-2.0
"""Where a table is cut into ranges.

The end of a read is fixed before: a cursor up to which no further row will be committed. A row up to there is in one
range, by its key or by its cursor, and one that changes meanwhile moves above the end. So ranges need no states: after
all of them the state is the end, however many there were. The rows that the state remembers, and those without a
cursor, are one more part, which is read as by any other read.

The limits of ranges are found in steps along an index: the lowest and the highest key do not show where rows are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from vdk.plugin.datasource_base.contract import StreamPartition

from ..backend import Backend
from ..expressions import Condition
from ..incremental.bounds import lower_bound
from ..incremental.changed_format import is_read_otherwise
from ..incremental.expected_rows import ExpectedRows
from ..incremental.reader import IncrementalReader, shape_of_rows
from ..incremental.state import StreamProgress, decode
from ..kinds import Kind
from ..pages.payload_builder import PayloadBuilder
from ..plans.planning import RangeOrder, RowRange, TablePlan
from ..session import SqlSession
from ..statements import CursorRange, TableQuery, rows_after
from .table_range import RememberedRows, RemembersRows, TableRange, has_safe_key

Position = tuple[Any, ...]
MOST_HASHES = 8_000_000
"""Of the rows near the end of a read, in all ranges of a table: 64 MB."""


class TableSplitter:
    """Cuts one table, in a snapshot of the session.

    :param kinds: how columns land. :param parts: ranges at most. :param min_rows: of a range.
    """

    def __init__(
        self,
        session: SqlSession,
        plan: TablePlan,
        backend: Backend,
        kinds: Mapping[str, Kind],
        parts: int,
        min_rows: int,
    ) -> None:
        self._session, self._plan, self._backend, self._kinds = session, plan, backend, kinds
        self._most, self._min_rows = parts - 1, max(min_rows, 1)
        self._query = TableQuery(plan, backend, keyed=has_safe_key(plan))

    def whole(self) -> list[TableRange]:
        """Ranges of the key of a table without a cursor, each of which is read in a snapshot of its own."""
        plans = self._plans("key", self._ends("key")) if self._query.keys else []
        return [TableRange(number, plan, self._backend, self._kinds) for number, plan in enumerate(plans, 1)]

    def backfill(self, now: dt.datetime) -> list[TableRange]:
        """Ranges of the rows between the cursors of the options or of the run."""
        by: RangeOrder = "key" if self._query.index_level == "none" else "cursor"
        if by == "key" and not self._query.keys:
            return []
        builder = PayloadBuilder(self._plan, dict(self._kinds), self._query, self._backend)
        reader = IncrementalReader(self._backend, self._session, self._query, builder, now)
        info, cursors = reader.backfill_range()
        plans = self._plans(by, self._ends(by, self._query.between(cursors) if by == "cursor" else []))
        return [
            TableRange(number, plan, self._backend, self._kinds, cursors, info.format)
            for number, plan in enumerate(plans, 1)
        ]

    def after(
        self, table: RemembersRows, state: Mapping[str, Any], end: Mapping[str, Any] | None
    ) -> list[StreamPartition]:
        """Ranges of the rows after a state, and the rows that it remembers.

        The rows of a first pass are cut by key: they may share a cursor. Later there may be few new rows, which only an
        index on the cursor finds.

        :param end: where the read ends; None: where a read ends that begins now.
        """
        progress, query = self._progress(state), self._query
        upper = None if end is None else self._progress(end).high
        if progress.resume is not None or is_read_otherwise(self._plan, progress):
            return []
        if end is not None and (upper is None or upper == progress.high):
            return []
        after = None if progress.high is None else (progress.high,)
        by: RangeOrder = "key" if after is None and query.keys else "cursor"
        if by == "cursor" and query.index_level == "none":
            return []
        conditions = [] if by == "key" else query.between(CursorRange(end=upper))
        if not (ends := self._ends(by, conditions, after)):
            return []
        if end is None:
            self._session.end()  # it may wait for transactions
            end = table.end(state)
            self._session.begin()
        last = self._progress(end)
        cursor_format = self._backend.known_format(self._session, query, str(last.type))
        if last.high is None or cursor_format is None:
            return []
        expected = ExpectedRows.of(last, self._plan, cursor_format, shape_of_rows(query))
        if expected is not None and by == "key":
            ends = _evenly(ends, max(1, MOST_HASHES // max(1, expected.size)))
        lower = lower_bound(self._plan, cursor_format, progress) if after is None else None
        cursors = CursorRange(lower, last.high)
        ranges = [
            TableRange(number, plan, self._backend, self._kinds, cursors, cursor_format, _near_end(plan, expected))
            for number, plan in enumerate(self._plans(by, ends, after), 1)
        ]
        return [RememberedRows(table, state, end), *ranges]

    def _progress(self, state: Mapping[str, Any]) -> StreamProgress:
        """A state of the same plan, read by another key or by this one."""
        key = state.get("key")
        names = key if isinstance(key, list) else ()
        return decode(state, self._plan.name, self._plan.cursor, names, self._plan.primary_key)

    def _plans(self, by: RangeOrder, ends: Sequence[Position], after: Position | None = None) -> list[TablePlan]:
        """The plan of each range: they end at the positions, and the last one has no end. None if there is but one."""
        limits = [after, *ends, None]
        return [replace(self._plan, part=RowRange(by, *pair)) for pair in pairwise(limits)] if ends else []

    def _ends(
        self, by: RangeOrder, conditions: Sequence[Condition] = (), position: Position | None = None
    ) -> list[Position]:
        """Positions between ranges of about the same number of rows; none if there are too few rows for two.

        They are found in steps, which are doubled when there are far too many.

        :param conditions: which rows count. :param position: that the first range begins after.
        """
        query = self._query
        key = query.key.columns if query.key is not None and by == "key" else ()
        columns = query.keys if key else (query.cursor,)
        selected = [query.read_column(name) for name in key] or [query.selected_cursor]
        statement = query.select(*selected).where(*conditions).order_by(*columns).limit(1)
        ends: list[Position] = []
        step = self._min_rows
        while self._most > 0:
            after = [] if position is None else [rows_after(columns, [query.bound(value) for value in position])]
            rows = self._session.all(statement.where(*after).offset(step - 1))
            if not rows:
                break
            position = tuple(rows[0])
            ends.append(position)
            if len(ends) >= 4 * self._most:
                ends, step = ends[1::2], 2 * step
        return _evenly(ends, self._most)


def _near_end(plan: TablePlan, expected: ExpectedRows | None) -> ExpectedRows | None:
    """What the range of a plan has to know of the rows near the end: nothing, if it ends below them."""
    part = plan.part
    if part is None or expected is None or part.by == "key" or part.upto is None:
        return expected
    return None if part.upto[0] < expected.window else expected


def _evenly(ends: list[Position], most: int) -> list[Position]:
    """At most ``most`` of the ends, in even distances."""
    if len(ends) <= most:
        return ends
    return [ends[(number + 1) * (len(ends) + 1) // (most + 1) - 1] for number in range(most)]
