"""A correct source, small enough to be read at once: the conformance suite is tested with it.

A shop's SQLite database. ``orders`` is incremental by a time with ties, late rows and NULLs; ``events`` is split
by region; ``prices`` and ``audit`` are read whole, and ``audit`` is empty. ``broken_shops.py`` breaks it.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from msgspec import Meta

from vdk.plugin.datasource_base import (
    AuthenticationError,
    ConfigurationError,
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    PartitionState,
    Secret,
    StreamPartition,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.contract import JSON_TYPE

START = 1_750_000_000
"""Seconds since 1970: the time of tick 0."""
LOOKBACK = 10
PASSWORD = "correct horse"
UTC = pa.timestamp("us", tz="UTC")

ORDERS = [(index, START - 500 + 20 * (index // 4), f"{index}.10", index % 2, f"note {index}") for index in range(8)]
EVENTS = [(region, number, f"{region} {number}") for region in ("north", "south", "o'west") for number in range(1, 6)]
PRICES = [("a", 2**53 + 1), ("b", None), ('"quoted"', 3)]


def make_shop(path: Path) -> None:
    """The database, with a small known set of data."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, changed INTEGER, total TEXT, paid INTEGER, note TEXT);"
            "CREATE TABLE events (region TEXT, number INTEGER, what TEXT, PRIMARY KEY (region, number));"
            "CREATE TABLE prices (article TEXT PRIMARY KEY, cents INTEGER);"
            "CREATE TABLE audit (article TEXT PRIMARY KEY, cents INTEGER);"
        )
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", ORDERS)
        connection.executemany("INSERT INTO events VALUES (?, ?, ?)", EVENTS)
        connection.executemany("INSERT INTO prices VALUES (?, ?)", PRICES)
        connection.commit()


class ShopConfig(DataSourceConfig):
    database: Annotated[Path, Meta(description="the shop's database")]
    page_rows: Annotated[int, Meta(ge=1, description="rows that are read at once")] = 3
    password: Annotated[Secret, Meta(description="the shop's password")] = Secret(PASSWORD)


class OrderPosition(PartitionState):
    changed: int | None = None
    id: int = 0


class EventPosition(PartitionState):
    number: int = 0


def connected(config: ShopConfig) -> sqlite3.Connection:
    if config.password.reveal() != PASSWORD:
        raise AuthenticationError(f"the shop {config.database} refuses the password")
    try:
        return sqlite3.connect(f"{config.database.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.OperationalError as error:
        raise ConfigurationError(f"the shop {config.database} cannot be opened: {error}") from error


class Orders(DataSourceStream):
    """Read by (changed, id); rows without a time are read in each run, rows of the future once their time has come."""

    name = "orders"

    def __init__(self, config: ShopConfig) -> None:
        self.config = config

    def schema(self, table: str | None = None) -> StreamSchema | None:
        types = [("changed", UTC), ("total", pa.decimal128(12, 2)), ("paid", pa.bool_()), ("note", pa.string())]
        fields = [pa.field("id", pa.int64(), nullable=False), *types, ("detail", JSON_TYPE)]
        return StreamSchema(pa.schema(fields), ("id",), "changed")

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        position = OrderPosition.load(state)
        with closing(connected(self.config)) as connection:
            if undated := connection.execute("SELECT * FROM orders WHERE changed IS NULL").fetchall():
                yield DataSourcePayload([self.row(values) for values in undated])
            after = self.begin(position)
            while rows := self.page(connection, after):
                after = (rows[-1][1], rows[-1][0])
                yield DataSourcePayload([self.row(row) for row in rows], state=self.state(after, rows))

    def begin(self, position: OrderPosition) -> tuple[int, int]:
        return (position.changed - LOOKBACK, -1) if position.changed is not None else (-(2**62), -1)

    def page(self, connection: sqlite3.Connection, after: tuple[int, int]) -> list[tuple[Any, ...]]:
        sql = "SELECT * FROM orders WHERE (changed, id) > (?, ?) AND changed <= ? ORDER BY changed, id LIMIT ?"
        return connection.execute(sql, (*after, int(time.time()), self.config.page_rows)).fetchall()

    def state(self, after: tuple[int, int], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        return OrderPosition(changed=after[0], id=after[1]).dump()

    def row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        id, changed, total, paid, note = values
        return {
            "id": id,
            "changed": dt.datetime.fromtimestamp(changed, dt.UTC) if changed is not None else None,
            "total": Decimal(total),
            "paid": bool(paid),
            "note": note,
            "detail": {"id": id, "tags": [note]},
        }


class Region(StreamPartition):
    """The events of a region, by their number."""

    def __init__(self, config: ShopConfig, region: str) -> None:
        self.config, self.id = config, region

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        number = EventPosition.load(state).number
        with closing(connected(self.config)) as connection:
            sql = "SELECT * FROM events WHERE region = ? AND number > ? ORDER BY number LIMIT ?"
            while rows := connection.execute(sql, (self.id, number, self.config.page_rows)).fetchall():
                number = rows[-1][1]
                yield DataSourcePayload(
                    [dict(zip(("region", "number", "what"), row, strict=True)) for row in rows],
                    state=EventPosition(number=number).dump(),
                )


class Events(DataSourceStream):
    name = "events"
    region = Region

    def __init__(self, config: ShopConfig) -> None:
        self.config = config

    def schema(self, table: str | None = None) -> StreamSchema | None:
        types = [("region", pa.string()), ("number", pa.int64()), ("what", pa.string())]
        return StreamSchema(pa.schema(types), ("region", "number"), "number")

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        with closing(connected(self.config)) as connection:
            for (region,) in connection.execute("SELECT DISTINCT region FROM events ORDER BY region").fetchall():
                yield self.region(self.config, region)


class Whole(DataSourceStream):
    """A table that is read completely each time."""

    def __init__(self, config: ShopConfig, name: str) -> None:
        self.config, self.name = config, name

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return StreamSchema(pa.schema([("article", pa.string()), ("cents", pa.int64())]), ("article",))

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        with closing(connected(self.config)) as connection:
            cursor = connection.execute(f"SELECT * FROM {self.name} ORDER BY article")
            while rows := cursor.fetchmany(self.config.page_rows):
                yield DataSourcePayload([self.row(row) for row in rows])

    def row(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(("article", "cents"), values, strict=True))


@data_source(name="shop", config=ShopConfig)
class ShopSource(DataSource[ShopConfig]):
    orders: type[Orders] = Orders
    events: type[Events] = Events
    whole: type[Whole] = Whole

    def identity(self) -> str:
        return f"sqlite:///{self.config.database.resolve()}"

    def connect(self, state: DataSourceState) -> None:
        with closing(connected(self.config)) as connection:
            connection.execute("SELECT 1 FROM orders")

    def streams(self) -> Sequence[DataSourceStream]:
        wholes = [self.whole(self.config, name) for name in ("prices", "audit")]
        return [self.orders(self.config), self.events(self.config), *wholes]

    def check(self) -> None:
        self.connect(DataSourceState())


def expected_rows() -> dict[str, list[dict[str, Any]]]:
    """The rows that must land of the data of ``make_shop``."""
    return {
        "orders": [Orders.row(Orders.__new__(Orders), values) for values in ORDERS],
        "events": [{"region": region, "number": number, "what": what} for region, number, what in EVENTS],
        "prices": [{"article": article, "cents": cents} for article, cents in PRICES],
        "audit": [],
    }
