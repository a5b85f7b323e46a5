# SPDX-License-Identifier: Apache-2.0
"""How SQLAlchemy's types are read and land. A type is known by its SQL, which is what a ``TableInfo`` has."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import CompileError
from sqlalchemy.types import TypeEngine

from vdk.plugin.datasource_base.contract import JSON_TYPE

from ..kinds import Kind, NativeKind, decimal_kind

UNKNOWN = ""
"""The SQL of a type that SQLAlchemy does not know."""
Reading = Literal["as it is", "as text", "as a double", "as WKB"]


class Geometry(sa.types.UserDefinedType[Any]):
    """A spatial type of MySQL. SQLAlchemy does not know it; the driver hands out the bytes that MySQL stores."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "GEOMETRY"


GEOMETRIES: dict[str, type[TypeEngine[Any]]] = dict.fromkeys(
    (
        *("geometry", "point", "linestring", "polygon", "geometrycollection", "geomcollection"),
        *("multipoint", "multilinestring", "multipolygon"),
    ),
    Geometry,
)
"""MySQL's names of them."""


def sql_of(type_: TypeEngine[Any], dialect: sa.Dialect) -> str:
    """A type as the database declares it."""
    try:
        return str(type_.compile(dialect=dialect))
    except CompileError:
        return UNKNOWN


def text_of(value: Any) -> str:
    """Any value as text. Raises ``TypeError`` for what has no text of its own, such as a list."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"X'{bytes(value).hex().upper()}'"
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (list, tuple, dict)):
        return json_of(value)
    return str(value)


def json_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=text_of)


ANY = Kind(pa.string(), text_of)
BYTES = NativeKind(pa.binary())


def kind_of(type_: TypeEngine[Any], dialect: sa.Dialect) -> Kind:
    """How a column of the type lands."""
    name = type_.__visit_name__.upper()
    if isinstance(type_, sa.Boolean):
        return NativeKind(pa.bool_())
    if isinstance(type_, sa.Integer):
        is_unsigned = getattr(type_, "unsigned", False)
        return NativeKind(pa.uint64() if is_unsigned else pa.int64())
    if isinstance(type_, sa.Float):
        return NativeKind(pa.float64(), read=_float)
    if isinstance(type_, sa.Numeric):
        return _decimal(type_)
    if isinstance(type_, sa.DateTime) or name == "DATETIMEOFFSET":
        is_aware = (bool(getattr(type_, "timezone", False)) and dialect.name in _ZONED) or name == "DATETIMEOFFSET"
        return NativeKind(pa.timestamp("us", "UTC" if is_aware else None))
    if isinstance(type_, sa.Date):
        return NativeKind(pa.date32())
    if isinstance(type_, sa.Time):
        if type_.timezone and dialect.name in _ZONED:  # Arrow has no time of day with a zone
            return ANY
        return NativeKind(pa.duration("us") if dialect.name in ("mysql", "mariadb") else pa.time64("us"))
    if isinstance(type_, (sa.LargeBinary, Geometry)) or name in ("BINARY", "VARBINARY", "BYTEA", "IMAGE", "RAW"):
        return BYTES
    if isinstance(type_, sa.JSON):
        return NativeKind(JSON_TYPE, read=json_of)
    return ANY


def _decimal(type_: sa.Numeric[Any]) -> Kind:
    """MONEY has no digits; NUMERIC without any holds as many as it gets."""
    if type_.precision is None:
        return ANY
    kind = decimal_kind(type_.precision, type_.scale or 0)
    return NativeKind(kind.arrow) if pa.types.is_decimal(kind.arrow) else ANY


def _float(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def reading_of(type_: TypeEngine[Any], dialect: sa.Dialect) -> Reading:
    """How a column of the type is selected, so that the driver changes no value."""
    if isinstance(type_, Geometry):
        return "as WKB"
    if dialect.name in ("mysql", "mariadb") and isinstance(type_, sa.Float):
        return "as a double"  # as text it has six digits
    if dialect.name == "postgresql" and isinstance(type_, sa.REAL):
        return "as a double"  # drivers read its text, which is another double and compares otherwise
    is_zoned_time = isinstance(type_, sa.Time) and type_.timezone
    if dialect.name == "postgresql" and (
        is_zoned_time or isinstance(type_, (sa.JSON, sa.ARRAY, sa.Interval)) or not isinstance(type_, _PLAIN)
    ):
        return "as text"  # drivers make objects of these, each its own
    return "as it is"


_PLAIN = (
    sa.Boolean,
    sa.Integer,
    sa.Float,
    sa.Numeric,
    sa.String,
    sa.DateTime,
    sa.Date,
    sa.Time,
    sa.LargeBinary,
    sa.Uuid,
)


_ZONED = ("postgresql", "oracle", "mssql")
"""Dialects of which a time with a zone has one."""


def is_key_type(type_: TypeEngine[Any]) -> bool:
    """Whether values, as they are read, are values of the type again, and go through a state."""
    is_inexact = isinstance(type_, sa.Float)
    return isinstance(type_, (sa.Integer, sa.Numeric, sa.String, sa.DateTime, sa.Date, sa.Uuid)) and not is_inexact


def kind_of_values(sample: Sequence[Any]) -> Kind:
    """How a column lands of which only values are known: as text, or as bytes if all are."""
    return BYTES if sample and all(isinstance(value, (bytes, bytearray, memoryview)) for value in sample) else ANY
