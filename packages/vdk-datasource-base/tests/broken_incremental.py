"""Sources that lose rows at the boundary of what they have read, as other frameworks do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import count
from typing import Any

from broken import caught_by
from broken_states import Exact
from reference_shop import LOOKBACK, Events, OrderPosition, Orders, Region, connected
from vdk.plugin.datasource_base import BoundedPartition, DataSourcePayload, StateError, StreamPartition
from vdk.plugin.datasource_base.testing.conformance.harness.reading import rows_of

_calls = count()


@caught_by("test_the_stream_yields_a_state")
class Stateless(Orders):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return (DataSourcePayload(payload.data) for payload in super().read({}))


@caught_by("test_a_rerun_reads_only_the_overlap_again")
class FromTheBeginning(Orders):
    def begin(self, position: OrderPosition) -> tuple[int, int]:
        return (-(2**62), -1)


@caught_by("test_a_rerun_after_one_more_row_reads_that_row_and_the_overlap")
class Excitable(Orders):
    """Starts over as soon as a row is new."""

    def begin(self, position: OrderPosition) -> tuple[int, int]:
        with closing(connected(self.config)) as connection:
            (high,) = connection.execute("SELECT max(changed) FROM orders").fetchone()
        return super().begin(position if high == position.changed else OrderPosition())


@caught_by("test_a_tie_group_larger_than_a_page_lands_whole")
class Tieless(Orders):
    def page(self, connection: sqlite3.Connection, after: tuple[int, int]) -> list[tuple[Any, ...]]:
        return super().page(connection, (after[0], 2**62) if after[1] >= 0 else after)


@caught_by("test_stopping_within_a_tie_group_loses_nothing")
class BetweenTies(Exact):
    """Orders by the key within a tie, and omits the key from the state."""

    def begin(self, position: OrderPosition) -> tuple[int, int]:
        after, _ = super().begin(position)
        return after, 2**62


@caught_by("test_a_new_row_at_the_exact_boundary_lands")
class BehindTheLast(Exact):
    """Reads after (cursor, key) instead of at the cursor, so it skips a new row with a lower key."""


@caught_by("test_a_late_row_inside_the_lookback_lands")
class Punctual(Orders):
    def begin(self, position: OrderPosition) -> tuple[int, int]:
        return (position.changed, -1) if position.changed is not None else (-(2**62), -1)


@caught_by("test_a_changed_row_lands_again")
class NewOnly(Orders):
    """Reads rows with a higher key, as if rows were only added."""

    def state(self, after: tuple[int, int], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        return OrderPosition(changed=after[0], id=max(row[0] for row in rows)).dump()

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        known = OrderPosition.load(state).id if state else -1
        for payload in super().read(state):
            yield DataSourcePayload([row for row in rows_of([payload]) if row["id"] > known], state=payload.state)


@caught_by("test_rows_written_during_a_run_land_in_the_next")
class LookingBack(Orders):
    """Lists the keys first, and reads the end of the data last, when it has moved."""

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        low = self.begin(OrderPosition.load(state))[0]
        with closing(connected(self.config)) as connection:
            sql = "SELECT id FROM orders WHERE changed > ? OR changed IS NULL ORDER BY id"
            ids = [id for (id,) in connection.execute(sql, (low,)).fetchall()]
            for index in range(0, len(ids), 3):
                marks = ", ".join("?" * len(ids[index : index + 3]))
                rows = connection.execute(
                    f"SELECT * FROM orders WHERE id IN ({marks})", ids[index : index + 3]
                ).fetchall()
                yield DataSourcePayload([self.row(row) for row in rows])
            (high,) = connection.execute("SELECT max(changed) FROM orders").fetchone()
        yield DataSourcePayload(None, state=OrderPosition(changed=high + LOOKBACK + 1).dump())


@caught_by("test_rows_written_between_a_stop_and_the_next_run_land")
class ForgettingItsEnd(Orders):
    """Reads its first run by key, also after a stop, and then stores the new end of the data as the end of the run."""

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        position = OrderPosition.load(state)
        if position.changed is not None:
            yield from super().read(state)
            return
        last = position.id if state else -1
        with closing(connected(self.config)) as connection:
            sql = "SELECT * FROM orders WHERE id > ? ORDER BY id LIMIT 3"
            while rows := connection.execute(sql, (last,)).fetchall():
                last = rows[-1][0]
                yield DataSourcePayload([self.row(row) for row in rows], state=OrderPosition(id=last).dump())
            (high,) = connection.execute("SELECT max(changed) FROM orders").fetchone()
        yield DataSourcePayload(None, state=OrderPosition(changed=high + LOOKBACK + 1).dump())


@caught_by("test_rows_without_a_cursor_follow_the_policy")
class Dated(Orders):
    """Skips rows without a time once it has a state, as a comparison in SQL does."""

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for payload in super().read(state):
            if payload.state is not None or not state:
                yield payload


@caught_by("test_a_row_from_the_far_future_does_not_hide_later_rows")
class Believing(Orders):
    def page(self, connection: sqlite3.Connection, after: tuple[int, int]) -> list[tuple[Any, ...]]:
        sql = "SELECT * FROM orders WHERE (changed, id) > (?, ?) ORDER BY changed, id LIMIT ?"
        return connection.execute(sql, (*after, self.config.page_rows)).fetchall()


@caught_by("test_a_read_stops_at_its_end")
class Running(Orders, BoundedPartition):
    """Knows its end, and reads on."""

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        return [payload.state for payload in super().read(state) if payload.state is not None][-1]

    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        return super().read(state)


@caught_by("test_a_stream_is_split")
class Unsplit(Events):
    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        return list(super().partitions(state))[:1]


class Nameless(Region):
    @property
    def id(self) -> str:
        return "region"

    @id.setter
    def id(self, value: str) -> None:
        self.region = value


@caught_by("test_partition_ids_are_unique")
class NamelessEvents(Events):
    region = Nameless


class Numbered(Region):
    def __init__(self, config: Any, region: str) -> None:
        super().__init__(config, region)
        self.id = f"{region} {next(_calls)}"


@caught_by("test_partition_ids_are_stable")
class NumberedEvents(Events):
    region = Numbered


class Overlapping(Region):
    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield from super().read(state)
        yield from Region(self.config, "north").read({})


@caught_by("test_a_row_belongs_to_one_partition")
class OverlappingEvents(Events):
    region = Overlapping


@caught_by("test_a_failing_partition_loses_nothing")
class HandedOut(Events):
    """Treats a partition as done after it was listed once."""

    given: set[str] = set()  # noqa: RUF012 - this is the mistake

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        if not state:
            self.given.clear()
        for part in super().partitions(state):
            if part.id in state or part.id not in self.given:
                self.given.add(part.id)
                yield part


@caught_by("test_a_new_partition_is_read_from_its_beginning")
class Closed(Events):
    """Reads only the partitions that have a state."""

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        return [part for part in super().partitions(state) if not state or part.id in state]


@caught_by("test_states_of_removed_partitions_are_ignored")
class Strict(Events):
    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        partitions = list(super().partitions(state))
        for id in state:
            if id not in {part.id for part in partitions}:
                raise StateError(f"the partition {id!r} was removed")
        return partitions
