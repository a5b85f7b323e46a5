# SPDX-License-Identifier: Apache-2.0
"""How columns land whose values do not fit their type: text that is not UTF-8, decimals with too many digits.

Text that the driver cannot decode arrives with its bytes as lone surrogates (PEP 383), see ``Connector.tolerate``.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import partial
from typing import Any, cast

import pyarrow as pa

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import exact_decimal, toml_key
from vdk.plugin.datasource_sql import TablePlan
from vdk.plugin.datasource_sql.kinds import ANY, DOUBLE, Kind, MisfitError, is_undecodable, raw_bytes

from .config import Decimals, SqliteTableConfig

_DIGITS = Context(prec=400)
"""A double has at most 309 digits before the point."""


def decimals_of(plan: TablePlan) -> dict[str, Decimals]:
    """The option ``decimals`` by column; ``""``: for all that are declared as decimals.

    :raises ConfigurationError: for a column that the table does not have.
    """
    chosen = cast(SqliteTableConfig, plan.options).decimals
    if chosen is None or isinstance(chosen, str):
        return {"": chosen or "exact"}
    return plan.by_column("decimals", chosen)


def misfit_remedy(plan: TablePlan, name: str, kind: Kind, value: Any) -> str | None:
    """Why a text that is not UTF-8, or a number with too many decimals, does not land, and what to do about it; None
    for any other value."""
    is_key = name in plan.primary_key
    if is_undecodable(value):
        decode = (
            f'name its encoding with {plan.config_path}.columns = {{ {toml_key(name)} = "latin-1" }} (or "cp1252"), or '
        )
        return (
            f"the text is not UTF-8; {'' if is_key else decode}land its bytes with "
            f'{plan.config_path}.columns = {{ {toml_key(name)} = "binary" }}'
        )
    if not pa.types.is_decimal(kind.arrow) or not isinstance(value, float) or is_key:
        return None
    return (
        f"the column is declared {plan.table.columns[name]} and lands as {kind.arrow}, which does not hold this float; "
        f'round such numbers with {plan.config_path}.decimals = {{ {toml_key(name)} = "round" }} (or land "double"), '
        f'or land the column as text with {plan.config_path}.dynamic_types = "text"'
    )


def repaired(plan: TablePlan, name: str, kind: Kind) -> Kind:
    """How a column lands that would land as ``kind``, by the options ``columns`` and ``decimals``.

    :raises ConfigurationError: for ``decimals`` of a column that is declared as something else, and for options that
        could make two primary keys equal.
    """
    decimals = decimals_of(plan)
    chosen = decimals.get(name, "exact") if "decimals" in plan.own_options else "exact"
    rounds = chosen != "exact" and pa.types.is_decimal(kind.arrow)
    if name in plan.primary_key and (rounds or plan.column_types.get(name, "binary") != "binary"):
        option = "decimals" if rounds else "columns"
        raise ConfigurationError(
            f"{plan.config_path}.{option}: {name!r} is in the primary key, and two keys could become one; "
            f'leave it out, or land its bytes with {plan.config_path}.columns = {{ {toml_key(name)} = "binary" }}'
        )
    if (type_ := plan.column_types.get(name)) is not None:
        if type_ == "binary":
            return Kind(pa.binary(), read=raw_bytes)
        render = kind.render if kind.render is not None or not kind.waits else ANY.render
        return Kind(pa.string(), render, partial(_decoded, type_))
    how = decimals.get(name)
    if not pa.types.is_decimal(kind.arrow):
        if how is not None and "decimals" in plan.own_options:
            declared = plan.table.columns[name] or "without a type"
            raise ConfigurationError(
                f"{plan.config_path}.decimals.{name}: the column is declared {declared}, and only one declared as "
                "NUMERIC(p,s) or DECIMAL(p,s) lands as a decimal; leave it out"
            )
        return kind
    if name in plan.primary_key:
        return kind
    return _DECIMALS[how or decimals.get("", "exact")](kind)


def _decoded(encoding: str, value: Any) -> Any:
    """A text that is not UTF-8, decoded; any other value unchanged."""
    return raw_bytes(value).decode(encoding) if is_undecodable(value) else value


def _rounded(kind: Kind) -> Kind:
    unit = Decimal(1).scaleb(-kind.arrow.scale)
    return Kind(kind.arrow, read=lambda value: _number(value).quantize(unit, ROUND_HALF_EVEN, _DIGITS))


def _doubles(kind: Kind) -> Kind:
    return Kind(DOUBLE.arrow, read=_double)


def _double(value: Any) -> float:
    """A number as a double. Raises ``MisfitError`` for an integer that no double equals."""
    number = float(_number(value)) if isinstance(value, str) else float(value)
    if isinstance(value, bytes) or (isinstance(value, int) and int(number) != value):
        raise MisfitError(f"{value!r} is not a double")
    return number


def _number(value: Any) -> Decimal:
    try:
        return exact_decimal(value)
    except ValueError:
        raise MisfitError(f"{value!r} is not a number") from None


_DECIMALS: dict[Decimals, Callable[[Kind], Kind]] = {
    "exact": lambda kind: kind,
    "round": _rounded,
    "double": _doubles,
}
