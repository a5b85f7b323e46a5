# SPDX-License-Identifier: Apache-2.0
"""Reading a table by its cursor: finish an unfinished pass, then make a new one."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import COUNTER_PREFIX, ConfigurationError, DataSourcePayload, StateError

from ..backend import Backend
from ..expressions import Condition
from ..pages.bulk import ArrowRows, BulkReader
from ..pages.paging import BulkPage, PageReader, PageSizer, ResumePoint, RowPage
from ..pages.payload_builder import PayloadBuilder
from ..plans.planning import TablePlan
from ..plans.table_info import CursorInfo
from ..session import Row, SqlSession
from ..statements import CursorRange, TableQuery
from .bounds import UpperBound, check_state, lower_bound, upper_bound, warn_of_numbers, window_start
from .changed_format import ChangedFormat, cursor_options, is_read_otherwise
from .cursor_validation import CursorValidator
from .expected_rows import ExpectedRows
from .seen_rows import CAP, SeenRows, shape_of
from .source_behind import check_behind, check_database, is_behind, oldest_rows, refuse_behind
from .state import StreamProgress, decode, encode
from .sweep import all_keys, is_due

log = logging.getLogger(__name__)


class ReadEnd(NamedTuple):
    """The cursor in one snapshot, and where a read ends that begins now."""

    info: CursorInfo
    upper: UpperBound


def shape_of_rows(query: TableQuery) -> str:
    """See ``shape_of``."""
    return shape_of({name: query.plan.table.columns[name] for name in query.names})


class IncrementalReader:
    """One read of a table by its cursor: an unfinished pass is finished, then a new one is made."""

    def __init__(
        self,
        backend: Backend,
        session: SqlSession,
        query: TableQuery,
        payload_builder: PayloadBuilder,
        now: dt.datetime,
        bulk: BulkReader | None = None,
    ) -> None:
        self._backend, self._session, self._query = backend, session, query
        self._payload_builder, self._now = payload_builder, now
        self._bulk, self._validator = bulk, CursorValidator(backend, session, query)
        self._plan: TablePlan = query.plan
        self._page_sizer = PageSizer(query.plan.page_rows)
        self._last_state: Mapping[str, Any] = {}
        self._read_end: ReadEnd | None = None
        self._unchanged = 0
        self._ends_now = not query.plan.backfill
        self._safe_upper: Any = None
        self._is_behind = False
        self._expected: ExpectedRows | None = None
        self._shape = shape_of_rows(query)

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """The state in which a read from ``state`` would end, by the rows that such a read remembers."""
        progress, info, bound, high = self._look_for_end(state)
        upper = bound.value
        hashes = list(self._remembered(info, high, upper))
        rows = SeenRows(hashes, shape=self._shape)
        if upper is not None and high != upper:  # it is behind: what it had may come back
            known = progress.rows
            if not known.is_summed:
                for digest in hashes:
                    known.consume(digest)
            rows.keep(known)
        self._note_options(progress, high)
        progress.high_key = progress.high_key if high == progress.high else ()
        progress.type = info.format.tag if info.format is not None else progress.type
        progress.high, progress.rows, progress.resume, progress.before = high, rows, None, SeenRows(shape=self._shape)
        is_new = bool(state) or high is not None or rows.size > 0
        return self._encode(progress) if is_new else state

    def end_of_read(self, state: Mapping[str, Any]) -> tuple[Mapping[str, Any], ReadEnd]:
        """As ``end``, without the rows that a read remembers; and what the read need not look for again."""
        progress, info, upper, high = self._look_for_end(state)
        self._note_options(progress, high)
        progress.high = high
        progress.type = info.format.tag if info.format is not None else progress.type
        progress.rows = progress.before = SeenRows()  # of no shape: it is not known which rows a read would remember
        progress.resume = None
        return self._encode(progress), ReadEnd(info, upper)

    def _look_for_end(self, state: Mapping[str, Any]) -> tuple[StreamProgress, CursorInfo, UpperBound, Any]:
        """The state decoded, the cursor, where a read ends, and the watermark after it."""
        progress = self._decoded(state)
        check_database(self._plan, progress, self._backend.database_id())
        self._forget_other_shapes(progress)
        deque(self._other_format(progress), maxlen=0)
        info = self._refresh_cursor_info(progress)
        upper = upper_bound(self._session, self._query, info, self._now, self._safe_upper)
        if progress.resume is None and is_behind(info, progress, upper):
            refuse_behind(self._session, self._query, progress, upper)
        interrupted = None if progress.resume is None else progress.resume.upper
        high = max((value for value in (progress.high, interrupted, upper.value) if value is not None), default=None)
        return progress, info, upper, high

    def count(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> int | None:
        """About how many rows a read between two states yields; None: the last one did not reach its end."""
        progress, high = self._decoded(state), self._decoded(end).high
        is_same = not is_read_otherwise(self._plan, progress)
        self._forget_other_shapes(progress)
        lacking = sum(1 for _ in self._other_format(progress))
        if progress.resume is not None:
            return None
        self._ends_now = False  # the end is known, so no transaction is waited for
        info = self._refresh_cursor_info(progress)
        rows = info.nulls if self._plan.options.null_cursor in (None, "include") else 0
        if info.format is not None and high is not None:
            conditions = self._query.between(CursorRange(lower_bound(self._plan, info.format, progress), high))
            rows += int(self._session.one(self._query.select(sa.func.count()).where(*conditions))[0])
        return max(int(is_same), rows - progress.rows.size + lacking)  # of one format they differ by a row at least

    def _remembered(self, info: CursorInfo, high: Any, upper: Any) -> Iterator[int]:
        """The hashes of the rows that a pass up to ``upper`` remembers."""
        conditions: list[list[Condition]] = []
        if info.nulls and self._plan.options.null_cursor in (None, "include"):
            conditions.append([self._query.lacks_cursor])
        if info.format is not None and upper is not None:
            lower = lower_bound(self._plan, info.format, StreamProgress(high=high))
            conditions.append(self._query.between(CursorRange(lower, upper)))
        row_hash = SeenRows(shape=self._shape).hash
        for condition in conditions:
            for page in self._session.stream(self._query.rows(*condition), self._page_sizer, release=False):
                yield from map(row_hash, page)

    def _note_options(self, progress: StreamProgress, upper: Any) -> None:
        """Those of a state of an earlier release are noted once it moves: a read that finds nothing changes nothing."""
        if not is_read_otherwise(self._plan, progress) and upper != progress.high:
            progress.cursor_options = cursor_options(self._plan)

    def _decoded(self, state: Mapping[str, Any]) -> StreamProgress:
        return decode(state, self._plan.name, self._plan.cursor, self._key, self._plan.primary_key)

    def _given(self, end: Mapping[str, Any], progress: StreamProgress) -> UpperBound:
        """The bound of a pass that ends at a state. Raises ``StateError`` if it lies before ``progress``."""
        high = self._decoded(end).high
        interrupted = None if progress.resume is None else progress.resume.upper
        if any(value is not None and (high is None or high < value) for value in (progress.high, interrupted)):
            raise StateError(
                f"stream {self._plan.name!r}: the end {high!r} does not follow the state, which is at "
                f"{progress.high!r}; ask for a new end"
            )
        return UpperBound(high)

    def read(
        self,
        state: Mapping[str, Any],
        end: Mapping[str, Any] | None = None,
        read_end: ReadEnd | None = None,
        *,
        remembered: bool = False,
    ) -> Iterator[DataSourcePayload]:
        """Payloads after ``state``, in the order of the cursor, each with the state after it.

        :param end: see ``end``; None: up to the highest cursor.
        :param read_end: what ``end_of_read`` has just found with ``end``; None: the cursor is looked at again.
        :param remembered: no rows above the state: those without a cursor, and those that the state remembers.
        """
        progress = self._decoded(state)
        check_database(self._plan, progress, self._backend.database_id())
        self._forget_other_shapes(progress)
        self._last_state = dict(state)
        yield from self._pack_lacking(progress)
        given = None if end is None else self._given(end, progress)
        last = None if end is None else self._decoded(end)
        if remembered:
            given = UpperBound(progress.high)
        self._ends_now = given is None
        if last is not None and read_end is not None:
            self._read_end, given, progress.barrier = read_end, read_end.upper, last.barrier
        yield from self._sweep(progress)
        if progress.resume is not None:
            info = self._refresh_cursor_info(progress)
            if last is not None:
                self._expected = ExpectedRows.of(last, self._plan, info.format, self._shape)
            yield from self._read_pass(info, progress, progress.resume, progress.resume.upper)
            yield from self._finish(progress, {})
        info = self._refresh_cursor_info(progress)
        if last is not None:
            self._expected = ExpectedRows.of(last, self._plan, info.format, self._shape)
        upper = given or upper_bound(self._session, self._query, info, self._now, self._safe_upper)
        self._validator.check_nulls(info)
        warn_of_numbers(self._plan, info, upper)
        self._is_behind = is_behind(info, progress, upper)
        if self._is_behind:
            check_behind(self._session, self._query, progress, upper)
        elif upper.value is not None and (not progress.oldest or upper.value != progress.high):  # else nothing is new
            progress.oldest = oldest_rows(self._session, self._query)
        yield from self._read_pass(info, progress, None, upper.value)
        counts = {"rows_null_cursor": info.nulls, "rows_held_back": upper.held_back, "rows_unchanged": self._unchanged}
        yield from self._finish(progress, counts)

    def _other_format(self, progress: StreamProgress) -> Iterator[Row]:
        """Change a state of other cursor options to one of the present ones; the rows that have to land with it."""
        if not is_read_otherwise(self._plan, progress):
            return
        self._session.end()
        self._session.begin()
        info = self._backend.cursor_info(self._session, self._query, None)
        if info.format is not None:
            yield from ChangedFormat(
                self._backend, self._session, self._query, progress, info.format, self._shape
            ).continued()

    def _pack_lacking(self, progress: StreamProgress) -> Iterator[DataSourcePayload]:
        """The rows that only a read by other cursor options would have found, and the state with them."""
        lacking = self._other_format(progress)
        page = list(islice(lacking, self._plan.page_rows))
        while page:
            following = list(islice(lacking, self._plan.page_rows))
            yield from self._pack(page, None if following else self._encode(progress))
            page = following

    def _sweep(self, progress: StreamProgress) -> Iterator[DataSourcePayload]:
        """All keys of the table, if a sweep is due; if nothing has landed yet, there is nothing to sweep."""
        every = self._plan.sweep
        if every is None or not (self._last_state == {} or is_due(progress, every, self._now, self._plan.name)):
            return
        progress.swept = self._now.isoformat()
        if self._last_state:
            yield from all_keys(self._session, self._query, self._payload_builder)
            self._last_state = self._encode(progress)
            yield DataSourcePayload(None, state=self._last_state)

    def backfill(self) -> Iterator[DataSourcePayload]:
        """Rows with begin <= cursor < end; no payload has a state."""
        info, cursors = self.backfill_range()
        if info.format is None:
            self._session.end()
            return
        for page in PageReader(self._session, self._query, self._page_sizer, None, bulk=self._bulk).by_cursor(
            cursors, None
        ):
            if isinstance(page, BulkPage):
                self._validator.check_arrow(info.format, page.rows)
                yield DataSourcePayload(page.rows.table)
                continue
            self._validator.check_rows(info.format, page.rows)
            if page.rows:
                yield from self._pack(page.rows, None)

    def backfill_range(self) -> tuple[CursorInfo, CursorRange]:
        """What a backfill reads. Raises ``ConfigurationError`` for bounds that do not fit the cursor."""
        info = self._refresh_cursor_info(StreamProgress())
        if info.format is None:
            return info, CursorRange()
        begin, end = (
            None if bound.value is None else info.format.configured(bound.value, bound.config_path)
            for bound in self._plan.bounds
        )
        if begin is not None and end is not None and not begin < end:
            first, last = self._plan.bounds
            raise ConfigurationError(
                f"stream {self._plan.name!r}: the range is empty: {last.config_path} is {last.value!r}, which is not "
                f"after {first.value!r} of {first.config_path}; write a later {last.config_path}"
            )
        return info, CursorRange(begin, None, end)

    def _refresh_cursor_info(self, progress: StreamProgress) -> CursorInfo:
        """The cursor in a new snapshot, which the next page is read in too."""
        self._session.end()
        if self._ends_now:  # not where the configuration or the caller says
            with self._session.translated():
                self._safe_upper, progress.barrier = self._backend.safe_upper(
                    self._session, self._query, progress.high, progress.barrier
                )
        self._session.begin()
        if progress.high is None and self._query.keys and self._bulk is not None:
            self._bulk.should_use(self._session)  # starts meanwhile
        if self._read_end is not None:
            info = self._read_end.info
        else:
            info = self._backend.cursor_info(self._session, self._query, progress.type)
        check_state(self._plan, progress, info.format, self._now)
        return info

    def _read_pass(
        self, info: CursorInfo, progress: StreamProgress, start: ResumePoint | None, upper: Any
    ) -> Iterator[DataSourcePayload]:
        """The rows up to ``upper``; ``progress`` is the state after them, at every payload and at the end."""
        self._unchanged = 0
        if start is None:
            known, progress.rows = progress.rows, SeenRows(cap=CAP, shape=self._shape)
            if known.is_summed and known.verify(self._known_hashes(info, progress, known)) and upper == progress.high:
                known.end_verification()  # all is as it was, and nothing is newer
                progress.rows, self._unchanged = known, known.size
                return
            progress.before = known
        self._note_options(progress, upper)
        progress.type = info.format.tag if info.format is not None else progress.type
        high = progress.high if upper is None or (progress.high is not None and progress.high > upper) else upper
        window = None if info.format is None or high is None else window_start(self._plan, info.format, high)
        last_key = progress.high_key
        pages = PageReader(
            self._session, self._query, self._page_sizer, upper, bulk=self._bulk, known=progress.high, window=window
        )
        for page in self._span(pages, info, progress, start, upper):
            if isinstance(page, BulkPage):
                last_key = self._last_key(page.rows, high) or last_key
                yield self._bulk_payload(page, info, progress, window)
                continue
            if page.has_cursor:
                self._validator.check_rows(info.format, page.rows)
            fresh = self._fresh(page, progress, window)
            if fresh and high is not None and page.rows[-1][self._query.cursor_index] == high:
                last_key = tuple(page.rows[-1][index] for index in self._query.key_indexes)
            progress.resume = page.resume
            if _is_past(page.resume, progress.high):
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

    def _bulk_payload(
        self, page: BulkPage, info: CursorInfo, progress: StreamProgress, window: Any
    ) -> DataSourcePayload:
        """A page of rows that are all new."""
        self._validator.check_arrow(info.format, page.rows)
        table, late = page.rows.table, Counter[int]()
        if self._expected is not None:
            table, late = self._expected.of_page(page.rows, self._query.cursor_index)
        for row in page.rows.rows_from(window):
            digest = progress.rows.hash(row)
            if late[digest] > 0:
                late[digest] -= 1
            else:
                progress.rows.add(digest)
        progress.resume = page.resume
        if _is_past(page.resume, progress.high):
            self._forget_before(progress)
        self._last_state = self._encode(progress)
        return DataSourcePayload(table, state=self._last_state)

    def _last_key(self, rows: ArrowRows, high: Any) -> tuple[Any, ...] | None:
        if rows.value(-1, self._query.cursor_index) != high:
            return None
        return tuple(rows.value(-1, index) for index in self._query.key_indexes)

    def _span(
        self, pages: PageReader, info: CursorInfo, progress: StreamProgress, start: ResumePoint | None, upper: Any
    ) -> Iterator[RowPage | BulkPage]:
        if start is None or start.order == "nulls":
            if (start is not None or info.nulls) and self._plan.options.null_cursor in (None, "include"):
                yield from pages.nulls(start)
            start = None
        if info.format is None or upper is None:
            self._session.end()
            return
        continues = start is not None and start.order == "cursor"
        cursors = CursorRange(None if continues else lower_bound(self._plan, info.format, progress), upper)
        by_key = start.order == "key" if start is not None else self._first_by_key(progress)
        yield from pages.by_key(cursors, start) if by_key else pages.by_cursor(cursors, start)

    def _known_hashes(self, info: CursorInfo, progress: StreamProgress, known: SeenRows) -> Iterator[int]:
        """The hashes of the rows that may have been delivered, as they are now."""
        pages = PageReader(self._session, self._query, self._page_sizer, progress.high)
        for page in self._span(pages, info, progress, None, progress.high):
            if isinstance(page, RowPage):  # nothing is read in bulk here
                yield from map(known.hash, page.rows)

    def _forget_other_shapes(self, progress: StreamProgress) -> None:
        """Rows that landed with other columns are delivered again.

        Not those of a state that does not name its columns: they are assumed to be the present ones once.
        """
        for name in ("rows", "before"):
            known: SeenRows = getattr(progress, name)
            if known.size and known.shape in ("", self._shape):
                continue
            if known.size:
                log.warning(
                    "stream %r: its columns or their declared types have changed since the last run. The rows at the "
                    "end of the last run land again; older ones keep what they landed with until they change. To land "
                    "them all, reset the state of the stream (`vdk datasource state reset FLOW --stream %s`)",
                    self._plan.name, self._plan.name,
                )  # fmt: skip
            setattr(progress, name, SeenRows(cap=CAP, shape=self._shape))

    def _forget_before(self, progress: StreamProgress) -> None:
        """The pass is past the rows that an earlier one delivered."""
        progress.before.finish(progress.rows)
        if self._is_behind:
            progress.rows.keep(progress.before)  # they must not land twice if they come back
        progress.before = SeenRows(shape=self._shape)

    def _first_by_key(self, progress: StreamProgress) -> bool:
        order, query = self._plan.options.order or "auto", self._query
        return (
            progress.high is None
            and bool(query.keys)
            and (order == "key" or (order == "auto" and query.index_level == "none"))
        )

    def _fresh(self, page: RowPage, progress: StreamProgress, window: Any) -> list[Row]:
        """The rows that were not delivered as they are; those near the pass's end are remembered."""
        rows, index, high = page.rows, self._query.cursor_index, progress.high
        if not page.has_cursor:
            return [row for row in rows if self._is_new(row, None, progress, window)]
        cursors = [row[index] for row in rows]
        # Most pages lie between what was delivered and what is remembered.
        if cursors and None not in cursors and (high is None or high < min(cursors)) and max(cursors) < window:
            return rows
        return [row for row, cursor in zip(rows, cursors, strict=True) if self._is_new(row, cursor, progress, window)]

    def _is_new(self, row: Row, cursor: Any, progress: StreamProgress, window: Any) -> bool:
        known = cursor is None or (progress.high is not None and cursor <= progress.high)
        remember = cursor is None or (window is not None and cursor >= window)
        if not known and not remember:
            return True
        is_old = known and progress.before.size > 0 and progress.before.consume(progress.before.hash(row))
        if not is_old and self._expected is not None and not self._expected.admits(row, cursor):
            return False
        if remember:
            progress.rows.add(progress.rows.hash(row))
        self._unchanged += is_old
        return not is_old

    def _pack(self, rows: Sequence[Row], state: Mapping[str, Any] | None) -> Iterator[DataSourcePayload]:
        for payload in self._payload_builder.payloads(rows, state):
            if isinstance(payload.data, pa.Table):
                self._page_sizer.record_page(payload.data.num_rows, payload.data.nbytes)
            if payload.state is not None:
                self._last_state = dict(payload.state)
            yield payload

    def _finish(self, progress: StreamProgress, counts: Mapping[str, int]) -> Iterator[DataSourcePayload]:
        """What a pass ends with: its state, if it differs from the last one delivered, and its counters."""
        metadata = {COUNTER_PREFIX + name: count for name, count in counts.items() if count}
        state = self._encode(progress)
        is_new = bool(self._last_state) or progress.high is not None or progress.rows.size > 0 or bool(progress.barrier)
        moved = is_new and state != self._last_state
        self._last_state = state
        if moved or metadata:
            yield DataSourcePayload(None, metadata=metadata, state=state if moved else None)

    @property
    def _key(self) -> tuple[str, ...]:
        return self._query.key.columns if self._query.key is not None else ()

    def _encode(self, progress: StreamProgress) -> dict[str, Any]:
        return encode(progress, self._plan.cursor, self._key, self._plan.primary_key)


def _is_past(resume: ResumePoint | None, high: Any) -> bool:
    """Whether a pass by cursor has come beyond the previous high watermark."""
    return resume is not None and resume.order == "cursor" and high is not None and bool(resume.cursor > high)
