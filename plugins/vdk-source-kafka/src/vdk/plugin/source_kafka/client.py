"""librdkafka's clients: their options, their errors as ours, and what the cluster is asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # not in its __all__

from vdk.plugin.datasource_base import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    Secret,
)

from .config import KafkaConfig

log = logging.getLogger(__name__)

_REFUSED = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
}
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # confluent-kafka annotates some of it
_EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_WRONG = {KafkaError._INVALID_ARG, KafkaError.INVALID_REQUEST, KafkaError.UNSUPPORTED_VERSION}


def client_options(config: KafkaConfig) -> dict[str, Any]:
    """What every client of this source is made with."""
    options = {name: value.reveal() if isinstance(value, Secret) else value for name, value in config.options.items()}
    return {**options, "bootstrap.servers": config.bootstrap_servers}


def as_error(error: KafkaError, what: str) -> DataSourceError:
    """librdkafka's error as the one that the runtime knows what to do with.

    :param what: what was being done, for the message.
    """
    code, text = error.code(), f"{what}: {error.str()} ({error.name()})"
    if code in _REFUSED:
        return AuthenticationError(
            f"{text}; check sasl.username, sasl.password and the ssl.* entries of options, and the ACLs of the user"
        )
    if code in _WRONG:
        return ConfigurationError(text)
    return ConnectionFailedError(text)


class FailureWatch:
    """Keeps what librdkafka reports beside the messages: refused credentials arrive in ``error_cb`` only.

    :param what: what the client does, for messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._error: KafkaError | None = None
        self._lock = threading.Lock()

    def __call__(self, error: KafkaError) -> None:
        with self._lock:
            if self._error is None or error.code() in _REFUSED:
                self._error = error

    def clear(self) -> None:
        with self._lock:
            if self._error is not None and self._error.code() not in _REFUSED:
                self._error = None

    def refused(self) -> DataSourceError | None:
        """The error where credentials were refused, which waiting does not change."""
        error = self._error
        return as_error(error, self._what) if error is not None and error.code() in _REFUSED else None

    def last(self) -> DataSourceError | None:
        return as_error(self._error, self._what) if self._error is not None else None


class Cluster:
    """What is asked of the cluster as a whole. Thread-safe; ``close`` ends its client."""

    def __init__(self, config: KafkaConfig) -> None:
        self._seconds = config.timeout.total_seconds()
        self._failures = FailureWatch(f"cluster {config.bootstrap_servers}")
        self._servers = config.bootstrap_servers
        try:
            options: dict[str, Any] = {**client_options(config), "error_cb": self._failures, "logger": log}
            self._admin: AdminClient | None = AdminClient(options)
        except KafkaException as error:
            raise ConfigurationError(f"options: {error.args[0].str()}") from None

    @property
    def _client(self) -> AdminClient:
        if self._admin is None:
            raise ConnectionFailedError(f"cluster {self._servers}: the connection is closed")
        return self._admin

    def id(self) -> str:
        """The cluster's own id; empty where the broker gives none."""
        return str(
            self._result(
                self._client.describe_cluster(request_timeout=self._seconds), "describe the cluster"
            ).cluster_id
            or ""
        )

    def topics(self) -> dict[str, list[int]]:
        """Every topic and the numbers of its partitions."""
        try:
            found = self._client.list_topics(timeout=self._seconds).topics
        except KafkaException as error:
            raise self._error(error, "list the topics") from None
        return {name: sorted(topic.partitions) for name, topic in sorted(found.items())}

    def partitions(self, topic: str) -> list[int]:
        """The numbers of a topic's partitions. Raises ``ConfigurationError`` where there is no such topic."""
        try:
            found = self._client.list_topics(topic, timeout=self._seconds).topics[topic]
        except KafkaException as error:
            raise self._error(error, f"topic {topic!r}") from None
        if found.error is not None:
            if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise ConfigurationError(f"there is no topic {topic!r} in the cluster {self._servers}")
            raise as_error(found.error, f"topic {topic!r}")
        return sorted(found.partitions)

    def topic_id(self, topic: str) -> str | None:
        """The id that a topic gets when it is created; None where the broker does not know it (before Kafka 2.8)."""
        try:
            described = self._result(
                self._client.describe_topics(TopicCollection([topic]), request_timeout=self._seconds)[topic],
                f"describe topic {topic!r}",
            )
        except ConfigurationError:
            return None
        found = str(described.topic_id) if described.topic_id is not None else ""
        return found if found.strip("A=") else None

    def ends(self, topic: str, partitions: Sequence[int], *, committed: bool) -> dict[int, int]:
        """Offsets behind the last message, or behind the last that no open transaction holds back."""
        isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        return self._offsets(topic, dict.fromkeys(partitions, _LATEST), isolation)

    def beginnings(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Offsets of the oldest messages that are kept."""
        return self._offsets(topic, dict.fromkeys(partitions, _EARLIEST), IsolationLevel.READ_UNCOMMITTED)

    def offsets_at(self, topic: str, partitions: Sequence[int], milliseconds: int) -> dict[int, int]:
        """Offsets of the first messages of a time (since 1970, UTC) or later; -1 where there is none."""
        specs = dict.fromkeys(partitions, OffsetSpec.for_timestamp(milliseconds))
        return self._offsets(topic, specs, IsolationLevel.READ_UNCOMMITTED)

    def _offsets(self, topic: str, specs: Mapping[int, OffsetSpec], isolation: IsolationLevel) -> dict[int, int]:
        if not specs:
            return {}
        asked = {TopicPartition(topic, number): spec for number, spec in specs.items()}
        futures = self._client.list_offsets(asked, isolation_level=isolation, request_timeout=self._seconds)
        return {
            place.partition: self._result(future, f"offsets of topic {topic!r}, partition {place.partition}").offset
            for place, future in futures.items()
        }

    def commit_group(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Set the offsets of a consumer group, for whoever watches its lag."""
        places = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(group, places)]
        (future,) = self._client.alter_consumer_group_offsets(request, request_timeout=self._seconds).values()
        for place in self._result(future, f"commit offsets of group {group!r}").topic_partitions:
            if place.error is not None:
                raise as_error(place.error, f"commit offsets of group {group!r}, topic {topic!r}")

    def _result(self, future: Any, what: str) -> Any:
        try:
            result = future.result(timeout=self._seconds + 5)
            self._failures.clear()
            return result
        except KafkaException as error:
            raise self._error(error, what) from None
        except TimeoutError:
            raise ConnectionFailedError(
                f"{what}: {self._servers} did not answer within {self._seconds:.0f} s"
            ) from None

    def _error(self, error: KafkaException, what: str) -> DataSourceError:
        refused = self._failures.refused()
        if refused is not None:
            return refused
        last = self._failures.last()
        mapped = as_error(error.args[0], f"{what} ({self._servers})")
        return type(mapped)(f"{mapped}; {last}") if last is not None else mapped

    def close(self) -> None:
        self._admin = None
