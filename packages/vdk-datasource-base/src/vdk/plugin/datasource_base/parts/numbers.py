"""Numbers from outside: exact, and bounded before anything is computed with them.

Python converts any number exactly, and the cost depends on the number rather than on its text:
``int(Decimal("1e999999999"))`` is eleven characters, a billion digits, and an interpreter that answers to no
signal meanwhile. So every number that a server, a file or a state holds passes through here first.
"""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..contract.errors import shortened

MAX_DIGITS = 4300
"""Digits before the point, and after it, that a number has at most when it is written out.

CPython converts no longer integer from or to text (``sys.int_info.default_max_str_digits``), so a longer one could
land and not be read again. PostgreSQL's ``numeric`` holds more before the point, and rounds beyond 16,383 after it.
"""
_LIMIT: int = 10**MAX_DIGITS
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST = 2 * MAX_DIGITS + 40
"""Characters of a number within the bounds, with its sign, point and exponent."""
_SHOWN = 40


class HugeNumber:
    """A number beyond the bounds, as the text it was written as.

    It is deliberately not a number: nothing can freeze by computing with it. A row that holds one is a bad record.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text if len(self.text) <= _SHOWN else f"{self.text[:_SHOWN]}…"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HugeNumber) and other.text == self.text

    def __hash__(self) -> int:
        return hash((HugeNumber, self.text))


def is_bounded(number: int | decimal.Decimal) -> bool:
    """Whether a finite number has at most ``MAX_DIGITS`` digits before and after its point. Costs no conversion."""
    if isinstance(number, int):
        return bool(-_LIMIT < number < _LIMIT)
    return bool(_last_place(number) >= -MAX_DIGITS and number.adjusted() < MAX_DIGITS)


def _last_place(number: decimal.Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def whole_number(value: Any) -> int:
    """An integer, a float or a decimal without a fraction, or a text of digits, as an integer.

    :raises ValueError: for anything else, and for more than ``MAX_DIGITS`` digits.
    """
    number = value.strip() if isinstance(value, str) else value
    if isinstance(number, str):
        if len(number) <= MAX_DIGITS and _WHOLE.fullmatch(number):
            return int(number)
    elif isinstance(number, float):
        if number.is_integer():
            return int(number)
    elif isinstance(number, decimal.Decimal):
        if number.is_finite() and is_bounded(number) and number == (whole := number.to_integral_value()):
            return int(whole)
    elif isinstance(number, int) and not isinstance(number, bool) and is_bounded(number):
        return int(number)
    raise ValueError(f"{shortened(value)} is not a whole number of at most {MAX_DIGITS:,} digits")


def exact_decimal(value: Any) -> decimal.Decimal:
    """An integer, a float, a decimal, or a text such as ``-1.50`` or ``1e3`` as a decimal of the same value.

    A float is its shortest text that reads back as that float.

    :raises ValueError: for anything else: NaN, infinities, and what has too many digits among it.
    """
    if isinstance(value, float):
        value = repr(float(value))
    number: decimal.Decimal | None = None
    if isinstance(value, str):
        text = value.strip()
        number = _parsed(text) if len(text) <= _LONGEST and _NUMBER.fullmatch(text) else None
    elif isinstance(value, decimal.Decimal):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool) and is_bounded(value):
        number = decimal.Decimal(value)
    if number is None or not number.is_finite() or not is_bounded(number := _plain_zero(number)):
        raise ValueError(f"{shortened(value)} is not a number of at most {MAX_DIGITS:,} digits")
    return number


def json_integer(literal: str) -> int | HugeNumber:
    """JSON's literal of an integer, as one."""
    return int(literal) if len(literal.removeprefix("-")) <= MAX_DIGITS else HugeNumber(literal)


def json_decimal(literal: str) -> decimal.Decimal | HugeNumber:
    """JSON's literal of a number with a fraction or an exponent, as a decimal."""
    try:
        return exact_decimal(literal)
    except ValueError:
        return HugeNumber(literal)


def json_double(literal: str) -> float | HugeNumber:
    """The same as a double, where doubles reach so far."""
    number = float(literal)
    return number if math.isfinite(number) else HugeNumber(literal)


def json_exact(literal: str) -> float | decimal.Decimal | HugeNumber:
    """The same as a double where that has all the digits, else as a decimal."""
    # up to 15 significant digits always survive the way into a double and back (IEEE 754)
    if len(literal) <= 16 and "e" not in literal and "E" not in literal:
        return float(literal)
    number = json_decimal(literal)
    double = float(literal)
    return double if math.isfinite(double) and decimal.Decimal(repr(double)) == number else number


JSON_NUMBERS: Mapping[str, Callable[[str], float | decimal.Decimal | HugeNumber]] = {
    "exact": json_exact,
    "decimal": json_decimal,
    "double": json_double,
}
"""What makes values of JSON's numbers that have a fraction or an exponent, by name."""


def _parsed(text: str) -> decimal.Decimal | None:
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:  # an exponent of twenty digits
        return None


def _plain_zero(number: decimal.Decimal) -> decimal.Decimal:
    """A zero without an exponent out of bounds: ``0e999999999`` is 0."""
    return number if number or is_bounded(number) else decimal.Decimal(0)
