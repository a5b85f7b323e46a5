# SPDX-License-Identifier: Apache-2.0
"""The range of offsets that a run reads: states, beginnings and ends of partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from vdk.plugin.datasource_base import PartitionState, StateError

from .client import Cluster
from .config import KafkaConfig


class Position(PartitionState):
    """The state of a Kafka partition: the offset of the next message to read, in one incarnation of the topic.

    ``partitions`` is the number of partitions that the topic had then. A partition without a state is new if its number
    is at least that; otherwise a run was interrupted before it read the partition.
    """

    remedy: ClassVar[str] = "read the topic into another table, or write: vdk datasource run FLOW --full-refresh"

    offset: int = 0
    topic_id: str | None = None
    partitions: int = 0


@dataclass(frozen=True)
class Bounds:
    """The offsets of a topic that one run uses, by partition number.

    :param beginnings: the oldest retained messages. :param ends: the ends of the run.
    :param held_back: the number of offsets after the end that an open transaction holds back.
    :param starts: where partitions without a state begin.
    """

    topic_id: str | None
    beginnings: Mapping[int, int]
    ends: Mapping[int, int]
    held_back: Mapping[int, int]
    starts: Mapping[int, int]


def find_bounds(cluster: Cluster, config: KafkaConfig, topic: str, known: Mapping[int, Position]) -> Bounds:
    """Request the ends of all partitions at once, and determine where those without a state begin.

    The ends are requested first: the offset of a time, which is requested later, is then limited to the end.

    :param known: the stored positions. A partition without a position, in a stream that has any, is new: it begins at
        its first offset, and ``start`` does not apply.
    """
    numbers = cluster.partitions(topic)
    committed = config.isolation == "read_committed"
    ends = cluster.ends(topic, numbers, committed=committed)
    held_back = {}
    if committed:
        newest = cluster.ends(topic, numbers, committed=False)
        held_back = {number: max(0, newest[number] - ends[number]) for number in numbers}
    beginnings = cluster.beginnings(topic, numbers)
    starts = dict(beginnings)
    if not known:
        starts = _configured_starts(cluster, config, topic, beginnings, ends)
    return Bounds(cluster.topic_id(topic), beginnings, ends, held_back, starts)


def _configured_starts(
    cluster: Cluster, config: KafkaConfig, topic: str, beginnings: Mapping[int, int], ends: Mapping[int, int]
) -> dict[int, int]:
    if config.start == "earliest":
        return dict(beginnings)
    if config.start == "latest":
        return dict(ends)
    time = config.start_time()
    assert time is not None
    return cluster.offsets_at(topic, ends, int(time.timestamp() * 1000))


def check_topic(position: Position, topic_id: str | None, topic: str, partition: int) -> None:
    """Reject a state of a topic that was deleted and created again. Raises ``StateError``."""
    if position.topic_id is not None and topic_id is not None and position.topic_id != topic_id:
        raise StateError(
            f"topic {topic!r}, partition {partition}: the state belongs to the topic with the id {position.topic_id}, "
            f"and the topic now has the id {topic_id}: it was deleted and created again, and its offsets start over; "
            f'set destination_table = "{topic}_2", or {_refresh(topic)}'
        )


def check_not_beyond(offset: int, end: int, topic: str, partition: int) -> None:
    """Reject a state above the end of the partition. Raises ``StateError``."""
    if offset > end:
        raise StateError(
            f"topic {topic!r}, partition {partition}: the state is at offset {offset}, and the partition ends at "
            f"{end}: the topic was created again, or the broker lost messages that it had acknowledged, and reading on "
            f'could skip or repeat messages; set destination_table = "{topic}_2", or {_refresh(topic)}'
        )


def _refresh(topic: str) -> str:
    return f"replace the table: vdk datasource run FLOW --full-refresh --stream {topic}"


def position_of(state: Mapping[str, Any]) -> Position | None:
    """The position in a stored state; None for an empty state."""
    return Position.load(state) if state else None
