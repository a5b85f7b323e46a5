"""A source whose streams are functions of the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    StreamPartition,
    StreamSchema,
    data_source,
)

Read = Callable[[Mapping[str, Any]], Iterable[DataSourcePayload]]


class Part(StreamPartition):
    def __init__(self, id: str, read: Read) -> None:
        self.id = id
        self._read = read

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return iter(self._read(state))


class Stream(DataSourceStream):
    def __init__(
        self,
        name: str,
        reads: Mapping[str, Read],
        schema: StreamSchema | None = None,
        *,
        incremental: bool = True,
    ) -> None:
        self.name = name
        self.incremental = incremental
        self._reads = reads
        self._schema = schema

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._schema if table is None else None

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        return [Part(id, read) for id, read in self._reads.items()]


class ScriptConfig(DataSourceConfig):
    identity: str = "the data"


STREAMS: list[Stream] = []


@data_source(name="scripted", config=ScriptConfig)
class ScriptedSource(DataSource[ScriptConfig]):
    def streams(self) -> list[Stream]:
        return STREAMS

    def identity(self) -> str:
        return self.config.identity


def source(*streams: Stream, identity: str = "the data") -> ScriptedSource:
    STREAMS[:] = streams
    return ScriptedSource(ScriptConfig(identity=identity))


def counting(end: int, first: int = 0) -> Read:
    """Numbers from the state's on, with a state behind each."""

    def read(state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for number in range(state.get("next", first), end):
            yield DataSourcePayload({"n": number}, state={"next": number + 1})

    return read
