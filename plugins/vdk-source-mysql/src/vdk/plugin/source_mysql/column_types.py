# SPDX-License-Identifier: Apache-2.0
"""How MySQL's types are read and land.

The driver hands out text for all types but integers, doubles and bytes: the server writes every value exactly, where
Python objects lose zero dates and long times. Arrow converts the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_base.parts import pc
from vdk.plugin.datasource_sql import Expression
from vdk.plugin.datasource_sql.kinds import Kind, MisfitError

INTEGERS = {"tinyint": 8, "smallint": 16, "mediumint": 32, "int": 32, "bigint": 64}
"""Bits that hold a column of the type."""
BYTES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
GEOMETRIES = frozenset(
    {
        *("geometry", "point", "linestring", "polygon", "geometrycollection", "geomcollection"),
        *("multipoint", "multilinestring", "multipolygon"),
    }
)
TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_TIME = re.compile(r"(-?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_NO_DATE = "^0000|-00"
"""Zero and partial dates, such as 0000-00-00 and 2026-00-10, and the year 0, which Python does not have."""


@dataclass(frozen=True)
class MysqlKind(Kind):
    """A kind whose values the server has checked, so that no type is inferred from them.

    :param received: the type of the values as the driver hands them out.
    :param null_dates: a date that does not exist lands as NULL; else its row is a bad record.
    """

    received: pa.DataType = pa.string()  # noqa: RUF009  # a type is immutable
    null_dates: bool = False

    def array(self, values: Sequence[Any]) -> pa.Array:
        array = pa.array(values, self.received)
        if isinstance(array, pa.ChunkedArray):
            raise MisfitError("more than 2 GB in one page of a column")
        return self.landed(array)

    def landed(self, array: pa.Array) -> pa.Array:
        if isinstance(self.arrow, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(self.arrow, array.cast(self.arrow.storage_type))
        if pa.types.is_duration(self.arrow):
            return pa.array(map(_microseconds, array.to_pylist()), self.arrow)
        if pa.types.is_boolean(self.arrow) and pc.any(pc.greater(pc.abs(array), 1)).as_py():
            raise MisfitError("a number other than 0 and 1")
        if is_date(self):
            array = self._existing(array)
            if pa.types.is_timestamp(self.arrow):  # the session's time zone is UTC
                array = array.cast(pa.timestamp("us"))
        return array.cast(self.arrow)

    def _existing(self, array: pa.Array) -> pa.Array:
        missing = pc.match_substring_regex(array, _NO_DATE)
        if not pc.any(missing).as_py():
            return array
        if not self.null_dates:
            raise MisfitError("a date whose year, month or day is 0")
        return pc.if_else(missing, pa.scalar(None, pa.string()), array)


def is_date(kind: Kind) -> bool:
    return bool(pa.types.is_date(kind.arrow) or pa.types.is_timestamp(kind.arrow))


def _microseconds(text: str | None) -> int | None:
    """A time of MySQL, which is a span of up to 839 hours. Raises ``MisfitError``."""
    if text is None:
        return None
    if (match := _TIME.fullmatch(text)) is None:
        raise MisfitError(f"{text!r} is not a time")
    sign, hours, minutes, seconds, fraction = match.groups()
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return (whole * 10**6 + int(f"{fraction or '':0<6}")) * (-1 if sign else 1)


TEXT = MysqlKind(pa.string())
_BINARY = MysqlKind(pa.binary(), received=pa.binary())
_KINDS = {
    "float": MysqlKind(pa.float32(), received=pa.float64()),
    "double": MysqlKind(pa.float64(), received=pa.float64()),
    "date": MysqlKind(pa.date32()),
    "datetime": MysqlKind(pa.timestamp("us")),
    "timestamp": MysqlKind(pa.timestamp("us", "UTC")),
    "time": MysqlKind(pa.duration("us")),
    "year": MysqlKind(pa.int16(), received=pa.int64()),
    "json": MysqlKind(JSON_TYPE),
    **dict.fromkeys((*BYTES, *GEOMETRIES), _BINARY),
}


def base_type(declared: str) -> str:
    """``decimal(10,2) unsigned`` is ``decimal``."""
    return re.split(r"[ (]", declared, maxsplit=1)[0].lower()


def kind_of(declared: str, *, tinyint1_is_bool: bool = False) -> MysqlKind:
    """How a column lands that is declared so."""
    base = base_type(declared)
    if base == "bit":
        arrow = pa.bool_() if declared == "bit(1)" else pa.uint64()
        return MysqlKind(arrow, received=pa.uint64())
    if base in INTEGERS:
        if declared == "tinyint(1)" and tinyint1_is_bool:
            return MysqlKind(pa.bool_(), received=pa.int64())
        sign = "u" if "unsigned" in declared else ""
        return MysqlKind(pa.type_for_alias(f"{sign}int{INTEGERS[base]}"), received=pa.type_for_alias(f"{sign}int64"))
    if match := _DECIMAL.match(declared):
        precision, scale = int(match[1]), int(match[2])
        return MysqlKind(pa.decimal128(precision, scale)) if precision <= 38 else TEXT
    return _KINDS.get(base, TEXT)


def selected(column: Expression, declared: str) -> Expression:
    """A column as it is read."""
    base = base_type(declared)
    if base == "float":  # its text has six digits: 16777200 for 16777217
        return as_double(column)
    if base == "bit":
        return column + sa.literal_column("0")
    return sa.func.ST_AsWKB(column) if base in GEOMETRIES else column


def as_double(column: Expression) -> Expression:
    """A FLOAT with all its digits. SQLAlchemy leaves out ``CAST(... AS DOUBLE)``, which old servers lack."""
    return column * sa.literal_column("1e0")
