"""SQLite's types: what a column is declared as, which says how its values are stored.

SQLite takes any words for a type and draws the column's *affinity* from them
(https://www.sqlite.org/datatype3.html, section 3.1): it turns text that looks like a number into one, unless the words
contain TEXT or BLOB. Hence DECIMAL_TEXT: as DECIMAL, the 17th digit would be gone.
"""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError

from .._arrow_types import is_json
from .._sql._names import literal
from .._sql._types import Types

CAST = "_vdk_cast"
"""The SQL function that ``_values.cast`` is."""
_INTERVAL = "INTERVAL MICROSECOND"
_FROM_ARROW: dict[pa.DataType, str] = {
    pa.bool_(): "BOOLEAN",
    pa.uint64(): "DECIMAL_TEXT(20,0)",
    pa.float32(): "REAL",
    pa.float64(): "REAL",
    pa.string(): "TEXT",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
}


class SqliteTypes(Types):
    """Texts of one type are of one length wherever that makes them sort as their values do."""

    text = "TEXT"
    json = "JSON_TEXT"
    zoned = "TIMESTAMP WITH TIME ZONE"
    big = "INTEGER"
    decimal = "DECIMAL_TEXT"
    digits = 1000
    integers: ClassVar = {"INTEGER": (True, 63)}
    floats = ("REAL",)
    ladders = (
        ("TIMESTAMP", "TIMESTAMP_NS"),
        (zoned, "TIMESTAMP_NS WITH TIME ZONE"),
        ("TIME", "TIME_NS"),
    )
    others = frozenset({*_FROM_ARROW.values(), _INTERVAL})

    def of_arrow(self, type_: pa.DataType) -> str | None:
        if (name := _FROM_ARROW.get(type_)) is not None:
            return name
        if pa.types.is_null(type_):
            return None
        if pa.types.is_integer(type_):
            return "INTEGER"
        if is_json(type_) or pa.types.is_nested(type_):
            return self.json
        if isinstance(type_, pa.UuidType):
            return "UUID"
        if pa.types.is_decimal(type_):
            return f"{self.decimal}({type_.precision},{type_.scale})"
        if pa.types.is_timestamp(type_):
            return ("TIMESTAMP_NS" if type_.unit == "ns" else "TIMESTAMP") + (" WITH TIME ZONE" if type_.tz else "")
        if pa.types.is_time(type_):
            return "TIME_NS" if type_.unit == "ns" else "TIME"
        if pa.types.is_duration(type_):
            return _INTERVAL
        raise DestinationError(f"the Arrow type {type_} cannot land in SQLite: convert the column with a transform")

    def converted(self, expression: str, source: str, target: str) -> str:
        return expression if source == target else f"{CAST}({expression}, {literal(source)}, {literal(target)})"

    def exact_or_null(self, expression: str, source: str, target: str) -> str:
        return self.converted(expression, source, target)
