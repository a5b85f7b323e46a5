# SPDX-License-Identifier: Apache-2.0
"""Going on from a state that was written while the cursor was read another way: ``cursor_format`` has changed, or
``null_cursor_values``.

Which rows have landed is asked of the database, by the cursor as it was read then. Their cursors are read as they are
now, in the same statement. So nothing is converted that could round to a neighbour, and each row that the state
remembers is remembered by its new hash. Rows of a format that the last run would have refused have not landed, and
neither have late rows that it would have found and the next pass would not: they are delivered at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import ConfigurationError, StateError

from ..backend import Backend
from ..cursors.formats import CursorFormat
from ..expressions import ONE, Condition, Expression
from ..pages.paging import PageSizer, ResumePoint
from ..plans.planning import TablePlan
from ..session import Row, SqlSession
from ..statements import TableQuery
from .bounds import window_start
from .seen_rows import CAP, SeenRows
from .state import StreamProgress, remedy

ZERO: Expression = sa.literal_column("0")


def cursor_options(plan: TablePlan) -> dict[str, Any]:
    """The options by which a cursor is read, as a state has them."""
    return {"cursor_format": plan.cursor_format, "null_cursor_values": list(plan.options.null_cursor_values or ())}


def is_read_otherwise(plan: TablePlan, progress: StreamProgress) -> bool:
    """Whether the state was written by other options. Those of earlier releases do not say by which."""
    return bool(progress.cursor_options) and progress.cursor_options != cursor_options(plan)


def options_changed(plan: TablePlan, state: Mapping[str, Any]) -> bool:
    """As ``is_read_otherwise``, of an encoded state."""
    return state.get("cursor_options") not in (None, cursor_options(plan))


def changed_format(plan: TablePlan, progress: StreamProgress, now: CursorFormat, why: str) -> StateError:
    """The error for a state from which a cursor that is read otherwise cannot be read on."""
    was = (progress.cursor_options or cursor_options(plan))["cursor_format"]
    back = "" if was == plan.cursor_format else f'; or set {plan.config_path}.cursor_format = "{was}" again'
    return StateError(
        f"stream {plan.name!r}: the format of its cursor has changed since the last run. Then it was of type "
        f'{progress.type!r} (cursor_format = "{was}"), and {"/".join(plan.cursor)!r} is {now.tag!r} '
        f'(cursor_format = "{plan.cursor_format}") now; {why}. {remedy(plan.name)}{back}'
    )


class _Candidate(NamedTuple):
    """A row, as both ways of reading see it."""

    row: Row
    old_row: Row
    old: Any
    new: Any
    is_after: bool
    """It comes after the position of an unfinished pass."""


@dataclass(frozen=True)
class ChangedFormat:
    """One state, and the table in the session's snapshot.

    :param query: as the cursor is read now. :param now: its format.
    """

    backend: Backend
    session: SqlSession
    query: TableQuery
    progress: StreamProgress
    now: CursorFormat
    shape: str

    def continued(self) -> Iterator[Row]:
        """Change the state to one of the present options, and return the rows that it lacks and the next pass would
        not read. ``progress`` is changed when they are all taken.

        :raises StateError: if it is not known which rows have landed.
        """
        plan, progress = self.query.plan, self.progress
        old = self._old_query()
        was = self._old_format(old)
        if old.is_plain and self.query.is_plain and was.tag == self.now.tag:
            progress.cursor_options = cursor_options(plan)
            return
        high, resume = progress.high, progress.resume
        known = (progress.rows, progress.before)
        if resume is not None and any(rows.is_summed for rows in known):
            raise self._error("it stopped in the middle, with more rows to remember than it knows one by one")
        reached = resume.upper if resume is not None and resume.order == "key" else _highest(high, resume)
        changed = replace(progress, type=self.now.tag, cursor_options=cursor_options(plan), before=SeenRows())
        changed.before, changed.rows = SeenRows(shape=self.shape), SeenRows(cap=CAP, shape=self.shape)
        reached_now = None if reached is None else self._same_place(old, was, reached)
        if reached_now is not None:
            changed.oldest = [(self._cursor_now(old, was, cursor, key), key) for cursor, key in progress.oldest]
        if resume is not None and resume.order == "key":
            changed.resume = replace(resume, upper=reached_now)
        else:
            changed.resume, changed.high = None, reached_now
            changed.high_key = progress.high_key if resume is None else ()
        window = None if reached_now is None else window_start(plan, self.now, reached_now)
        landed = _Landed(plan, was, progress)
        if progress.rows.is_summed:
            near = filter(landed.is_summed, self._near(old, was, reached, window))
            progress.rows.verify(progress.rows.hash(candidate.old_row) for candidate in near)
        for candidate in self._near(old, was, reached, window, reached_now):
            if not self.now.accepts(candidate.new) and candidate.new is not None:
                continue  # the pass refuses it
            if landed.has(candidate):
                if candidate.new is None or candidate.new >= window:
                    changed.rows.add(changed.rows.hash(candidate.row))
            elif candidate.new is not None and candidate.new < window:
                yield candidate.row
        for name in changed.__slots__:
            setattr(progress, name, getattr(changed, name))

    def _old_query(self) -> TableQuery:
        options = msgspec.structs.replace(self.query.plan.options, **self.progress.cursor_options)
        try:
            query = self.query.read_by(replace(self.query.plan, options=options))
            query.cursor  # noqa: B018  # it is built from the options
            return query
        except ConfigurationError as error:
            raise self._error(str(error)) from error

    def _old_format(self, old: TableQuery) -> CursorFormat:
        was = self.backend.past_format(old, self.progress.type)
        if was is None:
            raise self._error("that type is not known")
        if not self.session.all(old.select(ONE).where(old.has_cursor, self.backend.is_of_format(old, was)).limit(1)):
            raise self._error("no row of the table has a cursor as it was")
        return was

    def _same_place(self, old: TableQuery, was: CursorFormat, reached: Any) -> Any:
        """Where the cursor that the state had come to is now."""
        fits = old.has_cursor, self.backend.is_of_format(old, was)
        statement = self.query.select(sa.func.max(old.cursor), sa.func.max(self.query.cursor))
        stored, highest = self.session.one(statement.where(*fits, old.cursor <= old.bound(reached)))
        if stored == reached:
            return highest
        if old.is_plain and self.query.is_plain:
            return reached
        if was.is_time and self.now.is_time:  # the row that had it has changed, or is gone
            place = self.now.bound(was.instant(reached))
            if self.now.instant(place) <= was.instant(reached) and (highest is None or highest < place):
                return place
        if highest is None:
            raise self._error(f"no row is at or below {reached!r}, to which it had come")
        return highest

    def _cursor_now(self, old: TableQuery, was: CursorFormat, cursor: Any, key: tuple[Any, ...]) -> Any:
        """The cursor of a remembered row; if there is none, the same point in time, or else the old one."""
        pairs = zip(old.order, (cursor, *key), strict=False)
        same = (column == old.bound(value) for column, value in pairs)
        if rows := self.session.all(self.query.select(self.query.cursor).where(*same).limit(1)):
            return rows[0][0]
        return self.now.bound(was.instant(cursor)) if was.is_time and self.now.is_time else cursor

    def _near(
        self, old: TableQuery, was: CursorFormat, reached: Any, window: Any, reached_now: Any = None
    ) -> Iterator[_Candidate]:
        """The rows that either way of reading remembers, and those whose cursor did not count before."""
        query, resume = self.query, self.progress.resume
        conditions: list[Condition] = []
        if query.plan.options.null_cursor in (None, "include"):
            conditions += [old.lacks_cursor, query.lacks_cursor]
        if reached is not None:
            start = old.bound(window_start(old.plan, was, reached))
            fits = sa.and_(old.has_cursor, self.backend.is_of_format(old, was))
            near = sa.or_(query.cursor >= query.bound(window), old.cursor >= start)
            conditions.append(sa.and_(fits, old.cursor <= old.bound(reached), near))
            if reached_now is not None:
                upto = query.cursor <= query.bound(reached_now)
                conditions += [sa.and_(sa.not_(fits), upto), sa.and_(old.lacks_cursor, upto)]
        if not conditions:
            return
        after: Expression = sa.true() if resume is not None else sa.false()
        filters: list[Condition] = [sa.or_(*conditions)]
        if resume is not None and resume.order == "cursor" and resume.cursor is not None:
            after = old.after(resume.cursor, resume.key)
        elif resume is not None and resume.order == "key":
            read = sa.false() if resume.key is None else sa.not_(query.after_key(resume.key))
            filters.append(sa.or_(old.lacks_cursor, read))  # those without a cursor come first
            after = sa.false()
        first = query.plan.options.initial_value
        if first is not None:
            begin = query.bound(self.now.configured(first, f"{query.plan.config_path}.initial_value"))
            filters.append(sa.or_(query.lacks_cursor, query.cursor >= begin))
        was_cursor = old.selected_cursor if old.is_plain else old.cursor
        columns = (
            *query.selected,
            was_cursor.label("_vdk_old_cursor"),
            sa.case((after, ONE), else_=ZERO).label("_vdk_is_after"),
        )
        count = len(query.names)
        statement = query.select(*columns).where(*filters)
        for page in self.session.stream(statement, PageSizer(query.plan.page_rows), release=False):
            for *values, old_cursor, is_after in page:
                row = tuple(values)
                old_row = row[:count] if old.is_plain else (*row[:count], old_cursor)
                yield _Candidate(row, old_row, old_cursor, row[query.cursor_index], bool(is_after))

    def _error(self, why: str) -> StateError:
        return changed_format(self.query.plan, self.progress, self.now, why)


class _Landed:
    """Which rows a state says to have landed."""

    def __init__(self, plan: TablePlan, was: CursorFormat, progress: StreamProgress) -> None:
        self._was, self._resume, self._high = was, progress.resume, progress.high
        self._rows, self._before = progress.rows, progress.before

        def window(high: Any) -> Any:
            return None if high is None else window_start(plan, was, high)

        upper = None if self._resume is None else self._resume.upper
        self._window = window(self._high if upper is None or (self._high is not None and self._high > upper) else upper)
        self._window_before = window(self._high)

    def has(self, candidate: _Candidate) -> bool:
        if self._resume is None:
            return self._knows(candidate, self._window, self._rows)
        if candidate.old is None:
            return self._knows(candidate, None, self._rows) or self._knows(candidate, None, self._before)
        if candidate.is_after:
            return self._knows(candidate, self._window_before, self._before)
        return self._knows(candidate, self._window, self._rows)

    def _knows(self, candidate: _Candidate, window: Any, known: SeenRows) -> bool:
        if not self._is_near(candidate, window):
            # No later run would have read it again. What was refused, or is NULL now, has not landed.
            return window is not None and candidate.new is not None and self._was.accepts(candidate.old)
        return known.consume(known.hash(candidate.old_row))

    def is_summed(self, candidate: _Candidate) -> bool:
        """Whether a row is in the sums of a state, if it has landed."""
        return self._is_near(candidate, self._window)

    def _is_near(self, candidate: _Candidate, window: Any) -> bool:
        is_near = window is not None and self._was.accepts(candidate.old) and candidate.old >= window
        return candidate.old is None or is_near


def _highest(high: Any, resume: ResumePoint | None) -> Any:
    """How far rows have landed."""
    reached = resume.cursor if resume is not None and resume.order == "cursor" else None
    return max((value for value in (high, reached) if value is not None), default=None)
