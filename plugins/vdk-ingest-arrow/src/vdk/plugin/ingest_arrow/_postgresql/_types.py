"""PostgreSQL's types, spelled as its ``format_type`` spells them."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from .._sql._names import literal
from .._sql._types import Types

_TIMESTAMP, _TIME = "timestamp without time zone", "time without time zone"
_FROM_ARROW: dict[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric(20,0)",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.binary(): "bytea",
    pa.date32(): "date",
    pa.month_day_nano_interval(): "interval",
}

TRY_CAST = "pg_temp._vdk_try_cast"
MAKE_TRY_CAST = f"""CREATE OR REPLACE FUNCTION {TRY_CAST}(value text, target text, source text) RETURNS text AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT (($1::%2$s)::%1$s)::%2$s::text', target, source) INTO result USING value;
    RETURN result;
EXCEPTION WHEN data_exception OR cannot_coerce OR undefined_function OR program_limit_exceeded THEN
    RETURN NULL;
END $$ LANGUAGE plpgsql"""
"""A value, as text, from being another type and back; NULL where that is an error. PostgreSQL's casts raise."""


class PostgresqlTypes(Types):
    """https://www.postgresql.org/docs/current/datatype.html"""

    database = "PostgreSQL"
    plain = _FROM_ARROW
    uuid = "uuid"
    text = "text"
    json = "jsonb"
    zoned = "timestamp with time zone"
    big = "bigint"
    decimal = "numeric"
    digits = 1000
    integers: ClassVar = {"smallint": (True, 15), "integer": (True, 31), "bigint": (True, 63)}
    floats = ("real", "double precision")
    ladders = (("date", _TIMESTAMP), (_TIME,))

    def of_time(self, type_: pa.DataType) -> str | None:
        if pa.types.is_timestamp(type_):
            return self.zoned if type_.tz is not None else _TIMESTAMP
        if pa.types.is_time(type_):
            return _TIME
        return "interval" if pa.types.is_duration(type_) else None

    def converted(self, expression: str, source: str, target: str) -> str:
        if source == target:
            return expression
        return f"to_jsonb({expression})" if target == self.json else f"CAST({expression} AS {target})"

    def exact_or_null(self, expression: str, source: str, target: str) -> str:
        if self.is_exact(source, target):
            return self.converted(expression, source, target)
        cast = self.converted(expression, source, target)
        if source in self.integers and target == "double precision":
            # As the general case, but quick: this is what drifting columns mostly do. The bound is the largest double
            # below 2**63.
            whole = f"{cast} <= 9223372036854774784"
            return f"CASE WHEN {whole} THEN CASE WHEN CAST({cast} AS bigint) = {expression} THEN {cast} END END"
        text = f"CAST({expression} AS text)"
        return f"CASE WHEN {TRY_CAST}({text}, {literal(target)}, {literal(source)}) = {text} THEN {cast} END"
