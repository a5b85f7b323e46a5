# SPDX-License-Identifier: Apache-2.0
"""A stream's records whose cursor is in a range, for a backfill: no state is read or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    BadRecordError,
    ConfigurationError,
    DataSourcePayload,
    DataSourceStream,
    RejectedRows,
    StreamPartition,
    StreamSchema,
)

from .http.types import Row
from .incremental.cursors import DAY, Cursor, Window, integer_windows, micros_now, windows
from .incremental.progress import digest
from .pagination.reader import PageReader
from .partition import RestPartition
from .responses.extract import compile_path
from .stream import RestStream

_LIKE = {"integer": 0}
"""A value in the style of parameters, for types whose values are not texts."""


@dataclass(frozen=True, slots=True)
class CursorRange:
    """The cursors from ``begin`` on and below ``end``, in compared form; None: no bound."""

    begin: Any
    end: Any

    @classmethod
    def parse(cls, cursor: Cursor, begin: str | None, end: str | None) -> CursorRange:
        """Raises ``ConfigurationError`` for texts that are not of the cursor's type, and for an empty range."""
        low, high = _parsed(cursor, "--since", begin), _parsed(cursor, "--until", end)
        if low is not None and high is not None and not low < high:
            raise ConfigurationError(f"the range is empty: --until {end} is not after --since {begin}")
        return cls(low, high)

    def contains(self, value: Any) -> bool:
        return (self.begin is None or value >= self.begin) and (self.end is None or value < self.end)


def _parsed(cursor: Cursor, option: str, text: str | None) -> Any:
    if text is None:
        return None
    try:
        return cursor.parse_text(text)
    except (ValueError, TypeError) as error:
        example = "2026-01-01T00:00:00Z" if cursor.is_time else "1000" if cursor.config.type == "integer" else "a"
        raise ConfigurationError(
            f"{option}: {text!r} is not a value of type {cursor.config.type}: {error}; write {option} {example}"
        ) from None


class RestRange(DataSourceStream):
    """A stream limited to a range of its cursor."""

    incremental = True

    def __init__(self, stream: RestStream, begin: str | None, end: str | None) -> None:
        self.name, self.parent = stream.name, stream.parent
        self._stream = stream
        config = stream.config.cursor
        if config is None:
            raise ConfigurationError(
                f'it has no cursor; add one, as in cursor = {{ field = "updated_at", param = "since" }} of '
                f"streams.{stream.name}"
            )
        if config.param is None:
            raise ConfigurationError(
                f"the API has no parameter for the cursor {config.field!r}, so all records would be read; name it, as "
                f'in param = "since" of streams.{stream.name}.cursor'
            )
        if config.ranges is not None and end is None:
            raise ConfigurationError("its cursor is an integer, which has no present; add the end, as in --until 1000")
        self._range = CursorRange.parse(Cursor(config), begin, end)

    def schema(self, table: str | None = None) -> StreamSchema:
        return self._stream.schema(table)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        for partition in self._stream.partitions({}):
            if isinstance(partition, RestPartition):
                yield RangePartition(partition, self._range)


class RangePartition(StreamPartition):
    """The records of one partition in a range, window by window."""

    def __init__(self, partition: RestPartition, limits: CursorRange) -> None:
        self.id = partition.id
        self._partition, self._range = partition, limits

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        stream = self._partition.stream
        assert stream.cursor is not None  # RestRange has checked it
        cursor, page_filter = Cursor(stream.cursor), _Filter(Cursor(stream.cursor), self._range, stream.name)
        like = stream.cursor.initial
        if like is None:
            like = _LIKE.get(stream.cursor.type, "2000-01-01T00:00:00Z")
        begin, end = self._start(cursor), self._range.end
        if cursor.config.ranges is None:
            chosen = windows(cursor, begin, like, end or micros_now())
        else:
            chosen = integer_windows(cursor, begin, end - 1)
        for window in chosen:
            page_filter.start_window(window)
            yield from self._read_window(cursor, window, like, page_filter)

    def _start(self, cursor: Cursor) -> Any:
        """The first value that is asked for: by ``lookback`` lower, for an API that excludes the value itself."""
        if self._range.begin is not None:
            return cursor.lower_of(self._range.begin)
        return cursor.parse(cursor.config.initial) if cursor.config.initial is not None else None

    def _read_window(
        self, cursor: Cursor, window: Window, like: Any, page_filter: _Filter
    ) -> Iterator[DataSourcePayload]:
        request, config = self._partition.request(), cursor.config
        if config.param is not None and window.start is not None:
            request = request.with_param(config.param, cursor.write(window.start, like))
        if config.end_param is not None:
            request = request.with_param(config.end_param, _written_end(cursor, window.end_value, like))
        pages = PageReader(self._partition.context, self._partition.stream)
        for rows in self._partition.rows(pages, request):
            if rows is None:
                yield DataSourcePayload(None)  # here the runtime can stop
                continue
            page = page_filter.filter(rows)
            if page.bad:
                yield DataSourcePayload(RejectedRows(page.bad))
            pages.dropped.update(page.counts)
            metadata = {COUNTER_PREFIX + name: count for name, count in pages.dropped.items() if count}
            pages.dropped.clear()
            yield DataSourcePayload(page.rows, metadata=metadata)
            if page.is_last:
                return


def _written_end(cursor: Cursor, end: int, like: Any) -> str | int:
    """``end`` as a parameter, and never before it: a parameter that is written as a day leaves out the hours."""
    later = end if cursor.as_written(end, like) == end else cursor.later(end, DAY)
    return cursor.write(later, like)


@dataclass(slots=True)
class _Page:
    rows: list[Row] = field(default_factory=list)
    bad: list[tuple[Row, BadRecordError]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    is_last: bool = False
    """The records are sorted, and the next ones are outside the range."""


class _Filter:
    """Selects the records of a range, each once: two windows may both return those at the boundary between them."""

    def __init__(self, cursor: Cursor, limits: CursorRange, stream: str) -> None:
        self._cursor, self._range, self._stream = cursor, limits, stream
        self._search = compile_path(cursor.config.field).search
        self._end: Any = None
        self._known: Counter[bytes] = Counter()
        self._at_end: Counter[bytes] = Counter()

    def start_window(self, window: Window) -> None:
        self._known, self._at_end = self._at_end, Counter()
        self._end = None if window.last else window.end

    def filter(self, rows: Sequence[Row]) -> _Page:
        page, order = _Page(), self._cursor.config.order
        for row in rows:
            raw = self._search(row)
            if raw is None:
                page.counts["rows_null_cursor"] += 1
                continue
            try:
                value = self._cursor.parse(raw)
            except (ValueError, TypeError, OverflowError) as error:
                reason = f"the cursor's value is not of type {self._cursor.config.type}: {error}"
                column = self._cursor.config.field
                page.bad.append((row, BadRecordError(reason, stream=self._stream, column=column, value=raw)))
                continue
            if self._is_chosen(row, value):
                page.rows.append(row)
                continue
            below = self._range.begin is not None and value < self._range.begin
            above = self._range.end is not None and value >= self._range.end
            page.is_last |= (order == "descending" and below) or (order == "ascending" and above)
            page.counts["rows_outside_range"] += below or above
        return page

    def _is_chosen(self, row: Row, value: Any) -> bool:
        if not self._range.contains(value) or (self._end is not None and value > self._end):
            return False
        if self._known and (known := digest(row)) in self._known:
            self._known -= Counter([known])
            return False
        if value == self._end:
            self._at_end[digest(row)] += 1
        return True
