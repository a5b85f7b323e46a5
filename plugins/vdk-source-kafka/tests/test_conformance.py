"""The Kafka source does what every source has to do, in both modes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from support import Broker, config_of
from vdk.plugin.datasource_base.testing import (
    BadRow,
    DataSourceConformance,
    LogConformance,
    LogEditor,
    OtherPartitionsConformance,
    PartitionConformance,
    Split,
)
from vdk.plugin.source_kafka.source import KafkaSource

Make = Callable[[], KafkaSource]
TIME = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
SECRETS = {"ssl.key.password": "a-password-that-nobody-guesses"}


class Case(DataSourceConformance, PartitionConformance):
    """Two topics, one of which has several partitions, one of them without messages."""

    options: ClassVar[dict[str, Any]]

    @pytest.fixture
    def topics(self, broker: Broker) -> list[str]:
        orders, customers = broker.topic(3), broker.topic()
        for partition in (0, 2):
            sent = [(f"{partition}-{number}", {"id": number, "total": number / 3}) for number in range(5)]
            broker.send(orders, *sent, partition=partition, milliseconds=round(TIME.timestamp() * 1000))
        broker.send(customers, ("c'1", {"name": "ö", "points": 2**53 + 1}), ('c"2', {"name": None, "points": None}))
        return [orders, customers]

    @pytest.fixture
    def source(self, broker: Broker, topics: list[str]) -> Make:
        return lambda: KafkaSource(config_of(broker.address, topics, options=dict(SECRETS), **self.options))

    @pytest.fixture
    def bad_source(self, broker: Broker) -> Make:
        return lambda: KafkaSource(config_of(broker.address, "no-such-topic", **self.options))


class Appending(LogEditor):
    """Sends messages to the partitions of a topic by turns."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker, self.stream = broker, topic

    def append(self, numbers: Sequence[int]) -> None:
        for partition in range(3):
            self._broker.send(self.stream, *({"id": n} for n in numbers if n % 3 == partition), partition=partition)


class Growing(Split):
    """A topic of four partitions gets four more, with a message in one of them."""

    others = (8,)

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def restart(self) -> None:
        self.stream, self._partitions = self._broker.topic(4), 4
        for partition in range(4):
            self._broker.send(self.stream, *({"id": 10 * partition + n} for n in range(3)), partition=partition)

    def into(self, count: int) -> Make:
        if count > self._partitions:
            self._broker.add_partitions(self.stream, count)
            self._broker.send(self.stream, {"id": 100}, partition=count - 1)
            self._partitions = count
        return lambda: KafkaSource(config_of(self._broker.address, self.stream))


class TestLog(Case, LogConformance, OtherPartitionsConformance):
    """Each message is a row."""

    capabilities = ("missing_data", "bad_rows", "log", "partitions", "other_partitions")
    options: ClassVar[dict[str, Any]] = {"columns": ["key", "headers"]}

    @pytest.fixture
    def expected(self, topics: list[str]) -> dict[str, list[dict[str, Any]]]:
        return {
            topics[0]: [
                {
                    "id": number,
                    "total": number / 3,
                    "_kafka_partition": partition,
                    "_kafka_offset": number,
                    "_kafka_timestamp": TIME,
                    "_kafka_key": f"{partition}-{number}".encode(),
                    "_kafka_headers": None,
                }
                for partition in (0, 2)
                for number in range(5)
            ]
        }

    @pytest.fixture
    def empty_source(self, broker: Broker) -> Make:
        topic = broker.topic()
        return lambda: KafkaSource(config_of(broker.address, topic, **self.options))

    @pytest.fixture
    def with_bad_row(self, broker: Broker, topics: list[str], source: Make) -> BadRow:
        broker.send(topics[0], ("bad", b"{no JSON"), partition=1)
        return BadRow(source, topics[0], "'partition': 1", others=10)

    @pytest.fixture
    def split(self, broker: Broker) -> Growing:
        return Growing(broker)

    @pytest.fixture
    def log(self, broker: Broker, topics: list[str]) -> LogEditor:
        return Appending(broker, topics[0])


@pytest.mark.heavy
class TestTable(Case):
    """Each key is a row."""

    options: ClassVar[dict[str, Any]] = {"mode": "table"}
