# SPDX-License-Identifier: Apache-2.0
"""A partition: the records of one set of values of the placeholders, window by window, with the states between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import msgspec

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    ConfigurationError,
    DataSourceError,
    DataSourcePayload,
    RejectedRows,
    StateError,
    StreamPartition,
)
from vdk.plugin.datasource_base.parts import flattened

from .config import StreamConfig
from .context import StreamContext
from .deletes import KEY_STREAMS, keys_of, read_keys, split_deleted
from .http.types import HttpRequest, RequestTemplate, Row
from .http.urls import join_path, url_text
from .incremental.cursors import Cursor, Window, integer_windows, micros_now, windows
from .incremental.last_days import LastDays, last_days_warning
from .incremental.progress import (
    MAX_REMEMBERED,
    VERSION,
    IncrementalFilter,
    Watermark,
    decode_state,
    encode_state,
    reset_hint,
)
from .incremental.ranges import highest_value
from .incremental.sync_token import SyncTokenConfig, state_after, token_of, with_token
from .job import Job
from .pagination.reader import PageReader
from .parents import ValueSet
from .responses.handler import GoneError, ParsedResponse, ResponseHandler

PARENT = "parent"
"""The name in a state for what shows that a parent has changed."""
_HEARTBEAT = DataSourcePayload(None)
"""Yielded while waiting, so that the runtime can stop, or commit the rows that it has."""


class RestPartition(StreamPartition):
    """Reads the records of one set of values of the placeholders.

    :param values: of the placeholders, and the columns which are loaded with each record.
    :param key_streams: streams of the keys of rows that were deleted, or that are left.
    """

    def __init__(
        self, context: StreamContext, stream: StreamConfig, values: ValueSet, key_streams: Sequence[StreamConfig] = ()
    ) -> None:
        self.id = partition_id(values.values)
        self.context = context
        self.stream = stream
        self._values = values.values
        self._columns = values.columns
        self._changed = values.changed
        self._key_streams = key_streams
        self._is_gone = False

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        """The deletes by keys, the records, and the deletes among them, with states that cover all of these."""
        own = {name: value for name, value in state.items() if name not in (PARENT, KEY_STREAMS)}
        shared: dict[str, Any] = {}
        if self._key_streams:
            shared[KEY_STREAMS] = dict(state.get(KEY_STREAMS, {}))
        for config in self._key_streams:
            partition = RestPartition(self.context, config, ValueSet())
            before = shared[KEY_STREAMS].get(config.name, {})
            for payload, after in read_keys(config, partition, self.stream, before):
                if after is not None:
                    shared[KEY_STREAMS] |= {config.name: after}
                yield replace(payload, state={**own, **shared} if after is not None else None)
        for payload in self._read_own({} if own == {"v": VERSION} else own):
            if payload.state is not None:
                own = dict(payload.state)
                payload = replace(payload, state={**own, **shared})
            yield from self._delivered(payload)
        if self._is_gone:
            yield DataSourcePayload(keys_of([{**self._values, **self._columns}], self.stream.key()), kind="deletes")
        if self._changed is not None:
            yield DataSourcePayload(None, state={"v": VERSION, **own, **shared, PARENT: self._changed})

    def _delivered(self, payload: DataSourcePayload) -> Iterator[DataSourcePayload]:
        """A payload as it is handed over: with its deletes, and with its objects as columns."""
        stream = self.stream
        parts = [payload] if stream.deleted is None else split_deleted(payload, stream.deleted, stream.key())
        for part in parts:
            if stream.nested in ("flatten", "tables") and part.kind == "rows" and isinstance(part.data, list):
                part = replace(part, data=flattened(part.data, stream.levels(), stream.name))
            if stream.columns and part.kind == "rows" and isinstance(part.data, list):
                self.context.missing_columns.add(stream.name, stream.columns, part.data)
            yield part

    def _read_own(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        stream = self.stream
        if stream.cursor is not None:
            cursor = Cursor(stream.cursor)
            yield from self._read_windows(cursor, decode_state(state, cursor, stream.name))
        elif stream.sync_token is not None:
            yield from self._read_changes(stream.sync_token, token_of(state, stream.sync_token, stream.name))
        elif state:
            raise _no_cursor(stream.name, state)
        else:
            yield from self._read_all(PageReader(self.context, stream), self.request())

    def _read_changes(self, config: SyncTokenConfig, token: Any) -> Iterator[DataSourcePayload]:
        """What changed since ``token``, and the next token after the last page."""
        name, pages = self.stream.name, PageReader(self.context, self.stream)
        try:
            yield from self._read_all(pages, with_token(self.request(), config, token))
        except GoneError as error:
            if token is None:
                raise
            raise StateError(f"{error}. The token of the last run has expired. {reset_hint(name)}") from None
        if not pages.ended_by_rule and (state := state_after(pages.last_page, config, name)) is not None:
            yield DataSourcePayload(None, state=state)

    def _read_all(self, pages: PageReader, request: HttpRequest) -> Iterator[DataSourcePayload]:
        for rows in self.rows(pages, request):
            yield DataSourcePayload(list(rows), metadata=_counters(pages.dropped)) if rows is not None else _HEARTBEAT
        if pages.dropped:
            yield DataSourcePayload(None, metadata=_counters(pages.dropped))

    def rows(self, pages: PageReader, request: HttpRequest) -> Iterator[Sequence[Row] | None]:
        """The records of all pages, with the parent's columns; None while it waits."""
        if self.stream.job is None:
            yield from self._pages(pages, request)
            return
        job = Job(self.context, self.stream, self.stream.job)
        for download in (yield from job.downloads(request)):
            yield from self._pages(pages, download)

    def _pages(self, pages: PageReader, request: HttpRequest) -> Iterator[Sequence[Row] | None]:
        unchecked = self.stream.own_key()
        with closing(pages.read(request)) as lists:  # type: ignore[type-var]  # a generator
            for rows in lists:
                if rows and unchecked:
                    self._check_key(rows, unchecked)
                    unchecked = []
                yield self._with_columns(rows) if rows and self._columns else rows
        self._is_gone = pages.gone
        if pages.ended_by_rule:
            self.context.incomplete.add(self.stream.name)
            self._changed = None  # what was ignored is requested again

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
        values = {**stream.late_values(), **self._values}
        template = RequestTemplate(
            stream.method,
            self.context.config.base_url,
            stream.name if stream.path is None else stream.path,
            stream.params,
            {name: value.reveal() for name, value in stream.headers.items()},
            stream.body,
            stream.encoding,
            stream.compress,
            frozenset(stream.placeholders() - self._values.keys()),
            values,
        )
        return template.request()

    def _read_windows(self, cursor: Cursor, watermark: Watermark | None) -> Iterator[DataSourcePayload]:
        """Window after window; without ``step`` there is one."""
        stream, now, keyed = self.stream, micros_now(), bool(self.stream.key())
        filtering = cursor.config.param is None or not keyed
        incremental = IncrementalFilter(
            cursor, watermark, stream=stream.name, filtering=filtering, keyed=keyed, now=now
        )
        last_days = LastDays(cursor, is_only_partition=not self._values)
        empty = 0
        for window in (yield from self._windows(cursor, incremental, now)):
            incremental.start_window(window)
            pages = PageReader(self.context, stream, cap=cursor.config.restart_at)
            yield from self._read_window(incremental, cursor, pages, window)
            while pages.capped:
                rest = incremental.resume(window)
                if rest is None:
                    raise _too_many_equal(stream)
                pages = PageReader(self.context, stream, cap=cursor.config.restart_at)
                yield from self._read_window(incremental, cursor, pages, rest)
            last_days.add(window, incremental.window_max)
            is_empty = incremental.window_max is None and not pages.ended_by_rule
            empty = empty + 1 if incremental.window_max is None else 0
            if cursor.is_time and is_empty and window.end <= now - cursor.config.settle_micros:
                incremental.pass_empty_window(window.end)
            is_end = cursor.config.ranges is not None and empty == cursor.config.ranges.empty
            if is_end:
                incremental.start_window(replace(window, last=True))
            watermark = incremental.window_watermark()
            if watermark is not None:
                yield DataSourcePayload(None, state=encode_state(watermark, cursor))
            if is_end:
                break
        if watermark is None and incremental.row_without_value is not None:
            if not incremental.is_field_known and not self._values:  # other partitions may have the field
                raise _no_cursor_field(stream, incremental.row_without_value)
            self.context.warn_once(stream.name, _no_cursor_warning(stream, incremental.row_without_value))
        if incremental.param_seems_ignored:
            self.context.warn_once(f"{stream.name} param", _ignored_warning(stream, incremental))
        if incremental.overflowed:
            self.context.warn_once(f"{stream.name} overlap", _overflow_warning(stream))
        if last_days.are_missing:
            self.context.warn_once(f"{stream.name} step_end", last_days_warning(stream, last_days.ended_early))

    def _windows(
        self, cursor: Cursor, incremental: IncrementalFilter, now: int
    ) -> Generator[DataSourcePayload, None, Iterator[Window]]:
        config, highest = cursor.config.ranges, None
        if config is None:
            return windows(cursor, incremental.lower, incremental.like, now)
        if config.last_path is not None:
            for response in self._response_at(config.last_path):
                if response is None:
                    yield _HEARTBEAT
                else:
                    highest = highest_value(config, response.body, self.stream.name)
        assert incremental.lower is not None  # the first value is configured
        return integer_windows(cursor, incremental.lower, highest)

    def _response_at(self, path: str) -> Iterator[ParsedResponse | None]:
        """The response at a path below ``base_url``; None while it waits."""
        plain = msgspec.structs.replace(self.stream, format="json", responses=None, cache=False)
        request = HttpRequest("GET", join_path(self.context.config.base_url, path))
        yield (yield from ResponseHandler(self.context, plain).fetch(request))

    def _read_window(
        self, incremental: IncrementalFilter, cursor: Cursor, pages: PageReader, window: Window
    ) -> Iterator[DataSourcePayload]:
        request, config = self.request(), cursor.config
        lower = incremental.lower_param(window.start)
        if config.param is not None and lower is not None:
            request = request.with_param(config.param, lower)
            incremental.note_param(lower)
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


def check_stored_state(stream: StreamConfig, state: Mapping[str, Any]) -> None:
    """Raise ``StateError`` for a state that the stream cannot be read from."""
    state = {name: value for name, value in state.items() if name not in (PARENT, KEY_STREAMS)}
    if state in ({}, {"v": VERSION}):
        return
    if stream.cursor is not None:
        decode_state(state, Cursor(stream.cursor), stream.name)
    elif stream.sync_token is not None:
        token_of(state, stream.sync_token, stream.name)
    else:
        raise _no_cursor(stream.name, state)


def _no_cursor(stream: str, state: Mapping[str, Any]) -> StateError:
    return StateError(
        f"stream {stream!r}: its state was written for the cursor {state.get('cursor')!r}, and it has no cursor now. "
        f"{reset_hint(stream)}"
    )


def partition_id(values: Mapping[str, Any]) -> str:
    """``name=value&…``, sorted and percent-encoded: the same values give the same id in every run."""
    for name, value in values.items():
        if isinstance(value, dict) or value is None:
            raise DataSourceError(f"{value!r:.80} is not a value for the placeholder {name!r}")
    return "&".join(f"{name}={quote(url_text(values[name]), safe='')}" for name in sorted(values))


def _counters(counts: Counter[str]) -> dict[str, int]:
    """Counters as the metadata of a payload; they are cleared, since each is reported once."""
    metadata = {COUNTER_PREFIX + name: amount for name, amount in counts.items() if amount}
    counts.clear()
    return metadata


def _too_many_equal(stream: StreamConfig) -> ConfigurationError:
    assert stream.cursor is not None
    return ConfigurationError(
        f"stream {stream.name!r}: more than cursor.restart_at = {stream.cursor.restart_at} records have the same value "
        f"of {stream.cursor.field!r}, so a request that begins at it reaches no further. Set a cursor.field with finer "
        "values, or read them by slices"
    )


def _no_cursor_field(stream: StreamConfig, row: Row) -> ConfigurationError:
    assert stream.cursor is not None
    return ConfigurationError(
        f"stream {stream.name!r}: no record has the field {stream.cursor.field!r} of its cursor; set cursor.field to "
        f"one of the fields {', '.join(map(repr, list(row)[:20]))}"
    )


def _no_cursor_warning(stream: StreamConfig, row: Row) -> str:
    assert stream.cursor is not None
    return (
        f"stream {stream.name!r}: no record has a value for the cursor {stream.cursor.field!r}, so each run reads all "
        f"of them again. Set cursor.field to one of the fields {', '.join(map(repr, list(row)[:20]))}"
    )


def _ignored_warning(stream: StreamConfig, incremental: IncrementalFilter) -> str:
    """The API answers with the records that it was asked to leave out."""
    assert stream.cursor is not None
    name, field = stream.cursor.param, stream.cursor.field
    return (
        f"stream {stream.name!r}: {incremental.below_param:,} of the {incremental.read:,} records that were read have "
        f"a {field!r} below {incremental.first_param!r}, which the parameter {name!r} asked for: the API seems to "
        "ignore it. Correct cursor.param; if the API has no such parameter, remove cursor.param, so that the source "
        'filters the records; if it compares dates only, set cursor.param_format = "%Y-%m-%d"'
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
