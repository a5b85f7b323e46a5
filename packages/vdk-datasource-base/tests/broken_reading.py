"""Sources whose readers disturb each other, keep resources open, or keep too much in memory."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

from broken import caught_by
from reference_shop import EventPosition, Events, Orders, Region, ShopConfig, Whole, connected
from vdk.plugin.datasource_base import DataSourcePayload
from vdk.plugin.datasource_base.testing.conformance.harness.reading import rows_of


class Buffer:
    """A buffer that all readers share."""

    number = 0


class Shared(Region):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        Buffer.number = EventPosition.load(state).number
        with closing(connected(self.config)) as connection:
            sql = "SELECT * FROM events WHERE region = ? AND number > ? ORDER BY number LIMIT ?"
            while rows := connection.execute(sql, (self.id, Buffer.number, self.config.page_rows)).fetchall():
                Buffer.number = rows[-1][1]
                yield DataSourcePayload(
                    [dict(zip(("region", "number", "what"), row, strict=True)) for row in rows],
                    state=EventPosition(number=Buffer.number).dump(),
                )


@caught_by("test_partitions_can_be_read_alternately")
class SharedEvents(Events):
    region = Shared


class Exclusive(Region):
    """Yields nothing while another thread reads with the only connection."""

    lock = threading.RLock()
    refused = threading.Event()

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        if not self.lock.acquire(blocking=False):
            self.refused.set()
            return
        try:
            yield from super().read(state)
            self.refused.wait(0.1)  # for the others to come
        finally:
            self.lock.release()


@caught_by("test_reading_in_parallel_equals_reading_in_sequence")
class ExclusiveEvents(Events):
    region = Exclusive


class Progressing(Region):
    """Resumes where it was the last time, whatever state it receives."""

    number = 0

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for payload in super().read(EventPosition(number=self.number).dump()):
            self.number = EventPosition.load(payload.state or {}).number
            yield payload


@caught_by("test_reading_twice_gives_the_same")
class ProgressingEvents(Events):
    region = Progressing


@caught_by("test_a_reader_that_is_closed_early_frees_its_resources")
class Open(Whole):
    def __init__(self, config: ShopConfig, name: str) -> None:
        super().__init__(config, name)
        self.opened: list[sqlite3.Connection] = []

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        connection = connected(self.config)
        self.opened.append(connection)
        cursor = connection.execute(f"SELECT * FROM {self.name}")
        while rows := cursor.fetchmany(2):
            yield DataSourcePayload([self.row(row) for row in rows])
        connection.close()


class Connected(Region):
    def __init__(self, config: ShopConfig, region: str) -> None:
        super().__init__(config, region)
        self.file = config.database.open("rb")


@caught_by("test_a_partition_opens_nothing_before_it_is_read")
class ConnectedEvents(Events):
    region = Connected


class Unpicklable(Region):
    def __init__(self, config: ShopConfig, region: str) -> None:
        super().__init__(config, region)
        self.convert: Callable[[Any], Any] = lambda value: value


@caught_by("test_partitions_can_be_pickled")
class UnpicklableEvents(Events):
    region = Unpicklable


@caught_by("test_many_rows_come_in_many_payloads")
class OnePage(Orders):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        pages = list(super().read(state))
        if pages:
            yield DataSourcePayload(rows_of(pages), state=pages[-1].state)


@caught_by("test_the_first_rows_come_before_the_last_are_read")
class Hoarding(Orders):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield from list(super().read(state))


@caught_by("test_memory_is_bounded")
class Collecting(Orders):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        seen = []
        for payload in super().read(state):
            seen.append(payload)
            yield payload


@caught_by("test_a_reader_that_is_closed_midway_frees_its_resources")
class Spooling(Orders):
    """Opens a file for the fifth page, and closes it only after the last page."""

    opened: list[Any] = []  # noqa: RUF012 - this is the mistake

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for number, payload in enumerate(super().read(state)):
            if number == 5:
                self.opened.append(self.config.database.open("rb"))
            yield payload
        for file in self.opened:
            file.close()
