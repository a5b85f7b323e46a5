"""The Kafka source does what every source has to do, in both modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from support import Broker, config_of
from vdk.plugin.datasource_base.testing import DataSourceConformance, LogConformance, LogEditor, PartitionConformance
from vdk.plugin.source_kafka.source import KafkaSource

Make = Callable[[], KafkaSource]
SECRETS = {"ssl.key.password": "a-password-that-nobody-guesses"}


class Case(DataSourceConformance, PartitionConformance):
    """Two topics, one of which has several partitions, one of them without messages."""

    options: ClassVar[dict[str, Any]]

    @pytest.fixture
    def topics(self, broker: Broker) -> list[str]:
        orders, customers = broker.topic(3), broker.topic()
        for partition in (0, 2):
            sent = [(f"{partition}-{number}", {"id": number, "total": number / 3}) for number in range(5)]
            broker.send(orders, *sent, partition=partition)
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


class TestLog(Case, LogConformance):
    """Each message is a row."""

    options: ClassVar[dict[str, Any]] = {"columns": ["key", "headers"]}

    @pytest.fixture
    def log(self, broker: Broker, topics: list[str]) -> LogEditor:
        return Appending(broker, topics[0])


@pytest.mark.heavy
class TestTable(Case):
    """Each key is a row."""

    options: ClassVar[dict[str, Any]] = {"mode": "table"}
