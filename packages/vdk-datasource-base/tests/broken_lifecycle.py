"""Sources with mistakes between construction and disconnecting."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import count
from typing import Any

from broken import caught_by
from reference_shop import Orders, ShopConfig, ShopSource, connected
from vdk.plugin.datasource_base import ConfigurationError, DataSourcePayload, DataSourceState, DataSourceStream

_calls = count()


@caught_by("test_construction_does_no_io")
class Eager(ShopSource):
    def __init__(self, config: ShopConfig) -> None:
        super().__init__(config)
        with closing(connected(config)) as connection:
            connection.execute("SELECT 1")


@caught_by("test_check_accepts_existing_data")
class Gloomy(ShopSource):
    def check(self) -> None:
        raise ConfigurationError("something is wrong")


@caught_by("test_check_refuses_missing_data")
class Cheerful(ShopSource):
    def check(self) -> None:
        return


@caught_by("test_check_ends_in_time")
class Patient(ShopSource):
    def check(self) -> None:
        threading.Event().wait(3)


@caught_by("test_check_leaves_nothing_open")
class Careless(ShopSource):
    def check(self) -> None:
        self.connection = connected(self.config)
        self.connection.execute("SELECT count(*) FROM orders").fetchall()


@caught_by("test_connecting_again_changes_nothing")
class Adding(ShopSource):
    def __init__(self, config: ShopConfig) -> None:
        super().__init__(config)
        self.connected_streams: list[DataSourceStream] = []

    def connect(self, state: DataSourceState) -> None:
        super().connect(state)
        self.connected_streams += super().streams()

    def streams(self) -> Sequence[DataSourceStream]:
        return self.connected_streams

    def disconnect(self) -> None:
        self.connected_streams = []


class Connected(ShopSource):
    """Keeps a connection between connect and disconnect."""

    connection: Any = None

    def connect(self, state: DataSourceState) -> None:
        self.disconnect()
        self.connection = connected(self.config)
        self.connection.execute("SELECT count(*) FROM orders").fetchall()

    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.close()


@caught_by("test_disconnecting_is_idempotent")
class Once(Connected):
    def disconnect(self) -> None:
        if self.connection is not None:
            self.connection.execute("SELECT 1")
        super().disconnect()


@caught_by("test_a_source_reconnects")
class Finished(ShopSource):
    ended = False

    def streams(self) -> Sequence[DataSourceStream]:
        return [] if self.ended else super().streams()

    def disconnect(self) -> None:
        self.ended = True


@caught_by("test_nothing_is_left_open")
class Holding(Connected):
    def disconnect(self) -> None:
        return


@caught_by("test_a_run_that_fails_leaves_nothing_open")
class Abandoning(Orders):
    """Has a thread that it ends after the last row, and only there."""

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        ended = threading.Event()
        threading.Thread(target=ended.wait, args=(3,), daemon=True).start()
        yield from super().read(state)
        ended.set()


@caught_by("test_the_identity_is_stable")
class Restless(ShopSource):
    def identity(self) -> str:
        return f"{super().identity()}?call={next(_calls)}"


@caught_by("test_the_identity_does_not_depend_on_the_working_directory")
class Local(ShopSource):
    def identity(self) -> str:
        return os.path.relpath(self.config.database)


@caught_by("test_two_sets_of_data_have_two_identities")
class Impersonal(ShopSource):
    def identity(self) -> str:
        return "the shop"
