# SPDX-License-Identifier: Apache-2.0
"""A topic limited to a range of times, for a backfill: no state is read or written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vdk.plugin.datasource_base import (
    ConfigurationError,
    DataSourcePayload,
    DataSourceStream,
    StreamPartition,
    StreamSchema,
)

from .client import Cluster
from .config import KafkaConfig, time_of
from .decoding.registry import Schemas
from .messages import MessageColumns
from .partition import RateLimit, TopicPartitionReader


class TopicRange(DataSourceStream):
    """The messages of a topic from the first one at ``begin`` up to the first one at ``end``, by their timestamps.

    Each partition is read from one offset to another: messages that are not in the order of their timestamps are
    chosen by their place.
    """

    incremental = True

    def __init__(
        self,
        config: KafkaConfig,
        topic: str,
        cluster: Cluster,
        limit: RateLimit,
        schemas: Schemas,
        begin: str | None,
        end: str | None,
    ) -> None:
        self.name = topic
        self._config, self._cluster, self._limit, self._schemas = config, cluster, limit, schemas
        if config.mode == "table":
            raise ConfigurationError(
                'mode = "table" keeps the newest message of each key, and older ones would replace them; to land the '
                "topic again, write: vdk datasource run FLOW --full-refresh"
            )
        self._begin, self._end = _milliseconds("--since", begin), _milliseconds("--until", end)
        if self._begin is not None and self._end is not None and not self._begin < self._end:
            raise ConfigurationError(f"the range is empty: --until {end} is not after --since {begin}")

    def schema(self, table: str | None = None) -> StreamSchema:
        return MessageColumns(self._config, self.name, self._schemas).schema()

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Sequence[StreamPartition]:
        cluster, numbers = self._cluster, self._cluster.partitions(self.name)
        ends = cluster.ends(self.name, numbers, committed=self._config.isolation == "read_committed")
        begins = cluster.beginnings(self.name, numbers)
        if self._begin is not None:
            begins = cluster.offsets_at(self.name, ends, self._begin)
        untils = cluster.offsets_at(self.name, ends, self._end) if self._end is not None else ends
        return [
            RangePartition(
                TopicPartitionReader(
                    self._config, self.name, number, self._limit, self._schemas,
                    partitions=len(numbers), until=untils[number], begin=begins[number],
                )
            )
            for number in numbers
            if begins[number] < untils[number]
        ]  # fmt: skip


class RangePartition(StreamPartition):
    """A partition between two offsets, without states."""

    def __init__(self, reader: TopicPartitionReader) -> None:
        self.id = reader.id
        self._reader = reader

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for payload in self._reader.read({}):
            yield replace(payload, state=None)


def _milliseconds(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    time = time_of(text)
    if time is None:
        raise ConfigurationError(f"{option}: {text!r} is not a time with a zone; write {option} 2026-01-01T00:00:00Z")
    return int(time.timestamp() * 1000)
