# SPDX-License-Identifier: Apache-2.0
"""How PostgreSQL's types are read and land.

The driver hands out text for all types but integers, floating-point numbers, booleans and bytes: PostgreSQL writes
every value exactly, where Python objects lose infinities, years before Christ and ``24:00``. Arrow converts the text.
"""

from __future__ import annotations

import datetime as dt
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pyarrow as pa
import sqlalchemy as sa
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.string import TextLoader

from vdk.plugin.datasource_base.contract import JSON_TYPE
from vdk.plugin.datasource_sql import Expression
from vdk.plugin.datasource_sql.kinds import Kind, MisfitError, one_array

COMPOSITE = " (composite)"
"""Ends the declared type of a column of a composite type."""
_NATIVE = frozenset({"bool", "int2", "int4", "int8", "oid", "float4", "float8", "bytea"})
_DECIMAL = re.compile(r"numeric\((\d+),(-?\d+)\)")


@dataclass(frozen=True)
class PostgresKind(Kind):
    """A kind whose values PostgreSQL has checked, so that no type is inferred from them.

    :param is_text: values arrive as text, which Arrow converts.
    """

    is_text: bool = True

    def array(self, values: Sequence[Any]) -> pa.Array:
        array = one_array(self.readable(values), pa.string() if self.is_text else self.arrow)
        if isinstance(self.arrow, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(self.arrow, array.cast(self.arrow.storage_type))
        return array.cast(self.arrow)


def _time(text: str) -> dt.time:
    """A time of day, which Arrow does not read from text. Raises ``ValueError``."""
    if text.startswith("24"):
        raise MisfitError("24:00 is not a time of day")
    return dt.time.fromisoformat(text)


class SingleLoader(Loader):
    """A ``real`` as the double of the same value. Its text, such as 4.9, is another double and compares otherwise."""

    def load(self, data: Buffer) -> float:
        (value,) = struct.unpack("f", struct.pack("f", float(bytes(data))))
        return float(value)


TEXT = PostgresKind(pa.string())
_KINDS = {
    "smallint": PostgresKind(pa.int16(), is_text=False),
    "integer": PostgresKind(pa.int32(), is_text=False),
    "bigint": PostgresKind(pa.int64(), is_text=False),
    "oid": PostgresKind(pa.int64(), is_text=False),
    "real": PostgresKind(pa.float32(), is_text=False),
    "double precision": PostgresKind(pa.float64(), is_text=False),
    "boolean": PostgresKind(pa.bool_(), is_text=False),
    "bytea": PostgresKind(pa.binary(), is_text=False),
    "date": PostgresKind(pa.date32()),
    "timestamp without time zone": PostgresKind(pa.timestamp("us")),
    "timestamp with time zone": PostgresKind(pa.timestamp("us", "UTC")),
    "time without time zone": PostgresKind(pa.time64("us"), read=_time, is_text=False),
    "money": PostgresKind(pa.decimal128(19, 2)),
    **dict.fromkeys(("json", "jsonb", "hstore"), PostgresKind(JSON_TYPE)),
}


def kind_of(declared: str) -> Kind:
    """How a column lands that is declared so."""
    if _is_nested(declared):
        return _KINDS["jsonb"]
    if match := _DECIMAL.fullmatch(declared):
        precision, scale = int(match[1]), int(match[2])
        return PostgresKind(pa.decimal128(precision, scale)) if precision <= 38 and 0 <= scale <= precision else TEXT
    return _KINDS.get(without_length(declared), TEXT)


def may_misfit(kind: Kind) -> bool:
    """Whether PostgreSQL has values of the type that Arrow has not: infinities, NaN, years beyond 9999."""
    return bool(pa.types.is_temporal(kind.arrow) or pa.types.is_decimal(kind.arrow))


def selected(column: Expression, declared: str) -> Expression:
    """A column as it is read."""
    if _is_nested(declared) or declared == "hstore":
        return sa.func.to_jsonb(column)
    return sa.cast(column, sa.Numeric) if declared == "money" else column


def without_length(declared: str) -> str:
    """``timestamp(3) with time zone`` is ``timestamp with time zone``."""
    return re.sub(r"\([\d,-]+\)", "", declared)


def _is_nested(declared: str) -> bool:
    return declared.endswith(("[]", COMPOSITE))


def read_as_text(connection: psycopg.Connection[Any]) -> None:
    """Have the driver hand out the server's text for each type that Python does not hold exactly."""
    for info in psycopg.adapters.types:
        if info.name not in _NATIVE:
            connection.adapters.register_loader(info.oid, TextLoader)
    connection.adapters.register_loader("float4", SingleLoader)
