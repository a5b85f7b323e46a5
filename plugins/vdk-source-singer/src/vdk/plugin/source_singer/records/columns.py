# SPDX-License-Identifier: Apache-2.0
"""Columns from decoded values: times and dates from their texts, JSON from its own text, numbers with all digits."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Meta

from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_base.parts import JSON_NUMBERS, HugeNumber, exact_decimal

ARROW_ERRORS = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, ValueError, TypeError)
"""Arrow and Python raise one of these for a value that a type cannot hold."""
_INT64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_MAX_NUMBER = 400
"""Characters of a number; a longer one is refused before anything is computed with it."""
_MIDNIGHT = dt.time()


def python_type(arrow: pa.DataType) -> Any:
    """The type as which msgspec decodes the values of a column."""
    if pa.types.is_boolean(arrow):
        return bool
    if pa.types.is_integer(arrow):
        return _INT64
    if pa.types.is_floating(arrow):
        return float
    if pa.types.is_decimal(arrow):
        return decimal.Decimal
    return str if pa.types.is_string(arrow) or pa.types.is_temporal(arrow) else msgspec.Raw


def build(values: Sequence[Any], arrow: pa.DataType) -> pa.Array:
    """The values as a column. Raises one of ``ARROW_ERRORS`` if one of them does not fit."""
    if arrow == JSON_TYPE:
        return pa.ExtensionArray.from_storage(JSON_TYPE, pa.array(map(json_text, values), pa.string()))
    if not pa.types.is_temporal(arrow):
        return pa.array(values, arrow)
    texts = pa.array(values, pa.string())
    try:
        if not pa.types.is_time(arrow):
            return pc.cast(texts, arrow)  # checks every character, and wants a zone for each timestamp
    except pa.ArrowInvalid:
        pass
    read = _reader(arrow)
    return pa.array([None if value is None else read(value) for value in values], arrow)


def build_each(values: list[Any], arrow: pa.DataType) -> tuple[pa.Array, dict[int, str]]:
    """The same value by value: what does not fit is NULL, and has its reason, by its index."""
    reasons: dict[int, str] = {}
    for index, value in enumerate(values):
        try:
            build([value], arrow)
        except ARROW_ERRORS as error:
            reasons[index] = str(error) or type(error).__name__
            values[index] = None
    return build(values, arrow), reasons


def json_text(raw: msgspec.Raw | None) -> str | None:
    """The JSON of a value as it was sent; None for null, and for a property that is missing."""
    text = bytes(raw).decode() if raw is not None else ""
    return None if text in ("", "null") else text


def python_value(raw: msgspec.Raw) -> Any:
    """The value of an undeclared property, its numbers with all their digits. Raises ``ValueError``."""
    value = msgspec.json.decode(raw, type=msgspec.Raw)
    text = bytes(value).decode()
    if text[:1] in '"tfn[{':
        return _exact.decode(raw)
    if len(text) > _MAX_NUMBER:
        raise ValueError(f"a number with {len(text):,} characters; expected at most {_MAX_NUMBER}")
    number = int(text) if text.lstrip("-").isdigit() else JSON_NUMBERS["exact"](text)
    if isinstance(number, HugeNumber):
        raise ValueError(f"the number {number} has too many digits")
    return number


def is_exact(raw: msgspec.Raw) -> bool:
    """Whether a double has all digits of a JSON number."""
    text = bytes(raw).decode()
    if text == "null":
        return True
    if len(text) > _MAX_NUMBER:
        return False
    try:
        return exact_decimal(text) == exact_decimal(float(text))
    except ValueError:
        return False


_exact: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=JSON_NUMBERS["exact"])


def _reader(arrow: pa.DataType) -> Callable[[str], Any]:
    if pa.types.is_date(arrow):
        return _date
    if pa.types.is_time(arrow):
        return _time
    return _timestamp


def _timestamp(text: str) -> dt.datetime:
    """A time without a zone is UTC, as Singer specifies."""
    time = dt.datetime.fromisoformat(text.strip())
    _check_fraction(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC)


def _date(text: str) -> dt.date:
    """A date, or the midnight at which a time begins it."""
    time = dt.datetime.fromisoformat(text)
    if time.time() != _MIDNIGHT or time.utcoffset():
        raise ValueError(f"{text!r} is a time and not a date")
    return time.date()


def _time(text: str) -> dt.time:
    time = dt.time.fromisoformat(text)
    _check_fraction(text)
    if time.utcoffset():
        raise ValueError(f"{text!r} is not a time of UTC, and columns of times have no zone")
    return time.replace(tzinfo=None)


def _check_fraction(text: str) -> None:
    """Python drops the digits after the microseconds."""
    fraction = text.replace(",", ".").partition(".")[2]
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    if digits[6:].strip("0"):
        raise ValueError(f"{text!r} is finer than a microsecond")
