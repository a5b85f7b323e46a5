# SPDX-License-Identifier: Apache-2.0
"""The source: a Kafka cluster, and the topics that match its options."""

from __future__ import annotations

import fnmatch
import logging
import re
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from vdk.plugin.datasource_base import ConfigurationError, DataSource, DataSourceState, DataSourceStream, data_source

from .client import Cluster
from .config import KafkaConfig, check_config
from .decoding.registry import Schemas
from .offsets import Position
from .partition import RateLimit
from .stream import TopicStream

log = logging.getLogger(__name__)
_PATTERN = frozenset("*?[")
_SERVERS = re.compile(r"[\w.-]+:\d{1,5}(,[\w.-]+:\d{1,5})*", re.ASCII)


@data_source(name="kafka", config=KafkaConfig)
class KafkaSource(DataSource[KafkaConfig]):
    """A Kafka cluster: one stream for each topic."""

    url_schemes = ("kafka",)
    url_names_stream = True

    @classmethod
    def describe_state(cls, state: Mapping[str, Any]) -> str:
        return f"offset {state['offset']}"

    @classmethod
    def options_of_url(cls, url: str, *, cursor: str | None = None) -> Mapping[str, Any]:
        """``kafka://host:9092/orders`` is a topic, ``kafka://host:9092`` all topics."""
        servers, _, topic = url.partition("://")[2].partition("/")
        example = "kafka://host:9092/orders"
        if "@" in servers or "?" in url or "#" in url:
            raise ConfigurationError(
                f"a kafka:// URL has neither a user nor options; write {example}, and options such as sasl.username "
                "into the flow file: vdk datasource config kafka"
            )
        if not servers or "/" in topic:
            raise ConfigurationError(f"the kafka:// URL is not a list of brokers and one topic; write {example}")
        if cursor is not None:
            raise ConfigurationError("a topic is read by its offsets; leave --cursor out")
        return {"bootstrap_servers": servers, "topics": [unquote(topic) or "*"]}

    @classmethod
    def url_of(cls, text: str) -> str | None:
        """That of ``host:9092,other:9092``."""
        return f"kafka://{text}" if _SERVERS.fullmatch(text) else None

    @classmethod
    def option_hints(
        cls, stream: str, columns: Mapping[str, str], *, keyed: bool, cursor: str | None, unique: Collection[str] = ()
    ) -> Sequence[str]:
        return ['mode = "table"', 'start = "latest"', 'value = "avro"'] if "_kafka_offset" in columns else ()

    def __init__(self, config: KafkaConfig) -> None:
        check_config(config)
        super().__init__(config)
        self._cluster: Cluster | None = None
        self._limit = RateLimit(config.messages_per_second)
        self._schemas = Schemas(config.schema_registry, config.timeout.total_seconds())
        self._lock = threading.Lock()

    def _connected(self) -> Cluster:
        with self._lock:
            if self._cluster is None:
                self._cluster = Cluster(self.config)
            return self._cluster

    def identity(self) -> str:
        """The cluster's own id: two lists of brokers may lead to the same cluster. Sends a request."""
        return f"kafka:{self._connected().id() or self.config.bootstrap_servers}"

    def connect(self, state: DataSourceState) -> None:
        self._connected()

    def check(self) -> None:
        connected = self._cluster is not None
        try:
            for stream in self.streams():
                stream.schema()
        finally:
            if not connected:
                self.disconnect()

    def streams(self) -> Sequence[DataSourceStream]:
        cluster = self._connected()
        names = matching_topics(self.config.topics, list(cluster.topics()), self.config.bootstrap_servers)
        return [TopicStream(self.config, name, cluster, self._limit, self._schemas) for name in names]

    def committed(self, stream: str, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Set the offsets of ``group_id``, so that monitors show the lag of the landed rows."""
        if self.config.group_id is None:
            return
        offsets = {int(partition): Position.load(state).offset for partition, state in states.items() if state}
        self._connected().commit_group(self.config.group_id, stream, offsets)

    def disconnect(self) -> None:
        with self._lock:
            if self._cluster is not None:
                self._cluster.close()
                self._cluster = None


def matching_topics(patterns: Sequence[str], topics: Sequence[str], servers: str) -> list[str]:
    """The topics that the patterns match, in order. Internal topics (``__consumer_offsets``) need their full names.

    :raises ConfigurationError: a name or pattern matches no topic.
    """
    chosen: list[str] = []
    for pattern in [pattern for pattern in patterns if not pattern.startswith("!")]:
        is_pattern = bool(_PATTERN & set(pattern))
        matches = [
            topic
            for topic in topics
            if fnmatch.fnmatchcase(topic, pattern) and not (is_pattern and topic.startswith("__"))
        ]
        if not matches:
            raise ConfigurationError(
                f"topics: {pattern!r} matches no topic of the cluster {servers}; "
                "create the topic, or correct the pattern"
            )
        chosen += matches
    excluded = [pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")]
    return [
        topic for topic in dict.fromkeys(chosen) if not any(fnmatch.fnmatchcase(topic, pattern) for pattern in excluded)
    ]
