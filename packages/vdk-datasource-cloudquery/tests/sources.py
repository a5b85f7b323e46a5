"""Sources that fail, delete, route and change their columns on purpose."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    Secret,
    StreamPartition,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.contract import JSON_TYPE

Read = Callable[[Mapping[str, Any]], Iterable[DataSourcePayload]]


class MadeConfig(DataSourceConfig):
    """The options of a source in a test."""

    token: Secret = Secret("tok-9f8e7d6c5b")
    size: int = 3


class MadeStream(DataSourceStream):
    """A stream that reads with a function."""

    def __init__(
        self,
        name: str,
        read: Read,
        schema: StreamSchema | None = None,
        *,
        incremental: bool = False,
        parent: str | None = None,
    ) -> None:
        self.name = name
        self.incremental = incremental
        self.parent = parent
        self._read = read
        self._schema = schema

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._schema if table is None else None

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield from self._read(state)


class SplitStream(DataSourceStream):
    """A stream of partitions, one row each."""

    def __init__(self, name: str, ids: Sequence[str]) -> None:
        self.name = name
        self._ids = ids

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        return [_Part(each) for each in self._ids]


class _Part(StreamPartition):
    def __init__(self, id: str) -> None:
        self.id = id

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload({"part": self.id})


@data_source(name="made", config=MadeConfig)
class MadeSource(DataSource[MadeConfig]):
    """``connected`` and ``disconnected`` count the calls; ``states`` are those of the last ``connect``."""

    def __init__(self, config: MadeConfig | None = None, streams: Sequence[DataSourceStream] = ()) -> None:
        super().__init__(config or MadeConfig())
        self._streams = streams
        self.connected = self.disconnected = 0
        self.states = DataSourceState()
        self.ended = threading.Event()

    def connect(self, state: DataSourceState) -> None:
        self.connected += 1
        self.states = state

    def streams(self) -> Sequence[DataSourceStream]:
        return self._streams

    def disconnect(self) -> None:
        self.disconnected += 1
        self.ended.set()


def made(*streams: DataSourceStream) -> MadeSource:
    return MadeSource(streams=streams)


def numbered(
    name: str = "numbers", count: int = 5, fail: Exception | None = None, payload: int = 2, *, key: bool = True
) -> MadeStream:
    """Numbers after those of the state, with a state after each payload; then, if given, an error."""

    def read(state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for first in range(state.get("next", 0), count, payload):
            last = min(first + payload, count)
            yield DataSourcePayload([{"n": number} for number in range(first, last)], state={"next": last})
        if fail is not None:
            raise fail

    schema = StreamSchema(pa.schema([pa.field("n", pa.int64(), False)]), ("n",) if key else ())
    return MadeStream(name, read, schema, incremental=True)


def rows_of(
    name: str, *payloads: Any, schema: StreamSchema | None = None, error: Exception | None = None
) -> MadeStream:
    """A stream of given payloads, without states."""

    def read(state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for payload in payloads:
            yield payload if isinstance(payload, DataSourcePayload) else DataSourcePayload(payload)
        if error is not None:
            raise error

    return MadeStream(name, read, schema)


TYPES = StreamSchema(
    pa.schema(
        [
            pa.field("id", pa.uuid()),
            pa.field("doc", JSON_TYPE),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("amount", pa.decimal128(10, 2)),
            pa.field("at", pa.timestamp("us", tz="UTC")),
            pa.field("raw", pa.binary()),
            pa.field("nothing", pa.null()),
        ]
    ),
    ("id",),
)
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
