# SPDX-License-Identifier: Apache-2.0
"""Decodes many Avro bodies of one plain schema at once with polars, which an extra of this distribution installs.

The bodies become one block of an Avro container (https://avro.apache.org/docs/1.12.0/specification/#object-container-files)
in which a mark of random bytes follows each body. In the result, every row must end with the mark. A body that is too
long or too short, or that contains another row, moves the marks after it, so a valid block has one row for each
message. Any other block is decoded message by message, which names the bad ones. One invalid body is accepted: an index
of a union with null that is neither 0 nor 1 is read as 1.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MARK_BYTES = 16
_ENCODED_AS: dict[str, str] = {
    "boolean": "long",  # 0 and -1; any other byte is not a boolean
    "int": "long",  # the same encoding, and the cast detects values above 32 bits
    "long": "long",
    "float": "float",
    "double": "double",
    "bytes": "bytes",
    "string": "string",
}
"""The types of a plain schema, and the types that polars decodes them as."""
_FIRST, _LAST = dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)
"""The range of Python's times, which limits decoding message by message in the same way."""


@cache
def import_polars() -> Any:
    """The library; None if it is not installed."""
    try:
        import polars
    except ImportError:
        return None
    return polars


class AvroBlocks:
    """Decodes bodies of one schema, a record of plain fields.

    :param fields: the schemas of the record's fields, as ``plain_fields`` returns them.
    :param types: the types of the columns by name, in the order of the fields.
    """

    def __init__(self, fields: Sequence[Any], types: Mapping[str, pa.DataType]) -> None:
        self._types = types
        self._mark = os.urandom(MARK_BYTES)
        self._separator = _varint(MARK_BYTES) + self._mark
        schema = {
            "type": "record",
            "name": "row",
            "fields": [
                *({"name": f"f{number}", "type": field} for number, field in enumerate(fields)),
                {"name": "mark", "type": "bytes"},
            ],
        }
        self._sync = os.urandom(16)
        self._head = b"Obj\x01" + _varint(2) + _text(b"avro.schema") + _text(json.dumps(schema).encode())
        self._head += _text(b"avro.codec") + _text(b"null") + b"\x00" + self._sync

    def decode(self, bodies: Sequence[bytes]) -> dict[str, pa.Array] | None:
        """The columns; None if each body must be decoded by itself."""
        polars = import_polars()
        data = self._separator.join(bodies) + self._separator
        container = self._head + _varint(len(bodies)) + _varint(len(data)) + data + self._sync
        try:
            table = polars.read_avro(io.BytesIO(container)).to_arrow()
            marks = table.column("mark")
            if table.num_rows != len(bodies) or not pc.all(pc.equal(marks, pa.scalar(self._mark, marks.type))).as_py():
                return None
            return {
                name: _cast(table.column(f"f{number}").combine_chunks(), type_)
                for number, (name, type_) in enumerate(self._types.items())
            }
        except (
            polars.exceptions.PolarsError,
            polars.exceptions.PanicException,
            pa.ArrowException,
            OSError,
            _RangeError,
        ):
            return None


class _RangeError(Exception):
    """A time outside the range of Python's types, or an invalid boolean."""


def _cast(column: pa.Array, type_: pa.DataType) -> pa.Array:
    """The column with its type. Raises ``pa.ArrowException`` or ``_RangeError`` for a value outside of the type."""
    if pa.types.is_boolean(type_):
        if not pc.all(pc.is_in(column, pa.array([0, -1, None], pa.int64()))).as_py():
            raise _RangeError
        return pc.not_equal(column, 0)
    if pa.types.is_date32(type_):
        column = column.cast(pa.int32())
    column = column.cast(type_)
    if pa.types.is_date32(type_) or pa.types.is_timestamp(type_):
        times = column.cast(pa.timestamp("s" if pa.types.is_date32(type_) else type_.unit))
        ends = pc.min_max(times)
        if ends["min"].is_valid and not (
            ends["min"].value >= pa.scalar(_FIRST, times.type).value
            and ends["max"].value <= pa.scalar(_LAST, times.type).value
        ):
            raise _RangeError
    return column


def plain_fields(schema: Any, types: Sequence[pa.DataType]) -> list[Any] | None:
    """The schemas that a record's fields are decoded with; None if a field is not plain.

    :param types: the types of their columns.
    """
    if import_polars() is None or not isinstance(schema, dict) or not schema.get("fields"):
        return None
    encodings = []
    for field, type_ in zip(schema["fields"], types, strict=True):
        encoding = _encoding(field["type"], type_)
        if encoding is None:
            return None
        encodings.append(encoding)
    return encodings


def _encoding(schema: Any, type_: pa.DataType) -> Any:
    if isinstance(schema, list):
        if len(schema) != 2 or schema[0] != "null":
            return None
        inner = _encoding(schema[1], type_)
        return ["null", inner] if isinstance(inner, str) else None
    if isinstance(schema, dict):
        logical = schema.get("logicalType")
        if logical is not None and not (pa.types.is_date32(type_) or pa.types.is_timestamp(type_)):
            return None
        return _encoding(schema["type"], type_) if isinstance(schema["type"], str) else None
    return _ENCODED_AS.get(schema)


def _text(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _varint(number: int) -> bytes:
    """The Avro encoding of a non-negative long: zigzag, seven bits per byte."""
    number <<= 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
