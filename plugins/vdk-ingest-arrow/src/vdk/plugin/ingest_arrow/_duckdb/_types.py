"""DuckDB's types: what Arrow columns become, and what a column becomes when another type comes.

Types are spelled as DuckDB's ``DESCRIBE`` spells them.
"""

from __future__ import annotations

import re

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError

from ._arrow_types import is_json

TEXT = "VARCHAR"
JSON = "JSON"
ZONED = "TIMESTAMP WITH TIME ZONE"

_FROM_ARROW: dict[pa.DataType, str] = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): TEXT,
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.month_day_nano_interval(): "INTERVAL",
}

_INTEGERS = {
    "TINYINT": (True, 7),
    "SMALLINT": (True, 15),
    "INTEGER": (True, 31),
    "BIGINT": (True, 63),
    "HUGEINT": (True, 127),
    "UTINYINT": (False, 8),
    "USMALLINT": (False, 16),
    "UINTEGER": (False, 32),
    "UBIGINT": (False, 64),
    "UHUGEINT": (False, 128),
}
"""Whether it has a sign, and how many bits the largest value has."""
_FLOATS = ("FLOAT", "DOUBLE")
_LADDERS = (
    ("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS"),
    (ZONED, "TIMESTAMPTZ_NS"),
    ("TIME", "TIME_NS"),
)
"""The same kind of value, each finer than the one before it (and of a smaller range: values are checked)."""
_OWN = {*_FROM_ARROW.values(), *_FLOATS, *(step for ladder in _LADDERS for step in ladder), JSON}
"""Types this module makes. Others (UUID, ENUM, STRUCT …) are a person's choice, and kept while values fit."""
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def duckdb_type(type_: pa.DataType) -> str | None:
    """What a column of a plain Arrow type becomes; None for Arrow's null type: the column waits for a value.

    :raises DestinationError: for a type that cannot land.
    """
    if (name := _FROM_ARROW.get(type_)) is not None:
        return name
    if pa.types.is_null(type_):
        return None
    if is_json(type_) or pa.types.is_nested(type_):
        return JSON
    if isinstance(type_, pa.UuidType):
        return "UUID"
    if pa.types.is_decimal(type_):
        return f"DECIMAL({type_.precision},{type_.scale})"
    if pa.types.is_timestamp(type_):
        if type_.tz is not None:
            return "TIMESTAMPTZ_NS" if type_.unit == "ns" else ZONED
        return "TIMESTAMP_NS" if type_.unit == "ns" else "TIMESTAMP"
    if pa.types.is_time(type_):
        return "TIME_NS" if type_.unit == "ns" else "TIME"
    if pa.types.is_duration(type_):
        return "INTERVAL"
    raise DestinationError(f"the Arrow type {type_} cannot land in DuckDB: convert the column with a transform")


def arrow_expression(name: str, type_: pa.DataType) -> str:
    """SQL for a plain Arrow column as ``duckdb_type`` says it lands; ``name`` is quoted."""
    if is_json(type_):
        return f"CAST(CAST({name} AS VARCHAR) AS JSON)"  # through text: DuckDB checks JSON only in this cast
    if pa.types.is_nested(type_):
        return f"to_json({name})"
    if pa.types.is_timestamp(type_) and type_.tz is None and type_.unit in ("s", "ms"):
        return f"CAST({name} AS TIMESTAMP)"
    return name


def candidates(existing: str, incoming: str) -> list[str]:
    """The types that both may become if every value survives, best first. Else it is ``last_resort``."""
    if existing == incoming:
        return [existing]
    if existing in _INTEGERS and incoming in _INTEGERS:
        common = _common_integer(existing, incoming)
        mixed = _INTEGERS[existing][0] != _INTEGERS[incoming][0]
        return [*([existing] if mixed or common is None else []), *([common] if common is not None else [])]
    numbers = (*_INTEGERS, *_FLOATS)
    if existing in numbers and incoming in numbers:
        return ["DOUBLE"]
    left, right = _decimal(existing), _decimal(incoming)
    if left is not None and right is not None:
        scale = max(left[1], right[1])
        return [f"DECIMAL({min(38, max(left[0], right[0]) + scale)},{scale})"]
    for ladder in _LADDERS:
        if existing in ladder and incoming in ladder:
            return [ladder[max(ladder.index(existing), ladder.index(incoming))]]
    if existing not in _OWN and not _DECIMAL.fullmatch(existing):
        return [existing]
    return []


def last_resort(existing: str, incoming: str) -> str:
    """The type that takes every value of both."""
    return JSON if JSON in (existing, incoming) else TEXT


def is_exact(source: str, target: str) -> bool:
    """Whether every value of one type is a value of the other, by the types alone."""
    if source == target or target in (TEXT, JSON):
        return True
    if source in _INTEGERS and target in _INTEGERS:
        (signed, bits), (wanted_sign, wanted_bits) = _INTEGERS[source], _INTEGERS[target]
        return bits <= wanted_bits and (wanted_sign or not signed)
    if target == "DOUBLE":
        return source == "FLOAT" or (source in _INTEGERS and _INTEGERS[source][1] <= 53)
    left, right = _decimal(source), _DECIMAL.fullmatch(target)
    if left is not None and right is not None:
        return left[1] <= int(right[2]) and left[0] <= int(right[1]) - int(right[2])
    return False


def converted(expression: str, source: str, target: str) -> str:
    """SQL for a value of one type as another. Text is DuckDB's own rendering, which reads back as the same value."""
    if source == target:
        return expression
    return f"to_json({expression})" if target == JSON else f"CAST({expression} AS {target})"


def exact_or_null(expression: str, source: str, target: str) -> str:
    """SQL for a value as another type, NULL where it does not survive."""
    if is_exact(source, target):
        return converted(expression, source, target)
    cast = f"TRY_CAST({expression} AS {target})"
    return f"CASE WHEN TRY_CAST({cast} AS {source}) IS NOT DISTINCT FROM {expression} THEN {cast} END"


def _decimal(type_: str) -> tuple[int, int] | None:
    """Digits before and behind the point that a decimal or integer type may need."""
    if match := _DECIMAL.fullmatch(type_):
        return int(match[1]) - int(match[2]), int(match[2])
    if type_ in _INTEGERS:
        return len(str(2 ** _INTEGERS[type_][1])), 0
    return None


def _common_integer(left: str, right: str) -> str | None:
    fitting = [name for name in _INTEGERS if is_exact(left, name) and is_exact(right, name)]
    return min(fitting, key=lambda name: _INTEGERS[name][1], default=None)
