"""The PostgreSQL source does what every source has to do, on a real server."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest

from support import reader_url
from vdk.plugin.datasource_base import Duration, Secret
from vdk.plugin.datasource_base.testing import (
    BadRow,
    DataSourceConformance,
    IncrementalConformance,
    LargeDataConformance,
    RemoteConformance,
    StreamEditor,
)
from vdk.plugin.datasource_base.testing.postgresql import Server
from vdk.plugin.source_postgres.source import PostgresConfig, PostgresSource

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
CUSTOMERS = [
    ("c'1", b"\x00\xff", Decimal("12.25"), 9007199254740993),
    ('c"2', None, None, None),
    ("ö", b"", Decimal("-0.50"), 0),
]
MakeSource = Callable[[], PostgresSource]
UPSERT = (
    "INSERT INTO orders VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE "
    "SET customer = excluded.customer, total = excluded.total, updated_time = excluded.updated_time"
)


class Orders(StreamEditor):
    """The orders of a shop, updated by its till."""

    stream = "orders"
    page_rows = 3
    lookback = 300
    null_cursor = "include"
    far_future = 40 * 365 * 86400

    def __init__(self, server: Server) -> None:
        self._server = server

    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        with psycopg.connect(self._server.url("shop")) as connection:
            connection.cursor().executemany(UPSERT, self.rows(numbers, tick))

    def rows(self, numbers: Sequence[int], tick: int | None) -> list[tuple[Any, ...]]:
        time = START + dt.timedelta(seconds=tick) if tick is not None else None
        return [(number, f"customer {number}", number / 3, time) for number in numbers]


class Case(IncrementalConformance):
    """A shop, whose orders come in the tables that there are."""

    index: ClassVar[str] = "SELECT 1"

    @pytest.fixture
    def database(self, server: Server) -> Server:
        orders = [row for number in range(10) for row in Orders(server).rows([number], -1000 + 50 * (number // 4))]
        with psycopg.connect(server.url("shop")) as connection:
            for statement in (
                "CREATE TABLE orders (id int PRIMARY KEY, customer text, total float8, updated_time timestamptz)",
                self.index,
                "CREATE TABLE customers (name text PRIMARY KEY, picture bytea, balance numeric(10,2), points bigint)",
                "CREATE TABLE audit (at timestamptz, what text)",
            ):
                connection.execute(statement)
            connection.cursor().executemany("INSERT INTO customers VALUES (%s, %s, %s, %s)", CUSTOMERS)
            connection.cursor().executemany(UPSERT, orders)
        return server

    @pytest.fixture
    def source(self, database: Server) -> MakeSource:
        return lambda: make_source(database, page_rows=3)

    @pytest.fixture
    def editor(self, database: Server) -> Orders:
        return Orders(database)


def make_source(server: Server, database: str = "shop", **config: Any) -> PostgresSource:
    options = {"lookback": Duration(minutes=5), **config}
    return PostgresSource(PostgresConfig(url=Secret(reader_url(server, database)), **options))


@pytest.mark.heavy
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
    def bad_source(self, server: Server) -> MakeSource:
        return lambda: make_source(server, "nothing")

    @pytest.fixture
    def other_source(self, server: Server) -> MakeSource:
        return lambda: make_source(server, "postgres")

    @pytest.fixture
    def with_bad_row(self, database: Server) -> BadRow:
        database.query("shop", "INSERT INTO customers VALUES ('the bad one', NULL, 'NaN', 1)")
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

    index = "CREATE INDEX ON orders (updated_time, id)"


@pytest.mark.heavy
class TestRemote(RemoteConformance):
    """A server that is away, cuts connections, or refuses the password."""

    time_limit = 20.0

    @pytest.fixture
    def source_at(self) -> Callable[[str, int], PostgresSource]:
        def make(host: str, port: int) -> PostgresSource:
            url = Secret(f"postgresql://reader:reader@{host}:{port}/shop")
            return PostgresSource(PostgresConfig(url=url, connect_timeout=Duration(seconds=1), page_rows=20))

        return make

    @pytest.fixture
    def refused_source(self, server: Server) -> tuple[MakeSource, Callable[[], int]]:
        log = Path(server.query("shop", "SHOW data_directory")[0][0]) / "log"
        url = Secret(reader_url(server, password="wrong"))
        return (
            lambda: PostgresSource(PostgresConfig(url=url)),
            lambda: log.read_text("utf-8").count('password authentication failed for user "reader"'),
        )

    @pytest.fixture
    def good_server(self, server: Server) -> int:
        server.query("shop", "CREATE TABLE whole (id int PRIMARY KEY, x text)")
        server.query("shop", "CREATE TABLE incremental (id int PRIMARY KEY, updated_at timestamptz)")
        server.query("shop", "INSERT INTO whole SELECT n, 'x' || n FROM generate_series(1, 100) n")
        server.query("shop", "INSERT INTO incremental SELECT n, now() FROM generate_series(1, 100) n")
        return server.port
