# SPDX-License-Identifier: Apache-2.0
"""The options of a Kafka source, and the checks that involve several of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base import ConfigurationError, DataSourceConfig, Duration, Secret
from vdk.plugin.datasource_base.parts import column_type

FormatName = Literal["json", "string", "bytes", "avro"]
ColumnName = Literal["topic", "timestamp_type", "key", "headers"]

OWNED = {
    "bootstrap.servers": "use bootstrap_servers",
    "group.id": "use group_id",
    "isolation.level": "use isolation",
    "auto.offset.reset": "use start and on_gap",
    "enable.auto.commit": "remove it: offsets are stored with the rows, at the destination",
    "enable.auto.offset.store": "remove it: offsets are stored with the rows, at the destination",
    "enable.partition.eof": "remove it: a run needs it to detect the end of a partition",
}
"""Options of librdkafka that this source sets itself, and what to do instead."""
SECRET_WORDS = ("password", "passphrase", "secret", "key.pem", "private", "token", "oauthbearer.config")
"""An option of librdkafka whose name contains one of these words is a secret."""
_PLACES = (".file", ".location", ".url")
"""The ends of the names of options that say where something is, which an error should show."""


class Format(DataSourceConfig):
    """How the keys or the values of messages are decoded."""

    format: Annotated[FormatName, Meta(description="json, string (UTF-8), bytes or avro")] = "json"
    column: Annotated[
        str | None, Meta(description="one column for the whole value; a JSON value can then be of any kind")
    ] = None
    columns: Annotated[
        Mapping[str, str] | list[str] | None,
        Meta(
            description="of a value: types of its fields (text, integer, double, decimal(p,s), boolean, date, "
            "timestamp, json), the others are inferred; of a key: its columns, with types if the key is JSON"
        ),
    ] = None
    schema_file: Annotated[Path | None, Meta(description="avro: the reader's schema, an .avsc file")] = None


class SchemaRegistry(DataSourceConfig):
    """The schema registry that has the schemas of Avro messages."""

    url: Annotated[str, Meta(description="address of the registry")]
    username: Annotated[str | None, Meta(description="user name")] = None
    password: Annotated[Secret | None, Meta(description="password or API secret")] = None


class KafkaConfig(DataSourceConfig):
    """The options of a Kafka source."""

    bootstrap_servers: Annotated[str, Meta(min_length=1, description='brokers to start from: "host:9092,other:9092"')]
    topics: Annotated[
        list[str],
        Meta(min_length=1, description="topics to read, one stream each: names, patterns, or !pattern to leave out"),
    ]
    options: Annotated[
        dict[str, Any],
        Meta(
            description="librdkafka's own options: security.protocol, sasl.username, sasl.password, ssl.ca.location ..."
        ),
    ] = msgspec.field(default_factory=dict)
    start: Annotated[
        str, Meta(description='start of a stream without a state: earliest, latest, or a time ("2026-01-01T00:00:00Z")')
    ] = "earliest"
    isolation: Annotated[
        Literal["read_committed", "read_uncommitted"],
        Meta(description="whether messages of open and aborted transactions are read"),
    ] = "read_committed"
    on_gap: Annotated[
        Literal["fail", "skip"],
        Meta(description="reaction to messages that were deleted before they were read; skip counts the lost offsets"),
    ] = "fail"
    value: Annotated[FormatName | Format, Meta(description="format of the values")] = "json"
    key: Annotated[FormatName | Format, Meta(description="format of the keys")] = "string"
    mode: Annotated[
        Literal["log", "table"],
        Meta(
            description="log: each message is a row; table: the last message of a key is its row, and a null value "
            "deletes it"
        ),
    ] = "log"
    columns: Annotated[
        list[ColumnName], Meta(description="additional columns of a message: topic, timestamp_type, key, headers")
    ] = msgspec.field(default_factory=list)
    schema_registry: Annotated[SchemaRegistry | None, Meta(description="for avro values and keys")] = None
    group_id: Annotated[
        str | None,
        Meta(description="consumer group that gets the landed offsets, so that monitors show lag; never read"),
    ] = None
    messages_per_second: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="limit for all partitions together")
    ] = None
    timeout: Annotated[Duration, Meta(description="longest wait for a broker")] = Duration(seconds=30)

    def __post_init__(self) -> None:
        """Turn the passwords among librdkafka's options into secrets, so that no log or error shows them."""
        for name, value in self.options.items():
            if is_secret(name) and isinstance(value, str):
                self.options[name] = Secret(value)

    @property
    def value_format(self) -> Format:
        return self.value if isinstance(self.value, Format) else Format(format=self.value)

    @property
    def key_format(self) -> Format:
        return self.key if isinstance(self.key, Format) else Format(format=self.key)

    def start_time(self) -> dt.datetime | None:
        """``start`` as a time; None for ``earliest`` and ``latest``.

        :raises ConfigurationError: ``start`` is something else.
        """
        if self.start in ("earliest", "latest"):
            return None
        time = time_of(self.start)
        if time is None:
            raise ConfigurationError(
                f"start = {self.start!r} is neither earliest, latest nor a time with a zone; write for example "
                'start = "2026-01-01T00:00:00Z"'
            )
        return time


def time_of(text: str) -> dt.datetime | None:
    """A time with a zone, in ISO 8601; None: the text is something else."""
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None


def check_config(config: KafkaConfig) -> None:
    """Reject options that contradict each other.

    :raises ConfigurationError: naming the option, and what to write instead.
    """
    config.start_time()
    for name, value in config.options.items():
        if name in OWNED:
            raise ConfigurationError(f"options: {name!r} is set by this source; {OWNED[name]}")
        if not isinstance(value, (str, int, float, bool, Secret)):
            raise ConfigurationError(
                f"options: the value of {name!r} is a {type(value).__name__}; expected text, a number or true/false"
            )
    _check_registry(config.schema_registry)
    value, key = config.value_format, config.key_format
    for option, part in (("value", value), ("key", key)):
        if part.format == "avro" and config.schema_registry is None and part.schema_file is None:
            raise ConfigurationError(
                f"{option}: avro needs a schema; add schema_registry = "
                f'{{ url = "http://registry:8081" }}, or write {option} = {{ format = "avro", schema_file = "x.avsc" }}'
            )
        if part.schema_file is not None and part.format != "avro":
            raise ConfigurationError(
                f"{option}: schema_file needs the format avro, and the format is {part.format!r}; "
                'write format = "avro", or remove schema_file'
            )
        if part.column is not None and part.columns is not None:
            raise ConfigurationError(f"{option}: column and columns exclude each other; remove one of them")
    if value.columns is not None and (value.format != "json" or not isinstance(value.columns, Mapping)):
        raise ConfigurationError(
            "value: columns needs the format json and a type for each field; "
            'write value = { format = "json", columns = { id = "integer" } }'
        )
    _check_key(key, config.mode)
    _check_names("value", value)
    _check_names("key", key)
    if value.column is not None and value.column in [*(key.columns or ()), key.column]:
        raise ConfigurationError(f"value: the column {value.column!r} is also a column of the key; rename one of them")


def _check_registry(registry: SchemaRegistry | None) -> None:
    if registry is None:
        return
    url = urlsplit(registry.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigurationError('schema_registry: url is not an HTTP address; write url = "http://registry:8081"')
    if url.username is not None or url.password is not None:
        raise ConfigurationError("schema_registry: url contains credentials; move them to username and password")


def _check_key(key: Format, mode: str) -> None:
    if mode == "log" and key != Format(format="string"):
        raise ConfigurationError(
            'key: mode = "log" does not decode keys; write mode = "table", or columns = ["key"] for the bytes of keys'
        )
    if key.columns is not None and key.format in ("string", "bytes"):
        if len(key.columns) != 1:
            raise ConfigurationError(
                f"key: a {key.format} key lands in one column, and columns has {len(key.columns)} names; "
                'write columns = ["id"]'
            )
        if isinstance(key.columns, Mapping):
            (name,) = key.columns
            raise ConfigurationError(f'key: the type of a {key.format} key is fixed; write columns = ["{name}"]')
    if isinstance(key.columns, Mapping) and key.format == "avro":
        raise ConfigurationError('key: the types of an Avro key come from its schema; write columns = ["id"]')
    if key.columns is not None and key.format == "json" and not (isinstance(key.columns, Mapping) and key.columns):
        raise ConfigurationError(
            'key: the columns of a JSON key need types; write key = { format = "json", columns = { id = "integer" } }'
        )
    if key.column is not None and key.format != "json":
        raise ConfigurationError('key: column needs the format json; write columns = ["name"]')


def _check_names(option: str, part: Format) -> None:
    for name in [*(part.columns or ()), *([part.column] if part.column is not None else [])]:
        if name.startswith("_kafka_") or not name:
            raise ConfigurationError(
                f"{option}: {name!r} cannot name a column: it is empty or begins with _kafka_; choose another name"
            )
    for text in part.columns.values() if isinstance(part.columns, Mapping) else ():
        column_type(text)


def is_secret(option: str) -> bool:
    """Whether the value of an option of librdkafka is a secret."""
    return any(word in option for word in SECRET_WORDS) and not option.endswith(_PLACES)
