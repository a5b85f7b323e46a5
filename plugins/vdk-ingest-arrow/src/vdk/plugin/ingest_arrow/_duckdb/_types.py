"""DuckDB's types, spelled as its ``DESCRIBE`` spells them."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from .._arrow_types import is_json
from .._sql._types import Types

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
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.month_day_nano_interval(): "INTERVAL",
}


class DuckDBTypes(Types):
    """https://duckdb.org/docs/stable/sql/data_types/overview"""

    database = "DuckDB"
    plain = _FROM_ARROW
    uuid = "UUID"
    text = "VARCHAR"
    json = "JSON"
    zoned = "TIMESTAMP WITH TIME ZONE"
    big = "BIGINT"
    decimal = "DECIMAL"
    integers: ClassVar = {
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
    floats = ("FLOAT", "DOUBLE")
    ladders = (
        ("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS"),
        (zoned, "TIMESTAMPTZ_NS"),
        ("TIME", "TIME_NS"),
    )

    def of_time(self, type_: pa.DataType) -> str | None:
        if pa.types.is_timestamp(type_):
            if type_.tz is not None:
                return "TIMESTAMPTZ_NS" if type_.unit == "ns" else self.zoned
            return "TIMESTAMP_NS" if type_.unit == "ns" else "TIMESTAMP"
        if pa.types.is_time(type_):
            return "TIME_NS" if type_.unit == "ns" else "TIME"
        return "INTERVAL" if pa.types.is_duration(type_) else None

    def converted(self, expression: str, source: str, target: str) -> str:
        if source == target:
            return expression
        return f"to_json({expression})" if target == self.json else f"CAST({expression} AS {target})"

    def exact_or_null(self, expression: str, source: str, target: str) -> str:
        if self.is_exact(source, target):
            return self.converted(expression, source, target)
        cast = f"TRY_CAST({expression} AS {target})"
        return f"CASE WHEN TRY_CAST({cast} AS {source}) IS NOT DISTINCT FROM {expression} THEN {cast} END"


def arrow_expression(name: str, type_: pa.DataType) -> str:
    """SQL for a plain Arrow column as ``of_arrow`` says it lands; ``name`` is quoted."""
    if is_json(type_):
        return f"CAST(CAST({name} AS VARCHAR) AS JSON)"  # through text: DuckDB checks JSON only in this cast
    if pa.types.is_nested(type_):
        return f"to_json({name})"
    if pa.types.is_timestamp(type_) and type_.tz is None and type_.unit in ("s", "ms"):
        return f"CAST({name} AS TIMESTAMP)"
    return name
