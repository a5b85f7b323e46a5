# SPDX-License-Identifier: Apache-2.0
"""A topic as a stream, and its partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vdk.plugin.datasource_base import (
    BoundedPartition,
    ConfigurationError,
    DataSourcePayload,
    DataSourceStream,
    StateError,
    StreamPartition,
    StreamSchema,
)

from .backfill import TopicRange
from .client import Cluster
from .config import KafkaConfig
from .decoding.registry import Schemas
from .messages import MessageColumns
from .offsets import Bounds, Position, check_not_beyond, check_topic, find_bounds, position_of
from .partition import RateLimit, TopicPartitionReader


class TopicStream(DataSourceStream):
    """The stream of one topic."""

    incremental = True

    def __init__(self, config: KafkaConfig, topic: str, cluster: Cluster, limit: RateLimit, schemas: Schemas) -> None:
        self.name = topic
        self._config, self._cluster, self._limit, self._schemas = config, cluster, limit, schemas
        if "topic" not in config.columns:
            self.sharing_needs = 'add columns = ["topic"] to the config of the source'

    def schema(self, table: str | None = None) -> StreamSchema:
        return MessageColumns(self._config, self.name, self._schemas).schema()

    def between(self, begin: str | None, end: str | None) -> DataSourceStream:
        """The messages whose timestamps are in the range; bounds are times with a zone, in ISO 8601."""
        return TopicRange(self._config, self.name, self._cluster, self._limit, self._schemas, begin, end)

    def count_rows(self) -> int:
        """The retained offsets from ``start`` on, which are at least as many as the messages."""
        bounds = find_bounds(self._cluster, self._config, self.name, {})
        return sum(max(0, end - bounds.starts[number]) for number, end in bounds.ends.items())

    def check_state(self, partition: str, state: Mapping[str, Any]) -> None:
        if not partition.isdigit():
            raise StateError(f"topic {self.name!r}: {partition!r} is not a partition; write its number, such as 0")
        Position.load(state)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Sequence[StreamPartition]:
        """The partitions with new messages; in the first run all, so that each gets a state."""
        return list(self._to_read(state))

    def _to_read(self, state: Mapping[str, Mapping[str, Any]]) -> Iterator[StreamPartition]:
        known = {
            int(name): position
            for name, stored in state.items()
            if name.isdigit() and (position := position_of(stored)) is not None
        }
        bounds = find_bounds(self._cluster, self._config, self.name, known)
        if missing := sorted(set(known) - set(bounds.ends)):
            raise ConfigurationError(
                f"topic {self.name!r} no longer has the partition {missing[0]}: it was deleted and created again; "
                f'set destination_table = "{self.name}_2", or replace the table: vdk datasource run FLOW '
                f"--full-refresh --stream {self.name}"
            )
        seen = max((position.partitions for position in known.values()), default=0)
        for number, end in bounds.ends.items():
            position = known.get(number)
            if position is not None:
                check_topic(position, bounds.topic_id, self.name, number)
                check_not_beyond(position.offset, end, self.name, number)
                if position.offset == end and not bounds.held_back.get(number):
                    continue
            elif self._config.mode == "table" and known and number >= seen:
                yield NewPartition(number, bounds)
                continue
            yield TopicPartitionReader(
                self._config,
                self.name,
                number,
                self._limit,
                self._schemas,
                topic_id=bounds.topic_id,
                partitions=len(bounds.ends),
                until=end,
                begin=bounds.starts[number],
                held_back=bounds.held_back.get(number, 0),
            )


class NewPartition(BoundedPartition):
    """A partition that was added since the last run, of a stream with ``mode = "table"``.

    Keys may have moved to it, and their older messages are in other partitions. This run reads those and only
    registers the new partition; the next run reads it.
    """

    def __init__(self, number: int, bounds: Bounds) -> None:
        self.id = str(number)
        begin = bounds.beginnings[number]
        self._state = Position(offset=begin, topic_id=bounds.topic_id, partitions=len(bounds.ends)).dump()

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        return state or self._state

    def count(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> int:
        return 0

    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        if not state:
            yield DataSourcePayload(None, {"count:partitions_registered": 1}, end or self._state)
