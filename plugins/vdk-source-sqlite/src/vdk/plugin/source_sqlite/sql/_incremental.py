"""Reading a table by its cursor: what incremental.md says, rule by rule."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import COUNTER_PREFIX, DataSourcePayload

from ._behind import check_behind, is_behind, oldest_rows
from ._bulk import Bulk, Proven
from ._facts import CursorFacts
from ._matching import CursorCheck
from ._overlap import CAP, Overlap, shape_of
from ._packer import Packer
from ._pages import BulkPage, Pace, Page, Pages
from ._plan import Plan
from ._query import Query, Range
from ._session import Row, Session
from ._state import Progress, Resume, decode, encode
from ._sweep import all_keys, is_due
from ._watermark import check_state, lower_bound, upper_bound, warn_of_numbers, window_start

log = logging.getLogger(__name__)


class Incremental:
    """One read of a table by its cursor: an unfinished pass is finished, then a new one is made."""

    def __init__(
        self, session: Session, query: Query, packer: Packer, now: dt.datetime, bulk: Bulk | None = None
    ) -> None:
        self._session, self._query, self._packer, self._now = session, query, packer, now
        self._bulk, self._check = bulk, CursorCheck(session, query)
        self._plan: Plan = query.plan
        self._pace = Pace(query.plan.page_rows)
        self._said: Mapping[str, Any] = {}
        self._unchanged = 0
        self._is_behind = False
        self._shape = shape_of({name: self._plan.table.columns[name] for name in query.names})

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        """Payloads behind ``state``, in the order of the cursor, each with the state behind it."""
        progress = decode(state, self._plan.name, self._plan.cursor, self._key, self._plan.primary_key)
        self._forget_other_shapes(progress)
        self._said = dict(state)
        yield from self._sweep(progress)
        if progress.resume is not None:
            facts = self._look(progress)
            yield from self._pass(facts, progress, progress.resume, progress.resume.upper)
            yield from self._finish(progress, {})
        facts = self._look(progress)
        upper = upper_bound(self._session, self._query, facts, self._now)
        self._check.nulls(facts)
        warn_of_numbers(self._plan, facts, upper)
        self._is_behind = is_behind(facts, progress, upper)
        if self._is_behind:
            check_behind(self._session, self._query, progress, upper)
        elif upper.value is not None and (not progress.oldest or upper.value != progress.high):  # else nothing is new
            progress.oldest = oldest_rows(self._session, self._query)
        yield from self._pass(facts, progress, None, upper.value)
        counts = {"rows_null_cursor": facts.nulls, "rows_held_back": upper.held_back, "rows_unchanged": self._unchanged}
        yield from self._finish(progress, counts)

    def _sweep(self, progress: Progress) -> Iterator[DataSourcePayload]:
        """All keys there are, if it is time; a table of which nothing has landed has nothing to sweep."""
        every = self._plan.sweep
        if every is None or not (self._said == {} or is_due(progress, every, self._now, self._plan.name)):
            return
        progress.swept = self._now.isoformat()
        if self._said:
            yield from all_keys(self._session, self._query, self._packer)
            self._said = self._encode(progress)
            yield DataSourcePayload(None, state=self._said)

    def backfill(self) -> Iterator[DataSourcePayload]:
        """Rows with ``initial_value <= cursor < end_value``; no payload has a state."""
        plan = self._plan
        facts = self._look(Progress())
        if facts.format is None:
            self._session.end()
            return
        options = plan.options
        lower = None
        if options.initial_value is not None:
            lower = facts.format.configured(options.initial_value, f"{plan.place}.initial_value")
        span = Range(lower, None, facts.format.configured(options.end_value, f"{plan.place}.end_value"))
        for page in Pages(self._session, self._query, self._pace, None, bulk=self._bulk).by_cursor(span, None):
            if isinstance(page, BulkPage):
                self._check.proven(facts.format, page.rows)
                yield DataSourcePayload(page.rows.table)
                continue
            self._check.rows(facts.format, page.rows)
            if page.rows:
                yield from self._pack(page.rows, None)

    def _look(self, progress: Progress) -> CursorFacts:
        """The cursor in a new snapshot, which the next page is read in too."""
        self._session.end()
        self._session.begin()
        if progress.high is None and self._query.keys and self._bulk is not None:
            self._bulk.worthwhile(self._session)  # starts meanwhile
        facts = self._session.dialect.cursor_facts(self._session, self._query, progress.type)
        check_state(self._plan, progress, facts.format, self._now)
        return facts

    def _pass(
        self, facts: CursorFacts, progress: Progress, start: Resume | None, upper: Any
    ) -> Iterator[DataSourcePayload]:
        """The rows up to ``upper``; ``progress`` is what a state behind them says, at every payload and at the end."""
        self._unchanged = 0
        if start is None:
            known, progress.rows = progress.rows, Overlap(cap=CAP, shape=self._shape)
            if known.is_summed and known.survey(self._known_rows(facts, progress, known)) and upper == progress.high:
                known.end_survey()  # all is as it was, and nothing is newer
                progress.rows, self._unchanged = known, known.size
                return
            progress.before = known
        progress.type = facts.format.tag if facts.format is not None else progress.type
        high = progress.high if upper is None or (progress.high is not None and progress.high > upper) else upper
        window = None if facts.format is None or high is None else window_start(self._plan, facts.format, high)
        last_key = progress.high_key
        pages = Pages(
            self._session, self._query, self._pace, upper, bulk=self._bulk, known=progress.high, window=window
        )
        for page in self._span(pages, facts, progress, start, upper):
            if isinstance(page, BulkPage):
                last_key = self._last_key(page.rows, high) or last_key
                yield self._take(page, facts, progress, window)
                continue
            self._check.rows(facts.format, page.rows)
            fresh = self._fresh(page.rows, progress, window)
            at = self._query.cursor_index
            if page.rows and high is not None and page.rows[-1][at] == high:
                last_key = tuple(page.rows[-1][index] for index in self._query.key_indexes)
            progress.resume = page.resume
            if self._is_past(page.resume, progress.high):
                self._forget_before(progress)
            if fresh or (page.resume is not None and not page.rows):
                yield from self._pack(fresh, self._encode(progress) if page.resume is not None else None)
        self._forget_before(progress)
        if progress.rows.is_summed:
            log.warning(
                "stream %r: more than %d rows lie within lookback of the highest cursor, or have no cursor. They are "
                "remembered in groups: when one changes, unchanged rows of its group are delivered again with it",
                self._plan.name, CAP,
            )  # fmt: skip
        progress.high, progress.high_key = high, last_key
        progress.resume = None

    def _take(self, page: BulkPage, facts: CursorFacts, progress: Progress, window: Any) -> DataSourcePayload:
        """A page of rows that are all new."""
        self._check.proven(facts.format, page.rows)
        for row in page.rows.rows_from(window):
            progress.rows.add(progress.rows.hash(row))
        progress.resume = page.resume
        if self._is_past(page.resume, progress.high):
            self._forget_before(progress)
        self._said = self._encode(progress)
        return DataSourcePayload(page.rows.table, state=self._said)

    def _last_key(self, rows: Proven, high: Any) -> tuple[Any, ...] | None:
        if rows.value(-1, self._query.cursor_index) != high:
            return None
        return tuple(rows.value(-1, index) for index in self._query.key_indexes)

    def _span(
        self, pages: Pages, facts: CursorFacts, progress: Progress, start: Resume | None, upper: Any
    ) -> Iterator[Page | BulkPage]:
        if start is None or start.order == "nulls":
            if (start is not None or facts.nulls) and self._plan.options.null_cursor in (None, "include"):
                yield from pages.nulls(start)
            start = None
        if facts.format is None or upper is None:
            self._session.end()
            return
        behind_start = start is not None and start.order == "cursor"
        span = Range(None if behind_start else lower_bound(self._plan, facts.format, progress), upper)
        by_key = start.order == "key" if start is not None else self._first_by_key(progress)
        yield from pages.by_key(span, start) if by_key else pages.by_cursor(span, start)

    def _known_rows(self, facts: CursorFacts, progress: Progress, known: Overlap) -> Iterator[int]:
        """The hashes of the rows that may have been delivered, as they are now."""
        pages = Pages(self._session, self._query, self._pace, progress.high)
        for page in self._span(pages, facts, progress, None, progress.high):
            if isinstance(page, Page):  # nothing is read in bulk here
                yield from map(known.hash, page.rows)

    def _forget_other_shapes(self, progress: Progress) -> None:
        """Rows that landed with other columns are not those that are there now: they are delivered again.

        Not so those of a state that does not say which columns it covers: they are taken for the present ones once.
        """
        for name in ("rows", "before"):
            known: Overlap = getattr(progress, name)
            if known.size and known.shape in ("", self._shape):
                continue
            if known.size:
                log.warning(
                    "stream %r: its columns or their declared types have changed since the last run. The rows at the "
                    "end of the last run land again; older ones keep what they landed with until they change. To land "
                    "them all, reset the state of the stream (`vdk datasource state reset FLOW --stream %s`)",
                    self._plan.name, self._plan.name,
                )  # fmt: skip
            setattr(progress, name, Overlap(cap=CAP, shape=self._shape))

    def _forget_before(self, progress: Progress) -> None:
        """No row is left that an earlier pass delivered."""
        progress.before.settle(progress.rows)
        if self._is_behind:
            progress.rows.keep(progress.before)  # they are not there now, and must not land twice if they come back
        progress.before = Overlap(shape=self._shape)

    def _first_by_key(self, progress: Progress) -> bool:
        order, query = self._plan.options.order or "auto", self._query
        return (
            progress.high is None
            and bool(query.keys)
            and (order == "key" or (order == "auto" and query.index_level == "none"))
        )

    def _fresh(self, rows: list[Row], progress: Progress, window: Any) -> list[Row]:
        """The rows that were not delivered as they are; those near the pass's end are remembered."""
        at, high = self._query.cursor_index, progress.high
        cursors = [row[at] for row in rows]
        # Most pages lie between what was delivered and what is remembered.
        if cursors and None not in cursors and (high is None or high < min(cursors)) and max(cursors) < window:
            return rows
        return [row for row in rows if self._is_new(row, progress, window)]

    def _is_new(self, row: Row, progress: Progress, window: Any) -> bool:
        cursor = row[self._query.cursor_index]
        known = cursor is None or (progress.high is not None and cursor <= progress.high)
        remember = cursor is None or (window is not None and cursor >= window)
        if not known and not remember:
            return True
        if remember:
            progress.rows.add(progress.rows.hash(row))
        if known and progress.before.size and progress.before.take(progress.before.hash(row)):
            self._unchanged += 1
            return False
        return True

    def _is_past(self, resume: Resume | None, high: Any) -> bool:
        return resume is not None and resume.order == "cursor" and high is not None and resume.cursor > high

    def _pack(self, rows: Sequence[Row], state: Mapping[str, Any] | None) -> Iterator[DataSourcePayload]:
        for payload in self._packer.payloads(rows, state):
            if isinstance(payload.data, pa.Table):
                self._pace.saw(payload.data.num_rows, payload.data.nbytes)
            if payload.state is not None:
                self._said = dict(payload.state)
            yield payload

    def _finish(self, progress: Progress, counts: Mapping[str, int]) -> Iterator[DataSourcePayload]:
        """What a pass ends with: its state, if that is another than was said last, and its counters."""
        metadata = {COUNTER_PREFIX + name: count for name, count in counts.items() if count}
        state = self._encode(progress)
        is_new = bool(self._said) or progress.high is not None or progress.rows.size > 0
        moved = is_new and state != self._said
        self._said = state
        if moved or metadata:
            yield DataSourcePayload(None, metadata=metadata, state=state if moved else None)

    @property
    def _key(self) -> tuple[str, ...]:
        return self._query.key.columns if self._query.key is not None else ()

    def _encode(self, progress: Progress) -> dict[str, Any]:
        return encode(progress, self._plan.cursor, self._key, self._plan.primary_key)
