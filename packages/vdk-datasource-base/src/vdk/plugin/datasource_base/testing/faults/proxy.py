# SPDX-License-Identifier: Apache-2.0
"""Streams and partitions that pass everything on to others, with something done around their payloads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from ...contract import BoundedPartition, DataSourcePayload, DataSourceStream, StreamPartition, StreamSchema

Around: TypeAlias = Callable[[StreamPartition, Iterator[DataSourcePayload]], Iterator[DataSourcePayload]]
"""Yields the payloads of a partition, or others."""
Partitions: TypeAlias = Callable[[Mapping[str, Mapping[str, Any]]], Iterable[StreamPartition]]

_FIELDS = inspect.get_annotations(DataSourceStream)
"""What a stream declares: a field that is added to the contract is passed on as well."""


class StreamProxy(DataSourceStream):
    """A stream with ``around`` around the payloads of each partition.

    :param partitions: in place of the stream's own.
    """

    def __init__(self, stream: DataSourceStream, around: Around, partitions: Partitions | None = None) -> None:
        vars(self).update({name: getattr(stream, name) for name in _FIELDS})
        if stream.unsplit is not None:
            self.unsplit = StreamProxy(stream.unsplit, around)
        self._stream = stream
        self._around = around
        self._partitions = partitions or stream.partitions

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._stream.schema(table)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        for partition in self._partitions(state):
            bounded = isinstance(partition, BoundedPartition)
            yield (_BoundedProxy if bounded else _PartitionProxy)(partition, self._around)


class _PartitionProxy(StreamPartition):
    def __init__(self, partition: Any, around: Around) -> None:
        self.id = partition.id
        self._partition = partition
        self._around = around

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return self._around(self._partition, iter(self._partition.read(state)))


class _BoundedProxy(_PartitionProxy, BoundedPartition):
    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        return self._around(self._partition, iter(self._partition.read(state, end)))

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        end: Mapping[str, Any] = self._partition.end(state)
        return end

    def end_of_read(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        end: Mapping[str, Any] = self._partition.end_of_read(state)
        return end

    def share(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> float | None:
        share: float | None = self._partition.share(state, end)
        return share

    def count(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> int | None:
        count: int | None = self._partition.count(state, end)
        return count
