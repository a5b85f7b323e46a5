"""Correct sources over the shop's database: an append-only journal, and orders whose deletes are followed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from reference_shop import EventPosition, Orders, ShopConfig, ShopSource, connected
from vdk.plugin.datasource_base import DataSourcePayload, DataSourceStream


class Journal(DataSourceStream):
    """The events of the north, by their number, without a key."""

    name = "journal"
    incremental = True

    def __init__(self, config: ShopConfig) -> None:
        self.config = config

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        number = self.begin(EventPosition.load(state).number)
        with closing(connected(self.config)) as connection:
            sql = "SELECT number, what FROM events WHERE region = 'north' AND number > ? ORDER BY number LIMIT 3"
            while rows := connection.execute(sql, (number,)).fetchall():
                number = rows[-1][0]
                yield DataSourcePayload([{"id": id, "what": what} for id, what in rows], state=self.state(number))

    def begin(self, number: int) -> int:
        return number

    def state(self, number: int) -> dict[str, Any]:
        return EventPosition(number=number).dump()


class JournalSource(ShopSource):
    journal: type[Journal] = Journal

    def streams(self) -> Sequence[DataSourceStream]:
        return [self.journal(self.config)]


class SweptOrders(Orders):
    """Yields all existing keys at the end of each read."""

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield from super().read(state)
        with closing(connected(self.config)) as connection:
            yield from self.sweep(connection)

    def sweep(self, connection: sqlite3.Connection) -> Iterator[DataSourcePayload]:
        cursor = connection.execute("SELECT id FROM orders ORDER BY id")
        while ids := cursor.fetchmany(3):
            yield DataSourcePayload([{"id": id} for (id,) in ids], kind="keys")


class SweptSource(ShopSource):
    orders: type[Orders] = SweptOrders

    def streams(self) -> Sequence[DataSourceStream]:
        return [self.orders(self.config)]
