"""Columns for rows that declare none: Python values as Arrow, without losing one.

A column of one kind gets that kind's type. Integers and floats together are doubles where every
integer survives the trip. Dates and times without a zone together are timestamps, a date being its
midnight. Anything else that mixes kinds is JSON text, which keeps apart what plain text would merge
(``1`` and ``"1"``). Text stays text: what looks like a time is not made one.
"""

from __future__ import annotations

import array
import datetime as dt
import decimal
import json
import math
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from ..contract import JSON_TYPE, BadRecordError
from .numbers import MAX_DIGITS, HugeNumber, is_bounded
from .rows import scalar_text

Buffer = bytes | bytearray | memoryview

_EXACT = 2**53
"""Every integer up to here is a double (IEEE 754 binary64 has 53 bits of significand)."""

_WIDEST = 127
"""Bits of the largest integer that a decimal of 38 digits can hold, and some that it cannot."""
_DEPTH = 50
"""Levels of a value that no JSON reader refuses."""

MAX_COLUMNS = 2000
"""Columns that rows can bring by themselves. SQLite has as many, and PostgreSQL 1,600; adding columns one by one takes
DuckDB a time that is quadratic in them."""

_ONE_KIND: dict[type, pa.DataType] = {
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
    """A value that neither a column nor JSON can hold, wherever in it that is."""


def infer_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The rows as a table with every key that any row has, in the order of first appearance.

    A column whose values are all None has Arrow's null type. Raises ``UnencodableValueError``.
    """
    columns = {name: infer_array([row.get(name) for row in rows]) for name in column_names(rows)}
    if not columns:
        return pa.table({})
    return pa.table(columns)


def column_names(rows: Sequence[Mapping[str, Any]], declared: Collection[str] = ()) -> list[str]:
    """Every key of the rows that is not declared, in the order of first appearance.

    :raises UnencodableValueError: for a key that is not text, and for more than ``MAX_COLUMNS`` of them.
    """
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    found = [name for name in names if name not in declared]
    for name in found:
        _check_name(name)
    check_column_count(len(found))
    return found


def check_column_count(count: int) -> None:
    """Raises ``UnencodableValueError`` for more columns than ``MAX_COLUMNS``."""
    if count > MAX_COLUMNS:
        raise UnencodableValueError(
            f"there are {count:,} different keys, and each would become a column of the table, which has at most "
            f"{MAX_COLUMNS:,} that no schema declares. Where the keys are values (ids, dates), make rows of them, or "
            'keep the object in one column of JSON, with a transform: return {"id": row["id"], "data": row}'
        )


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise UnencodableValueError(f"a column is named {name!r:.80}: names are text")
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UnencodableValueError(
                f"a column is named {name!r:.80}: half of a surrogate pair is not a character"
            ) from None


def infer_array(values: Sequence[Any]) -> pa.Array:
    """Python values as an Arrow array of the narrowest type that loses nothing. Raises ``UnencodableValueError``."""
    kinds = set(map(type, values)) - {type(None)}
    if not kinds <= _KNOWN:
        values = [builtin(value) for value in values]
        kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pa.nulls(len(values))
    if len(kinds) == 1:
        return _of_one_kind(values, kinds.pop())
    if kinds == {int, float} and all(type(v) is not int or abs(v) <= _EXACT for v in values):
        return pa.array(values, pa.float64())
    if kinds <= {int, decimal.Decimal}:
        return _decimals(values)
    if kinds == {dt.date, dt.datetime} and not any(getattr(value, "tzinfo", None) for value in values):
        return _datetimes([_midnight(value) if type(value) is dt.date else value for value in values])
    return json_array(values)


def json_array(values: Sequence[Any]) -> pa.Array:
    """Each value as JSON text; None stays NULL.

    The texts are encoded into the array's own memory, so that a large value has no other copy.
    JSON has an escape for half a surrogate pair, but databases refuse it, and so do readers of files
    (RFC 8259, section 8.2, calls the behaviour of software that receives it unpredictable).

    :raises UnencodableValueError: for that, for what is nested too deeply, and for 2 GiB of text.
    """
    texts, ends = bytearray(), array.array("i", [0])
    try:
        for value in values:
            if value is not None:
                _ENCODER.encode_into(_finite(value), texts, -1)
            ends.append(len(texts))
    except UnicodeEncodeError:
        raise UnencodableValueError("a text contains half of a surrogate pair, which is not a character") from None
    except RecursionError:
        raise UnencodableValueError("the value is nested too deeply") from None
    except OverflowError:
        raise UnencodableValueError("the values of a column are 2 GiB of JSON or more, which is the limit") from None
    valid = None
    if any(value is None for value in values):
        valid = pa.array([value is not None for value in values], pa.bool_()).buffers()[1]
    storage = pa.Array.from_buffers(pa.string(), len(values), [valid, pa.py_buffer(ends), pa.py_buffer(texts)])
    return pa.ExtensionArray.from_storage(JSON_TYPE, storage)


def is_valid_json(text: Buffer) -> bool:
    """Whether UTF-8 text is JSON, found without a copy of it; False also for what is nested too deeply to say."""
    try:
        _VALIDATOR.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def to_json(value: Any) -> str:
    """A value as JSON text. Times are ISO 8601, bytes base64; numbers keep all their digits.

    JSON has no NaN and no infinities (RFC 8259, section 6): they are the strings Python calls them.

    :raises UnencodableValueError: for what is nested too deeply, and for a number of more than ``MAX_DIGITS`` digits.
    """
    try:
        return str(_ENCODER.encode(_finite(value)), "utf-8")
    except RecursionError:
        raise UnencodableValueError("the value is nested too deeply") from None
    except UnicodeEncodeError:  # half a surrogate pair is not UTF-8, but JSON has an escape for it
        return json.dumps(_finite(value), default=_ENCODER.enc_hook)


def any_json(value: Any) -> str:
    """JSON text of what ``to_json`` refuses, too: huge numbers are texts, and so is what is nested too deeply."""
    try:
        return to_json(value)
    except UnencodableValueError:
        return to_json(_spelled(value))


def _spelled(value: Any, depth: int = 0) -> Any:
    if isinstance(value, HugeNumber):
        return value.text
    if isinstance(value, int) and not is_bounded(value):
        return hex(value)  # in linear time, unlike a decimal text
    if isinstance(value, decimal.Decimal) and value.is_finite() and not is_bounded(value):
        return str(value)
    if isinstance(value, (Mapping, list, tuple)) and depth >= _DEPTH:
        return f"a {type(value).__name__} that is nested too deeply"
    if isinstance(value, Mapping):
        return {_spelled_key(key): _spelled(one, depth + 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelled(one, depth + 1) for one in value]
    return value


def _spelled_key(key: Any) -> str:
    return key if isinstance(key, str) else str(_spelled(key, _DEPTH))


def encodable(
    rows: Sequence[Mapping[str, Any]], primary_key: Sequence[str], stream: str, declared: Collection[str] = ()
) -> tuple[list[Mapping[str, Any]], list[tuple[Mapping[str, Any], BadRecordError]]]:
    """The rows without ``UnencodableValueError`` values, and the others with what is wrong with each."""
    good, bad = [], []
    for row in rows:
        if (found := _unwritable(row, declared)) is None:
            good.append(row)
        else:
            key = {one: row.get(one) for one in primary_key} or None
            bad.append((row, BadRecordError(found[1], stream=stream, column=found[0], key=key)))
    return good, bad


def _unwritable(row: Mapping[str, Any], declared: Collection[str]) -> tuple[str | None, str] | None:
    """The first column with such a value, and the reason."""
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
    """The same value as one of Python's own types: NumPy's scalars, enumerations and other subclasses."""
    if type(value) in _KNOWN:
        return value
    if type(value).__module__ == "numpy" and getattr(getattr(value, "dtype", None), "kind", "") in ("b", "i", "u", "f"):
        return value.item() if value.ndim == 0 else value.tolist()
    if isinstance(value, str):
        return str.__str__(value)  # str() of an enumeration's member would be its name
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    for base in (int, float):
        if isinstance(value, base):
            return base(value)
    if isinstance(value, dt.datetime) and value == value and not getattr(value, "nanosecond", 0):
        return dt.datetime.combine(value.date(), value.timetz())
    return value


def _of_one_kind(values: Sequence[Any], kind: type) -> pa.Array:
    if kind is int:
        try:
            return pa.array(values, pa.int64())
        except OverflowError:
            return _decimals(values)
    if kind is dt.time and any(v is not None and v.tzinfo is not None for v in values):
        return json_array(values)  # Arrow would drop the zone
    if (arrow := _ONE_KIND.get(kind)) is not None:
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
    """Whether a destination gets columns of this type; see ``normalize_types``."""
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
    """A decimal column wide enough for all; JSON text where 38 digits are not, or for NaN."""
    whole = scale = 0
    for value in values:
        if value is None:
            continue
        if isinstance(value, int) and value.bit_length() > _WIDEST:
            return json_array(values)
        digits = decimal.Decimal(value).as_tuple()
        if not isinstance(digits.exponent, int):
            return json_array(values)
        scale = max(scale, -digits.exponent)
        whole = max(whole, len(digits.digits) + digits.exponent)
    if whole + scale > 38:
        return json_array(values)
    # 38 digits from the start, so that later and larger values fit without a change of type
    return pa.array([None if v is None else decimal.Decimal(v) for v in values], pa.decimal128(38, scale))


def _finite(value: Any) -> Any:
    """The value with what JSON has no form for as text. What needs no change is not copied, however large it is."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (int, decimal.Decimal, HugeNumber)):
        return _bounded(value)
    if isinstance(value, float):
        return _finite(float(value))
    if isinstance(value, Mapping):
        return _finite_mapping(value)
    if isinstance(value, (list, tuple)):
        changed = {index: new for index, one in enumerate(value) if (new := _finite(one)) is not one}
        return [changed.get(index, one) for index, one in enumerate(value)] if changed else value
    return value


def _finite_mapping(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    changed = {key: new for key, one in value.items() if (new := _finite(one)) is not one}
    texts = all(isinstance(key, str) for key in value)
    if texts and not changed and type(value) is dict:
        return value
    copied = {_key_text(key): changed.get(key, one) for key, one in value.items()}
    if len(copied) < len(value):
        raise UnencodableValueError("two keys of a value are the same text")
    return copied


def _key_text(key: Any) -> str:
    return key if isinstance(key, str) else str(_bounded(key) if isinstance(key, (int, decimal.Decimal)) else key)


def _bounded(value: int | decimal.Decimal | HugeNumber) -> int | decimal.Decimal | str:
    if isinstance(value, decimal.Decimal) and not value.is_finite():
        return str(value)
    if isinstance(value, HugeNumber) or not is_bounded(value):
        raise UnencodableValueError(f"a number has more than {MAX_DIGITS:,} digits before or after its point")
    return value


_KNOWN = {type(None), *_ONE_KIND, dt.datetime, decimal.Decimal, uuid.UUID, dict, list}


def _encodable(value: Any) -> str:
    return scalar_text(value) if isinstance(value, pa.Scalar) else str(value)


_VALIDATOR = msgspec.json.Decoder(msgspec.Raw)
_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=_encodable)
