"""The source ``sql`` does what every source of a database has to do, here for PostgreSQL by psycopg."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from vdk.plugin.datasource_base.contract import decode_config
from vdk.plugin.datasource_base.testing import postgresql
from vdk.plugin.datasource_sql.generic.source import AnySqlConfig, AnySqlSource
from vdk.plugin.datasource_sql.testing import SqlConformance, SqlDatabase, TypeCase

NUMBER = "123456789012345678901234567890.123456789"
pytestmark = pytest.mark.heavy


class PostgresByAny(SqlDatabase):
    """PostgreSQL, read without its own plugin."""

    time: ClassVar[str] = "timestamp"

    def __init__(self, server: postgresql.Server) -> None:
        self._server = server

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self._server.query("shop", statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._server.query("shop", query)

    def source(self, **options: Any) -> AnySqlSource:
        url = self._server.url("shop").replace("postgresql://", "postgresql+psycopg://")
        return AnySqlSource(decode_config({"url": url, **options}, AnySqlConfig, location="config"))


class TestPostgreSQL(SqlConformance):
    """Types that drivers would make objects of are cast to text in SQL."""

    types = (
        TypeCase("boolean", "true", pa.bool_(), True),
        TypeCase("bigint", "-9223372036854775808", pa.int64(), -(2**63)),
        TypeCase("real", "0.5", pa.float64(), 0.5),
        TypeCase("numeric(10, 2)", "12345678.91", pa.decimal128(10, 2), Decimal("12345678.91")),
        TypeCase(
            "numeric",
            "123456789012345678901234567890.123456789",
            pa.string(),
            "123456789012345678901234567890.123456789",
        ),
        TypeCase("text", "'ö'", pa.string(), "ö"),
        TypeCase("bytea", r"'\x00ff'", pa.binary(), b"\x00\xff"),
        TypeCase("date", "'2026-02-03'", pa.date32(), dt.date(2026, 2, 3)),
        TypeCase("timestamp", "'2026-02-03 04:05:06.7'", pa.timestamp("us"), dt.datetime(2026, 2, 3, 4, 5, 6, 700000)),
        TypeCase(
            "timestamptz",
            "'2026-02-03 04:05:06.7+02'",
            pa.timestamp("us", "UTC"),
            dt.datetime(2026, 2, 3, 2, 5, 6, 700000, dt.UTC),
        ),
        TypeCase("time", "'04:05:06'", pa.time64("us"), dt.time(4, 5, 6)),
        TypeCase("interval", "'1 mon 2 days'", pa.string(), "1 mon 2 days"),
        TypeCase("uuid", "'0190a0b0-0000-7000-8000-000000000001'", pa.string(), "0190a0b0-0000-7000-8000-000000000001"),
        TypeCase("integer[]", "'{1,2}'", pa.string(), "{1,2}"),
        TypeCase("inet", "'10.0.0.1/8'", pa.string(), "10.0.0.1/8"),
    )

    @pytest.fixture
    def database(self, postgresql_server: postgresql.Server) -> PostgresByAny:
        postgresql_server.clear("shop")
        return PostgresByAny(postgresql_server)
