"""How columns land whose values are not what they should be: text that is not UTF-8, decimals with too many digits.

Text that the driver cannot decode comes with its bytes as lone surrogates (PEP 383), see ``Dialect.tolerate``.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import partial
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import ConfigurationError

from ._kinds import ANY, DOUBLE, Kind, Unfit
from ._options import Decimals
from ._plan import Plan

_DIGITS = Context(prec=400)
"""A double has 309 digits before the point."""


def repaired(plan: Plan, name: str, kind: Kind) -> Kind:
    """How a column lands that would land as ``kind``, by the options ``columns`` and ``decimals``.

    :raises ConfigurationError: for ``decimals`` of a column that is declared as something else.
    """
    if (type_ := plan.column_types.get(name)) is not None:
        if type_ == "binary":
            return Kind(pa.binary(), read=raw_bytes)
        render = kind.render if kind.render is not None or not kind.waits else ANY.render
        return Kind(pa.string(), render, partial(_decoded, type_))
    how = plan.decimals.get(name)
    if not pa.types.is_decimal(kind.arrow):
        if how is not None and "decimals" in plan.own_options:
            declared = plan.table.columns[name] or "without a type"
            raise ConfigurationError(
                f"{plan.place}.decimals.{name}: the column is declared {declared}, and only one declared as "
                "NUMERIC(p,s) or DECIMAL(p,s) lands as a decimal; leave it out"
            )
        return kind
    return _DECIMALS[how or plan.decimals.get("", "exact")](kind)


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


def _decoded(encoding: str, value: Any) -> Any:
    """A text that is not UTF-8, by its encoding; any other value as it is."""
    return raw_bytes(value).decode(encoding) if is_undecodable(value) else value


def _rounded(kind: Kind) -> Kind:
    unit = Decimal(1).scaleb(-kind.arrow.scale)
    return Kind(kind.arrow, read=lambda value: _number(value).quantize(unit, ROUND_HALF_EVEN, _DIGITS))


def _doubles(kind: Kind) -> Kind:
    return Kind(DOUBLE.arrow, read=_double)


def _double(value: Any) -> float:
    """A number as a double. Raises ``Unfit`` for an integer that no double has."""
    found = float(_number(value)) if isinstance(value, str) else float(value)
    if isinstance(value, bytes) or (isinstance(value, int) and int(found) != value):
        raise Unfit(f"{value!r} is not a double")
    return found


def _number(value: Any) -> Decimal:
    if isinstance(value, bytes) or (isinstance(value, str) and (not value.isascii() or "_" in value)):
        raise Unfit(f"{value!r} is not a number")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise Unfit(f"{value!r} is not a finite number")
    return number


_DECIMALS: dict[Decimals, Callable[[Kind], Kind]] = {
    "exact": lambda kind: kind,
    "round": _rounded,
    "double": _doubles,
}
