"""The records of a parent stream, as what its child streams need of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    ConfigurationError,
    DataSourceError,
    DataSourcePayload,
    RejectedRows,
    StateError,
    StreamPartition,
)

from .config import ParentConfig, StreamConfig, included_columns
from .cursors import REMEMBERED, Cursor, Watermark, decode, encode, micros_now
from .extract import find
from .http.types import Request, Row
from .http.urls import fill, fill_path, join, plain
from .incremental import Incremental
from .pagination.reading import Pages, key_of, own_key_of
from .windows import Window, windows

if TYPE_CHECKING:
    from .source import RestSource
    from .stream import RestStream

_BEAT = DataSourcePayload(None)
"""Yielded while waiting: the runtime sees that it may stop, or land what it has."""


class RestPartition(StreamPartition):
    """Reads what one set of values for the placeholders leads to.

    :param values: placeholder → value.
    :param extra: columns that land with each record.
    """

    def __init__(
        self, source: RestSource, stream: StreamConfig, values: Mapping[str, Any], extra: Mapping[str, Any]
    ) -> None:
        self.id = partition_id(values)
        self.source = source
        self.stream = stream
        self.values = dict(values)
        self.extra = dict(extra)
        self._own_key = own_key_of(stream)

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        if self.stream.cursor is None:
            if state:
                raise StateError(
                    f"stream {self.stream.name!r}: its state was written for the cursor {state.get('cursor')!r}, and "
                    f"it has no cursor now. Reset the state of stream {self.stream.name!r} (`vdk datasource state "
                    "reset`) to read it from the start"
                )
            dropped: Counter[str] = Counter()
            for rows in self.rows(self.request(), dropped):
                yield DataSourcePayload(list(rows), metadata=_counted(dropped)) if rows is not None else _BEAT
            if dropped:
                yield DataSourcePayload(None, metadata=_counted(dropped))
            return
        cursor = Cursor(self.stream.cursor)
        yield from self._incremental(cursor, decode(state, cursor, self.stream.name))

    def rows(
        self, request: Request, dropped: Counter[str], pages: Pages | None = None
    ) -> Iterator[Sequence[Row] | None]:
        """The records of all pages, with the parent's columns; None while it waits.

        :param dropped: what does not land is counted there; whoever reports the counts clears it.
        """
        reading = pages if pages is not None else Pages(self.source, self.stream)
        reading.dropped = dropped
        checked = not self._own_key
        with closing(reading.read(request)) as lists:  # type: ignore[type-var]
            for rows in lists:
                if rows and not checked:
                    self._check_key(rows)
                    checked = True
                yield self._with_extra(rows) if rows and self.extra else rows
        if reading.ignored:
            self.source.incomplete.add(self.stream.name)

    def _check_key(self, rows: Sequence[Row]) -> None:
        """A key that no record has would make each record one without a key."""
        if lacking := [name for name in self._own_key if not any(name in row for row in rows)]:
            raise ConfigurationError(
                f"stream {self.stream.name!r}: no record has the field {lacking[0]!r} of its primary_key; the fields "
                f"are {', '.join(map(repr, list(rows[0])[:20]))}"
            )

    def request(self) -> Request:
        """The first request, without a cursor's parameters."""
        stream = self.stream
        path = fill_path(stream.name if stream.path is None else stream.path, self.values)
        return Request(
            stream.method,
            join(self.source.config.base_url, path),
            fill(stream.params, self.values),
            {name: value.reveal() for name, value in stream.headers.items()},
            fill(stream.body, self.values, whole=True),
        )

    def _incremental(self, cursor: Cursor, mark: Watermark | None) -> Iterator[DataSourcePayload]:
        """Window by window; without ``step`` there is one."""
        now, keyed = micros_now(), bool(key_of(self.stream))
        filtering = cursor.config.param is None or not keyed
        reading = Incremental(cursor, mark, stream=self.stream.name, filtering=filtering, keyed=keyed, now=now)
        for window in windows(cursor, reading.lower, reading.like, now):
            reading.begin(None if window.last else window.end)
            pages = Pages(self.source, self.stream)
            dropped: Counter[str] = Counter()
            rows = self.rows(self._bounded(cursor, reading, window), dropped, pages)
            yield from self._window(reading, cursor, rows, dropped)
            if reading.is_empty and not pages.ignored and window.end <= now - cursor.config.settle_micros:
                reading.pass_empty(window.end)
            mark = reading.mark()
            if mark is not None:
                yield DataSourcePayload(None, state=encode(mark, cursor))
        if mark is None and reading.without is not None:
            field = cursor.config.field
            self.source.warn_once(self.stream.name, never_new(self.stream, field, reading.without))
        if reading.forgot:
            self.source.warn_once(f"{self.stream.name} overlap", too_many(self.stream))

    def _bounded(self, cursor: Cursor, reading: Incremental, window: Window) -> Request:
        request, config = self.request(), cursor.config
        lower = reading.lower_param(window.start)
        if config.param is not None and lower is not None:
            request = request.with_param(config.param, lower)
        if config.end_param is not None:
            request = request.with_param(config.end_param, cursor.write(window.until, reading.like))
        return request

    def _window(
        self, reading: Incremental, cursor: Cursor, pages: Iterator[Sequence[Row] | None], dropped: Counter[str]
    ) -> Iterator[DataSourcePayload]:
        for rows in pages:
            if rows is None:
                yield _BEAT
                continue
            taken = reading.take(rows)
            dropped.update(taken.counts)
            counts = _counted(dropped)
            if taken.bad:
                yield DataSourcePayload(RejectedRows(taken.bad))
            state = None
            if cursor.config.order == "ascending" and taken.rows and (mark := reading.page_mark()) is not None:
                state = encode(mark, cursor)
            yield DataSourcePayload(taken.rows, metadata=counts, state=state)
            if taken.past:
                return
        if dropped:
            yield DataSourcePayload(None, metadata=_counted(dropped))

    def _with_extra(self, rows: Sequence[Row]) -> list[Row]:
        extra = self.extra
        if taken := next((name for row in rows for name in extra if row.get(name, extra[name]) != extra[name]), None):
            raise ConfigurationError(
                f"stream {self.stream.name!r}: its records have a field {taken!r} of their own, as a column of the "
                f'parent is called; call that one otherwise with parent.include = {{ column = "field" }}'
            )
        return [{**row, **extra} for row in rows]


def _counted(counts: Counter[str]) -> dict[str, int]:
    """Counters as a payload's metadata; they are cleared, since each is reported once."""
    metadata = {COUNTER_PREFIX + name: amount for name, amount in counts.items() if amount}
    counts.clear()
    return metadata


def never_new(stream: StreamConfig, field: str, row: Row) -> str:
    """What to tell of a cursor that no record has a value for."""
    return (
        f"stream {stream.name!r}: no record has a value for the cursor {field!r}, so each run reads all of them again; "
        f"if cursor.field is misspelt, the fields are {', '.join(map(repr, list(row)[:20]))}"
    )


def too_many(stream: StreamConfig) -> str:
    """A warning: the overlap has more records than a state can know."""
    assert stream.cursor is not None
    remedies = ['a primary_key with write_mode = "upsert" makes repeats harmless']
    if stream.cursor.lookback_micros:
        remedies.insert(0, "a shorter cursor.lookback reads fewer of them again")
    if stream.cursor.step is not None and stream.cursor.step_end == "shared":
        remedies.insert(0, 'cursor.step_end = "inclusive" shares no day, where the API includes that of end_param')
    return (
        f"stream {stream.name!r}: more than {REMEMBERED} records lie where two windows or runs overlap; the ones that "
        f"are not remembered are delivered again by the next one. {'; '.join(remedies)}"
    )


class PartitionRemoval(StreamPartition):
    """A partition whose parent or slice is gone: its state goes, so that states do not grow for ever."""

    def __init__(self, id: str) -> None:
        self.id = id

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload(None, state={})


def partition_id(values: Mapping[str, Any]) -> str:
    """``name=value&…``, sorted and percent-encoded: the same values give the same id in every run."""
    for name, value in values.items():
        if isinstance(value, (dict, list)) or value is None:
            raise DataSourceError(f"{value!r:.80} is no value for the placeholder {name!r}")
    return "&".join(f"{name}={quote(plain(values[name]), safe='')}" for name in sorted(values))


def parent_rows(
    parent: RestStream, config: ParentConfig, child: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """For each record of the parent, as it is read: values for the placeholders, and columns for the child.

    The parent is read as in its first run, without its state: what hangs on an old record may be new.
    """
    for values, extra in parent.sets():
        for payload in RestPartition(parent.source, parent.config, values, extra).read({}):
            for row in _rows(payload.data):
                yield _bound(row, config, child), _included(row, config)


def _rows(data: Any) -> Iterator[Row]:
    """A record whose cursor cannot be read is unfit for the parent's table, and has children like others."""
    if isinstance(data, RejectedRows):
        yield from (row for row, _ in data.rows)
    elif isinstance(data, list):
        yield from data


def _bound(row: Row, config: ParentConfig, child: str) -> dict[str, Any]:
    values = {name: find(field, row) for name, field in config.bind.items()}
    for name, value in values.items():
        if value is None or isinstance(value, (dict, list)):
            raise DataSourceError(
                f"stream {child!r}: a record of its parent {config.stream!r} has {value!r:.80} at "
                f"{config.bind[name]!r}, which is no value for the placeholder {name!r}. Leave such parents out with "
                f"the parent's records, such as '[?{config.bind[name]}]'; this one begins "
                f"{dict(list(row.items())[:3])!r:.200}"
            )
    return values


def _included(row: Row, config: ParentConfig) -> dict[str, Any]:
    return {column: find(field, row) for column, field in included_columns(config).items()}
