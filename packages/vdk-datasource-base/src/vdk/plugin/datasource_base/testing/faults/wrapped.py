# SPDX-License-Identifier: Apache-2.0
"""Partitions whose payloads pass through a function on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...contract import BoundedPartition, DataSourcePayload, StreamPartition

Around = Callable[[Iterator[DataSourcePayload]], Iterator[DataSourcePayload]]


def wrapped_partition(partition: StreamPartition, around: Around) -> StreamPartition:
    """The partition with ``around`` over its payloads. One that knows its end still does."""
    kind = _WrappedBoundedPartition if isinstance(partition, BoundedPartition) else _WrappedPartition
    return kind(partition, around)


class _WrappedPartition(StreamPartition):
    def __init__(self, partition: StreamPartition, around: Around) -> None:
        self.id = partition.id
        self._partition, self._around = partition, around

    def read(self, state: Mapping[str, Any], *end: Any) -> Iterator[DataSourcePayload]:
        payloads = iter(self._partition.read(state, *end))
        try:
            yield from self._around(payloads)
        finally:
            if (close := getattr(payloads, "close", None)) is not None:
                close()


class _WrappedBoundedPartition(_WrappedPartition, BoundedPartition):
    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        assert isinstance(self._partition, BoundedPartition)
        return self._partition.end(state)

    def share(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> float | None:
        assert isinstance(self._partition, BoundedPartition)
        return self._partition.share(state, end)
