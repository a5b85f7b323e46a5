# SPDX-License-Identifier: Apache-2.0
"""Infers the types of undeclared columns: converts Python values to Arrow arrays, and to JSON text, without loss.

A column whose values have one type gets the matching Arrow type. Integers mixed with floats become doubles if a double
holds every integer exactly. Dates mixed with naive datetimes become timestamps, a date at its midnight. Any other mix
becomes JSON text, which distinguishes what plain text would not (``1`` and ``"1"``). Text is never parsed: a text that
looks like a time stays text.
"""

from __future__ import annotations

import array
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import UNSET

from ...contract import JSON_TYPE, BadRecordError, is_record_class
from .numbers import MAX_DIGITS, HugeNumber, is_bounded
from .rows import scalar_text

Bytes = bytes | bytearray | memoryview

_MAX_EXACT_INTEGER = 2**53
"""A double holds every integer up to this one (IEEE 754 binary64 has 53 bits of significand)."""

_MAX_DECIMAL_BITS = 127
"""No integer with more bits fits a decimal of 38 digits; some with as many do not, either."""
_MAX_DEPTH = 50
"""Every JSON reader accepts this many levels of nesting."""

MAX_COLUMNS = 2000
"""The largest number of undeclared columns. SQLite allows as many columns, PostgreSQL 1,600; in DuckDB, the time to add
columns one by one is quadratic in their number."""

_ROWS_AT_ONCE = 1000

_ARROW_TYPES: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
    dt.date: pa.date32(),
    dt.time: pa.time64("us"),
    dt.timedelta: pa.duration("us"),
}


class UnencodableValueError(BadRecordError):
    """A value, or a part of it, fits neither a column nor JSON."""


def infer_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Convert rows to a table with a column for every key, in the order of first appearance.

    A column whose values are all None has Arrow's null type. Raises ``UnencodableValueError``.
    """
    return pa.table({name: infer_array(values) for name, values in columns_of(rows).items()})


def columns_of(rows: Sequence[Mapping[str, Any]], declared: Collection[str] = ()) -> dict[str, list[Any]]:
    """The values of each declared column and of each other key of the rows, in the order of first appearance.

    :raises UnencodableValueError: as ``column_names`` does.
    """
    keys = rows[0].keys() if rows else ()
    if set(map(len, rows)) == {len(keys)} and set(map(type, rows)) == {dict}:
        names = [*declared, *column_names(rows[:1], declared)]
        nothing = [None] * len(rows)
        with suppress(KeyError):  # without it, all rows have the keys of the first
            return {name: list(map(itemgetter(name), rows)) if name in keys else nothing for name in names}
    names = [*declared, *column_names(rows, declared)]
    return {name: [row.get(name) for row in rows] for name in names}


def column_names(rows: Sequence[Mapping[str, Any]], declared: Collection[str] = ()) -> list[str]:
    """List the undeclared keys of the rows, in the order of first appearance.

    :raises UnencodableValueError: for a key that is not text, and for more than ``MAX_COLUMNS`` keys.
    """
    names: dict[str, None] = {}
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        # most rows have the same keys in the same order
        for keys in dict.fromkeys(map(tuple, rows[start : start + _ROWS_AT_ONCE])):
            names.update(dict.fromkeys(keys))
    undeclared = [name for name in names if name not in declared]
    for name in undeclared:
        _check_name(name)
    check_column_count(len(undeclared))
    return undeclared


def check_column_count(count: int) -> None:
    """Raise ``UnencodableValueError`` for more columns than ``MAX_COLUMNS``."""
    if count > MAX_COLUMNS:
        raise UnencodableValueError(
            f"there are {count:,} different keys, and each would become a column of the table, which has at most "
            f"{MAX_COLUMNS:,} undeclared columns. If the keys are values (ids, dates), turn them into rows, or keep "
            'the object in one JSON column with a transform: return {"id": row["id"], "data": row}'
        )


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        cause = "; csv.DictReader has the fields under None that a line has more than the header" * (name is None)
        raise UnencodableValueError(f"the column name {name!r:.80} is not a string{cause}")
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UnencodableValueError(
                f"the column name {name!r:.80} contains half of a surrogate pair, which is not a character"
            ) from None


def infer_array(values: Sequence[Any]) -> pa.Array:
    """Convert Python values to an array of the narrowest lossless type. Raises ``UnencodableValueError``."""
    kinds = set(map(type, values)) - {type(None)}
    if not kinds <= _KNOWN_TYPES:
        values = [builtin(value) for value in values]
        kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.nulls(len(values))
    if len(kinds) == 1:
        return _of_one_kind(values, kinds.pop())
    if kinds == {int, float} and all(type(v) is not int or abs(v) <= _MAX_EXACT_INTEGER for v in values):
        return pa.array(values, pa.float64())
    if kinds <= {int, decimal.Decimal}:
        return _decimals(values)
    if kinds == {dt.date, dt.datetime} and not any(getattr(value, "tzinfo", None) for value in values):
        return _datetimes([_midnight(value) if type(value) is dt.date else value for value in values])
    return json_array(values)


def json_array(values: Sequence[Any]) -> pa.Array:
    """Convert each value to JSON text; None and ``UNSET`` are NULL.

    The texts are encoded into the array's own memory, so a large value is never copied. JSON has an escape for half of
    a surrogate pair, but databases and file readers refuse it (RFC 8259, section 8.2, calls the behaviour of software
    that receives it unpredictable).

    :raises UnencodableValueError: for half of a surrogate pair, a value that is nested too deeply, and 2 GiB of text.
    """
    texts, ends = bytearray(), array.array("i", [0])
    try:
        for value in values:
            if value is not None and value is not UNSET:
                _ENCODER.encode_into(_json_value(value), texts, -1)
            ends.append(len(texts))
    except UnicodeEncodeError:
        raise UnencodableValueError("a text contains half of a surrogate pair, which is not a character") from None
    except RecursionError:
        raise UnencodableValueError("the value is nested too deeply") from None
    except OverflowError:
        raise UnencodableValueError("the values of a column are 2 GiB of JSON or more; the limit is 2 GiB") from None
    valid = None
    if any(value is None or value is UNSET for value in values):
        valid = pa.array([value is not None and value is not UNSET for value in values], pa.bool_()).buffers()[1]
    storage = pa.Array.from_buffers(pa.string(), len(values), [valid, pa.py_buffer(ends), pa.py_buffer(texts)])
    return pa.ExtensionArray.from_storage(JSON_TYPE, storage)


def is_valid_json(text: Bytes) -> bool:
    """Whether UTF-8 text is valid JSON, checked without a copy; False, too, if it is nested too deeply to check."""
    try:
        _VALIDATOR.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def to_json(value: Any) -> str:
    """Convert a value to JSON text. Times become ISO 8601, bytes base64; numbers keep all their digits.

    JSON lacks NaN and infinities (RFC 8259, section 6): they become the strings that Python prints for them.

    :raises UnencodableValueError: for a value that is nested too deeply, and for a number of more than ``MAX_DIGITS``
        digits.
    """
    try:
        return str(_ENCODER.encode(_json_value(value)), "utf-8")
    except RecursionError:
        raise UnencodableValueError("the value is nested too deeply") from None
    except UnicodeEncodeError:  # half of a surrogate pair is not UTF-8, but JSON has an escape for it
        return json.dumps(_json_value(value), default=_ENCODER.enc_hook)


def any_json(value: Any) -> str:
    """Convert any value to JSON text: what ``to_json`` refuses (huge numbers, levels too deep, objects) is a string."""
    try:
        return to_json(value)
    except UnencodableValueError:
        return to_json(_printable(value))


def _printable(value: Any, depth: int = 0) -> Any:
    if isinstance(value, HugeNumber):
        return value.text
    if isinstance(value, int) and not is_bounded(value):
        return hex(value)  # in linear time, unlike a decimal text
    if isinstance(value, decimal.Decimal) and value.is_finite() and not is_bounded(value):
        return str(value)
    if isinstance(value, (Mapping, list, tuple)) and depth >= _MAX_DEPTH:
        return f"a {type(value).__name__} that is nested too deeply"
    if isinstance(value, Mapping):
        return {_printable_key(key): _printable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(item, depth + 1) for item in value]
    if is_record_class(type(value)):
        return _printable(msgspec.to_builtins(value, builtin_types=_KEPT_TYPES, enc_hook=str), depth)
    return value if type(value) in _KNOWN_TYPES else str(value)


def _printable_key(key: Any) -> str:
    return key if isinstance(key, str) else str(_printable(key, _MAX_DEPTH))


def encodable(
    rows: Sequence[Mapping[str, Any]], primary_key: Sequence[str], stream: str, declared: Collection[str] = ()
) -> tuple[list[Mapping[str, Any]], list[tuple[Mapping[str, Any], BadRecordError]]]:
    """Split rows into those that are encodable, and the others, each with its error."""
    good, bad = [], []
    for row in rows:
        if (problem := _first_unencodable(row, declared)) is None:
            good.append(row)
        else:
            column, reason = problem
            key = {name: row.get(name) for name in primary_key} or None
            whole = row if column not in row else None  # the name itself is wrong
            bad.append((row, BadRecordError(reason, stream=stream, column=column, key=key, value=whole)))
    return good, bad


def _first_unencodable(row: Mapping[str, Any], declared: Collection[str]) -> tuple[str | None, str] | None:
    """The first column with a value that is not encodable, and the reason; None: all values are."""
    try:
        check_column_count(sum(name not in declared for name in row) if len(row) > MAX_COLUMNS else 0)
    except UnencodableValueError as error:
        return None, error.reason
    for name, value in row.items():
        try:
            _check_name(name)
            infer_array([value])
        except UnencodableValueError as error:
            return str(name), error.reason
    return None


def builtin(value: Any) -> Any:
    """Convert NumPy scalars, enumeration members and instances of other subclasses to Python's built-in types."""
    if type(value) in _KNOWN_TYPES:
        return value
    if type(value).__module__ == "numpy" and getattr(getattr(value, "dtype", None), "kind", "") in ("b", "i", "u", "f"):
        return value.item() if value.ndim == 0 else value.tolist()
    if isinstance(value, enum.Enum) and not isinstance(value, (str, int, float)):
        return builtin(value.value)
    if isinstance(value, str):
        return str.__str__(value)  # str() of an enumeration member returns its name
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    for base in (int, float):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, dt.datetime) and value == value and not getattr(value, "nanosecond", 0):
        return dt.datetime.combine(value.date(), value.timetz())
    return None if value is UNSET else value


def _of_one_kind(values: Sequence[Any], kind: type) -> pa.Array:
    if kind is int:
        try:
            return pa.array(values, pa.int64())
        except OverflowError:
            return _decimals(values)
    if kind is dt.time and any(v is not None and v.tzinfo is not None for v in values):
        return json_array(values)  # Arrow would drop the zone
    if (arrow := _ARROW_TYPES.get(kind)) is not None:
        try:
            return pa.array(values, arrow)
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            return json_array(values)
    if kind is dt.datetime:
        return _datetimes(values)
    if kind is decimal.Decimal:
        return _decimals(values)
    if issubclass(kind, pa.Scalar) and len({v.type for v in values if v is not None}) == 1:
        array = pa.array(values)
        return array if _is_normalized(array.type) else infer_array(array.to_pylist())
    if kind is uuid.UUID:
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    return json_array(values)


def _is_normalized(type_: pa.DataType) -> bool:
    """Whether ``normalize_types`` leaves a column of this type unchanged."""
    if pa.types.is_primitive(type_):
        return not pa.types.is_float16(type_)
    return pa.types.is_decimal(type_) or type_ in (pa.string(), pa.binary(), pa.null(), JSON_TYPE)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time())


def _datetimes(values: Sequence[dt.datetime | None]) -> pa.Array:
    aware = {v.tzinfo is not None for v in values if v is not None}
    if len(aware) == 2:
        return json_array(values)
    return pa.array(values, pa.timestamp("us", tz="UTC" if True in aware else None))


def _decimals(values: Sequence[decimal.Decimal | int | None]) -> pa.Array:
    """Convert numbers to a decimal column; to JSON text if 38 digits are not enough, or for NaN."""
    whole = scale = 0
    for value in values:
        if value is None:
            continue
        if isinstance(value, int) and value.bit_length() > _MAX_DECIMAL_BITS:
            return json_array(values)
        digits = decimal.Decimal(value).as_tuple()
        if not isinstance(digits.exponent, int):
            return json_array(values)
        scale = max(scale, -digits.exponent)
        whole = max(whole, len(digits.digits) + digits.exponent)
    if whole + scale > 38:
        return json_array(values)
    # always 38 digits, so that larger values of later batches fit without a change of type
    return pa.array([None if v is None else decimal.Decimal(v) for v in values], pa.decimal128(38, scale))


def _json_value(value: Any) -> Any:
    """Replace NaN, infinities and keys that are not strings by text. A value that needs no change is not copied."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (int, decimal.Decimal, HugeNumber)):
        return _bounded(value)
    if isinstance(value, float):
        return _json_value(float(value))
    if isinstance(value, Mapping):
        return _json_mapping(value)
    if isinstance(value, (set, frozenset)):
        value = list(value)
    if isinstance(value, (list, tuple)):
        changed = {index: new for index, item in enumerate(value) if (new := _json_value(item)) is not item}
        return [changed.get(index, item) for index, item in enumerate(value)] if changed else value
    if is_record_class(type(value)):  # the encoder would write its NaN as null
        return _json_value(msgspec.to_builtins(value, builtin_types=_KEPT_TYPES, enc_hook=_encodable))
    return value


def _json_mapping(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    changed = {key: new for key, item in value.items() if (new := _json_value(item)) is not item}
    texts = all(isinstance(key, str) for key in value)
    if texts and not changed and type(value) is dict:
        return value
    copied = {_key_text(key): changed.get(key, item) for key, item in value.items()}
    if len(copied) < len(value):
        raise UnencodableValueError("two keys of an object have the same text")
    return copied


def _key_text(key: Any) -> str:
    return key if isinstance(key, str) else str(_bounded(key) if isinstance(key, (int, decimal.Decimal)) else key)


def _bounded(value: int | decimal.Decimal | HugeNumber) -> int | decimal.Decimal | str:
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        return str(value)
    if isinstance(value, HugeNumber) or not is_bounded(value):
        raise UnencodableValueError(f"a number has more than {MAX_DIGITS:,} digits before or after its point")
    return value


_KEPT_TYPES = (bytes, dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID)
"""What the values of a nested record stay, of all that the encoder writes exactly."""
_READ_ONCE = (Iterator, AsyncIterator, Awaitable)
_KNOWN_TYPES = {type(None), *_ARROW_TYPES, dt.datetime, decimal.Decimal, uuid.UUID, dict, list}


def _encodable(value: Any) -> str:
    """:raises UnencodableValueError: for an object that is not a value: its text would be where it lies in memory."""
    if isinstance(value, pa.Scalar):
        return scalar_text(value)
    kind: Any = type(value)
    nameless = kind.__repr__ is object.__repr__ or callable(value) or isinstance(value, _READ_ONCE)
    if nameless and kind.__str__ is object.__str__:
        raise UnencodableValueError(f"a {kind.__name__} is an object without a text of its own; give a value or a list")
    return str(value)


_VALIDATOR = msgspec.json.Decoder(msgspec.Raw)
_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=_encodable)
