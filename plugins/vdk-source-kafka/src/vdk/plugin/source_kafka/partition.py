# SPDX-License-Identifier: Apache-2.0
"""Reads one Kafka partition from an offset to an end that is fixed beforehand."""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import closing
from types import NoneType
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from vdk.plugin.datasource_base import BoundedPartition, ConnectionFailedError, DataSourcePayload, StateError

from .client import Cluster, FailureWatch, as_error, client_options, in_steps, options_error
from .config import KafkaConfig
from .decoding.registry import Schemas
from .messages import Chunk, MessageColumns
from .offsets import Position, check_not_beyond, check_topic, find_bounds, position_of
from .process import PerProcess

log = logging.getLogger(__name__)

MAX_MESSAGES = 10_240
"""Messages of a chunk: enough for columns to be faster than rows; a chunk of 1 kB messages is 10 MB.

A twelfth of the runtime's ``batch_rows``, so that a batch is exactly a row group of DuckDB, which is written once.
"""
MAX_OBJECTS = 500
"""Messages that exist at a time: fewer than the 700 objects after which Python's garbage collector starts."""
MAX_BYTES = 16 * 2**20
POLL_SECONDS = 0.25
"""Longest wait for the client at a time: the runtime can stop a reader only between two payloads."""


class RateLimit(PerProcess):
    """The limit of messages per second that the partitions of a source share within a process."""

    def __init__(self, per_second: int | None) -> None:
        super().__init__(per_second)
        self._per_second = per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait_seconds(self, messages: int) -> float:
        """Count messages that were read, and return how long to wait before the next ones."""
        if self._per_second is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + messages / self._per_second
            return self._free_at - now


class TopicPartitionReader(BoundedPartition):
    """Reads one partition of a topic.

    :param until: the offset where this run ends; None: requested when the reading starts.
    :param begin: the offset where a partition without a state begins; None: the oldest retained message.
    :param held_back: the number of offsets after the end that an open transaction holds back.
    """

    def __init__(
        self,
        config: KafkaConfig,
        topic: str,
        number: int,
        limit: RateLimit,
        schemas: Schemas,
        *,
        topic_id: str | None = None,
        partitions: int = 0,
        until: int | None = None,
        begin: int | None = None,
        held_back: int = 0,
    ) -> None:
        self.id = str(number)
        self._config, self._topic, self._number = config, topic, number
        self._limit, self._schemas = limit, schemas
        self._topic_id, self._partitions, self._until = topic_id, partitions, until
        self._begin, self._held_back = begin, held_back

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        position = position_of(state)
        if self._until is None:
            with closing(Cluster(self._config)) as cluster:
                bounds = find_bounds(cluster, self._config, self._topic, {self._number: position} if position else {})
            until, begin = bounds.ends[self._number], bounds.starts[self._number]
            topic_id, partitions = bounds.topic_id, len(bounds.ends)
        else:
            until, begin = self._until, self._begin or 0
            topic_id, partitions = self._topic_id, self._partitions
        if position is not None:
            check_topic(position, topic_id, self._topic, self._number)
            check_not_beyond(position.offset, until, self._topic, self._number)
            if position.offset == until:
                return state
        return Position(offset=max(until, begin), topic_id=topic_id, partitions=partitions).dump()

    def share(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> float | None:
        """Measured from where the topic begins: its offsets start far above 0 if old messages were deleted."""
        if self._begin is None:
            return None
        length = Position.load(end).offset - self._begin
        done = Position.load(state).offset - self._begin if state else 0
        return max(0.0, min(1.0, done / length)) if length > 0 else 1.0

    def count(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> int | None:
        """The offsets between them, which are at least as many as the messages."""
        position = position_of(state)
        begin = position.offset if position is not None else self._begin
        return None if begin is None else max(0, Position.load(end).offset - begin)

    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        target = Position.load(end if end is not None else self.end(state))
        position = position_of(state)
        start = (
            position.offset
            if position is not None
            else (self._begin if self._begin is not None else self._first_offset())
        )
        if position is not None:
            check_topic(position, target.topic_id, self._topic, self._number)
        if start > target.offset:
            if position is not None and end is None:
                check_not_beyond(start, target.offset, self._topic, self._number)
            elif position is not None:
                raise StateError(
                    f"topic {self._topic!r}, partition {self._number}: the end {target.offset} lies before the state "
                    f"{start}; expected an end at or after it: leave out end, or reset the state"
                )
        if start < target.offset:
            columns = MessageColumns(self._config, self._topic, self._schemas)
            reading = _Reading(self._config, self._topic, self._number, target, self._limit, columns)
            yield from reading.read(start, first=position is None)
        elif position is not None and not self._held_back:
            return
        yield DataSourcePayload(
            None,
            {"count:messages_held_back": self._held_back} if self._held_back else {},
            target.dump() if position != target else None,  # a stored state needs no commit
        )

    def _first_offset(self) -> int:
        with closing(Cluster(self._config)) as cluster:
            return cluster.beginnings(self._topic, [self._number])[self._number]


class _Reading:
    """Reads one partition with a consumer of its own, once."""

    def __init__(
        self,
        config: KafkaConfig,
        topic: str,
        number: int,
        target: Position,
        limit: RateLimit,
        columns: MessageColumns,
    ) -> None:
        self._config, self._topic, self._number, self._target, self._limit = config, topic, number, target, limit
        self._columns = columns
        self._failures = FailureWatch(f"topic {topic!r}, partition {number}")
        self._size = 1_000.0  # average bytes of the messages read so far

    def read(self, start: int, *, first: bool) -> Iterator[DataSourcePayload]:
        """Yield the chunks from ``start`` on. ``first``: no state is stored, so nothing is lost before ``start``."""
        self._next = start
        with closing(self._consumer()) as consumer:
            # before the assignment: an offset that is out of range leaves its error in the queue
            yield from self._skip_gap(consumer, first)
            consumer.assign([TopicPartition(self._topic, self._number, self._next)])
            quiet_since = time.monotonic()
            while self._next < self._target.offset:
                chunk, ended = self._chunk(consumer)
                if chunk is not None:
                    state = self._reached()
                    yield from self._columns.payloads(chunk, state)
                    yield from self._pause(len(chunk))
                if ended:
                    return
                if chunk is not None:
                    quiet_since = time.monotonic()
                    continue
                self._check_alive(quiet_since)
                yield DataSourcePayload(None)  # here the runtime can stop, or land its batch
                if self._position(consumer) >= self._target.offset:
                    return  # only transaction markers remain

    def _reached(self) -> Mapping[str, Any]:
        return msgspec.structs.replace(self._target, offset=self._next).dump()

    def _consumer(self) -> Consumer:
        options = {
            "queued.max.messages.kbytes": 65_536,
            "fetch.message.max.bytes": 4 * 2**20,
            **client_options(self._config),
            "group.id": self._config.group_id or "vdk-source-kafka",  # required by the client; nothing is committed
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": self._config.isolation,
            "error_cb": self._failures,
        }
        try:
            return Consumer(options, logger=self._failures)
        except KafkaException as error:
            raise options_error(error) from None

    def _chunk(self, consumer: Consumer) -> tuple[Chunk | None, bool]:
        """The next messages, and whether the end is reached. ``consume`` alone waits for a full chunk."""
        first = consumer.poll(POLL_SECONDS)
        if first is None:
            return None, False
        count = max(1, min(MAX_MESSAGES, int(MAX_BYTES / self._size)))
        chunk, ended = self._columns.chunk(), False
        events = [first]
        del first
        while events and not ended:
            messages, ended = self._before_end(events)
            chunk.add(messages)
            events.clear()
            messages.clear()
            if not ended and len(chunk) < count:
                events = consumer.consume(min(MAX_OBJECTS, count - len(chunk)), 0)
        if len(chunk) and chunk.offsets[-1] >= self._target.offset:  # an earlier fetch can return more
            chunk.cut(bisect_left(chunk.offsets, self._target.offset))
            ended = True
        if not len(chunk):
            return None, ended
        self._next = chunk.offsets[-1] + 1
        self._failures.clear()
        largest, size = max(chunk.lengths, default=0), sum(chunk.lengths)
        self._size = max(1.0, (self._size + size / len(chunk)) / 2, largest / 16)
        return chunk, ended or self._next >= self._target.offset

    def _before_end(self, events: list[Message]) -> tuple[list[Message], bool]:
        """The messages before an end event, and whether one came. Raises the errors of other events."""
        errors = list(map(Message.error, events))
        if set(map(type, errors)) == {NoneType}:
            return events, False
        messages: list[Message] = []
        for event, error in zip(events, errors, strict=True):
            if error is None:
                messages.append(event)
                self._next = _offset(event) + 1
            elif self._is_end(event):
                return messages, True
        return messages, False

    def _is_end(self, message: Message) -> bool:
        """Whether an event reports that the end is reached. Raises other errors."""
        error = message.error()
        assert error is not None
        if error.code() == KafkaError._PARTITION_EOF:
            return bool(_offset(message) >= self._target.offset)
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise _GapError(f"topic {self._topic!r}, partition {self._number}: offset {self._next} does not exist")
        raise as_error(error, f"topic {self._topic!r}, partition {self._number}")

    def _skip_gap(self, consumer: Consumer, first: bool) -> Iterator[DataSourcePayload]:
        """Apply ``on_gap`` if messages were deleted before they were read."""
        low, high = self._watermarks(consumer)
        check_not_beyond(self._next, high, self._topic, self._number)
        if low <= self._next:
            return
        lost = min(low, self._target.offset) - self._next
        if self._config.on_gap == "fail" and not first:
            raise StateError(
                f"topic {self._topic!r}, partition {self._number}: the next offset is {self._next}, and the oldest "
                f"retained message has the offset {low}: {lost} offsets were deleted before they were read; to "
                'continue without them, write on_gap = "skip"'
            )
        if not first:
            log.warning("topic %s, partition %d: %d offsets were lost to retention", self._topic, self._number, lost)
        self._next = min(low, self._target.offset)
        state = self._reached()
        yield DataSourcePayload(None, {} if first else {"count:offsets_lost": lost}, state)

    def _watermarks(self, consumer: Consumer) -> tuple[int, int]:
        part = TopicPartition(self._topic, self._number)
        try:
            low, high = in_steps(
                lambda seconds: consumer.get_watermark_offsets(part, timeout=seconds),
                consumer.poll, self._failures, self._config.timeout.total_seconds(),
            )  # fmt: skip
        except KafkaException as error:
            raise as_error(error.args[0], f"topic {self._topic!r}, partition {self._number}") from None
        return low, high

    def _position(self, consumer: Consumer) -> int:
        (part,) = consumer.position([TopicPartition(self._topic, self._number)])
        return int(part.offset)

    def _check_alive(self, quiet_since: float) -> None:
        refused = self._failures.refused()
        if refused is not None:
            raise refused
        seconds = self._config.timeout.total_seconds()
        if time.monotonic() - quiet_since > seconds:
            last = self._failures.last()
            raise ConnectionFailedError(
                f"topic {self._topic!r}, partition {self._number}: no message arrived for {seconds:.0f} s at "
                f"offset {self._next}, and the end is {self._target.offset}" + (f"; {last}" if last is not None else "")
            )

    def _pause(self, messages: int) -> Iterator[DataSourcePayload]:
        seconds = self._limit.wait_seconds(messages)
        while seconds > 0:
            time.sleep(min(seconds, POLL_SECONDS))
            seconds -= POLL_SECONDS
            yield DataSourcePayload(None)


def _offset(message: Message) -> int:
    """The offset of a message; -1 for an event without one, such as an error of the client."""
    offset = message.offset()
    return -1 if offset is None else offset


class _GapError(ConnectionFailedError):
    """The next offset was deleted during the read: the next attempt checks the watermarks, and applies ``on_gap``."""
