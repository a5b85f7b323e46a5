# SPDX-License-Identifier: Apache-2.0
"""SQLite's types and values: how a column is declared, and how each Arrow value is stored and converted.

SQLite accepts any words as a type and draws the column's *affinity* from them
(https://www.sqlite.org/datatype3.html, section 3.1): it turns text that looks like a number into one, unless the words
contain TEXT or BLOB. Hence DECIMAL_TEXT: as DECIMAL, the 17th digit would be lost.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import pyarrow as pa

from vdk.plugin.datasource_base.parts import exact_decimal, literal, pc

from ..sql.types import Types
from ..values import RefusedValueError, is_json, json_text

CAST = "_vdk_cast"
"""The name of ``cast`` as an SQL function."""
_INTERVAL = "INTERVAL MICROSECOND"
_FROM_ARROW: dict[pa.DataType, str] = {
    pa.bool_(): "BOOLEAN",
    **dict.fromkeys((pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()), "INTEGER"),
    pa.uint64(): "DECIMAL_TEXT(20,0)",
    pa.float32(): "REAL",
    pa.float64(): "REAL",
    pa.string(): "TEXT",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
}


class SqliteTypes(Types):
    """The texts of a type have one length wherever that makes them sort like their values."""

    database = "SQLite"
    simple_types = _FROM_ARROW
    text = "TEXT"
    json = "JSON_TEXT"
    timestamp_tz = "TIMESTAMP WITH TIME ZONE"
    bigint = "INTEGER"
    decimal = "DECIMAL_TEXT"
    max_precision = 1000
    integers: ClassVar = {"INTEGER": (True, 63)}
    floats = ("REAL",)
    widening_chains = (
        (_INTERVAL,),
        ("DATE", "TIMESTAMP", "TIMESTAMP_NS"),
        (timestamp_tz, "TIMESTAMP_NS WITH TIME ZONE"),
        ("TIME", "TIME_NS"),
    )

    def time_type(self, type_: pa.DataType) -> str | None:
        fine = "_NS" if getattr(type_, "unit", "") == "ns" else ""
        if pa.types.is_timestamp(type_):
            return f"TIMESTAMP{fine}" + (" WITH TIME ZONE" if type_.tz is not None else "")
        if pa.types.is_time(type_):
            return f"TIME{fine}"
        return _INTERVAL if pa.types.is_duration(type_) else None

    def cast_sql(self, expression: str, source: str, target: str) -> str:
        return expression if source == target else f"{CAST}({expression}, {literal(source)}, {literal(target)})"

    def exact_cast_sql(self, expression: str, source: str, target: str) -> str:
        return self.cast_sql(expression, source, target)


Value = int | float | str | bytes
_TYPES = SqliteTypes()
_DECIMAL = re.compile(r"DECIMAL_TEXT\((\d+),(\d+)\)")


def cast(value: Value | None, source: str, target: str) -> Value | None:
    """``value`` as it is stored in a column of another type; None where it does not survive.

    Every value is a value of TEXT and JSON_TEXT.
    """
    if value is None or source == target:
        return value
    if not _TYPES.is_own(target):
        return _foreign(value, source, _affinity(target))
    if (match := _DECIMAL.fullmatch(target)) is not None:
        return _decimal(value, int(match[1]), int(match[2])) if _is_number(source) or source == "TEXT" else None
    if (convert := _CONVERSIONS.get(target)) is not None:
        return convert(value, source)
    if any(source in chain and target in chain for chain in _TYPES.widening_chains):
        if target == "DATE":
            day, _, time = str(value).partition(" ")
            return None if time.strip("0:.") else day
        text = f"{value!s} 00:00:00" if source == "DATE" else str(value)
        return _fraction(text, 9 if "_NS" in target else 6)
    # Every other type is stored as text with one spelling per value, so equal texts are equal values.
    return value if source == "TEXT" else None


def _text(value: Value, source: str) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if source == "BOOLEAN":
        return "true" if value else "false"
    # SQLite stores -0.0 as 0.0.
    return repr(value + 0.0) if isinstance(value, float) else str(value)


def _json(value: Value, source: str) -> str:
    text = _text(value, source)
    number = _is_number(source) and not (isinstance(value, float) and not math.isfinite(value))
    return text if number or source == "BOOLEAN" else json.dumps(text, ensure_ascii=False)


def _integer(value: Value, source: str) -> int | None:
    number = _number(value) if _is_number(source) or (source == "TEXT" and _is_spelled(value, str)) else None
    if number is None or number != number.to_integral_value() or not -(2**63) <= number < 2**63:
        return None
    return int(number)


def _real(value: Value, source: str) -> float | None:
    number = _number(value) if _is_number(source) or (source == "TEXT" and _is_spelled(value, repr)) else None
    if number is None:
        return None
    real = float(number)
    return real if math.isfinite(real) and (Decimal(real) == number or source == "TEXT") else None


def _boolean(value: Value, source: str) -> int | None:
    return {"true": 1, "false": 0}.get(str(value)) if source == "TEXT" else None


_CONVERSIONS: dict[str, Callable[[Value, str], Value | None]] = {
    "TEXT": _text,
    "JSON_TEXT": _json,
    "INTEGER": _integer,
    "REAL": _real,
    "BOOLEAN": _boolean,
}


def _decimal(value: Value, precision: int, scale: int) -> str | None:
    number = _number(value)
    if number is None or abs(number) >= Decimal(10) ** (precision - scale):
        return None
    text = f"{number:.{scale}f}"
    return text if Decimal(text) == number else None


def _fraction(text: str, digits: int) -> str | None:
    """A time with so many digits after its seconds; None where digits would be lost."""
    head, _, rest = text.partition(".")
    fraction, zone = re.fullmatch(r"(\d*)(.*)", rest).groups()  # type: ignore[union-attr]  # it fits all
    if fraction[digits:].strip("0"):
        return None
    return f"{head}.{fraction[:digits]:0<{digits}}{zone}"


def _foreign(value: Value, source: str, affinity: str) -> Value | None:
    """A value for a column that a user declared, where SQLite stores it unchanged (section 3.4 of its page)."""
    if affinity == "TEXT":
        return value if isinstance(value, bytes) else _text(value, source)
    if affinity == "REAL":
        return _real(value, source)
    if affinity in ("INTEGER", "NUMERIC") and isinstance(value, str) and (number := _number(value)) is not None:
        # It becomes a number as soon as it looks like one.
        real = float(number)
        same = _is_number(source) and math.isfinite(real) and Decimal(repr(real)) == number
        return _integer(value, source) or real if same else None
    return value


def _affinity(declared: str) -> str:
    """The rules of https://www.sqlite.org/datatype3.html, section 3.1, in their order."""
    words = declared.upper()
    for affinity, parts in (
        ("INTEGER", ("INT",)),
        ("TEXT", ("CHAR", "CLOB", "TEXT")),
        ("BLOB", ("BLOB",)),
        ("REAL", ("REAL", "FLOA", "DOUB")),
    ):
        if any(part in words for part in parts):
            return affinity
    return "NUMERIC" if words.strip() else "BLOB"


def _is_number(source: str) -> bool:
    return source in ("INTEGER", "REAL") or _DECIMAL.fullmatch(source) is not None


def _is_spelled(value: Value, spell: Callable[[int | float], str]) -> bool:
    """Whether a text is the canonical spelling of its number."""
    number = _number(value)
    if number is None:
        return False
    return spell(int(number) if spell is str else float(number)) == value


def _number(value: Value) -> Decimal | None:
    """The number in a value; None for anything else, and for a number that is too large to compute with."""
    try:
        return None if isinstance(value, bytes) else exact_decimal(value)
    except ValueError:
        return None


_FIRST_DAY, _LAST_DAY = -719162, 2932896
"""0001-01-01 and 9999-12-31, in days since 1970: ISO 8601 has four digits for a year, and texts of them sort."""
_PER_DAY = {"us": 86_400_000_000, "ns": 86_400_000_000_000}


def encode_column(column: pa.ChunkedArray, name: str) -> Sequence[Any]:
    """The values of a column as Python objects, as SQLite stores them for the type that ``from_arrow`` returns.

    :raises RefusedValueError: for a value that SQLite cannot store.
    """
    try:
        return _encode(column, name)
    except RefusedValueError as error:
        raise RefusedValueError(str(error), name) from error
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise RefusedValueError(f"column {name!r}: {error}", name) from error


def _encode(column: pa.ChunkedArray, name: str) -> Sequence[Any]:
    type_ = column.type
    if is_json(type_):
        return _list(json_text(column))
    if pa.types.is_floating(type_):
        if pc.any(pc.is_nan(column)).as_py():
            raise RefusedValueError(
                f"column {name!r}: SQLite stores NaN as NULL: make it NULL, or text, with a transform"
            )
    elif pa.types.is_decimal(type_):
        return _decimals(column)
    elif type_ == pa.uint64():
        return _list(column.cast(pa.string()))
    elif pa.types.is_date(type_):
        _check_years(column.cast(pa.int32()), 1, name)
        return _list(column.cast(pa.string()))
    elif pa.types.is_timestamp(type_):
        return _timestamps(column, name)
    elif pa.types.is_time(type_):
        _check_day(column, name)
        return _list((column if type_.unit == "ns" else column.cast(pa.time64("us"))).cast(pa.string()))
    elif pa.types.is_duration(type_):
        return _list(column.cast(pa.duration("us")).cast(pa.int64()))
    return _list(column)


def _timestamps(column: pa.ChunkedArray, name: str) -> Sequence[Any]:
    """``2026-11-21 12:00:00.123456``, and ``+00:00`` where there is a zone: all of one length, so they sort."""
    unit = "ns" if column.type.unit == "ns" else "us"
    ticks = column.cast(pa.timestamp(unit, column.type.tz)).cast(pa.int64())
    _check_years(ticks, _PER_DAY[unit], name)
    texts = ticks.cast(pa.timestamp(unit)).cast(pa.string())
    return _list(pc.binary_join_element_wise(texts, "+00:00", "") if column.type.tz is not None else texts)


def _check_day(column: pa.ChunkedArray, name: str) -> None:
    latest = pc.max(column.cast(pa.time64("ns")).cast(pa.int64())).as_py()
    if latest is not None and latest >= _PER_DAY["ns"]:
        raise RefusedValueError(f"column {name!r}: SQLite stores times up to 23:59:59.999999: use a transform")


def _check_years(ticks: pa.ChunkedArray, per_day: int, name: str) -> None:
    bounds = pc.min_max(ticks).as_py()
    low, high = bounds["min"], bounds["max"]
    if low is not None and (low < _FIRST_DAY * per_day or high >= (_LAST_DAY + 1) * per_day):
        raise RefusedValueError(
            f"column {name!r}: a date is before the year 1 or after 9999, so its text would not sort in SQLite: "
            "convert it with a transform"
        )


def _decimals(column: pa.ChunkedArray) -> Sequence[Any]:
    texts = _list(column.cast(pa.string()))
    if any("E" in text for text in texts if text is not None):  # Arrow writes small ones as 1E-9
        return [None if value is None else f"{value:f}" for value in column.to_pylist()]
    return texts


def _list(column: pa.ChunkedArray) -> Sequence[Any]:
    values: list[Any] = column.to_pylist()
    return values
