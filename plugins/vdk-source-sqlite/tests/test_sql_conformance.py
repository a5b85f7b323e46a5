"""The suite of all databases that have no server."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import execute, rows_of
from vdk.plugin.datasource_base.contract import decode_config
from vdk.plugin.datasource_sql.testing import SqlConformance, SqlDatabase, TypeCase
from vdk.plugin.source_sqlite.source import SqliteConfig, SqliteSource

UTC_TIME = pa.timestamp("us", "UTC")


class SqliteDatabase(SqlDatabase):
    """A file."""

    time = "datetime"

    def __init__(self, path: Path) -> None:
        self._path = path

    def execute(self, *statements: str) -> None:
        execute(self._path, *statements)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return rows_of(self._path, query)

    def source(self, **options: Any) -> SqliteSource:
        return SqliteSource(decode_config({"database": str(self._path), **options}, SqliteConfig, location="config"))


class TestSqlite(SqlConformance):
    """On a file."""

    types = (
        TypeCase("bigint", "-9223372036854775808", pa.int64(), -(2**63)),
        TypeCase("double", "0.1", pa.float64(), 0.1),
        TypeCase("numeric(10,2)", "1.5", pa.decimal128(10, 2), Decimal("1.50")),
        TypeCase("boolean", "1", pa.bool_(), True),
        TypeCase("text", "'ö 100% '", pa.string(), "ö 100% "),
        TypeCase("blob", "X'00FF'", pa.binary(), b"\x00\xff"),
        TypeCase("date", "'2026-01-01'", pa.date32(), dt.date(2026, 1, 1)),
        TypeCase("datetime", "'2026-01-01 10:00'", pa.timestamp("us"), dt.datetime(2026, 1, 1, 10)),
        TypeCase("datetime", "'2026-01-01 10:00+02:00'", UTC_TIME, dt.datetime(2026, 1, 1, 8, tzinfo=dt.UTC)),
        TypeCase("any", "'a'", pa.string(), "a"),
    )

    @pytest.fixture
    def database(self, tmp_path: Path) -> SqliteDatabase:
        return SqliteDatabase(tmp_path / "t.db")
