"""SQLite's types: what a column is declared as, which says how its values are stored.

SQLite takes any words for a type and draws the column's *affinity* from them
(https://www.sqlite.org/datatype3.html, section 3.1): it turns text that looks like a number into one, unless the words
contain TEXT or BLOB. Hence DECIMAL_TEXT: as DECIMAL, the 17th digit would be gone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import ClassVar

import pyarrow as pa

from vdk.plugin.datasource_base.parts import exact_decimal, literal

from ..sql.types import Types

CAST = "_vdk_cast"
"""The SQL function that ``_values.cast`` is."""
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
    """Texts of one type are of one length wherever that makes them sort as their values do."""

    database = "SQLite"
    plain = _FROM_ARROW
    uuid = "UUID"
    text = "TEXT"
    json = "JSON_TEXT"
    zoned = "TIMESTAMP WITH TIME ZONE"
    big = "INTEGER"
    decimal = "DECIMAL_TEXT"
    digits = 1000
    integers: ClassVar = {"INTEGER": (True, 63)}
    floats = ("REAL",)
    ladders = (
        (_INTERVAL,),
        ("DATE", "TIMESTAMP", "TIMESTAMP_NS"),
        (zoned, "TIMESTAMP_NS WITH TIME ZONE"),
        ("TIME", "TIME_NS"),
    )

    def of_time(self, type_: pa.DataType) -> str | None:
        fine = "_NS" if getattr(type_, "unit", "") == "ns" else ""
        if pa.types.is_timestamp(type_):
            return f"TIMESTAMP{fine}" + (" WITH TIME ZONE" if type_.tz is not None else "")
        if pa.types.is_time(type_):
            return f"TIME{fine}"
        return _INTERVAL if pa.types.is_duration(type_) else None

    def converted(self, expression: str, source: str, target: str) -> str:
        return expression if source == target else f"{CAST}({expression}, {literal(source)}, {literal(target)})"

    def exact_or_null(self, expression: str, source: str, target: str) -> str:
        return self.converted(expression, source, target)


Value = int | float | str | bytes
_TYPES = SqliteTypes()
_DECIMAL = re.compile(r"DECIMAL_TEXT\((\d+),(\d+)\)")


def cast(value: Value | None, source: str, target: str) -> Value | None:
    """``value`` as it is stored in a column of another type; None where it is no value of it.

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
    if any(source in ladder and target in ladder for ladder in _TYPES.ladders):
        if target == "DATE":
            day, _, time = str(value).partition(" ")
            return None if time.strip("0:.") else day
        text = f"{value!s} 00:00:00" if source == "DATE" else str(value)
        return _fraction(text, 9 if "_NS" in target else 6)
    # What is left is stored as text that looks one way only, so equal texts are equal values.
    return value if source == "TEXT" else None


def _text(value: Value, source: str) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if source == "BOOLEAN":
        return "true" if value else "false"
    # SQLite keeps -0.0 as 0.0, so that is what it is on its way in, too.
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
    """A time with so many digits behind its seconds; None where digits would be lost."""
    head, _, rest = text.partition(".")
    fraction, zone = re.fullmatch(r"(\d*)(.*)", rest).groups()  # type: ignore[union-attr]  # it fits all
    if fraction[digits:].strip("0"):
        return None
    return f"{head}.{fraction[:digits]:0<{digits}}{zone}"


def _foreign(value: Value, source: str, affinity: str) -> Value | None:
    """A value for a column that a person declared, where SQLite stores just that (section 3.4 of its page)."""
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
    """Whether a text is the one that the number in it is written as."""
    number = _number(value)
    if number is None:
        return False
    return spell(int(number) if spell is str else float(number)) == value


def _number(value: Value) -> Decimal | None:
    """The number in a value; None: there is none, or none that can be computed with."""
    try:
        return None if isinstance(value, bytes) else exact_decimal(value)
    except ValueError:
        return None
