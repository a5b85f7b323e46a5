# SPDX-License-Identifier: Apache-2.0
"""Numbers from outside: converted exactly, and bounded before any arithmetic.

Python converts any number exactly, at a cost that depends on the number rather than on its text: the eleven
characters of ``int(Decimal("1e999999999"))`` make a billion digits, during which the interpreter handles no signals.
So every number of a server, a file or a state is converted by this module.
"""

from __future__ import annotations

import decimal
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ...contract.errors import shortened

MAX_DIGITS = 4300
"""The most digits before the point, and after it, that a number may have.

CPython converts no longer integers from or to text (``sys.int_info.default_max_str_digits``), so a longer integer could
land and not be read again. PostgreSQL's ``numeric`` holds more before the point, and rounds after 16,383 digits of the
fraction.
"""
_LIMIT: int = 10**MAX_DIGITS
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_CHARACTERS = 2 * MAX_DIGITS + 40
"""The most characters of a number within the bounds, with its sign, point and exponent."""
_SHOWN = 40


class HugeNumber:
    """A number beyond the bounds, as its text.

    It is deliberately not a number, so that no arithmetic with it can freeze. A row that holds one is a bad record.
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
    """Whether a finite number has at most ``MAX_DIGITS`` digits before and after its point, without converting it."""
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

    A float is converted by its shortest text that reads back as the same float.

    :raises ValueError: for anything else, such as NaN, infinities, and numbers with too many digits.
    """
    if isinstance(value, float):
        value = repr(float(value))
    number: decimal.Decimal | None = None
    if isinstance(value, str):
        text = value.strip()
        number = _parsed(text) if len(text) <= _MAX_CHARACTERS and _NUMBER.fullmatch(text) else None
    elif isinstance(value, decimal.Decimal):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool) and is_bounded(value):
        number = decimal.Decimal(value)
    if number is None or not number.is_finite() or not is_bounded(number := _plain_zero(number)):
        raise ValueError(f"{shortened(value)} is not a number of at most {MAX_DIGITS:,} digits")
    return number


def json_integer(literal: str) -> int | HugeNumber:
    """The literal of a JSON integer as an integer."""
    return int(literal) if len(literal.removeprefix("-")) <= MAX_DIGITS else HugeNumber(literal)


def json_decimal(literal: str) -> decimal.Decimal | HugeNumber:
    """The literal of a JSON number with a fraction or an exponent as a decimal."""
    try:
        return exact_decimal(literal)
    except ValueError:
        return HugeNumber(literal)


def json_double(literal: str) -> float | HugeNumber:
    """The same literal as a double, if it is in the range of doubles."""
    number = float(literal)
    return number if math.isfinite(number) else HugeNumber(literal)


def json_exact(literal: str) -> float | decimal.Decimal | HugeNumber:
    """The same literal as a double if the double has all its digits, else as a decimal."""
    # a double always preserves 15 significant digits (IEEE 754)
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
"""Converters of JSON numbers with a fraction or an exponent, by name."""


def _parsed(text: str) -> decimal.Decimal | None:
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:  # an exponent of twenty digits
        return None


def _plain_zero(number: decimal.Decimal) -> decimal.Decimal:
    """A zero without an exponent out of bounds: ``0e999999999`` is 0."""
    return number if number or is_bounded(number) else decimal.Decimal(0)
