# SPDX-License-Identifier: Apache-2.0
"""Decodes Avro to columns: messages in Confluent's wire format, or bare bodies with the schema of a file.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

from __future__ import annotations

import base64
import itertools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import msgspec
import pyarrow as pa

from vdk.plugin.datasource_base import ConfigurationError
from vdk.plugin.datasource_base.contract import JSON_TYPE

from ..config import Format
from .avro_blocks import AvroBlocks, plain_fields
from .avro_schema import import_fastavro, named_types
from .base import Decoded, build_column
from .registry import Schema, Schemas

MISSES = 3
"""Chunks with bad messages after which no more blocks are tried: polars prints each failure to standard error."""
HEADER_BYTES = 5
"""A zero byte, and the schema's id in big-endian order."""
_PRIMITIVES: dict[str, pa.DataType] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
    "enum": pa.string(),
    "fixed": pa.binary(),
}
_LOGICAL: dict[tuple[str, str], pa.DataType] = {
    ("int", "date"): pa.date32(),
    ("int", "time-millis"): pa.time32("ms"),
    ("long", "time-micros"): pa.time64("us"),
    ("long", "timestamp-millis"): pa.timestamp("ms", tz="UTC"),
    ("long", "timestamp-micros"): pa.timestamp("us", tz="UTC"),
    ("long", "local-timestamp-millis"): pa.timestamp("ms"),
    ("long", "local-timestamp-micros"): pa.timestamp("us"),
    ("string", "uuid"): pa.string(),
}
_ADDRESS = re.compile(r"<_io\.BytesIO object at 0x[0-9a-f]+>")
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class _BadBytes(Exception):
    """A message that is not in the expected format."""


class AvroDecoder:
    """Decodes records to one column for each field, and anything else to one column.

    :param name: returns the column of a field, or of a whole value (None).
    :param whole: records too land in one column, as JSON.
    """

    def __init__(
        self, schemas: Schemas, part: Format, subject: str, name: Callable[[str | None], str], *, whole: bool = False
    ) -> None:
        self._schemas, self._part, self._subject, self._name, self._whole = schemas, part, subject, name, whole
        self._read = import_fastavro().schemaless_reader
        self._misses = 0
        self._use(schemas.reader(part, subject))

    def _use(self, reader: Schema) -> None:
        self._reader = reader
        named = named_types(reader.parsed)
        if _kind(reader.parsed) == "record" and not self._whole:
            self._types = {self._name(field["name"]): _arrow(field["type"], named) for field in reader.parsed["fields"]}
            self._fields = {self._name(field["name"]): field["name"] for field in reader.parsed["fields"]}
        else:
            self._types, self._fields = {self._name(None): _arrow(reader.parsed, named)}, {}
        plain = plain_fields(reader.parsed, list(self._types.values())) if self._fields else None
        self._blocks = AvroBlocks(plain, self._types) if plain is not None else None
        for name in self._fields.values():
            if name.startswith("_kafka_"):
                raise ConfigurationError(
                    f"subject {self._subject!r}: the field {name!r} begins with '_kafka_', which is reserved; "
                    "rename the field"
                )

    def fields(self) -> list[pa.Field]:
        return [pa.field(name, type_) for name, type_ in self._types.items()]

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        self._follow_registry(values)
        together = self._together(values)
        if together is not None:
            return Decoded(together)
        errors: dict[int, str] = {}
        ids: dict[int, int] = {}
        rows: list[Any] = []
        for index, value in enumerate(values):
            try:
                rows.append(None if value is None else self._message(value))
            except Exception as error:  # fastavro raises EOFError, IndexError and others
                rows.append(None)
                errors[index] = str(error) if isinstance(error, _BadBytes) else _reason(error)
                if (schema_id := _schema_id(value)) is not None and self._schemas.has_registry:
                    ids[index] = schema_id
        columns = {name: self._column(name, rows, errors) for name in self._types}
        return Decoded(columns, errors, ids)

    def _together(self, values: Sequence[bytes | None]) -> dict[str, pa.Array] | None:
        """The columns, if all messages have the reader's schema and it is plain; None: decode each by itself."""
        if self._blocks is None or self._misses >= MISSES:
            return None
        bodies = [value for value in values if value is not None]
        if self._schemas.has_registry:
            if self._reader.id is None:
                return None  # the messages were written with other schemas than the file's
            header = b"\x00" + self._reader.id.to_bytes(4, "big")
            if not all(map(operator.methodcaller("startswith", header), bodies)):
                return None
            bodies = [body[HEADER_BYTES:] for body in bodies]
        columns = self._blocks.decode(bodies) if bodies else None
        self._misses += bool(bodies) and columns is None
        if columns is None or len(bodies) == len(values):
            return columns
        numbers = itertools.count()
        indexes = pa.array([None if value is None else next(numbers) for value in values], pa.int64())
        return {name: column.take(indexes) for name, column in columns.items()}

    def _follow_registry(self, values: Sequence[bytes | None]) -> None:
        """Use a newer schema of the subject if a message was written with one, so that new fields land."""
        if not self._schemas.has_registry:
            return
        current = self._reader.id
        heads = {value[:HEADER_BYTES] for value in values if value is not None}  # few, and slicing is fast
        ids = {schema_id for head in heads if (schema_id := _schema_id(head)) is not None}
        for schema_id in ids:
            self._schemas.writer(schema_id)  # here an unreachable registry fails the read, not the message
        if current is not None and max(ids, default=current) > current:
            newest = self._schemas.reader(self._part, self._subject, newer_than=current)
            if newest.id != current:
                self._use(newest)

    def _message(self, value: bytes) -> Any:
        if not self._schemas.has_registry:
            return self._body(value, 0, self._reader.parsed, None)
        schema_id = _schema_id(value)
        if schema_id is None:
            raise _BadBytes(
                "not in Confluent's wire format: expected a zero byte and the four bytes of a schema id first"
            )
        writer = self._schemas.writer(schema_id)
        if isinstance(writer, str):
            raise _BadBytes(writer)
        same = writer.id == self._reader.id
        return self._body(value, HEADER_BYTES, writer.parsed, None if same else self._reader.parsed)

    def _body(self, value: bytes, begin: int, writer: Any, reader: Any) -> Any:
        stream = BytesIO(value)
        stream.seek(begin)
        decoded = self._read(stream, writer, reader)
        if stream.tell() != len(value):
            raise _BadBytes(f"not valid Avro: {len(value) - stream.tell()} bytes follow the value")
        return decoded

    def _column(self, name: str, rows: Sequence[Any], errors: dict[int, str]) -> pa.Array:
        field = self._fields.get(name)
        values = [None if row is None else row[field] for row in rows] if field is not None else list(rows)
        type_ = self._types[name]
        if type_ == JSON_TYPE:
            texts = [None if value is None else _ENCODER.encode(_plain(value)).decode() for value in values]
            return pa.ExtensionArray.from_storage(JSON_TYPE, pa.array(texts, pa.string()))
        if type_ == pa.string():
            values = [
                value if value is None else str(value) for value in values
            ]  # UUIDs, and decimals too long for Arrow
        return build_column(name, values, type_, errors)


def _reason(error: Exception) -> str:
    """The error of fastavro, without the memory address of its stream, which differs in each run."""
    return f"not valid Avro: {_ADDRESS.sub('the message', repr(error))}"[:500]


def _schema_id(value: bytes | None) -> int | None:
    if value is None or len(value) < HEADER_BYTES or value[0] != 0:
        return None
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "union"
    kind = schema["type"] if isinstance(schema, dict) else schema
    return _kind(kind) if isinstance(kind, (dict, list)) else str(kind)


def _arrow(schema: Any, named: Mapping[str, Any]) -> pa.DataType:
    """The column type of a schema; JSON for nested types and for unions of several types."""
    while isinstance(schema, dict) and isinstance(schema["type"], (dict, list)):
        schema = schema["type"]
    if isinstance(schema, list):
        others = [field for field in schema if _kind(field) != "null"]
        return _arrow(others[0], named) if len(others) == 1 else (JSON_TYPE if others else pa.null())
    kind = _kind(schema)
    if kind in named:
        return _arrow(named[kind], {})
    if not isinstance(schema, dict):
        return _PRIMITIVES.get(kind, JSON_TYPE)
    logical = schema.get("logicalType")
    if logical == "decimal" and kind in ("bytes", "fixed"):
        precision = int(schema["precision"])
        return pa.decimal128(precision, int(schema.get("scale", 0))) if precision <= 38 else pa.string()
    return _LOGICAL.get((kind, str(logical)), _PRIMITIVES.get(kind, JSON_TYPE))


def _plain(value: Any) -> Any:
    """A nested value with the types of JSON: bytes as Base64, and doubles that JSON lacks as text."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
