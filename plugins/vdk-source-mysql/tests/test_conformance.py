"""The MySQL source does what every source has to do, on a real server."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from support import reader_url
from vdk.plugin.datasource_base import Duration, Secret
from vdk.plugin.datasource_base.testing import (
    BadRow,
    DataSourceConformance,
    IncrementalConformance,
    LargeDataConformance,
    StreamEditor,
)
from vdk.plugin.datasource_base.testing.mariadb import Server
from vdk.plugin.source_mysql.source import MysqlConfig, MysqlSource

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
CUSTOMERS = [
    ("c'1", b"\x00\xff", Decimal("12.25"), 9007199254740993, dt.date(2026, 1, 1)),
    ('c"2', None, None, None, None),
    ("ö", b"", Decimal("-0.50"), 0, None),
]
MakeSource = Callable[[], MysqlSource]
UPSERT = (
    "INSERT INTO orders VALUES (%s, %s, %s, %s) ON DUPLICATE KEY UPDATE customer = VALUES(customer), "
    "total = VALUES(total), updated_time = VALUES(updated_time)"
)


class Orders(StreamEditor):
    """The orders of a shop, updated by its till."""

    stream = "orders"
    page_rows = 3
    lookback = 300
    null_cursor = "include"
    far_future = 10 * 365 * 86400  # a TIMESTAMP ends in 2038

    def __init__(self, server: Server) -> None:
        self._server = server

    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        with self._server.connect("shop") as connection, connection.cursor() as cursor:
            cursor.executemany(UPSERT, self.rows(numbers, tick))

    def rows(self, numbers: Sequence[int], tick: int | None) -> list[tuple[Any, ...]]:
        time = START + dt.timedelta(seconds=tick) if tick is not None else None
        return [(number, f"customer {number}", number / 3, time) for number in numbers]


class Case(IncrementalConformance):
    """A shop, whose orders come in the tables that there are."""

    index: ClassVar[str] = ""

    @pytest.fixture
    def database(self, server: Server) -> Server:
        orders = [row for number in range(10) for row in Orders(server).rows([number], -1000 + 50 * (number // 4))]
        with server.connect("shop") as connection, connection.cursor() as cursor:
            for statement in (
                "CREATE TABLE orders (id int PRIMARY KEY, customer text, total double, updated_time timestamp(6) NULL"
                f"{self.index})",
                "CREATE TABLE customers (name varchar(50) PRIMARY KEY, picture blob, balance decimal(10,2), "
                "points bigint, since date)",
                "CREATE TABLE audit (at timestamp NULL, what text)",
            ):
                cursor.execute(statement)
            cursor.executemany("INSERT INTO customers VALUES (%s, %s, %s, %s, %s)", CUSTOMERS)
            cursor.executemany(UPSERT, orders)
        return server

    @pytest.fixture
    def source(self, database: Server) -> MakeSource:
        return lambda: make_source(database, page_rows=3)

    @pytest.fixture
    def editor(self, database: Server) -> Orders:
        return Orders(database)


def make_source(server: Server, database: str = "shop", **config: Any) -> MysqlSource:
    options = {"lookback": Duration(minutes=5), **config}
    return MysqlSource(MysqlConfig(url=Secret(reader_url(server, database)), **options))


@pytest.mark.heavy
class TestByKey(Case, DataSourceConformance, LargeDataConformance):
    """Without an index on the cursor, the first run goes by key."""

    @pytest.fixture
    def expected(self, editor: Orders) -> dict[str, list[dict[str, Any]]]:
        orders = [row for number in range(10) for row in editor.rows([number], -1000 + 50 * (number // 4))]
        customers = ("name", "picture", "balance", "points", "since")
        return {
            "orders": [dict(zip(("id", "customer", "total", "updated_time"), row, strict=True)) for row in orders],
            "customers": [dict(zip(customers, row, strict=True)) for row in CUSTOMERS],
            "audit": [],
        }

    @pytest.fixture
    def bad_source(self, server: Server) -> MakeSource:
        return lambda: make_source(server, "nothing")

    @pytest.fixture
    def other_source(self, server: Server) -> MakeSource:
        server.clear("other")
        server.query("mysql", "GRANT SELECT ON other.* TO reader")
        return lambda: make_source(server, "other")

    @pytest.fixture
    def with_bad_row(self, database: Server) -> BadRow:
        database.query(
            "shop",
            "SET STATEMENT sql_mode = '' FOR INSERT INTO customers VALUES ('the bad one', NULL, 0, 1, '2026-00-10')",
        )
        return BadRow(lambda: make_source(database, page_rows=3), "customers", "the bad one", len(CUSTOMERS))

    @pytest.fixture
    def fingerprint(self, database: Server) -> Callable[[], str]:
        return lambda: str(database.query("shop", "SELECT * FROM orders ORDER BY id"))

    @pytest.fixture
    def large_source(self, database: Server) -> MakeSource:
        Orders(database).write(range(10_000), 1)
        return lambda: make_source(database, page_rows=200)


class TestByCursor(Case):
    """With an index that leads with the cursor, every run goes by it."""

    index = ", KEY (updated_time, id)"
