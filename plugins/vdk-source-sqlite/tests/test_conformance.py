"""The SQLite source does what every source has to do."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from support import execute
from vdk.plugin.datasource_base.testing import (
    DataSourceConformance,
    IncrementalConformance,
    LargeDataConformance,
    StreamEditor,
)
from vdk.plugin.source_sqlite.source import SqliteConfig, SqliteSource

START = dt.datetime(2026, 1, 1)
MakeSource = Callable[[], SqliteSource]


def time_of(tick: int | None) -> str | None:
    return None if tick is None else f"{START + dt.timedelta(seconds=tick):%Y-%m-%d %H:%M:%S}"


ORDERS = [(number, f"customer {number}", number / 3, time_of(-100 + number // 3)) for number in range(10)]
CUSTOMERS = [("c'1", b"\x00\xff", 12.25, 9007199254740993), ('c"2', None, None, None), ("ö", b"", -0.5, 0)]


class Orders(StreamEditor):
    """The orders of a shop, updated by its till."""

    stream = "orders"
    page_rows = 3
    lookback = 300
    null_cursor = "include"
    far_future = 40 * 365 * 86400

    def __init__(self, database: Path) -> None:
        self._database = database

    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        rows = [(number, f"customer {number}", 1.5, time_of(tick)) for number in numbers]
        execute(self._database, ("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?)", rows))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop's data.db"
    execute(
        path,
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, total REAL, updated_time TEXT)",
        "CREATE TABLE customers (name TEXT PRIMARY KEY NOT NULL, picture BLOB, balance DECIMAL(10, 2), points INT)",
        "CREATE TABLE audit (at TEXT, what TEXT)",
        ("INSERT INTO orders VALUES (?, ?, ?, ?)", ORDERS),
        ("INSERT INTO customers VALUES (?, ?, ?, ?)", CUSTOMERS),
    )
    return path


class TestSqlite(DataSourceConformance, IncrementalConformance, LargeDataConformance):
    @pytest.fixture
    def source(self, database: Path) -> MakeSource:
        return lambda: SqliteSource(SqliteConfig(database=database, page_rows=3))

    @pytest.fixture
    def expected(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "orders": [dict(zip(("id", "customer", "total", "updated_time"), row, strict=True)) for row in ORDERS],
            "customers": [dict(zip(("name", "picture", "balance", "points"), row, strict=True)) for row in CUSTOMERS],
            "audit": [],
        }

    @pytest.fixture
    def fingerprint(self, database: Path) -> Callable[[], str]:
        return lambda: hashlib.sha256(database.read_bytes()).hexdigest()

    @pytest.fixture
    def bad_source(self, tmp_path: Path) -> MakeSource:
        return lambda: SqliteSource(SqliteConfig(database=tmp_path / "nothing.db"))

    @pytest.fixture
    def editor(self, database: Path) -> Orders:
        return Orders(database)

    @pytest.fixture
    def large_source(self, database: Path) -> MakeSource:
        Orders(database).write(range(10_000), 1)
        return lambda: SqliteSource(SqliteConfig(database=database, page_rows=200))
