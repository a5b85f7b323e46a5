# SPDX-License-Identifier: Apache-2.0
"""Clients of librdkafka: their options, their errors as errors of the contract, and requests to the cluster."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from typing import Any, TypeVar

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
T = TypeVar("T")

POLL_SECONDS = 0.1
"""Seconds between two polls of a client that waits: only a poll reports that credentials were refused."""
FIRST_STEP = 0.5
"""Seconds of the first attempt of a request that blocks."""
_CHECK_CREDENTIALS = "check sasl.username, sasl.password and the ssl.* entries of options, and the ACLs of the user"
_NO_ANSWER = {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}
_REFUSED_CREDENTIALS = {
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
_EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the library has no types there
_INVALID_REQUESTS = {KafkaError._INVALID_ARG, KafkaError.INVALID_REQUEST, KafkaError.UNSUPPORTED_VERSION}


def client_options(config: KafkaConfig) -> dict[str, Any]:
    """The options of every librdkafka client of this source."""
    options = {name: value.reveal() if isinstance(value, Secret) else value for name, value in config.options.items()}
    return {**options, "bootstrap.servers": config.bootstrap_servers}


def as_error(error: KafkaError, what: str) -> DataSourceError:
    """Map an error of librdkafka to the error of the contract by which the runtime decides whether to retry.

    :param what: the action that failed, for the message.
    """
    code, text = error.code(), f"{what}: {error.str()} ({error.name()})"
    if code in _REFUSED_CREDENTIALS:
        return AuthenticationError(f"{text}; {_CHECK_CREDENTIALS}")
    if code in _INVALID_REQUESTS:
        return ConfigurationError(f"{text}; check bootstrap_servers and the entries of options")
    return ConnectionFailedError(text)


def options_error(error: KafkaException) -> ConfigurationError:
    """The error for an option that librdkafka does not accept."""
    return ConfigurationError(
        f"options: {error.args[0].str()}; correct the entry: "
        "https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md lists the names and values"
    )


class FailureWatch:
    """Keeps the last failure of a client: its ``error_cb``, to which alone refused credentials go, and its ``logger``.

    :param what: the topic or cluster of the client, for the message.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._error: KafkaError | None = None
        self._line: str | None = None
        self._lock = threading.Lock()

    def __call__(self, error: KafkaError) -> None:
        with self._lock:
            if self._error is None or _is_refusal(error):
                self._error = error

    def log(self, level: int, message: str, facility: str, client: str, text: str) -> None:
        """Log a line of the client. The reason of a broken connection is often there only, and goes into the error.

        It is a detail of the log: during an outage there are several lines a second.
        """
        broken = facility == "FAIL"
        log.log(logging.DEBUG if broken else level, message, facility, client, text)
        if broken:
            with self._lock:
                self._line = text.partition("]: ")[2] or text

    def clear(self) -> None:
        with self._lock:
            self._line = None
            if self._error is not None and not _is_refusal(self._error):
                self._error = None

    def refused(self) -> DataSourceError | None:
        """The error if the credentials were refused, which no retry changes."""
        error = self._error
        if error is None or not _is_refusal(error):
            return None
        return AuthenticationError(f"{self._what}: {error.str()} ({error.name()}); {_CHECK_CREDENTIALS}")

    def last(self) -> str | None:
        """What was reported since ``clear``; a refusal of the credentials has priority."""
        with self._lock:
            error, line = self._error, self._line
        reported = [f"{error.str()} ({error.name()})"] if error is not None else []
        if line is not None and not (error is not None and line in str(error.str())):
            reported.append(line)
        if line is not None and "APIVERSION_QUERY" in line:  # the first request of a connection
            reported.append("a listener with TLS or SASL ends such a connection; check security.protocol in options")
        return "; ".join(reported) or None


def _is_refusal(error: KafkaError) -> bool:
    """Whether the broker refuses this client. A missing certificate is refused after the handshake, by a TLS alert."""
    text = error.str()
    return error.code() in _REFUSED_CREDENTIALS or ("SSL routines" in text and " alert " in text)


@contextmanager
def passing_signals() -> Iterator[None]:
    """Raise what a signal has raised within a call of confluent-kafka, which makes a ``SystemError`` of it."""
    try:
        yield
    except SystemError as error:
        if isinstance(error.__cause__, (KeyboardInterrupt, SystemExit)):
            raise error.__cause__ from None
        raise


def in_steps(
    request: Callable[[float], T], serve: Callable[[float], object], failures: FailureWatch, seconds: float
) -> T:
    """Send a request that blocks in librdkafka, with timeouts that double.

    In between its callbacks are served, which report refused credentials: otherwise they would show as a timeout.

    :param request: gets its timeout in seconds. :param serve: ``poll`` of the client.
    :raises DataSourceError: the credentials were refused. :raises KafkaException: the last error of the request.
    """
    step, end = FIRST_STEP, time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        try:
            return request(max(0.01, min(step, left)))
        except KafkaException as error:
            serve(0)
            refused = failures.refused()
            if refused is not None:
                raise refused from None
            if left <= step or error.args[0].code() not in _NO_ANSWER:
                raise
        step *= 2


class Cluster:
    """Requests to the cluster as a whole. Thread-safe; ``close`` ends its client."""

    def __init__(self, config: KafkaConfig) -> None:
        self._seconds = config.timeout.total_seconds()
        self._failures = FailureWatch(f"cluster {config.bootstrap_servers}")
        self._servers = config.bootstrap_servers
        try:
            options: dict[str, Any] = {**client_options(config), "error_cb": self._failures, "logger": self._failures}
            self._admin: AdminClient | None = AdminClient(options)
        except KafkaException as error:
            raise options_error(error) from None

    @property
    def _client(self) -> AdminClient:
        if self._admin is None:
            raise ConnectionFailedError(f"cluster {self._servers}: the connection is closed; connect the source again")
        return self._admin

    def id(self) -> str:
        """The cluster's own id; empty if the broker does not report one."""
        return str(
            self._result(
                self._client.describe_cluster(request_timeout=self._seconds), "describe the cluster"
            ).cluster_id
            or ""
        )

    def topics(self) -> dict[str, list[int]]:
        """All topics by name, each with its partition numbers."""
        topics = self._metadata("list the topics").topics
        return {name: sorted(topic.partitions) for name, topic in sorted(topics.items())}

    def _metadata(self, what: str, topic: str | None = None) -> Any:
        client = self._client
        arguments = {} if topic is None else {"topic": topic}
        try:
            return in_steps(
                lambda seconds: client.list_topics(**arguments, timeout=seconds),
                client.poll, self._failures, self._seconds,
            )  # fmt: skip
        except KafkaException as error:
            raise self._error(error, what) from None

    def partitions(self, topic: str) -> list[int]:
        """The partition numbers of a topic, at least one.

        :raises ConfigurationError: the topic does not exist. :raises ConnectionFailedError: it is being created.
        """
        metadata = self._metadata(f"topic {topic!r}", topic).topics[topic]
        if metadata.error is not None:
            if metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise ConfigurationError(
                    f"topic {topic!r} does not exist in the cluster {self._servers}; create it, or correct topics"
                )
            raise as_error(metadata.error, f"topic {topic!r}")
        if not metadata.partitions:
            raise ConnectionFailedError(f"topic {topic!r} has no partitions yet: {self._servers} is creating it")
        return sorted(metadata.partitions)

    def topic_id(self, topic: str) -> str | None:
        """The id that a topic gets at its creation; None if the broker does not report it (before Kafka 2.8)."""
        try:
            with passing_signals():
                futures = self._client.describe_topics(TopicCollection([topic]), request_timeout=self._seconds)
            described = self._result(futures[topic], f"describe topic {topic!r}")
        except ConfigurationError:
            return None
        id_ = str(described.topic_id) if described.topic_id is not None else ""
        return id_ if id_.strip("A=") else None  # all zeros in Base64: the topic has no id

    def ends(self, topic: str, partitions: Sequence[int], *, committed: bool) -> dict[int, int]:
        """Offsets after the last message; ``committed``: after the last message that no open transaction holds back."""
        isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        return self._offsets(topic, dict.fromkeys(partitions, _LATEST), isolation)

    def beginnings(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Offsets of the oldest retained messages."""
        return self._offsets(topic, dict.fromkeys(partitions, _EARLIEST), IsolationLevel.READ_UNCOMMITTED)

    def offsets_at(self, topic: str, ends: Mapping[int, int], milliseconds: int) -> dict[int, int]:
        """Offsets of the first messages at or after a time (since 1970, UTC); the end if no such message exists.

        :param ends: partition → the end of what is read of it.
        """
        time = OffsetSpec.for_timestamp(max(0, milliseconds))  # Kafka gives negative times meanings of their own
        offsets = self._offsets(topic, dict.fromkeys(ends, time), IsolationLevel.READ_UNCOMMITTED)
        return {
            number: min(offset, ends[number]) if offset >= 0 else ends[number] for number, offset in offsets.items()
        }

    def _offsets(self, topic: str, specs: Mapping[int, OffsetSpec], isolation: IsolationLevel) -> dict[int, int]:
        if not specs:
            return {}
        requests = {TopicPartition(topic, number): spec for number, spec in specs.items()}
        with passing_signals():
            futures = self._client.list_offsets(requests, isolation_level=isolation, request_timeout=self._seconds)
        return {
            part.partition: self._result(future, f"offsets of topic {topic!r}, partition {part.partition}").offset
            for part, future in futures.items()
        }

    def commit_group(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Set the offsets of a consumer group, from which monitors compute its lag."""
        parts = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(group, parts)]
        (future,) = self._client.alter_consumer_group_offsets(request, request_timeout=self._seconds).values()
        for part in self._result(future, f"commit offsets of group {group!r}").topic_partitions:
            if part.error is not None:
                raise as_error(part.error, f"commit offsets of group {group!r}, topic {topic!r}")

    def _result(self, future: Any, what: str) -> Any:
        end = time.monotonic() + self._seconds + 5
        while not wait([future], POLL_SECONDS).done:
            self._client.poll(0)
            if (refused := self._failures.refused()) is not None:
                raise refused
            if time.monotonic() > end:
                raise ConnectionFailedError(
                    f"{what}: {self._servers} did not answer within {self._seconds:.0f} s; "
                    "check bootstrap_servers, or raise timeout"
                )
        try:
            result = future.result()
            self._failures.clear()
            return result
        except KafkaException as error:
            self._client.poll(0)
            raise self._error(error, what) from None

    def _error(self, error: KafkaException, what: str) -> DataSourceError:
        refused = self._failures.refused()
        if refused is not None:
            return refused
        last = self._failures.last()
        mapped = as_error(error.args[0], f"{what} ({self._servers})")
        return type(mapped)(f"{mapped}; {last}") if last is not None else mapped

    def close(self) -> None:
        self._admin = None
