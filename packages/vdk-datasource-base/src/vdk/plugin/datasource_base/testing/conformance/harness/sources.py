"""What a plugin gives to the suite."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from ....contract import (
    DataSource,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    StreamPartition,
    StreamSchema,
)
from ....runtime.run.partition_reader import closing_early

MakeSource: TypeAlias = Callable[[], DataSource[Any]]
"""Gives a new, configured source each time; not connected."""


Told = Callable[[str, str, DataSourcePayload], None]
"""Called with stream, partition and payload before the payload goes on; what it raises, the source raises."""


def watched(make: MakeSource, told: Told = lambda *_: None, *, hidden: Collection[str] = ()) -> MakeSource:
    """Makes sources that tell of their payloads, and lack the streams of the ``hidden`` names."""
    return lambda: _Watched(make(), told, hidden)


class _Watched(DataSource[Any]):
    def __init__(self, source: DataSource[Any], told: Told, hidden: Collection[str]) -> None:
        super().__init__(source.config)
        self._source, self._told, self._hidden = source, told, hidden

    def connect(self, state: DataSourceState) -> None:
        self._source.connect(state)

    def streams(self) -> list[DataSourceStream]:
        return [_Stream(stream, self._told) for stream in self._source.streams() if stream.name not in self._hidden]

    def identity(self) -> str:
        return self._source.identity()

    def check(self) -> None:
        self._source.check()

    def disconnect(self) -> None:
        self._source.disconnect()


class _Stream(DataSourceStream):
    def __init__(self, stream: DataSourceStream, told: Told) -> None:
        self.name, self.incremental, self.backfill = stream.name, stream.incremental, stream.backfill
        self._stream, self._told = stream, told

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._stream.schema(table)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        return (_Partition(self.name, partition, self._told) for partition in self._stream.partitions(state))


class _Partition(StreamPartition):
    def __init__(self, stream: str, partition: StreamPartition, told: Told) -> None:
        self.id = partition.id
        self._stream, self._partition, self._told = stream, partition, told

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        payloads = iter(self._partition.read(state))
        with closing_early(payloads):
            for payload in payloads:
                self._told(self._stream, self.id, payload)
                yield payload
