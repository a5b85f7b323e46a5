"""Where a partition is read from and to: its state, its beginning and its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from vdk.plugin.datasource_base import PartitionState, StateError

from .client import Cluster
from .config import KafkaConfig


class Position(PartitionState):
    """The state of a Kafka partition: the offset of the next message to read, in one incarnation of the topic.

    ``partitions`` is how many the topic had when this was read. A partition without a state is new where its number is
    not below that; else a run was interrupted before it came to it.
    """

    remedy: ClassVar[str] = "read the topic into another table, or replace the table in one run"

    offset: int = 0
    topic_id: str | None = None
    partitions: int = 0


@dataclass(frozen=True)
class Bounds:
    """A topic's partitions as one run sees them: each map is partition number to offset."""

    topic_id: str | None
    beginnings: Mapping[int, int]
    ends: Mapping[int, int]
    held_back: Mapping[int, int]
    starts: Mapping[int, int]


def find_bounds(cluster: Cluster, config: KafkaConfig, topic: str, known: Mapping[int, Position]) -> Bounds:
    """Ask the cluster for the ends of all partitions at once, and settle where those without a state begin.

    The ends come first: an offset that is found later for a time may then lie at the end, never beyond it.

    :param known: the positions that are stored. A partition without one, in a stream that has any, is new: it begins
        at its first offset, whatever ``start`` says.
    """
    numbers = cluster.partitions(topic)
    committed = config.isolation == "read_committed"
    ends = cluster.ends(topic, numbers, committed=committed)
    held = {}
    if committed:
        newest = cluster.ends(topic, numbers, committed=False)
        held = {number: max(0, newest[number] - ends[number]) for number in numbers}
    beginnings = cluster.beginnings(topic, numbers)
    starts = dict(beginnings)
    if not known:
        starts = _configured_starts(cluster, config, topic, beginnings, ends)
    return Bounds(cluster.topic_id(topic), beginnings, ends, held, starts)


def _configured_starts(
    cluster: Cluster, config: KafkaConfig, topic: str, beginnings: Mapping[int, int], ends: Mapping[int, int]
) -> dict[int, int]:
    if config.start == "earliest":
        return dict(beginnings)
    if config.start == "latest":
        return dict(ends)
    time = config.start_time()
    assert time is not None
    found = cluster.offsets_at(topic, list(ends), int(time.timestamp() * 1000))
    return {number: min(offset, ends[number]) if offset >= 0 else ends[number] for number, offset in found.items()}


def check_topic(position: Position, topic_id: str | None, topic: str, partition: int) -> None:
    """Refuse a state of a topic that was deleted and created again. Raises ``StateError``."""
    if position.topic_id is not None and topic_id is not None and position.topic_id != topic_id:
        raise StateError(
            f"topic {topic!r}, partition {partition}: the state belongs to the topic with the id {position.topic_id}, "
            f"and the topic now has the id {topic_id}: it was deleted and created again. Its offsets start over, so "
            f'read it into another table (destination_table = "{topic}_2") or replace the table'
        )


def check_not_beyond(offset: int, end: int, topic: str, partition: int) -> None:
    """Refuse a state above the end of the partition. Raises ``StateError``."""
    if offset > end:
        raise StateError(
            f"topic {topic!r}, partition {partition}: the state is at offset {offset}, and the partition ends at "
            f"{end}. The topic was created again, or the broker lost messages that it had acknowledged. Reading on "
            "could skip or repeat messages: read the topic into another table "
            f'(destination_table = "{topic}_2"), or replace the table'
        )


def position_of(state: Mapping[str, Any]) -> Position | None:
    """The position in a stored state; None where there is none."""
    return Position.load(state) if state else None
