# SPDX-License-Identifier: Apache-2.0
"""Sources as the suite reads them: without the runtime, or through it with a callback for each payload."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import pyarrow as pa

from ....contract import (
    DataSource,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    RejectedRows,
    StreamPartition,
    StreamSchema,
)
from ...faults.wrapped import wrapped_partition

MakeSource: TypeAlias = Callable[[], DataSource[Any]]
"""Makes a new source each time, configured and not connected."""


OnPayload = Callable[[str, str, DataSourcePayload], None]
"""Called with stream, partition and payload before the payload is yielded. The source raises what it raises."""


def watched(make: MakeSource, on_payload: OnPayload = lambda *_: None, *, hidden: Collection[str] = ()) -> MakeSource:
    """Makes sources that call ``on_payload`` for each payload and leave out the streams named in ``hidden``."""
    return lambda: _WatchedSource(make(), on_payload, hidden)


class _WatchedSource(DataSource[Any]):
    def __init__(self, source: DataSource[Any], on_payload: OnPayload, hidden: Collection[str]) -> None:
        super().__init__(source.config)
        self._source, self._on_payload, self._hidden = source, on_payload, hidden

    def connect(self, state: DataSourceState) -> None:
        self._source.connect(state)

    def streams(self) -> list[DataSourceStream]:
        streams = self._source.streams()
        return [_WatchedStream(stream, self._on_payload) for stream in streams if stream.name not in self._hidden]

    def identity(self) -> str:
        return self._source.identity()

    def check(self) -> None:
        self._source.check()

    def disconnect(self) -> None:
        self._source.disconnect()


class _WatchedStream(DataSourceStream):
    def __init__(self, stream: DataSourceStream, on_payload: OnPayload) -> None:
        self.name, self.incremental, self.backfill = stream.name, stream.incremental, stream.backfill
        self._stream, self._on_payload = stream, on_payload

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._stream.schema(table)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        for partition in self._stream.partitions(state):
            yield wrapped_partition(partition, partial(self._watch, partition.id))

    def _watch(self, partition: str, payloads: Iterator[DataSourcePayload]) -> Iterator[DataSourcePayload]:
        for payload in payloads:
            self._on_payload(self.name, partition, payload)
            yield payload


Row = dict[str, Any]


@dataclass(slots=True)
class Table:
    """The rows that were read for one table, and its schema."""

    schema: StreamSchema | None
    rows: list[Row] = field(default_factory=list)

    @property
    def keys(self) -> list[tuple[Any, ...]]:
        """The primary keys of the rows; empty without a primary key."""
        key = self.schema.primary_key if self.schema is not None else ()
        return [tuple(row.get(name) for name in key) for row in self.rows] if key else []


@contextmanager
def opened(make: MakeSource) -> Iterator[DataSource[Any]]:
    """A source between ``connect`` and ``disconnect``, without a state."""
    source = make()
    source.connect(DataSourceState())
    try:
        yield source
    finally:
        source.disconnect()


def partitions_of(source: DataSource[Any]) -> list[tuple[DataSourceStream, StreamPartition]]:
    """All partitions of all streams, as a first run reads them."""
    return [(stream, partition) for stream in source.streams() for partition in stream.partitions({})]


def read(partition: StreamPartition, state: Mapping[str, Any] | None = None) -> list[DataSourcePayload]:
    """Everything after ``state``, which is passed as a store would return it."""
    return list(partition.read(json.loads(json.dumps(dict(state or {})))))


def tables_in(source: DataSource[Any]) -> dict[str, Table]:
    """Every table of a connected source, read from the beginning, including the table of a stream without rows."""
    tables: dict[str, Table] = {}
    for stream in source.streams():
        tables.setdefault(stream.name, Table(stream.schema()))
        for partition in stream.partitions({}):
            for payload in read(partition):
                name = payload.destination_table
                table = tables[stream.name] if name is None else tables.setdefault(name, Table(stream.schema(name)))
                table.rows += plain_rows(payload)
    return tables


def read_tables(make: MakeSource) -> dict[str, Table]:
    """Every table of a new source, read from the beginning."""
    with opened(make) as source:
        return tables_in(source)


def rows_of(payloads: Sequence[DataSourcePayload]) -> list[Row]:
    """The rows in payloads, as Python values."""
    return [row for payload in payloads for row in plain_rows(payload)]


def plain_rows(payload: DataSourcePayload) -> list[Row]:
    """The rows of a payload, including rejected ones; keys that are deleted are not rows."""
    data = payload.data
    if data is None or payload.kind != "rows":
        return []
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        return list(data.to_pylist())
    if isinstance(data, RejectedRows):
        return [dict(row) for row, _ in data.rows]
    return [dict(data)] if isinstance(data, Mapping) else [dict(row) for row in data]


def error_of(work: Callable[..., Any], *arguments: Any, **options: Any) -> Exception | None:
    """The exception that ``work`` raises; None if it returns."""
    try:
        work(*arguments, **options)
    except Exception as error:
        return error
    return None
