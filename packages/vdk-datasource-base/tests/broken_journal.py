"""Sources that lose their position in a log, and that delete too little or too much."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from broken import caught_by
from reference_journal import Journal, SweptOrders
from reference_shop import EventPosition
from vdk.plugin.datasource_base import DataSourcePayload


@caught_by("test_a_second_run_of_a_log_reads_nothing")
class Inclusive(Journal):
    def begin(self, number: int) -> int:
        return number - 1


@caught_by("test_only_the_new_row_of_a_log_is_read")
class Skipping(Journal):
    def begin(self, number: int) -> int:
        return number + 1 if number else 0


@caught_by("test_a_state_of_a_log_continues_right_after_its_row")
class OneTooHigh(Journal):
    def state(self, number: int) -> dict[str, Any]:
        return super().state(number + 1)


@caught_by("test_states_of_a_log_never_go_back")
class Restarting(Journal):
    """Stores the beginning of the log when no row is new."""

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        payloads = list(super().read(state))
        yield from payloads or [DataSourcePayload(None, state=EventPosition().dump())]


@caught_by("test_a_deleted_row_is_deleted_by_the_next_run")
class Clinging(SweptOrders):
    def sweep(self, connection: sqlite3.Connection) -> Iterator[DataSourcePayload]:
        return iter(())


@caught_by("test_a_deleted_row_comes_back_when_it_is_written_again")
class Resentful(SweptOrders):
    """Skips a key that was deleted before."""

    seen: set[int] = set()  # noqa: RUF012 - this is the mistake
    deleted: set[int] = set()  # noqa: RUF012 - this is the mistake

    def sweep(self, connection: sqlite3.Connection) -> Iterator[DataSourcePayload]:
        ids = {id for (id,) in connection.execute("SELECT id FROM orders")}
        self.deleted.update(self.seen - ids)
        self.seen.update(ids)
        yield DataSourcePayload([{"id": id_} for id_ in sorted(ids - self.deleted)], kind="keys")


@caught_by("test_a_sweep_deletes_no_existing_row")
class FirstPage(SweptOrders):
    def sweep(self, connection: sqlite3.Connection) -> Iterator[DataSourcePayload]:
        return islice(super().sweep(connection), 1)
