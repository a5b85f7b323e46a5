"""SQLite's types: what a column is declared as, which says how its values are stored.

SQLite takes any words for a type and draws the column's *affinity* from them
(https://www.sqlite.org/datatype3.html, section 3.1): it turns text that looks like a number into one, unless the words
contain TEXT or BLOB. Hence DECIMAL_TEXT: as DECIMAL, the 17th digit would be gone.
"""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa

from .._sql._names import literal
from .._sql._types import Types

CAST = "_vdk_cast"
"""The SQL function that ``_values.cast`` is."""
_INTERVAL = "INTERVAL MICROSECOND"
_FROM_ARROW: dict[pa.DataType, str] = {
    pa.bool_(): "BOOLEAN",
    **dict.fromkeys((pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()), "INTEGER"),
    pa.uint64(): "DECIMAL_TEXT(20,0)",
    pa.float32(): "REAL",
    pa.float64(): "REAL",
    pa.string(): "TEXT",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
}


class SqliteTypes(Types):
    """Texts of one type are of one length wherever that makes them sort as their values do."""

    database = "SQLite"
    plain = _FROM_ARROW
    uuid = "UUID"
    text = "TEXT"
    json = "JSON_TEXT"
    zoned = "TIMESTAMP WITH TIME ZONE"
    big = "INTEGER"
    decimal = "DECIMAL_TEXT"
    digits = 1000
    integers: ClassVar = {"INTEGER": (True, 63)}
    floats = ("REAL",)
    ladders = (
        (_INTERVAL,),
        ("DATE", "TIMESTAMP", "TIMESTAMP_NS"),
        (zoned, "TIMESTAMP_NS WITH TIME ZONE"),
        ("TIME", "TIME_NS"),
    )

    def of_time(self, type_: pa.DataType) -> str | None:
        fine = "_NS" if getattr(type_, "unit", "") == "ns" else ""
        if pa.types.is_timestamp(type_):
            return f"TIMESTAMP{fine}" + (" WITH TIME ZONE" if type_.tz is not None else "")
        if pa.types.is_time(type_):
            return f"TIME{fine}"
        return _INTERVAL if pa.types.is_duration(type_) else None

    def converted(self, expression: str, source: str, target: str) -> str:
        return expression if source == target else f"{CAST}({expression}, {literal(source)}, {literal(target)})"

    def exact_or_null(self, expression: str, source: str, target: str) -> str:
        return self.converted(expression, source, target)
