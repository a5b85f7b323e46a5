# SPDX-License-Identifier: Apache-2.0
"""Hashes of values that are equal wherever a value comes from: HMAC-SHA256 (RFC 2104) of a canonical text, in hex.

The canonical text does not depend on a column's type, so the number 5 has one hash as an integer, as ``5.00`` of a
decimal column, as a double, and as the text ``5``:

- text is itself, and bytes are themselves;
- a number has no exponent, and no zeros at the end of its fraction; NaN and the infinities are what Python prints;
- a boolean is ``true`` or ``false``;
- a date or time is ISO 8601, with ``T`` before the time and no zeros at the end of its fraction; one with a zone is in
  UTC and ends with ``Z``; a duration is a number of seconds;
- a list or a mapping is JSON without blanks and with sorted keys.

NULL stays NULL.
"""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import json
import math
import re
import uuid
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ...contract import JSON_TYPE, is_record_class
from .compute import pc
from .infer import any_json, builtin, to_json
from .numbers import HugeNumber, is_bounded
from .rows import scalar_text, values_of
from .types import normalize_types


class KeyedHash:
    """Hashes values with a salt, which is a secret: without it, all values of a short column can be tried."""

    def __init__(self, salt: str) -> None:
        key = salt.encode()
        key = hashlib.sha256(key).digest() if len(key) > _BLOCK else key
        # what hmac.digest computes again for each value: copies of the two states take 40 % of its time
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key.ljust(_BLOCK, b"\0")))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key.ljust(_BLOCK, b"\0")))

    def value(self, value: Any) -> str | None:
        """The hash of a Python value; None for None and ``UNSET``."""
        content = value.encode("utf-8", "surrogatepass") if type(value) is str else canonical(value)
        if content is None:
            return None
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(content)
        outer.update(inner.digest())
        return outer.hexdigest()

    def column(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """The hashes of an Arrow column, as text. Each distinct value is hashed once."""
        column = normalize_types(pa.table({"column": column})).column(0)
        if not len(column):
            return pa.chunked_array([], pa.string())
        in_json = column.type == JSON_TYPE
        if in_json:
            column = pa.chunked_array([chunk.storage for chunk in column.chunks], pa.string())
        encoded = _as_text(column).dictionary_encode().combine_chunks()
        values = values_of(pa.chunked_array([encoded.dictionary]))
        if in_json:
            values = [None if text is None else _parsed_json(text) for text in values]
        hashes = pa.array(map(self.value, values), pa.string())
        return pa.chunked_array([hashes.take(encoded.indices)])


def canonical(value: Any) -> bytes | None:
    """The text of a value that is hashed, as UTF-8; None for None and ``UNSET``."""
    value = builtin(value)
    if value is None or isinstance(value, bytes):
        return value
    return _text(value).encode("utf-8", "surrogatepass")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, decimal.Decimal)):
        return _number(value)
    if isinstance(value, dt.timedelta):
        return _number(decimal.Decimal(value // dt.timedelta(microseconds=1)).scaleb(-6))
    if isinstance(value, (dt.datetime, dt.time)):
        return _time(value)
    if isinstance(value, (dt.date, uuid.UUID)):
        return str(value)
    if isinstance(value, pa.Scalar):
        if pa.types.is_duration(value.type):
            return _number(decimal.Decimal(value.cast(pa.int64()).as_py()).scaleb(-_DIGITS[value.type.unit]))
        return _short_fraction(scalar_text(value))
    if isinstance(value, HugeNumber):
        return value.text
    nested = isinstance(value, (Mapping, list, tuple)) or is_record_class(type(value))
    return _sorted_json(any_json(value) if nested else to_json(value))


def _number(value: int | float | decimal.Decimal) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        value = decimal.Decimal(repr(value))
    if isinstance(value, int):
        return str(value) if is_bounded(value) else hex(value)
    if not value.is_finite() or not is_bounded(value):
        return str(value)
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _time(value: dt.datetime | dt.time) -> str:
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        try:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        except OverflowError:  # within a day of the years 1 and 9999
            return value.isoformat()
        return _short_fraction(f"{value.isoformat()}Z")
    return _short_fraction(value.isoformat())


def _short_fraction(text: str) -> str:
    return _FRACTION.sub(lambda match: match[1].rstrip("0").rstrip("."), text)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of times as their canonical texts, which Arrow writes faster than Python; others as they are."""
    type_ = column.type
    if not pa.types.is_temporal(type_):
        return column
    if pa.types.is_duration(type_):
        return pa.chunked_array([pa.array(map(_optional_text, chunk), pa.string()) for chunk in column.chunks])
    if pa.types.is_timestamp(type_) and type_.tz is not None:
        column = column.cast(pa.timestamp(type_.unit, "UTC"))  # whose name is Z
    texts = pc.replace_substring(column.cast(pa.string()), " ", "T")
    texts = pc.replace_substring_regex(texts, r"\.0+(Z?)$", r"\1")
    return pc.replace_substring_regex(texts, r"(\.\d*[1-9])0+(Z?)$", r"\1\2")


def _optional_text(scalar: pa.Scalar) -> str | None:
    return _text(scalar) if scalar.is_valid else None


def _parsed_json(text: str) -> Any:
    """The value of a JSON text, so that a scalar has the hash of that scalar."""
    try:
        return json.loads(text, parse_float=decimal.Decimal)
    except (ValueError, RecursionError):
        return text


def _sorted_json(text: str) -> str:
    try:
        value = json.loads(text, parse_float=decimal.Decimal)
        if isinstance(value, str):
            return value
        return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _plain(value: Any) -> Any:
    """The value with numbers as text: JSON encoders write a decimal in different ways, or not at all."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, bool)) else _number(value)


HASH = re.compile("[0-9a-f]{64}")
"""What a hash looks like."""
_BLOCK = 64
"""Bytes of a block of SHA-256."""
_FRACTION = re.compile(r"(\.\d+)")
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
