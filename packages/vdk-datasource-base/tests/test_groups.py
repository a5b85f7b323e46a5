"""Partitions of one stream land together: few commits, and still each for its own where something is wrong."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from support import QUICK, FaultyDestination, Lab, Read, Split, counting, payload
from vdk.plugin.datasource_base import ConnectionFailedError, DataSourcePayload, FlowFailedError, StreamSchema
from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError, State
from vdk.plugin.datasource_base.parts import CommitUnit, StateKey, StoredState, TableBatch
from vdk.plugin.datasource_base.runtime import Options
from vdk.plugin.datasource_base.runtime.run.landing import writer
from vdk.plugin.datasource_base.runtime.run.partitions.reader_slots import MOST_WAITING

KEYED = StreamSchema(pa.schema([("id", pa.int64()), ("v", pa.string())]), ("id",), "id")
PARTS = 100


class Grouping(FaultyDestination):
    """Commits several units at once; its first call of a run waits until there are some."""

    groups = True
    calls: ClassVar[list[tuple[str, list[str]]]] = []
    before: ClassVar[Callable[[Grouping, list[str]], None] | None] = None
    ready: ClassVar[threading.Event] = threading.Event()

    def _called(self, what: str, partitions: list[str]) -> None:
        if not self.calls:
            self.ready.wait(10)
        self.calls.append((what, partitions))
        if what != "stage" and Grouping.before is not None:
            Grouping.before(self, partitions)

    def commit(self, unit: CommitUnit) -> int:
        self._called("commit", [unit.key.partition])
        return super().commit(unit)

    def commit_group(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        self._called("group", [unit.key.partition for unit in units])
        kept: list[Any] = [self.rows, self.states, self.versions, self.staged, self._staged_counts]
        before = copy.deepcopy(kept)
        try:
            first, *others = units
            versions = [FaultyDestination.commit(self, replace(first, batches=batches))]
            versions += [FaultyDestination.commit(self, unit) for unit in others]
        except BaseException:
            for mine, old in zip(kept, before, strict=True):
                mine.clear()
                mine.update(old)
            raise
        if Grouping.before is not None:
            Grouping.before(self, ["after", *(unit.key.partition for unit in units)])
        return versions

    def stage(self, key: StateKey, batches: Any, run_id: str) -> None:
        self._called("stage", [key.partition])
        super().stage(key, batches, run_id)


@pytest.fixture(autouse=True)
def grouping(lab: Lab) -> Iterator[None]:
    lab.registry.add_destination("grouping", f"{__name__}:Grouping")
    Grouping.ready = threading.Event()
    yield
    Grouping.calls.clear()
    Grouping.before = None


def part(number: int, *, state: bool = True) -> Read:
    """Three rows; when the last partition is read, the destination may begin."""

    def read(given: State) -> Iterator[DataSourcePayload]:
        if not given:
            rows = [{"id": number * 3 + n, "v": f"{number}"} for n in range(3)]
            yield payload(*rows, state={"done": number} if state else None)
        if number == PARTS - 1:
            Grouping.ready.set()

    return read


def run(
    lab: Lab,
    parts: dict[str, Read] | None = None,
    schema: StreamSchema | None = KEYED,
    *,
    incremental: bool = True,
    **flow: Any,
) -> Any:
    parts = parts or {f"p{n}": part(n) for n in range(PARTS)}
    stream = Split("t", parts, schema, incremental=incremental)
    return lab.run(stream, method="grouping", **{"options": Options(retry_delay=0.001), **flow})


def test_a_thread_reads_many_partitions(lab: Lab) -> None:
    """Also while the partitions before it wait to land: the first commit begins when all are read."""
    threads: set[threading.Thread] = set()

    def counted(read: Read) -> Read:
        def reading(given: State) -> Iterator[DataSourcePayload]:
            threads.add(threading.current_thread())
            yield from read(given)

        return reading

    run(lab, {f"p{n}": counted(part(n)) for n in range(PARTS)}, write_mode="append")
    assert ids(lab) == list(range(PARTS * 3))
    assert len(threads) < PARTS / 4


def test_the_last_unit_of_a_partition_waits_for_those_that_are_read(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """They land in one commit, which takes as long as many small reads."""
    monkeypatch.setattr(writer, "AWAIT_SECONDS", 3)
    Grouping.ready.set()

    def second(given: State) -> Iterator[DataSourcePayload]:
        deadline = time.monotonic() + 0.3
        while not Grouping.calls and time.monotonic() < deadline:
            time.sleep(0.01)
        yield from part(1)(given)

    run(lab, {"p0": part(0), "p1": second}, write_mode="append", options=Options(max_parallel_partitions=1))
    assert Grouping.calls == [("group", ["p0", "p1"])]


def ids(lab: Lab) -> list[int]:
    return sorted(table["id"] for table in lab.tables["t"])


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_hundred_small_partitions_are_a_few_commits(lab: Lab, mode: str) -> None:
    """Each has its own state afterwards, and the next run finds it."""
    summary = run(lab, write_mode=mode)
    assert len(Grouping.calls) < PARTS / 4
    assert ids(lab) == list(range(PARTS * 3))
    assert lab.states == {("t", f"p{n}"): {"done": n} for n in range(PARTS)}
    assert (summary.streams[0].rows_landed, summary.streams[0].partitions) == (PARTS * 3, PARTS)
    assert run(lab, write_mode=mode).streams[0].rows_landed == 0


@pytest.mark.parametrize("flow", [{"write_mode": "replace"}, {}])
def test_partitions_that_are_read_whole_are_set_aside_together(lab: Lab, flow: dict[str, Any]) -> None:
    """The snapshot has all their rows, once."""
    parts = {f"p{n}": part(n, state=False) for n in range(PARTS)}
    for _ in range(2):
        summary = run(lab, parts, StreamSchema(KEYED.fields, ("id",)), incremental=False, **flow)
        assert len(Grouping.calls) < PARTS / 4
        Grouping.calls.clear()
        Grouping.ready.clear()
        assert ids(lab) == list(range(PARTS * 3))
        assert summary.streams[0].rows_landed == PARTS * 3
    assert not lab.staged


def test_what_the_destination_refuses_of_one_partition_fails_that_one_alone(lab: Lab) -> None:
    """The others land, one by one, and the error is of the partition whose it is."""

    def refuse(_: Grouping, partitions: list[str]) -> None:
        if "p7" in partitions and partitions[0] != "after":
            raise DestinationError("p7 is not wanted")

    Grouping.before = refuse
    with pytest.raises(FlowFailedError, match="p7 is not wanted"):
        run(lab)
    assert ids(lab) == [n for n in range(PARTS * 3) if n // 3 != 7]
    assert lab.states == {("t", f"p{n}"): {"done": n} for n in range(PARTS) if n != 7}
    Grouping.before = None
    run(lab)
    assert ids(lab) == list(range(PARTS * 3))


def test_a_state_that_another_run_moved_stops_its_own_partition_alone(lab: Lab) -> None:
    """Of the partition p7 nothing lands, and the other run's state stays."""

    def moved(destination: Grouping, partitions: list[str]) -> None:
        key = StateKey("src", "the data", "t", "p7", "t")
        if key not in destination.states:
            destination.states[key] = StoredState(key, 5, {"done": "elsewhere"}, "another run")

    Grouping.before = moved
    with pytest.raises(FlowFailedError, match="ConcurrentRunError") as caught:
        run(lab)
    assert [type(error) for error in caught.value.errors] == [ConcurrentRunError]
    assert ids(lab) == [n for n in range(PARTS * 3) if n // 3 != 7]
    assert lab.states[("t", "p7")] == {"done": "elsewhere"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_destination_that_is_away_at_a_commit_of_many_loses_and_repeats_nothing(lab: Lab, when: str) -> None:
    """Whether it had landed or not is found out for each partition."""
    failed: list[Any] = []

    def away(_: Grouping, partitions: list[str]) -> None:
        if not failed and len(partitions) > 2 and (partitions[0] == "after") == (when == "after"):
            failed.append(partitions)
            raise ConnectionFailedError("away")

    Grouping.before = away
    run(lab, write_mode="append")
    assert failed
    assert ids(lab) == list(range(PARTS * 3))
    assert lab.states == {("t", f"p{n}"): {"done": n} for n in range(PARTS)}


def test_a_staging_of_many_that_fails_leaves_no_row_twice(lab: Lab) -> None:
    """What a failed staging has left is dropped, and each partition is set aside for its own."""

    def half(operation: str, destination: FaultyDestination) -> None:
        if operation == "discard":
            return
        if operation == "stage" and Grouping.calls[-1][1][0].startswith("*"):
            shared = StateKey("src", "the data", "t", Grouping.calls[-1][1][0], "t")
            destination.staged[shared] = []
            raise DestinationError("half of it is set aside")

    lab.fault(half)
    run(lab, {f"p{n}": part(n, state=False) for n in range(PARTS)}, write_mode="replace")
    assert ids(lab) == list(range(PARTS * 3))
    assert not lab.staged


def test_batches_of_a_partition_keep_their_order_beside_those_of_others(lab: Lab) -> None:
    """Many commits of each partition, in groups as they come: appended rows are in each partition's order."""
    Grouping.ready.set()
    parts = {str(number): counting(60, page=7) for number in range(12)}
    run(lab, {name: _named(name, read) for name, read in parts.items()}, None, options=QUICK)
    for name in parts:
        assert [table["n"] for table in lab.tables["t"] if table["part"] == name] == list(range(60))
    assert lab.states == {("t", name): {"next": 60} for name in parts}


def _named(name: str, read: Read) -> Read:
    def named(state: State) -> Iterator[DataSourcePayload]:
        for one in read(state):
            rows: Any = one.data
            yield replace(one, data=[{**row, "part": name} for row in rows])

    return named


def test_a_key_that_two_partitions_bring_is_there_once(lab: Lab) -> None:
    """It should belong to one; where a source breaks that, the table has no key twice all the same."""

    def read(number: int) -> Read:
        def rows(state: State) -> Iterator[DataSourcePayload]:
            yield payload({"id": 1, "v": f"{number}"}, {"id": 10 + number, "v": "own"}, state={"n": 1})
            if number == PARTS - 1:
                Grouping.ready.set()

        return rows

    run(lab, {f"p{n}": read(n) for n in range(PARTS)}, write_mode="upsert")
    assert ids(lab) == [1, *(10 + n for n in range(PARTS))]


def test_rejected_rows_of_partitions_that_land_together_count_together(lab: Lab) -> None:
    """``max_rejected`` holds whatever lands with what; what is above it is of the partition that went over it."""

    def read(number: int) -> Read:
        def rows(state: State) -> Iterator[DataSourcePayload]:
            yield payload({"id": number, "v": "x"}, {"id": "bad", "v": "x"}, state={"n": 1})
            if number == PARTS - 1:
                Grouping.ready.set()

        return rows

    with pytest.raises(FlowFailedError, match="max_rejected = 10"):
        run(lab, {f"p{n}": read(n) for n in range(PARTS)}, on_bad_record="reject", max_rejected=10)
    assert len(lab.tables["t__rejected"]) == len(lab.tables["t"]) == 10


def test_no_more_partitions_are_read_at_once_and_waiting_is_bounded(lab: Lab) -> None:
    """A partition that is read gives its place to the next, but not without end while the destination stands still."""
    count = MOST_WAITING + 100
    reading, most, begun = set[int](), [0], [0]
    lock = threading.Lock()

    def read(number: int) -> Read:
        def rows(state: State) -> Iterator[DataSourcePayload]:
            with lock:
                reading.add(number)
                begun[0] += 1
                most[0] = max(most[0], len(reading))
            yield payload({"id": number, "v": "x"}, state={"n": 1})
            with lock:
                reading.discard(number)

        return rows

    def open_later() -> None:
        seen = -1
        while seen != begun[0] or not seen:
            seen = begun[0]
            time.sleep(0.3)
        stood.append(seen)
        Grouping.ready.set()

    stood: list[int] = []
    threading.Thread(target=open_later, daemon=True).start()
    run(lab, {f"p{n}": read(n) for n in range(count)}, max_parallel_partitions=3)
    assert most[0] <= 3
    assert stood[0] <= MOST_WAITING + 3
    assert ids(lab) == list(range(count))


@pytest.mark.parametrize("id", ["*", "*1", "*20"])
def test_names_that_stand_for_several_partitions_are_refused(lab: Lab, id: str) -> None:
    """They would share what is staged with others."""
    with pytest.raises(FlowFailedError, match="has a partition with the id"):
        run(lab, {id: part(PARTS - 1)})
