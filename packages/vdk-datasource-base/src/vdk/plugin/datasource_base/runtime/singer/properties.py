# SPDX-License-Identifier: Apache-2.0
"""Columns as Singer has them: Arrow's types as JSON schemas, and values as JSON.

Singer's specification: times as RFC 3339. The rest follows what its taps and targets do: bytes are base64, decimals are
numbers with ``multipleOf``.
"""

from __future__ import annotations

import base64
import decimal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ...contract import JSON_TYPE, BadRecordError

Property = dict[str, Any]
"""The JSON schema of a column."""

ANY_JSON = ("object", "array", "string", "number", "boolean")
_TIME_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


@dataclass(frozen=True, slots=True)
class Format:
    """How values are written for which JSON has no type.

    :param decimals: as numbers with all their digits, or as text, for targets that read numbers as doubles.
    :param nan: NaN and infinities are an error, or null.
    """

    decimals: Literal["number", "text"] = "number"
    nan: Literal["fail", "null"] = "fail"

    def property_of(self, type_: pa.DataType, *, nullable: bool = True) -> Property:
        """The schema of a column with one of the scalar types that the framework hands out."""
        schema = self._schema(type_)
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return {**schema, "type": [*names, "null"] if nullable else names}

    def _schema(self, type_: pa.DataType) -> Property:
        types = pa.types
        if type_ == JSON_TYPE:
            return {"type": list(ANY_JSON)}
        if types.is_boolean(type_):
            return {"type": "boolean"}
        if types.is_integer(type_):
            signed = types.is_signed_integer(type_)
            bits = type_.bit_width - int(signed)
            return {"type": "integer", "minimum": -(2**bits) if signed else 0, "maximum": 2**bits - 1}
        if types.is_floating(type_):
            return {"type": "number"}
        if types.is_decimal(type_):
            if self.decimals == "text":
                return {"type": "string", "format": "singer.decimal"}
            return {"type": "number", "multipleOf": decimal.Decimal(1).scaleb(-type_.scale)}
        if types.is_timestamp(type_):
            return {"type": "string", "format": "date-time"}
        for is_kind, name in (
            (types.is_date, "date"),
            (types.is_time, "time"),
            (types.is_duration, "duration"),
        ):
            if is_kind(type_):
                return {"type": "string", "format": name}
        return {"type": "string", "contentEncoding": "base64"} if types.is_binary(type_) else {"type": "string"}

    def values_of(self, column: pa.ChunkedArray, *, stream: str, name: str) -> Sequence[Any]:
        """The values as ``ENCODER`` writes them. Raises ``BadRecordError`` for one that JSON cannot hold."""
        kind = column.type
        if kind == JSON_TYPE:
            return [None if text is None else _json_line(text) for text in column.to_pylist()]
        if pa.types.is_floating(kind):
            return self._floats(column, stream, name)
        if pa.types.is_decimal(kind) and self.decimals == "text":
            return [None if value is None else f"{value:f}" for value in column.to_pylist()]
        if pa.types.is_temporal(kind):
            return _times(column, stream, name)
        if pa.types.is_binary(kind):
            return [None if value is None else base64.b64encode(value).decode() for value in column.to_pylist()]
        values: list[Any] = column.to_pylist()
        return values

    def _floats(self, column: pa.ChunkedArray, stream: str, name: str) -> Sequence[Any]:
        finite = pc.fill_null(pc.is_finite(column), True)
        if not pc.all(finite, min_count=0).as_py():
            if self.nan == "fail":
                value = column.filter(pc.invert(finite))[0].as_py()
                raise BadRecordError(
                    f"the value is {value}, and JSON has no number for it; add --nan null to write null",
                    stream=stream,
                    column=name,
                )
            column = pc.if_else(finite, column, pa.scalar(None, column.type))
        values: list[Any] = column.to_pylist()
        return values


ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=str)


def merged(old: Property, new: Property) -> Property:
    """The schema of a column whose values are of both."""
    if old == new:
        return old
    names = list(dict.fromkeys([*old["type"], *new["type"]]))
    if "number" in names and "integer" in names:
        names.remove("integer")
    names = [name for name in names if name != "null"] + (["null"] if "null" in names else [])
    shared = {key: old[key] for key in old if key not in ("type", "minimum", "maximum") and old[key] == new.get(key)}
    return {"type": names, **shared}


def _json_line(text: str) -> msgspec.Raw:
    """JSON as it is, in one line: between values a line break is white space, and in a text it is escaped."""
    if "\n" in text or "\r" in text:
        text = text.replace("\n", " ").replace("\r", " ")
    return msgspec.Raw(text.encode())


def _times(column: pa.ChunkedArray, stream: str, name: str) -> Sequence[str | None]:
    """Times as text. RFC 3339 has no time without a zone: one without is written as UTC."""
    kind = column.type
    if pa.types.is_duration(kind):
        counts = column.cast(pa.int64()).to_pylist()
        return [None if count is None else _duration(count, kind.unit) for count in counts]
    if pa.types.is_timestamp(kind):
        digits = _TIME_DIGITS[kind.unit]
        texts = column.cast(pa.timestamp(kind.unit)).cast(pa.string())
        texts = pc.binary_join_element_wise(pc.replace_substring(texts, " ", "T", max_replacements=1), "Z", "")
        length = 20 + (digits + 1 if digits else 0)
    else:
        texts = column.cast(pa.string())
        length = 10 if pa.types.is_date(kind) else 0
    if length and not pc.all(pc.equal(pc.binary_length(texts), length), min_count=0).as_py():
        text = texts.filter(pc.not_equal(pc.binary_length(texts), length))[0].as_py()
        raise BadRecordError(
            f"{text} is not a time of RFC 3339, whose years are 0000 to 9999", stream=stream, column=name
        )
    values: list[str | None] = texts.to_pylist()
    return values


def _duration(count: int, unit: str) -> str:
    """A length of time as ISO 8601 writes it, in seconds with all digits."""
    return f"{'-' if count < 0 else ''}PT{decimal.Decimal(abs(count)).scaleb(-_TIME_DIGITS[unit]):f}S"
