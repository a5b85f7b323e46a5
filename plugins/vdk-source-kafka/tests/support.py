"""A real broker, and the source as a test uses it."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import confluent_kafka
import duckdb
import msgspec
import pyarrow as pa
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, Message, Producer, TopicPartition

# type ignored: its types leave these names out
from confluent_kafka.admin import NewPartitions, NewTopic  # type: ignore[attr-defined]

from vdk.plugin.datasource_base import DataSourcePayload, RejectedRows
from vdk.plugin.datasource_base.contract import decode_config
from vdk.plugin.datasource_base.testing import kafka
from vdk.plugin.datasource_base.testing.kafka import SECONDS
from vdk.plugin.source_kafka.config import KafkaConfig
from vdk.plugin.source_kafka.partition import TopicPartitionReader
from vdk.plugin.source_kafka.source import KafkaSource

_names = itertools.count(1)
KILLS = int(os.environ.get("VDK_SOURCE_KAFKA_KILLS", "5"))
"""Kills at random instants: a handful in the suite, 200 in a night."""
OUTAGE = float(os.environ.get("VDK_SOURCE_KAFKA_OUTAGE", "3"))
"""Seconds that a broker is away."""


class Broker(kafka.Broker):
    """A broker, and its topics."""

    def topic(self, partitions: int = 1, name: str | None = None) -> str:
        """A new topic. Without ``retention.ms`` this broker deletes messages of old timestamps within a second."""
        name = name or f"topic-{os.getpid()}-{next(_names)}"
        config = {"max.message.bytes": "8388608", "retention.ms": "-1"}
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(SECONDS)
        return name

    def add_partitions(self, topic: str, total: int) -> None:
        self.admin.create_partitions([NewPartitions(topic, total)])[topic].result(SECONDS)

    def delete_records(self, topic: str, before: int, partition: int = 0) -> None:
        place = TopicPartition(topic, partition, before)
        for future in self.admin.delete_records([place]).values():
            future.result(SECONDS)

    def group_offsets(self, group: str, topic: str, partitions: int) -> dict[int, int]:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        request = [ConsumerGroupTopicPartitions(group, places)]
        (future,) = self.admin.list_consumer_group_offsets(request).values()
        return {place.partition: place.offset for place in future.result(SECONDS).topic_partitions}

    def producer(self, **options: Any) -> Producer:
        return Producer({"bootstrap.servers": self.address, "message.max.bytes": 8 * 2**20, **options})

    def send(self, topic: str, *values: Any, partition: int = 0, milliseconds: int = 0) -> None:
        """Messages with these values: bytes and None as they are, others as JSON; ``(key, value)`` gives a key.

        :param milliseconds: their time since 1970; 0: now.
        """
        producer = self.producer()
        for one in values:
            key, value = one if isinstance(one, tuple) else (None, one)
            producer.produce(topic, encoded(value), key, partition, on_delivery=_delivered, timestamp=milliseconds)
            producer.poll(0)
        assert producer.flush(SECONDS) == 0


def _delivered(error: KafkaError | None, message: Message) -> None:
    assert error is None, error


def encoded(value: Any) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else msgspec.json.encode(value)


def library() -> ctypes.CDLL | None:
    """The librdkafka that confluent-kafka has brought."""
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    paths = sorted(folder.glob("librdkafka-*.so*")) if folder.exists() else []
    return ctypes.CDLL(str(paths[0])) if paths else None


def send_with_header(rdkafka: ctypes.CDLL, servers: str, topic: str, value: bytes, name: bytes) -> None:
    """Send a message with a header of any name, as confluent-kafka does not. The numbers are ``rd_kafka_vtype_t``."""
    for function in ("rd_kafka_conf_new", "rd_kafka_new"):
        getattr(rdkafka, function).restype = ctypes.c_void_p
    conf = ctypes.c_void_p(rdkafka.rd_kafka_conf_new())
    rdkafka.rd_kafka_conf_set(conf, b"bootstrap.servers", servers.encode(), None, 0)
    client = ctypes.c_void_p(rdkafka.rd_kafka_new(0, conf, None, 0))
    topic_part = (ctypes.c_int(1), topic.encode())
    value_part = (ctypes.c_int(7), ctypes.c_int(2), ctypes.c_int(4), value, ctypes.c_size_t(len(value)))
    header_part = (ctypes.c_int(9), name, b"v", ctypes.c_ssize_t(1))
    assert rdkafka.rd_kafka_producev(client, *topic_part, *value_part, *header_part, ctypes.c_int(0)) == 0
    assert rdkafka.rd_kafka_flush(client, SECONDS * 1000) == 0
    rdkafka.rd_kafka_destroy(client)


def config_of(servers: str, topics: str | Sequence[str], **options: Any) -> KafkaConfig:
    """The configuration as a flow file gives it."""
    names = [topics] if isinstance(topics, str) else list(topics)
    config = {"bootstrap_servers": servers, "topics": names, "timeout": "20s", **options}
    return decode_config(config, KafkaConfig, location="test")


MakeSource = Callable[..., KafkaSource]


class Read:
    """What a reading delivered."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.deletes: list[dict[str, Any]] = []
        self.rejected: list[tuple[dict[str, Any], str]] = []
        self.counts: dict[str, int] = {}
        self.states: dict[str, Mapping[str, Any]] = {}

    def take(self, partition: str, payload: DataSourcePayload) -> None:
        if payload.state is not None:
            self.states[partition] = payload.state
        for name, value in payload.metadata.items():
            assert isinstance(value, int)
            self.counts[name] = self.counts.get(name, 0) + value
        data = payload.data
        if isinstance(data, RejectedRows):
            self.rejected += [(dict(row), str(error)) for row, error in data.rows]
        elif isinstance(data, pa.RecordBatch):
            (self.deletes if payload.kind == "deletes" else self.rows).extend(data.to_pylist())

    def values(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def read_topic(source: KafkaSource, states: Mapping[str, Mapping[str, Any]] | None = None) -> Read:
    """Read the source's only stream from ``states`` on; the result has the states after it."""
    (stream,) = source.streams()
    result = Read()
    result.states = dict(states or {})
    for part in stream.partitions(result.states.copy()):
        for payload in part.read(result.states.get(part.id, {})):
            result.take(part.id, payload)
    return result


def partition_of(source: KafkaSource) -> TopicPartitionReader:
    """The only partition of the source's only stream."""
    (stream,) = source.streams()
    (part,) = stream.partitions({})
    assert isinstance(part, TopicPartitionReader)
    return part


def read_partition(part: TopicPartitionReader, *states: Mapping[str, Any]) -> Read:
    """Read a partition from a state, or between two."""
    result = Read()
    for payload in part.read(*states):
        result.take(part.id, payload)
    return result


def offsets(states: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {partition: state["offset"] for partition, state in states.items()}


def without_facts(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows without the columns that this source adds."""
    return [{name: value for name, value in row.items() if not name.startswith("_kafka_")} for row in rows]


TARGETS = {
    "duckdb": "duckdb:///{folder}/lake.duckdb",
    "sqlite": "sqlite:///{folder}/lake.sqlite",
    "parquet": "parquet:///{folder}/lake",
}


def flow_of(broker: Broker, topic: str, folder: Path, *, target: str = "duckdb", **config: Any) -> dict[str, Any]:
    """A flow that appends a topic to a target: one of ``TARGETS``, or an address."""
    given = {"bootstrap_servers": broker.address, "topics": [topic], "timeout": "10s", **config}
    return {
        "sources": {"kafka": {"name": "kafka", "config": given}},
        "destinations": {"lake": {"method": "arrow", "target": TARGETS.get(target, target).format(folder=folder)}},
        "flows": [{"from": "kafka", "to": "lake", "batch_rows": 500, "write_mode": "append"}],
    }


def landed(topic: str, folder: Path, target: str = "duckdb") -> list[int]:
    """The ids that are in the target, in order."""
    if target == "sqlite":
        with closing(sqlite3.connect(folder / "lake.sqlite")) as database:
            return [number for (number,) in database.execute(f'SELECT id FROM "{topic}" ORDER BY id')]
    file = "" if target == "parquet" else str(folder / "lake.duckdb")
    table = f"read_parquet('{folder}/lake/{topic}/*.parquet')" if target == "parquet" else f'"{topic}"'
    with duckdb.connect(file) as lake:
        return [number for (number,) in lake.execute(f"SELECT id FROM {table} ORDER BY id").fetchall()]


def as_toml(flow: Mapping[str, Any]) -> str:
    lines = []
    for part in ("sources", "destinations"):
        for name, entry in flow[part].items():
            plain = {key: value for key, value in entry.items() if key != "config"}
            lines += [f"[{part}.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in plain.items())]
            if "config" in entry:
                lines += [f"[{part}.{name}.config]"]
                lines += [f"{key} = {json.dumps(value)}" for key, value in entry["config"].items()]
    for entry in flow["flows"]:
        lines += ["[[flows]]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
    return "\n".join(lines)
