# SPDX-License-Identifier: Apache-2.0
"""Chunks of messages as payload data: rows, deletes and rejected messages."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE, Message

from vdk.plugin.datasource_base import (
    BadRecordError,
    ConfigurationError,
    DataSourcePayload,
    RejectedRows,
    StreamSchema,
)
from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_base.parts import column_type

from .config import Format, KafkaConfig
from .decoding.base import BytesDecoder, Decoded, Decoder, StringDecoder
from .decoding.json_fields import JsonDecoder, WholeJsonDecoder
from .decoding.registry import Schemas

PARTITION, OFFSET, TIMESTAMP = "_kafka_partition", "_kafka_offset", "_kafka_timestamp"
KEY, VALUE, TOPIC, HEADERS, TIMESTAMP_TYPE = (
    "_kafka_key",
    "value",
    "_kafka_topic",
    "_kafka_headers",
    "_kafka_timestamp_type",
)
Headers = list[tuple[str, bytes | None]]
UNREADABLE: Headers = []
"""Stands for headers that confluent-kafka cannot decode; compared by identity."""
NO_TIME = -1
"""The timestamp of a message that has none (Kafka's ``NO_TIMESTAMP``)."""
_TIMESTAMP_TYPE = pa.timestamp("ms", tz="UTC")


class Chunk:
    """Consecutive messages of a partition, as one list for each part of a message.

    The messages themselves are dropped at once. Python's garbage collector tracks them, and would search the objects of
    the process while thousands of them exist: a sixth of the time of reading.

    :param timestamp_types: whether the types of the timestamps are needed.
    """

    def __init__(self, *, timestamp_types: bool = False) -> None:
        self.partition = -1
        self.values: list[bytes | None] = []
        self.offsets: list[int] = []
        self.keys: list[bytes | None] = []
        self.times: list[int] = []
        """Milliseconds since 1970, or ``NO_TIME``."""
        self.time_types: list[int] | None = [] if timestamp_types else None
        self.headers: list[Headers | None] = []

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, messages: Sequence[Message]) -> None:
        """Add messages of the same partition, none of them an error."""
        # map calls the C methods of confluent-kafka without a Python frame for each message
        self.values += map(Message.value, messages)
        self.offsets += map(Message.offset, messages)  # type: ignore[arg-type]  # a message has one
        self.keys += map(Message.key, messages)
        self.times += [time for _, time in map(Message.timestamp, messages)]
        self.headers += _readable_headers(messages)
        if self.time_types is not None:
            self.time_types += [kind for kind, _ in map(Message.timestamp, messages)]
        if messages:
            self.partition = messages[0].partition()  # type: ignore[assignment]  # a message has one

    def cut(self, count: int) -> None:
        """Keep the first ``count`` messages."""
        for part in (self.values, self.offsets, self.keys, self.times, self.time_types, self.headers):
            if part is not None:
                del part[count:]

    @cached_property
    def lengths(self) -> list[int]:
        """The bytes of each value that is not null."""
        return list(map(len, filter(None, self.values)))


def _readable_headers(messages: Sequence[Message]) -> list[Headers | None]:
    """The headers of each message; ``UNREADABLE`` if the name of one is not valid UTF-8.

    Such headers are never asked for twice: confluent-kafka then returns a null pointer in a list.
    """
    headers: list[Headers | None] = []
    rest = map(Message.headers, messages)
    while True:
        try:
            headers.extend(rest)  # type: ignore[arg-type]  # of a consumer they are a list, and bytes
            return headers
        except (SystemError, UnicodeDecodeError):  # the iterator goes on behind this message
            headers.append(UNREADABLE)


class MessageColumns:
    """The columns of a topic, built from the keys, values and metadata of its messages."""

    def __init__(self, config: KafkaConfig, topic: str, schemas: Schemas) -> None:
        """Fetch the newest schemas of Avro keys and values."""
        self._config, self._topic = config, topic
        self._table = config.mode == "table"
        key = config.key_format
        self._key_columns = _key_columns(key)
        self._key: Decoder | None = None
        if self._table:
            self._key = _key_decoder(key, self._key_columns, topic, schemas)
            if key.format == "avro":
                self._key_columns = [field.name for field in self._key.fields()]
        self._value = _value_decoder(config.value_format, topic, schemas)

    def chunk(self) -> Chunk:
        """A chunk without messages yet."""
        return Chunk(timestamp_types="timestamp_type" in self._config.columns)

    def schema(self) -> StreamSchema:
        """The columns that are known before reading: the key, the declared fields and the metadata."""
        keys = self._key.fields() if self._key is not None else []
        metadata = [pa.field(PARTITION, pa.int32(), nullable=False), pa.field(OFFSET, pa.int64(), nullable=False)]
        extra = self._config.columns
        metadata += [pa.field(TIMESTAMP, _TIMESTAMP_TYPE)]
        metadata += [pa.field(TOPIC, pa.string(), nullable=False)] if "topic" in extra else []
        metadata += [pa.field(TIMESTAMP_TYPE, pa.string())] if "timestamp_type" in extra else []
        metadata += [pa.field(KEY, pa.binary())] if "key" in extra and not self._table else []
        metadata += [pa.field(HEADERS, JSON_TYPE)] if "headers" in extra else []
        values = [field for field in self._value.fields() if not (self._table and field.name in self._key_columns)]
        primary = tuple(self._key_columns) if self._table else (PARTITION, OFFSET)
        if "topic" in extra and not self._table:
            primary = (TOPIC, *primary)
        is_open = isinstance(self._value, JsonDecoder) or self._config.value_format.format == "avro"
        return StreamSchema(pa.schema([*keys, *values, *metadata]), primary_key=primary, open=is_open)

    def payloads(self, chunk: Chunk, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        """A chunk as one payload for each kind of operation; the last payload carries the state."""
        columns, errors = self._decoded(chunk)
        parts = list(self._kinds(chunk, columns, errors)) or [(None, "rows")]
        for data, kind in parts[:-1]:
            yield DataSourcePayload(data, kind=kind)
        data, kind = parts[-1]
        superseded = len(chunk) - len(errors) - sum(part.num_rows for part, _ in parts if _is_batch(part))
        counts = {"count:messages_superseded": superseded} if superseded else {}
        yield DataSourcePayload(data, counts, state, kind=kind)

    def _kinds(
        self, chunk: Chunk, columns: dict[str, pa.Array], errors: dict[int, BadMessage]
    ) -> Iterator[tuple[Any, Any]]:
        if errors:
            yield (
                RejectedRows([self._rejected(chunk, index, bad) for index, bad in sorted(errors.items())]),
                "rows",
            )
        batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
        if not self._table:
            good = _without(batch, errors) if errors else batch
            if good.num_rows:
                yield good, "rows"
            return
        rows, deletes = _last_operations(chunk.values, errors, self._identities(chunk, columns))
        if rows:
            yield batch.take(pa.array(rows, pa.int64())), "rows"
        if deletes:
            yield batch.select(self._key_columns).take(pa.array(deletes, pa.int64())), "deletes"

    def _identities(self, chunk: Chunk, columns: Mapping[str, pa.Array]) -> Sequence[Any]:
        """The primary key of each message: two texts of the same JSON key identify the same row."""
        key = self._config.key_format
        if key.columns is None and key.format != "avro":
            return chunk.keys
        return list(zip(*(columns[name].to_pylist() for name in self._key_columns), strict=True))

    def _decoded(self, chunk: Chunk) -> tuple[dict[str, pa.Array], dict[int, BadMessage]]:
        errors: dict[int, BadMessage] = {}
        columns: dict[str, pa.Array] = {}
        values = self._value.decode(chunk.values)
        if self._key is not None:
            keys = self._key.decode(chunk.keys)
            columns |= {name: keys.columns[name] for name in self._key_columns}
            _add(errors, keys, "key")
            self._check_keys(chunk, keys, values, errors)
        columns |= {name: column for name, column in values.columns.items() if name not in columns}
        _add(errors, values, "value")
        if "headers" in self._config.columns:
            for index, headers in enumerate(chunk.headers):
                if headers is UNREADABLE:
                    errors.setdefault(index, BadMessage("headers", "the name of a header is not valid UTF-8"))
        return columns | self._metadata(chunk), errors

    def _check_keys(self, chunk: Chunk, keys: Decoded, values: Decoded, errors: dict[int, BadMessage]) -> None:
        """Add an error for each message whose key is incomplete, has other fields, or contradicts its value."""
        for name in set(keys.columns) - set(self._key_columns):
            for index in pc.indices_nonzero(keys.columns[name].is_valid()).to_pylist():
                errors.setdefault(index, BadMessage("key", f"the key has the field {name!r}, which key.columns lacks"))
        for name in self._key_columns:
            column = keys.columns[name]
            if column.null_count:
                for index in pc.indices_nonzero(column.is_null()).to_pylist():
                    errors.setdefault(
                        index, BadMessage("key", f'the key has no value for {name!r}; mode = "table" needs a key')
                    )
            other = values.columns.get(name)
            if other is not None:
                for index, (key, field) in enumerate(zip(column.to_pylist(), other.to_pylist(), strict=True)):
                    if chunk.values[index] is not None and field is not None and field != key:
                        errors.setdefault(
                            index, BadMessage("value", f"the field {name!r} is {field!r}, and the key has {key!r}")
                        )

    def _metadata(self, chunk: Chunk) -> dict[str, pa.Array]:
        times = pa.array(chunk.times, pa.int64())
        if NO_TIME in chunk.times:
            times = pc.if_else(pc.equal(times, NO_TIME), None, times)
        metadata = {
            PARTITION: pa.repeat(pa.scalar(chunk.partition, pa.int32()), len(chunk)),
            OFFSET: pa.array(chunk.offsets, pa.int64()),
            TIMESTAMP: times.cast(_TIMESTAMP_TYPE),
        }
        extra = self._config.columns
        if "topic" in extra:
            metadata[TOPIC] = pa.repeat(pa.scalar(self._topic, pa.string()), len(chunk))
        if chunk.time_types is not None:
            metadata[TIMESTAMP_TYPE] = pa.array(map(_timestamp_type, chunk.time_types), pa.string())
        if "key" in extra and not self._table:
            metadata[KEY] = pa.array(chunk.keys, pa.binary())
        if "headers" in extra:
            texts = pa.array(map(_headers, chunk.headers), pa.string())
            metadata[HEADERS] = pa.ExtensionArray.from_storage(JSON_TYPE, texts)
        return metadata

    def _rejected(self, chunk: Chunk, index: int, bad: BadMessage) -> tuple[dict[str, Any], BadRecordError]:
        """The unchanged message as a row, so that no part of it is lost."""
        time, offset = chunk.times[index], chunk.offsets[index]
        row = {
            "topic": self._topic,
            "partition": chunk.partition,
            "offset": offset,
            "timestamp": time if time != NO_TIME else None,
            "key": chunk.keys[index],
            "value": chunk.values[index],
            "headers": _headers(chunk.headers[index]),
            "part": bad.part,
            "schema_id": bad.schema_id,
        }
        location = {"partition": chunk.partition, "offset": offset}
        return row, BadRecordError(f"{bad.part}: {bad.reason}", stream=self._topic, key=location)


class BadMessage(msgspec.Struct):
    """The reason why a message does not land.

    :param part: ``"key"``, ``"value"`` or ``"headers"``.
    """

    part: str
    reason: str
    schema_id: int | None = None


def _is_batch(data: Any) -> bool:
    return isinstance(data, pa.RecordBatch)


def _add(errors: dict[int, BadMessage], decoded: Decoded, part: str) -> None:
    for index, reason in decoded.errors.items():
        errors.setdefault(index, BadMessage(part, reason, decoded.schema_ids.get(index)))


def _last_operations(
    values: Sequence[bytes | None], errors: Mapping[int, Any], identities: Sequence[Any]
) -> tuple[list[int], list[int]]:
    """Indexes of the rows and of the deletes that remain when each key keeps its last message.

    Each key remains once, so rows and deletes can be delivered one after the other.
    """
    if errors:
        last = {identity: index for index, identity in enumerate(identities) if index not in errors}
    else:
        last = dict(zip(identities, range(len(values)), strict=True))
    remaining = sorted(last.values())
    rows = [index for index in remaining if values[index] is not None]
    return rows, [index for index in remaining if values[index] is None] if len(rows) < len(remaining) else []


def _without(batch: pa.RecordBatch, errors: Mapping[int, Any]) -> pa.RecordBatch:
    return batch.take(pa.array([index for index in range(batch.num_rows) if index not in errors], pa.int64()))


def _key_columns(key: Format) -> list[str]:
    if key.columns is not None:
        return list(key.columns)
    return [key.column or KEY]


def _key_decoder(key: Format, columns: list[str], topic: str, schemas: Schemas) -> Decoder:
    (first, *_) = columns
    if key.format == "string":
        return StringDecoder(first)
    if key.format == "bytes":
        return BytesDecoder(first)
    if key.format == "json":
        if key.columns is None:
            return WholeJsonDecoder(first)
        types = key.columns if isinstance(key.columns, Mapping) else {}
        return JsonDecoder({name: column_type(text) for name, text in types.items()})
    return _avro_key_decoder(key, topic, schemas)


def _avro_key_decoder(key: Format, topic: str, schemas: Schemas) -> Decoder:
    """Fields of a record as ``_kafka_key_<field>``, a scalar as ``_kafka_key``, or both as named in ``columns``."""
    from .decoding.avro import AvroDecoder

    names = list(key.columns or ())

    def name(field: str | None) -> str:
        if field is None:
            return names[0] if names else KEY
        return field if names else f"{KEY}_{field}"

    decoder = AvroDecoder(schemas, key, f"{topic}-key", name)
    fields = {field.name: field.type for field in decoder.fields()}
    if names and sorted(names) != sorted(fields):
        raise ConfigurationError(
            f"key: columns = {names} does not name the fields of the key; expected {sorted(fields)}"
        )
    for column, type_ in fields.items():
        if type_ == JSON_TYPE:
            raise ConfigurationError(f'key: {column!r} is nested, and a key needs scalars; write key = "bytes"')
    return decoder


def _value_decoder(value: Format, topic: str, schemas: Schemas) -> Decoder:
    column = value.column or VALUE
    if value.format == "string":
        return StringDecoder(column)
    if value.format == "bytes":
        return BytesDecoder(column)
    if value.format == "json":
        if value.column is not None:
            return WholeJsonDecoder(value.column)
        types = value.columns if isinstance(value.columns, Mapping) else {}
        return JsonDecoder({name: column_type(text) for name, text in types.items()})
    from .decoding.avro import AvroDecoder

    return AvroDecoder(schemas, value, f"{topic}-value", lambda field: field or column, whole=value.column is not None)


def _timestamp_type(kind: int) -> str | None:
    if kind == TIMESTAMP_NOT_AVAILABLE:
        return None
    return "create" if kind == TIMESTAMP_CREATE_TIME else "append"


def _headers(headers: Headers | None) -> str | None:
    """The headers as a JSON list, in their order, duplicates kept; bytes that are not UTF-8 as Base64."""
    return msgspec.json.encode([_header(*header) for header in headers]).decode() if headers else None


def _header(name: str, value: bytes | None) -> dict[str, Any]:
    if isinstance(value, bytes):
        try:
            return {"key": name, "value": value.decode()}
        except UnicodeDecodeError:
            return {"key": name, "base64": base64.b64encode(value).decode()}
    return {"key": name, "value": value}
