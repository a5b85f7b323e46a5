"""How the values of a column land: as one Arrow type, losslessly or not at all.

``pa.array`` with a type would cut 1.5 to 1 and take bytes as text. Without a type it infers one
from all values, at the speed of the machine, and the inferred type proves what is in the column:
if it is the expected one (or null), every value fits. Only otherwise are values looked at singly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vdk.plugin.datasource_base.parts import exact_decimal

UNFIT = (pa.ArrowException, OverflowError, UnicodeEncodeError, ValueError, TypeError)
"""What converting a value that does not fit may raise."""


class Unfit(ValueError):
    """At least one value does not fit."""


@dataclass(frozen=True)
class Kind:
    """Where a column lands.

    :param arrow: the type; Arrow's null type: it depends on the values, and none is known yet.
    :param render: for text columns that take any value: how one that is not text is written.
    :param read: what is done to every value first. Raises one of ``UNFIT`` for a value that does not fit.
    """

    arrow: pa.DataType
    render: Callable[[Any], str] | None = None
    read: Callable[[Any], Any] | None = None

    def array(self, values: Sequence[Any]) -> pa.Array:
        """``values`` (None: NULL) as an array of the type. Raises one of ``UNFIT``."""
        if self.read is not None:
            read = self.read
            values = [None if value is None else read(value) for value in values]
        if self.render is not None:
            render = self.render
            values = [value if value is None or type(value) is str else render(value) for value in values]
        found = pa.array(values)
        if isinstance(found, pa.ChunkedArray):
            raise Unfit("more than 2 GB in one page of a column")
        if pa.types.is_binary(found.type) and any(type(value) is str for value in values):
            raise Unfit("text and bytes together")  # which infer as bytes
        if pa.types.is_decimal(self.arrow) and not pa.types.is_null(found.type):
            return _decimal(self.arrow, found, values)
        return self.landed(found)

    def landed(self, found: pa.Array) -> pa.Array:
        """An array of one type, which its values have all, as an array of this one. Raises one of ``UNFIT``."""
        if found.type == self.arrow:
            return found
        if pa.types.is_null(found.type):
            return pa.nulls(len(found), self.arrow)
        return _CASTS[self._family](self.arrow, found)

    @property
    def waits(self) -> bool:
        """Whether the type is still to be settled, by the first values that come."""
        return bool(pa.types.is_null(self.arrow))

    @property
    def _family(self) -> str:
        if pa.types.is_decimal(self.arrow):
            return "decimal"
        return "timestamp" if pa.types.is_timestamp(self.arrow) else str(self.arrow)


def split(kind: Kind, values: Sequence[Any]) -> tuple[pa.Array, list[int]]:
    """``values`` as an array, NULL where one does not fit, and where those are.

    The range is halved until the unfit values stand alone: cheap when they are few, and every
    value goes through the same conversion as in a clean page.
    """
    try:
        return kind.array(values), []
    except UNFIT:
        if len(values) == 1:
            return pa.nulls(1, kind.arrow), [0]
    half = len(values) // 2
    left, bad = split(kind, values[:half])
    right, more = split(kind, values[half:])
    return pa.concat_arrays([left, right]), bad + [half + at for at in more]


def _refuse(arrow: pa.DataType, found: pa.Array) -> pa.Array:
    raise Unfit(f"{found.type} does not fit {arrow}")


def _double(arrow: pa.DataType, found: pa.Array) -> pa.Array:
    if not pa.types.is_integer(found.type):
        return _refuse(arrow, found)
    return found.cast(arrow)  # a safe cast: integers beyond 2**53 are refused


def _bool(arrow: pa.DataType, found: pa.Array) -> pa.Array:
    if not pa.types.is_integer(found.type):
        return _refuse(arrow, found)
    bounds = pc.min_max(found).as_py()
    if bounds["min"] < 0 or bounds["max"] > 1:
        return _refuse(arrow, found)
    return found.cast(arrow)


def _from_text(arrow: pa.DataType, found: pa.Array) -> pa.Array:
    """Arrow reads ISO 8601 strictly: a zone where the type has none, or none where it has one, is refused."""
    if not pa.types.is_string(found.type):
        return _refuse(arrow, found)
    return found.cast(arrow)


def _decimal(arrow: pa.DataType, found: pa.Array, values: Sequence[Any]) -> pa.Array:
    if pa.types.is_floating(found.type) and (quick := _decimal_of_doubles(arrow, found)) is not None:
        return quick
    if pa.types.is_binary(found.type):
        return _refuse(arrow, found)
    return pa.array([_exact(value, arrow.scale) for value in values], arrow)


def _decimal_of_numbers(arrow: pa.DataType, found: pa.Array) -> pa.Array:
    """Numbers of one type, without a look at each."""
    if pa.types.is_integer(found.type):
        found = found.cast(pa.float64())
    if not pa.types.is_floating(found.type) or (quick := _decimal_of_doubles(arrow, found)) is None:
        return _refuse(arrow, found)
    return quick


def _decimal_of_doubles(arrow: pa.DataType, found: pa.Array) -> pa.Array | None:
    """Doubles as decimals, if each has a shortest text with at most ``scale`` decimals; None: look closer.

    A double that equals ``n / 10**scale`` for an integer n below 10**15 has that decimal as its
    shortest text: 15 digits survive the way through a double.
    """
    if arrow.scale > 15:
        return None
    shift = 10.0**arrow.scale
    units = pc.round(pc.multiply(found, shift))
    largest = pc.max(pc.abs(units)).as_py()
    if not largest < min(1e15, 10.0**arrow.precision) or not pc.all(pc.equal(pc.divide(units, shift), found)).as_py():
        return None
    whole = units.cast(pa.int64()).cast(pa.decimal128(19, 0))
    return pc.multiply(whole, pa.scalar(Decimal(1).scaleb(-arrow.scale))).cast(arrow)


def _exact(value: Any, scale: int) -> Decimal | None:
    if value is None:
        return None
    number = exact_decimal(value)
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # it is finite
    if any(digits[max(len(digits) + exponent + scale, 0) :]):  # Arrow makes some of these zero: 5e-324
        raise Unfit(f"{value} has more than {scale} digits behind the point")
    return number


_CASTS: dict[str, Callable[[pa.DataType, pa.Array], pa.Array]] = {
    "null": _refuse,
    "int64": _refuse,
    "double": _double,
    "string": _refuse,
    "binary": _refuse,
    "bool": _bool,
    "timestamp": _from_text,
    "date32[day]": _from_text,
    "decimal": _decimal_of_numbers,
}


def raw_bytes(value: Any) -> bytes:
    """The bytes of a text as it is stored. Raises ``TypeError`` for what is neither text nor bytes."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if not isinstance(value, bytes):
        raise TypeError(type(value).__name__)
    return value


def is_undecodable(value: Any) -> bool:
    """Whether it is a text that is not UTF-8."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def text_of(value: Any) -> str:
    """A number as its shortest exact text. Raises ``TypeError`` for what has none, such as bytes."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(type(value).__name__)
    return str(value) if isinstance(value, int) else repr(value)


def text_or_hex(value: Any) -> str:
    """Like ``text_of``, and bytes as SQL writes them: ``X'00FF'``."""
    return f"X'{value.hex().upper()}'" if isinstance(value, bytes) else text_of(value)


WAITING = Kind(pa.null())
INTEGER = Kind(pa.int64())
DOUBLE = Kind(pa.float64())
TEXT = Kind(pa.string())
BINARY = Kind(pa.binary())
BOOLEAN = Kind(pa.bool_())
DATE = Kind(pa.date32())
TIMESTAMP = Kind(pa.timestamp("us"))
TIMESTAMP_UTC = Kind(pa.timestamp("us", "UTC"))
ANY = Kind(pa.string(), text_of)
ANY_OR_BYTES = Kind(pa.string(), text_or_hex)


def decimal_kind(precision: int, scale: int) -> Kind:
    """Exact decimals; text where Arrow's 128 bits are too few."""
    if not 1 <= precision <= 38 or not 0 <= scale <= precision:
        return ANY
    return Kind(pa.decimal128(precision, scale))
