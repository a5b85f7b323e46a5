"""Several brokers, leaders that move and errors of brokers: librdkafka's mock cluster."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from types import SimpleNamespace

import msgspec
import pytest
from confluent_kafka import KafkaError, Producer

from support import MakeSource, config_of, library, read_topic
from vdk.plugin.datasource_base import AuthenticationError, ConnectionFailedError
from vdk.plugin.source_kafka.client import Cluster

FETCH, LIST_OFFSETS = 1, 2
"""Keys of Kafka's requests (https://kafka.apache.org/protocol#protocol_api_keys)."""
MESSAGES = 600


class MockCluster:
    """Three brokers within this process."""

    def __init__(self, rdkafka: ctypes.CDLL) -> None:
        self._rdkafka = rdkafka
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
            getattr(rdkafka, name).restype = ctypes.c_void_p
        rdkafka.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        client = rdkafka.rd_kafka_new(0, ctypes.c_void_p(rdkafka.rd_kafka_conf_new()), None, 0)
        self._client = ctypes.c_void_p(client)
        self._cluster = ctypes.c_void_p(rdkafka.rd_kafka_mock_cluster_new(self._client, 3))
        self.address = rdkafka.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def fail_topic(self, name: str, code: int) -> None:
        """The metadata of the topic get this error; it has no partitions then."""
        self._rdkafka.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), code)

    def topic(self, name: str) -> str:
        assert self._rdkafka.rd_kafka_mock_topic_create(self._cluster, name.encode(), 1, 3) == 0
        producer = Producer({"bootstrap.servers": self.address})
        for number in range(MESSAGES):
            producer.produce(name, msgspec.json.encode({"id": number}))
        assert producer.flush(30) == 0
        return name

    def move_leader(self, topic: str, broker: int) -> None:
        self._rdkafka.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), 0, broker)

    def fail(self, request: int, *codes: int) -> None:
        """The next requests of this kind get these errors as answers."""
        errors = (ctypes.c_int * len(codes))(*codes)
        self._rdkafka.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(codes)), errors
        )

    def close(self) -> None:
        self._rdkafka.rd_kafka_mock_cluster_destroy(self._cluster)
        self._rdkafka.rd_kafka_destroy(self._client)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockCluster]:
    rdkafka = library()
    if rdkafka is None:
        pytest.skip("this confluent-kafka has no librdkafka of its own")
    monkeypatch.setattr(Cluster, "topic_id", lambda *_: None)  # the mock does not answer DescribeTopicPartitions
    cluster = MockCluster(rdkafka)
    yield cluster
    cluster.close()


def test_a_leader_that_moves_between_two_chunks_is_followed(cluster: MockCluster, source: MakeSource) -> None:
    """Every message once, in order."""
    topic = cluster.topic("moving")
    made = source(topic, servers=cluster.address, isolation="read_uncommitted", messages_per_second=1_000)
    (stream,) = made.streams()
    ids: list[int] = []
    for part in stream.partitions({}):
        for number, payload in enumerate(part.read({})):
            cluster.move_leader(topic, 1 + number % 3)
            if payload.data is not None:
                ids += payload.data.column("id").to_pylist()  # type: ignore[union-attr]  # the payloads are batches
    assert ids == list(range(MESSAGES))


@pytest.mark.parametrize("code", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.KAFKA_STORAGE_ERROR])
def test_errors_of_a_broker_that_pass_are_waited_out(cluster: MockCluster, source: MakeSource, code: int) -> None:
    """librdkafka asks again; nothing is lost or doubled."""
    topic = cluster.topic("passing")
    cluster.fail(FETCH, code, code)
    result = read_topic(source(topic, servers=cluster.address, isolation="read_uncommitted"))
    assert result.values("id") == list(range(MESSAGES))


def test_other_errors_of_a_broker_are_left_to_the_runtime(cluster: MockCluster, source: MakeSource) -> None:
    """It reads again from the last stored offset."""
    topic = cluster.topic("failing")
    cluster.fail(FETCH, KafkaError.REQUEST_TIMED_OUT)
    made = source(topic, servers=cluster.address, isolation="read_uncommitted")
    with pytest.raises(ConnectionFailedError, match="Request timed out"):
        read_topic(made)
    assert read_topic(made).values("id") == list(range(MESSAGES))


def test_ends_that_no_broker_gives_are_asked_for_again_by_the_runtime(cluster: MockCluster, source: MakeSource) -> None:
    """The error is one that it retries."""
    topic = cluster.topic("away")
    cluster.fail(LIST_OFFSETS, *[KafkaError.UNKNOWN] * 50)
    with pytest.raises(ConnectionFailedError, match=r"offsets of topic 'away', partition 0"):
        read_topic(source(topic, servers=cluster.address, isolation="read_uncommitted", timeout="5s"))


def test_a_topic_that_is_being_created_is_waited_for(cluster: MockCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no partitions yet: as a topic without messages it would succeed, and nothing would have been read."""
    topic = cluster.topic("created")
    client = Cluster(config_of(cluster.address, topic))
    cluster.fail_topic(topic, KafkaError.LEADER_NOT_AVAILABLE)
    with pytest.raises(ConnectionFailedError, match=r"topic 'created': .*LEADER_NOT_AVAILABLE"):
        client.partitions(topic)
    cluster.fail_topic(topic, KafkaError.NO_ERROR)
    assert client.partitions(topic) == [0]
    # brokers that report no error either
    without = SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions={})})
    monkeypatch.setattr(client, "_metadata", lambda *_: without)
    with pytest.raises(ConnectionFailedError, match="topic 'created' has no partitions yet"):
        client.partitions(topic)


def test_a_time_that_no_broker_finds_is_not_the_end(cluster: MockCluster) -> None:
    """An error of one partition is an error of the lookup: as "no messages" it would leave them out."""
    topic = cluster.topic("lookup")
    client = Cluster(config_of(cluster.address, topic))
    cluster.fail(LIST_OFFSETS, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(AuthenticationError, match=r"offsets of topic 'lookup', partition 0"):
        client.offsets_at(topic, {0: MESSAGES}, 0)


def test_a_topic_that_may_not_be_read_is_an_error_at_once(cluster: MockCluster, source: MakeSource) -> None:
    """Trying again does not help."""
    topic = cluster.topic("refused")
    cluster.fail(FETCH, *[KafkaError.TOPIC_AUTHORIZATION_FAILED] * 50)
    with pytest.raises(AuthenticationError, match="the ACLs of the user"):
        read_topic(source(topic, servers=cluster.address, isolation="read_uncommitted"))
