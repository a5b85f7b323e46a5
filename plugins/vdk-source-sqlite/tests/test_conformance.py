"""The SQLite source does what every source has to do, in each of the ways in which it reads a table."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from support import execute
from vdk.plugin.datasource_base import Duration
from vdk.plugin.datasource_base.testing import (
    BadRow,
    DataSourceConformance,
    IncrementalConformance,
    LargeDataConformance,
    StreamEditor,
)
from vdk.plugin.source_sqlite.source import SqliteConfig, SqliteSource

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
CUSTOMERS = [("c'1", b"\x00\xff", 12.25, 9007199254740993), ('c"2', None, None, None), ("ö", b"", -0.5, 0)]
MakeSource = Callable[[], SqliteSource]


class Orders(StreamEditor):
    """The orders of a shop, updated by its till."""

    stream = "orders"
    page_rows = 3
    lookback = 300
    null_cursor = "include"
    far_future = 40 * 365 * 86400

    def __init__(self, database: Path) -> None:
        self._database = database

    def time(self, tick: int) -> Any:
        return f"{START + dt.timedelta(seconds=tick):%Y-%m-%d %H:%M:%S}"

    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        execute(
            self._database,
            ("DELETE FROM orders WHERE id = ?", [(number,) for number in numbers]),
            ("INSERT INTO orders VALUES (?, ?, ?, ?)", self.rows(numbers, tick)),
        )

    def rows(self, numbers: Sequence[int], tick: int | None) -> list[tuple[Any, ...]]:
        time = self.time(tick) if tick is not None else None
        return [(number, f"customer {number}", number / 3, time) for number in numbers]


class NumberedOrders(Orders):
    """Their times are seconds since 1970."""

    def time(self, tick: int) -> Any:
        return int(START.timestamp()) + tick


class Case(IncrementalConformance):
    """A shop, whose orders come in the tables that there are."""

    table: ClassVar[str] = "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, total REAL, updated_time TEXT)"
    index: ClassVar[str] = "SELECT 1"
    orders: ClassVar[type[Orders]] = Orders

    @pytest.fixture
    def database(self, tmp_path: Path) -> Path:
        path = tmp_path / "shop's data.db"
        execute(
            path,
            "PRAGMA journal_mode = WAL",
            self.table,
            self.index,
            "CREATE TABLE customers (name TEXT PRIMARY KEY NOT NULL, picture BLOB, balance DECIMAL(10, 2), points INT)",
            "CREATE TABLE audit (at TEXT, what TEXT)",
            ("INSERT INTO customers VALUES (?, ?, ?, ?)", CUSTOMERS),
        )
        for number in range(10):
            self.orders(path).write([number], -1000 + 50 * (number // 4))
        return path

    @pytest.fixture
    def source(self, database: Path) -> MakeSource:
        return lambda: SqliteSource(SqliteConfig(database=database, page_rows=3))

    @pytest.fixture
    def editor(self, database: Path) -> Orders:
        return self.orders(database)


class TestByKey(Case, DataSourceConformance, LargeDataConformance):
    """Without an index on the cursor, the first run goes by key."""

    @pytest.fixture
    def expected(self, editor: Orders) -> dict[str, list[dict[str, Any]]]:
        orders = [row for number in range(10) for row in editor.rows([number], -1000 + 50 * (number // 4))]
        return {
            "orders": [dict(zip(("id", "customer", "total", "updated_time"), row, strict=True)) for row in orders],
            "customers": [dict(zip(("name", "picture", "balance", "points"), row, strict=True)) for row in CUSTOMERS],
            "audit": [],
        }

    @pytest.fixture
    def bad_source(self, tmp_path: Path) -> MakeSource:
        return lambda: SqliteSource(SqliteConfig(database=tmp_path / "nothing.db"))

    @pytest.fixture
    def other_source(self, tmp_path: Path) -> MakeSource:
        return lambda: SqliteSource(SqliteConfig(database=tmp_path / "another.db"))

    @pytest.fixture
    def with_bad_row(self, database: Path) -> BadRow:
        execute(database, ("INSERT INTO customers VALUES (?, NULL, ?, 1)", [("the bad one", "a lot")]))
        make = lambda: SqliteSource(SqliteConfig(database=database, page_rows=3))  # noqa: E731  # short beside its use
        return BadRow(make, "customers", "the bad one", len(CUSTOMERS))

    @pytest.fixture
    def fingerprint(self, database: Path) -> Callable[[], str]:
        return lambda: hashlib.sha256(database.read_bytes()).hexdigest()

    @pytest.fixture
    def large_source(self, database: Path) -> MakeSource:
        self.orders(database).write(range(10_000), 1)
        return lambda: SqliteSource(SqliteConfig(database=database, page_rows=200))


class TestByCursor(Case):
    """With an index that leads with the cursor, every run goes by it."""

    index = "CREATE INDEX by_time ON orders (updated_time)"


@pytest.mark.heavy
class TestWithoutKey(Case):
    """Rows without a key are read in whole groups of one cursor value."""

    table = "CREATE TABLE orders (id INT, customer TEXT, total REAL, updated_time TEXT)"
    index = TestByCursor.index


@pytest.mark.heavy
class TestByNumber(Case):
    """Seconds since 1970, in a table without a rowid."""

    table = (
        "CREATE TABLE orders (id INT NOT NULL PRIMARY KEY, customer TEXT, total REAL, updated_time INT) WITHOUT ROWID"
    )
    orders = NumberedOrders


class PunctualOrders(Orders):
    """They never come late."""

    lookback = 0


@pytest.mark.heavy
class TestWithoutLookback(Case):
    """Nothing but the boundary itself is read again, so a slip there shows."""

    index = TestByCursor.index
    orders = PunctualOrders

    @pytest.fixture
    def source(self, database: Path) -> MakeSource:
        return lambda: SqliteSource(SqliteConfig(database=database, page_rows=3, lookback=Duration()))
