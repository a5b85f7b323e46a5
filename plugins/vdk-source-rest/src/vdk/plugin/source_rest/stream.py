# SPDX-License-Identifier: Apache-2.0
"""A stream and its partitions: one for each set of values of its placeholders, from parents and slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    ConfigurationError,
    DataSourceError,
    DataSourcePayload,
    DataSourceStream,
    RejectedRows,
    StateError,
    StreamPartition,
    StreamSchema,
)
from vdk.plugin.datasource_base.parts import column_type

from .config import ParentConfig, StreamConfig
from .context import StreamContext
from .cursors import DAY, Cursor, Window, micros_now, windows
from .extract import search
from .http.types import HttpRequest, Row
from .http.urls import fill, fill_path, join_path, url_text
from .incremental import MAX_REMEMBERED, IncrementalFilter, Watermark, decode_state, encode_state, reset_hint
from .pagination.reader import PageReader

_HEARTBEAT = DataSourcePayload(None)
"""Yielded while waiting, so that the runtime can stop, or commit the rows that it has."""
_SUSPICIOUS_WINDOWS = 3
"""Windows without their last day that are not a coincidence."""

Values = dict[str, Any]
"""Placeholder → value, or column → value."""


class RestStream(DataSourceStream):
    """One endpoint, read once, or once for each record of a parent and each slice.

    :param streams: all streams of the source by name, the parents among them.
    """

    def __init__(self, context: StreamContext, config: StreamConfig, streams: Mapping[str, RestStream]) -> None:
        self.name = config.name
        self.config = config
        self.parent = config.parent.stream if config.parent is not None else None
        self._context = context
        self._streams = streams

    def schema(self, table: str | None = None) -> StreamSchema:
        """The declared columns, and primary key and cursor by name; all other columns are inferred from the records."""
        config, cursor = self.config, self.config.cursor
        field = cursor.field.partition(".")[0].partition("[")[0].strip('"') if cursor is not None else None
        names = dict.fromkeys([*config.key(), *config.columns, *([field] if field is not None else [])])
        columns = [
            pa.field(name, column_type(config.columns[name]) if name in config.columns else pa.null()) for name in names
        ]
        return StreamSchema(pa.schema(columns), tuple(config.key()), field, open=True)

    def between(self, begin: str | None, end: str | None) -> DataSourceStream:
        """The records whose cursor is in the range, asked for by ``cursor.param`` and ``cursor.end_param``."""
        from .backfill import RestRange  # which reads the partitions of this module

        return RestRange(self, begin, end)

    def check_state(self, partition: str, state: Mapping[str, Any]) -> None:
        if self.config.cursor is None:
            raise _no_cursor(self.name, state)
        decode_state(state, Cursor(self.config.cursor), self.name)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        """One for each set of values, as parents are read; then one for each state whose values no longer exist."""
        seen: set[str] = set()
        for values, columns in self._value_sets():
            partition = RestPartition(self._context, self.config, values, columns)
            if partition.id not in seen:  # a parent may come twice, when its pages shift
                seen.add(partition.id)
                yield partition
        if not any(parent.name in self._context.incomplete for parent in self._ancestors()):
            yield from (PartitionRemoval(id) for id in state if id not in seen)

    def _parent(self) -> RestStream | None:
        return self._streams[self.config.parent.stream] if self.config.parent is not None else None

    def _ancestors(self) -> Iterator[RestStream]:
        parent = self._parent()
        while parent is not None:
            yield parent
            parent = parent._parent()

    def _value_sets(self) -> Iterator[tuple[Values, Values]]:
        """The values of the placeholders, and the columns from the parent, for each partition."""
        for values, columns in self._parent_sets():
            for slice_ in self.config.slices or [{}]:
                yield {**values, **slice_}, columns

    def _parent_sets(self) -> Iterator[tuple[Values, Values]]:
        """For each record of the parent, as it is read: values of the placeholders, and columns.

        The parent is read as in its first run, without its state: an old record may have new children.
        """
        parent, config = self._parent(), self.config.parent
        if parent is None or config is None:
            yield {}, {}
            return
        included = config.included_columns()
        for values, columns in parent._value_sets():
            for payload in RestPartition(self._context, parent.config, values, columns).read({}):
                for row in _parent_rows(payload.data):
                    yield _bound(row, config, self.name), {name: search(field, row) for name, field in included.items()}


def _parent_rows(data: Any) -> Iterator[Row]:
    """A record whose cursor value cannot be parsed is rejected by the parent's table, and has children as well."""
    if isinstance(data, RejectedRows):
        yield from (row for row, _ in data.rows)
    elif isinstance(data, list):
        yield from data


def _bound(row: Row, config: ParentConfig, child: str) -> Values:
    values = {name: search(field, row) for name, field in config.bind.items()}
    for name, value in values.items():
        if value is None or isinstance(value, (dict, list)):
            field = config.bind[name]
            raise DataSourceError(
                f"stream {child!r}: a record of its parent {config.stream!r} has {value!r:.80} at {field!r}, which is "
                f"not a value for the placeholder {name!r}. To skip such parents, filter the records of "
                f"{config.stream!r}, as in records = '[?{field}]'; this record begins "
                f"{dict(list(row.items())[:3])!r:.200}"
            )
    return values


class RestPartition(StreamPartition):
    """Reads the records of one set of values of the placeholders.

    :param values: placeholder → value.
    :param columns: columns from the parent, which are loaded with each record.
    """

    def __init__(
        self, context: StreamContext, stream: StreamConfig, values: Mapping[str, Any], columns: Mapping[str, Any]
    ) -> None:
        self.id = partition_id(values)
        self.context = context
        self.stream = stream
        self._values = dict(values)
        self._columns = dict(columns)

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        stream = self.stream
        if stream.cursor is not None:
            cursor = Cursor(stream.cursor)
            yield from self._read_windows(cursor, decode_state(state, cursor, stream.name))
            return
        if state:
            raise _no_cursor(stream.name, state)
        pages = PageReader(self.context, stream)
        for rows in self.rows(pages, self.request()):
            yield DataSourcePayload(list(rows), metadata=_counters(pages.dropped)) if rows is not None else _HEARTBEAT
        if pages.dropped:
            yield DataSourcePayload(None, metadata=_counters(pages.dropped))

    def rows(self, pages: PageReader, request: HttpRequest) -> Iterator[Sequence[Row] | None]:
        """The records of all pages, with the parent's columns; None while it waits."""
        unchecked = self.stream.own_key()
        with closing(pages.read(request)) as lists:  # type: ignore[type-var]  # a generator
            for rows in lists:
                if rows and unchecked:
                    self._check_key(rows, unchecked)
                    unchecked = []
                yield self._with_columns(rows) if rows and self._columns else rows
        if pages.ended_by_rule:
            self.context.incomplete.add(self.stream.name)

    def _check_key(self, rows: Sequence[Row], key: Sequence[str]) -> None:
        """With a key that no record has, each record would be one without a key."""
        if lacking := [name for name in key if not any(name in row for row in rows)]:
            raise ConfigurationError(
                f"stream {self.stream.name!r}: no record has the field {lacking[0]!r} of its primary_key; the fields "
                f"are {', '.join(map(repr, list(rows[0])[:20]))}"
            )

    def _with_columns(self, rows: Sequence[Row]) -> list[Row]:
        columns = self._columns
        taken = next((name for row in rows for name in columns if row.get(name, columns[name]) != columns[name]), None)
        if taken is not None:
            raise ConfigurationError(
                f"stream {self.stream.name!r}: its records have a field {taken!r} of their own, and a column of the "
                f'parent has that name. Rename the column: parent.include = {{ parent_{taken} = "..." }}'
            )
        return [{**row, **columns} for row in rows]

    def request(self) -> HttpRequest:
        """The first request, without a cursor's parameters."""
        stream = self.stream
        path = fill_path(stream.name if stream.path is None else stream.path, self._values)
        return HttpRequest(
            stream.method,
            join_path(self.context.config.base_url, path),
            fill(stream.params, self._values),
            {name: value.reveal() for name, value in stream.headers.items()},
            fill(stream.body, self._values, whole=True),
        )

    def _read_windows(self, cursor: Cursor, watermark: Watermark | None) -> Iterator[DataSourcePayload]:
        """Window after window; without ``step`` there is one."""
        stream, now, keyed = self.stream, micros_now(), bool(self.stream.key())
        filtering = cursor.config.param is None or not keyed
        incremental = IncrementalFilter(
            cursor, watermark, stream=stream.name, filtering=filtering, keyed=keyed, now=now
        )
        last_days = _LastDays(cursor, is_only_partition=not self._values)
        for window in windows(cursor, incremental.lower, incremental.like, now):
            incremental.start_window(window)
            pages = PageReader(self.context, stream)
            yield from self._read_window(incremental, cursor, pages, window)
            last_days.add(window, incremental.window_max)
            is_empty = incremental.window_max is None and not pages.ended_by_rule
            if is_empty and window.end <= now - cursor.config.settle_micros:
                incremental.pass_empty_window(window.end)
            watermark = incremental.window_watermark()
            if watermark is not None:
                yield DataSourcePayload(None, state=encode_state(watermark, cursor))
        if watermark is None and incremental.row_without_value is not None:
            self.context.warn_once(stream.name, _no_cursor_warning(stream, incremental.row_without_value))
        if incremental.overflowed:
            self.context.warn_once(f"{stream.name} overlap", _overflow_warning(stream))
        if last_days.are_missing:
            self.context.warn_once(f"{stream.name} step_end", _last_days_warning(stream, last_days.ended_early))

    def _read_window(
        self, incremental: IncrementalFilter, cursor: Cursor, pages: PageReader, window: Window
    ) -> Iterator[DataSourcePayload]:
        request, config = self.request(), cursor.config
        lower = incremental.lower_param(window.start)
        if config.param is not None and lower is not None:
            request = request.with_param(config.param, lower)
        if config.end_param is not None:
            request = request.with_param(config.end_param, cursor.write(window.end_value, incremental.like))
        for rows in self.rows(pages, request):
            if rows is None:
                yield _HEARTBEAT
                continue
            page = incremental.filter_page(rows)
            if page.bad:
                yield DataSourcePayload(RejectedRows(page.bad))
            state = None
            if config.order == "ascending" and page.rows and (watermark := incremental.page_watermark()) is not None:
                state = encode_state(watermark, cursor)
            pages.dropped.update(page.counts)
            yield DataSourcePayload(page.rows, metadata=_counters(pages.dropped), state=state)
            if page.passed_known:
                return
        if pages.dropped:
            yield DataSourcePayload(None, metadata=_counters(pages.dropped))


def _no_cursor(stream: str, state: Mapping[str, Any]) -> StateError:
    return StateError(
        f"stream {stream!r}: its state was written for the cursor {state.get('cursor')!r}, and it has no cursor now. "
        f"{reset_hint(stream)}"
    )


class PartitionRemoval(StreamPartition):
    """A partition whose parent or slice no longer exists: its state is removed, so that states do not grow forever."""

    def __init__(self, id: str) -> None:
        self.id = id

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload(None, state={})


def partition_id(values: Mapping[str, Any]) -> str:
    """``name=value&…``, sorted and percent-encoded: the same values give the same id in every run."""
    for name, value in values.items():
        if isinstance(value, (dict, list)) or value is None:
            raise DataSourceError(f"{value!r:.80} is not a value for the placeholder {name!r}")
    return "&".join(f"{name}={quote(url_text(values[name]), safe='')}" for name in sorted(values))


def _counters(counts: Counter[str]) -> dict[str, int]:
    """Counters as the metadata of a payload; they are cleared, since each is reported once."""
    metadata = {COUNTER_PREFIX + name: amount for name, amount in counts.items() if amount}
    counts.clear()
    return metadata


class _LastDays:
    """Whether ``step_end = "inclusive"`` fits the API: one that excludes the day of ``end_param`` never returns it.

    The sign is records on the day before the last one in several windows, and on the last day in none. Windows of one
    day are all empty then; they count only if the stream is one partition, since one of several may have no records.
    """

    def __init__(self, cursor: Cursor, *, is_only_partition: bool) -> None:
        self._cursor = cursor
        self._is_only_partition = is_only_partition
        self._any_on_last_day = False
        self.ended_early = 0
        """Windows whose records end a day before the window does."""

    def add(self, window: Window, highest: Any) -> None:
        """:param highest: the highest value of the window; None: it has no record."""
        if window.last_day is None:
            return
        if highest is None:
            self.ended_early += self._is_only_partition and window.start >= window.last_day
        elif highest >= window.last_day:
            self._any_on_last_day = True
        else:
            self.ended_early += highest >= self._cursor.later(window.last_day, -DAY)

    @property
    def are_missing(self) -> bool:
        return self.ended_early >= _SUSPICIOUS_WINDOWS and not self._any_on_last_day


def _no_cursor_warning(stream: StreamConfig, row: Row) -> str:
    assert stream.cursor is not None
    return (
        f"stream {stream.name!r}: no record has a value for the cursor {stream.cursor.field!r}, so each run reads all "
        f"of them again. Set cursor.field to one of the fields {', '.join(map(repr, list(row)[:20]))}"
    )


def _overflow_warning(stream: StreamConfig) -> str:
    """The overlap has more records than a state can store."""
    assert stream.cursor is not None
    remedies = ['a primary_key with write_mode = "upsert" makes repeats harmless']
    if stream.cursor.lookback_micros:
        remedies.insert(0, "a shorter cursor.lookback reads fewer of them again")
    if stream.cursor.step is not None and stream.cursor.step_end == "shared":
        remedies.insert(0, 'cursor.step_end = "inclusive" shares no day, if the API includes the day of end_param')
    return (
        f"stream {stream.name!r}: more than {MAX_REMEMBERED} records are in the overlap of two windows or runs; the "
        f"next one delivers those again that are not remembered. {'; '.join(remedies)}"
    )


def _last_days_warning(stream: StreamConfig, count: int) -> str:
    assert stream.cursor is not None
    return (
        f"stream {stream.name!r}: {count} windows have no record on their last day. If the API excludes the day of "
        f'{stream.cursor.end_param!r}, cursor.step_end = "inclusive" loses that day of each window: set '
        'cursor.step_end = "shared" and reset the state of the stream (`vdk datasource state reset`)'
    )
