# SPDX-License-Identifier: Apache-2.0
"""How the values of a column land: as one Arrow type, losslessly or not at all.

``pa.array`` with a type would cut 1.5 to 1 and accept bytes as text. Without a type it infers one
from all values, at the speed of the machine, and the inferred type proves what is in the column:
if it is the expected one (or null), every value fits. Values are looked at one by one only otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.parts import exact_decimal, pc

MISFIT_ERRORS = (pa.ArrowException, OverflowError, UnicodeEncodeError, ValueError, TypeError)
"""What converting a value that does not fit may raise."""


SAMPLE_ROWS = 1000
"""How many values decide how a column lands."""


class MisfitError(ValueError):
    """At least one value does not fit."""


@dataclass(frozen=True)
class Kind:
    """How a column lands.

    :param arrow: the type; Arrow's null type: it depends on the values, and none is known yet.
    :param render: for text columns that accept any value: how a value that is not text is written.
    :param read: what is done to every value first. Raises one of ``MISFIT_ERRORS`` for a value that does not fit.
    """

    arrow: pa.DataType
    render: Callable[[Any], str] | None = None
    read: Callable[[Any], Any] | None = None

    def array(self, values: Sequence[Any]) -> pa.Array:
        """``values`` (None: NULL) as an array of the type. Raises one of ``MISFIT_ERRORS``."""
        values = self.readable(values)
        if self.render is not None:
            render = self.render
            values = [value if value is None or type(value) is str else render(value) for value in values]
        array = one_array(values)
        if pa.types.is_binary(array.type) and any(type(value) is str for value in values):
            raise MisfitError("text and bytes together")  # which infer as bytes
        if pa.types.is_decimal(self.arrow) and not pa.types.is_null(array.type):
            return _decimal(self.arrow, array, values)
        return self.landed(array)

    def readable(self, values: Sequence[Any]) -> Sequence[Any]:
        """What ``read`` makes of the values."""
        if self.read is None:
            return values
        read = self.read
        return [None if value is None else read(value) for value in values]

    def landed(self, array: pa.Array) -> pa.Array:
        """An array of one type, which its values have all, as an array of this one. Raises one of ``MISFIT_ERRORS``."""
        if array.type == self.arrow:
            return array
        if pa.types.is_null(array.type):
            return pa.nulls(len(array), self.arrow)
        return _CASTS[self._family](self.arrow, array)

    @property
    def waits(self) -> bool:
        """Whether the type is decided by the first value that arrives."""
        return bool(pa.types.is_null(self.arrow))

    @property
    def _family(self) -> str:
        if pa.types.is_decimal(self.arrow):
            return "decimal"
        return "timestamp" if pa.types.is_timestamp(self.arrow) else str(self.arrow)


class NativeKind(Kind):
    """A kind for the Python objects that a driver makes of a database's own types: ``datetime``, ``Decimal`` …"""

    def array(self, values: Sequence[Any]) -> pa.Array:
        values = self.readable(values)
        if pa.types.is_uint64(self.arrow) and all(value is None or type(value) is int for value in values):
            return one_array(values, self.arrow)  # which Arrow does not infer
        array = one_array(values)  # of the type that the objects are; with another they would be converted
        if pa.types.is_binary(array.type) and any(type(value) is str for value in values):
            raise MisfitError("text and bytes together")  # which infer as bytes
        return self.landed(array)

    def landed(self, array: pa.Array) -> pa.Array:
        arrow = self.arrow.storage_type if isinstance(self.arrow, pa.BaseExtensionType) else self.arrow
        if not pa.types.is_null(array.type) and _similar(array.type) != _similar(arrow):
            if self._family not in _CASTS:
                raise MisfitError(f"{array.type} does not fit {arrow}")
            return super().landed(array)
        array = array.cast(arrow)  # a safe cast: what would change is refused
        return pa.ExtensionArray.from_storage(self.arrow, array) if arrow is not self.arrow else array


def _similar(arrow: pa.DataType) -> str:
    """Types within a family differ in width and digits; times with a zone and without one are apart."""
    tests = {"integer": pa.types.is_integer, "number": pa.types.is_floating, "decimal": pa.types.is_decimal}
    name = next((name for name, test in tests.items() if test(arrow)), str(arrow))
    if pa.types.is_timestamp(arrow):
        return f"timestamp {arrow.tz is not None}"
    return name


def one_array(values: Sequence[Any], arrow: pa.DataType | None = None) -> pa.Array:
    """``values`` as one array, of the type that they have if none is given. Raises ``MisfitError``."""
    array = pa.array(values, arrow)
    if isinstance(array, pa.ChunkedArray):
        raise MisfitError("more than 2 GB in one page of a column")
    return array


KindOf = Callable[[str, Sequence[Any]], Kind]
"""How a column lands, by its declared type and some of its values."""


def split(kind: Kind, values: Sequence[Any]) -> tuple[pa.Array, list[int]]:
    """``values`` as an array with NULL for those that do not fit, and the indexes of those.

    The range is halved until each misfit stands alone: cheap when they are few, and every value takes
    the same conversion as in a clean page.
    """
    try:
        return kind.array(values), []
    except MISFIT_ERRORS:
        if len(values) == 1:
            return pa.nulls(1, kind.arrow), [0]
    half = len(values) // 2
    left, bad = split(kind, values[:half])
    right, more = split(kind, values[half:])
    return pa.concat_arrays([left, right]), bad + [half + index for index in more]


def resolve_kind(
    kind_of: KindOf, declared: Mapping[str, str], kinds: dict[str, Kind], name: str, values: Sequence[Any]
) -> None:
    """Replace the kind of a column that waits for a value, if ``values`` has one."""
    if name not in kinds or not kinds[name].waits or not (sample := [value for value in values if value is not None]):
        return
    kinds[name] = kind_of(declared[name], sample[:SAMPLE_ROWS])


def _refuse(arrow: pa.DataType, array: pa.Array) -> pa.Array:
    raise MisfitError(f"{array.type} does not fit {arrow}")


def _double(arrow: pa.DataType, array: pa.Array) -> pa.Array:
    if not pa.types.is_integer(array.type):
        return _refuse(arrow, array)
    return array.cast(arrow)  # a safe cast: integers beyond 2**53 are refused


def _bool(arrow: pa.DataType, array: pa.Array) -> pa.Array:
    if not pa.types.is_integer(array.type):
        return _refuse(arrow, array)
    bounds = pc.min_max(array).as_py()
    if bounds["min"] < 0 or bounds["max"] > 1:
        return _refuse(arrow, array)
    return array.cast(arrow)


def _from_text(arrow: pa.DataType, array: pa.Array) -> pa.Array:
    """Arrow reads ISO 8601 strictly: a zone where the type has none, or none where it has one, is refused."""
    if not pa.types.is_string(array.type):
        return _refuse(arrow, array)
    return array.cast(arrow)


def _decimal(arrow: pa.DataType, array: pa.Array, values: Sequence[Any]) -> pa.Array:
    if pa.types.is_floating(array.type) and (quick := _decimal_of_doubles(arrow, array)) is not None:
        return quick
    if pa.types.is_binary(array.type):
        return _refuse(arrow, array)
    return pa.array([_exact(value, arrow.scale) for value in values], arrow)


def _decimal_of_numbers(arrow: pa.DataType, array: pa.Array) -> pa.Array:
    """Numbers of one type, without a look at each."""
    if pa.types.is_integer(array.type):
        array = array.cast(pa.float64())
    if not pa.types.is_floating(array.type) or (quick := _decimal_of_doubles(arrow, array)) is None:
        return _refuse(arrow, array)
    return quick


def _decimal_of_doubles(arrow: pa.DataType, array: pa.Array) -> pa.Array | None:
    """Doubles as decimals, if each has a shortest text with at most ``scale`` decimals; None: check each value.

    A double that equals ``n / 10**scale`` for an integer n below 10**15 has that decimal as its
    shortest text: 15 digits survive the way through a double.
    """
    if arrow.scale > 15:
        return None
    shift = 10.0**arrow.scale
    units = pc.round(pc.multiply(array, shift))
    largest = pc.max(pc.abs(units)).as_py()
    if not largest < min(1e15, 10.0**arrow.precision) or not pc.all(pc.equal(pc.divide(units, shift), array)).as_py():
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
        raise MisfitError(f"{value} has more than {scale} digits after the point")
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
