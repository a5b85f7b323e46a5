"""Rows and state: a state is stored behind its rows, and never before them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from support import QUICK, FailEvery, FaultyDestination, Lab, Split, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import (
    ConnectionFailedError,
    DataSourceError,
    DataSourcePayload,
    FlowFailedError,
    StateError,
    StreamSchema,
)
from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError, State
from vdk.plugin.datasource_base.parts import CommitUnit
from vdk.plugin.datasource_base.runtime import Options, execute
from vdk.plugin.datasource_base.runtime.stored.reset import reset_states
from vdk.plugin.datasource_base.testing import MemoryDestination

KEYED = StreamSchema(pa.schema([("id", pa.int64()), ("v", pa.string())]), primary_key=("id",), cursor="id")


class Counted(FaultyDestination):
    batches: ClassVar[list[int]] = []

    def commit(self, unit: CommitUnit) -> int:
        self.batches.append(len(unit.batches))
        return super().commit(unit)


class NoDeletes(FaultyDestination):
    deletes = False


def test_rows_and_their_last_state_land_and_the_next_run_goes_on_from_there(lab: Lab) -> None:
    """A second run reads from the state of the first, and lands only what is new."""
    first = lab.run(Whole("t", counting(25)))
    assert (first.status, first.streams[0].rows_read, first.streams[0].rows_landed) == ("succeeded", 25, 25)
    assert lab.states == {("t", ""): {"next": 25}}
    second = lab.run(Whole("t", counting(30)))
    assert second.streams[0].rows_landed == 5
    assert lab.numbers("t") == list(range(30))
    assert second.streams[0].state_before == {"": {"next": 25}}
    assert second.streams[0].state_after == {"": {"next": 30}}


def test_a_column_that_is_declared_without_a_type_waits_for_a_value(lab: Lab) -> None:
    """Its type is that of the first values, and later rows without one leave it."""
    schema = StreamSchema(pa.schema([("id", pa.int64()), ("v", pa.null())]), cursor="id")
    types = []

    def read(values: list[bytes | None], state: State) -> Iterator[DataSourcePayload]:
        return iter(payload({"id": 1, "v": value}) for value in values)

    runs: list[list[bytes | None]] = [[], [b"\0"], [None]]
    for values in runs:
        lab.run(Whole("t", partial(read, values), schema))
        types.append(MemoryDestination(lab.target).schemas["t"].field("v").type)
    assert types == [pa.null(), pa.binary(), pa.binary()]
    assert MemoryDestination.tables(lab.target)["t"] == [{"id": 1, "v": b"\0"}, {"id": 1, "v": None}]


def test_a_run_without_news_lands_nothing_and_keeps_the_state(lab: Lab) -> None:
    """The second run of an unchanged source reads and lands no row."""
    lab.run(Whole("t", counting(5)))
    report = lab.run(Whole("t", counting(5))).streams[0]
    assert (report.rows_read, report.rows_landed, report.status) == (0, 0, "succeeded")
    assert lab.states == {("t", ""): {"next": 5}}


@pytest.mark.parametrize("page", [1, 3, 7, 25])
@pytest.mark.parametrize("nth", range(1, 6))
@pytest.mark.parametrize("after", ["", "!"])
def test_a_destination_that_fails_at_a_commit_loses_and_repeats_nothing(
    lab: Lab, page: int, nth: int, after: str
) -> None:
    """Whether the n-th commit fails before or after it landed, each row lands once, and state never leads."""
    watched: list[tuple[int, Any]] = []

    def fault(operation: str, destination: FaultyDestination) -> None:
        if operation in ("commit", "commit!"):
            watched.append((len(destination.rows.get("t", [])), lab.states.get(("t", ""), {}).get("next", 0)))
        failing(operation, destination)

    failing = FailEvery(f"commit{after}", ConnectionFailedError("away"), nth)
    lab.fault(fault)
    lab.run(Whole("t", counting(25, page=page)))
    assert lab.numbers("t") == list(range(25))
    assert all(rows >= state for rows, state in watched)


def test_after_a_fatal_error_of_the_destination_a_good_run_completes_the_rows(lab: Lab) -> None:
    """A destination that refuses fails the stream at once; what it had taken stays, and is not repeated."""
    lab.fault(FailEvery("commit", DestinationError("no"), 2))
    with pytest.raises(FlowFailedError, match=r"src\.t: DestinationError: no"):
        lab.run(Whole("t", counting(35)))
    assert lab.states == {("t", ""): {"next": len(lab.numbers("t"))}}
    lab.fault(None)
    lab.run(Whole("t", counting(35)))
    assert lab.numbers("t") == list(range(35))


def test_a_source_that_dies_leaves_what_its_last_state_covers(lab: Lab) -> None:
    """Rows up to the last state land though the source raises behind them; rows after it do not."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield payload(*numbers(0, 3), state={"next": 3})
        yield payload(*numbers(3, 5))
        raise ValueError("broken pipe")

    with pytest.raises(FlowFailedError, match="ValueError: broken pipe"):
        lab.run(Whole("t", read))
    assert lab.numbers("t") == [0, 1, 2]
    assert lab.states == {("t", ""): {"next": 3}}


def test_a_state_in_the_middle_of_a_batch_covers_only_what_came_before_it(lab: Lab) -> None:
    """What follows the state is set aside until the next one, and is gone when the source dies before it."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield payload(*numbers(0, 4), state={"next": 4})
        for start in range(4, 60, 4):
            yield payload(*numbers(start, start + 4))
        raise ValueError("late")

    with pytest.raises(FlowFailedError, match="late"):
        lab.run(Whole("t", read))
    assert lab.numbers("t") == [0, 1, 2, 3]
    assert not lab.staged
    lab.run(Whole("t", counting(60)))
    assert lab.numbers("t") == list(range(60))


def test_rows_behind_the_last_state_land_at_the_end_of_the_partition(lab: Lab) -> None:
    """A partition that is exhausted is a whole unit, whatever came after its last state."""
    lab.run(Whole("t", lambda state: [payload(*numbers(0, 3), state={"next": 3}), payload(*numbers(3, 9))]))
    assert lab.numbers("t") == list(range(9))
    assert lab.states == {("t", ""): {"next": 3}}


def test_a_payload_bigger_than_a_batch_lands_whole_with_its_state(lab: Lab) -> None:
    """A payload is never cut by its state."""
    seen: list[int] = []
    lab.fault(lambda operation, destination: seen.append(len(destination.rows.get("t", []))))
    lab.run(Whole("t", counting(100, page=50)))
    assert lab.numbers("t") == list(range(100))
    assert set(seen) <= {0, 50, 100}


def test_a_state_alone_is_stored(lab: Lab) -> None:
    """A payload without data moves the state, also where no row comes at all."""
    lab.run(Whole("t", lambda state: [DataSourcePayload(None, state={"at": 7})]))
    assert lab.states == {("t", ""): {"at": 7}}


def test_an_empty_state_forgets_the_partition(lab: Lab) -> None:
    """``{}`` removes what was stored, and the next run starts from the beginning."""
    lab.run(Whole("t", counting(3)))
    lab.run(Whole("t", lambda state: [payload({"n": 99}, state={})]))
    assert lab.states == {}
    lab.run(Whole("t", counting(3)))
    assert lab.states == {("t", ""): {"next": 3}}


def test_a_source_may_go_on_changing_the_state_it_yielded(lab: Lab) -> None:
    """The state is taken as it was when it was yielded: later counting in the same dict does not run ahead."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        mine: dict[str, Any] = {"next": 0, "pages": []}
        for number in range(20):
            mine["next"] = number + 1
            mine["pages"].append(number)
            yield payload({"n": number}, state=mine)
        mine["next"] = 1000
        raise ValueError("dies")

    with pytest.raises(FlowFailedError):
        lab.run(Whole("t", read), options=QUICK)
    stored = lab.states["t", ""]
    assert stored["next"] == len(lab.numbers("t")) == len(stored["pages"])


def test_a_source_may_change_the_state_it_is_given(lab: Lab) -> None:
    """What ``read`` gets is a copy: changing it changes nothing that is stored or reported."""
    lab.run(Whole("t", counting(3)))

    def read(state: Any) -> Iterator[DataSourcePayload]:
        state["next"] = 77
        yield payload()

    report = lab.run(Whole("t", read)).streams[0]
    assert report.state_before == report.state_after == {"": {"next": 3}}
    assert lab.states == {("t", ""): {"next": 3}}


@pytest.mark.parametrize(
    "state", [{"at": object()}, {"at": float("nan")}, {1: 2}, {"at": {"deep": {1, 2}}}, {"at": b"x"}, ["no mapping"]]
)
def test_a_state_that_is_no_json_is_refused_before_it_is_stored(lab: Lab, state: Any) -> None:
    """It would come back as something else, or not at all."""
    with pytest.raises(FlowFailedError, match="stream 't' yielded a state"):
        lab.run(Whole("t", lambda _: [payload({"n": 1}, state=state)]))
    assert lab.states == {}


def test_one_stream_fills_many_tables_each_in_its_own_order(lab: Lab) -> None:
    """Rows go where their payload says, also when the tables alternate row by row."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        for number in range(60):
            yield payload({"n": number}, destination_table=f"odd{number % 2}" if number % 3 else None)
        yield payload(state={"done": True})

    report = lab.run(Whole("t", read)).streams[0]
    assert report.rows_landed == 60
    assert [row["n"] for row in lab.tables["t"]] == list(range(0, 60, 3))
    assert [row["n"] for row in lab.tables["odd1"]] == [n for n in range(60) if n % 3 and n % 2]


def test_tables_that_alternate_make_few_slices(lab: Lab) -> None:
    """A thousand payloads for two tables land as two batches, not as a thousand."""
    lab.registry.add_destination("counted", f"{__name__}:Counted")
    rows = [payload({"n": n}, destination_table=f"t{n % 2}") for n in range(1000)]
    lab.run(Whole("t", lambda state: [*rows, payload(state={"x": 1})]), method="counted", options=Options())
    assert Counted.batches == [2]


def test_a_destination_table_template_names_the_tables(lab: Lab) -> None:
    """``{stream}`` and ``{table}`` are filled in after the payload's routing; braces in names stay as they are."""
    stream = Whole("a{table}b", lambda state: [payload({"n": 1}), payload({"n": 2}, destination_table="x{0}")])
    lab.run(stream, destination_table="pre_{stream}__{table}")
    assert set(lab.tables) == {"pre_a{table}b__a{table}b", "pre_a{table}b__x{0}"}


@pytest.mark.parametrize("name", ['a"; drop table b; --', "with space", "ünïcødé", "a.b", "select", "tab\tnew\nline"])
def test_any_text_is_a_stream_name(lab: Lab, name: str) -> None:
    """Names come from data, and no name is special."""
    lab.run(Whole(name, counting(2)))
    assert lab.numbers(name) == [0, 1]
    assert (name, "") in lab.states


def test_rows_and_deletes_keep_their_order(lab: Lab) -> None:
    """Under upsert the last operation of a key holds, rows and deletes together."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield payload({"id": 1, "v": "a"}, {"id": 2, "v": "b"}, {"id": 1, "v": "c"}, {"id": 3, "v": "d"})
        yield payload({"id": 2}, {"id": 3}, kind="deletes")
        yield payload({"id": 3, "v": "again"}, state={"x": 1})

    report = lab.run(Whole("t", read, KEYED)).streams[0]
    assert sorted(lab.tables["t"], key=lambda row: row["id"]) == [{"id": 1, "v": "c"}, {"id": 3, "v": "again"}]
    assert report.rows_deleted == 1  # the row 3 came back within the same commit


def test_soft_deletes_mark_the_row(lab: Lab) -> None:
    """With ``deletes = "soft"`` the row stays, with the time of its delete."""
    lab.run(Whole("t", lambda state: [payload({"id": 1, "v": "a"}), payload({"id": 1}, kind="deletes")], KEYED),
            deletes="soft")  # fmt: skip
    assert lab.tables["t"][0]["_vdk_deleted_at"] is not None


def test_deletes_under_append_are_rows_that_say_so(lab: Lab) -> None:
    """The key lands with ``_vdk_deleted_at``; transforms do not see it."""
    seen: list[Any] = []

    def watch(rows: Any) -> Any:
        seen.extend(rows)
        return rows

    lab.run(
        Whole("t", lambda state: [payload({"id": 1, "v": "a"}), payload({"id": 1}, kind="deletes")], KEYED),
        write_mode="append",
        transform=watch,
    )
    assert [row.get("_vdk_deleted_at") is not None for row in lab.tables["t"]] == [False, True]
    assert len(seen) == 1


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_deletes_without_a_key_are_refused(lab: Lab, mode: str) -> None:
    """There is nothing to find the rows by."""
    read = [payload({"id": 1}, kind="deletes", state={"x": 1})]
    with pytest.raises((FlowFailedError, DataSourceError), match="primary key"):
        lab.run(Whole("t", lambda state: read), write_mode=mode)


def test_deletes_are_refused_by_a_destination_that_cannot_delete(lab: Lab) -> None:
    """They are not ignored."""
    lab.registry.add_destination("nodeletes", f"{__name__}:NoDeletes")
    stream = Whole("t", lambda state: [payload({"id": 1}, kind="deletes", state={"x": 1})], KEYED)
    with pytest.raises(FlowFailedError, match="cannot delete rows"):
        lab.run(stream, method="nodeletes")
    assert lab.states == {}


def test_deletes_in_a_replaced_table_are_refused(lab: Lab) -> None:
    """A replaced table has no earlier rows to delete."""
    stream = Whole("t", lambda state: [payload({"id": 1}, kind="deletes")], KEYED)
    with pytest.raises(
        FlowFailedError, match=r"cannot be applied to a table that is replaced; .*write_mode = .upsert. in "
    ):
        lab.run(stream, write_mode="replace")


def test_a_stream_that_yields_deletes_is_declared_as_incremental(lab: Lab) -> None:
    """It is not read whole; one that says nothing of it is refused before anything lands."""
    schema = StreamSchema(KEYED.fields, ("id",))
    read = [payload({"id": 1}, {"id": 2}), payload({"id": 1}, kind="deletes")]
    with pytest.raises(FlowFailedError, match="yields deletes and is not declared as incremental"):
        lab.run(Whole("t", lambda state: read, schema))
    assert lab.tables == {}
    lab.run(Whole("t", lambda state: read, schema, incremental=True))
    assert [row["id"] for row in lab.tables["t"]] == [2]


def test_the_same_source_feeds_two_destinations_independently(lab: Lab) -> None:
    """State is kept per destination: the second one gets everything, whatever the first has."""
    lab.run(Whole("t", counting(5)))
    flow = lab.flow()
    flow["destinations"]["lake"]["target"] = f"{lab.target}-other"
    try:
        execute(flow, lab.environment())
        assert len(MemoryDestination.tables(f"{lab.target}-other")["t"]) == 5
    finally:
        MemoryDestination.clear(f"{lab.target}-other")
    assert lab.numbers("t") == list(range(5))


def test_a_source_that_reads_other_data_now_is_refused(lab: Lab) -> None:
    """A changed identity is named with the one before, and nothing is read or stored."""
    lab.run(Whole("t", counting(5)))
    lab.script(Whole("t", counting(9)), Whole("fresh", counting(1))).identity = "other data"
    with pytest.raises(StateError, match=r"reads other data.*stored for the data"):
        lab.run()
    assert lab.numbers("t") == list(range(5))
    assert "fresh" not in lab.tables


def test_of_two_runs_at_once_the_loser_stops(lab: Lab) -> None:
    """The state has moved since this run read it: nothing of this run lands behind the other's."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        for number in range(30):
            if number == 15 and next(once) == 0:
                other = Lab(lab.target, lab.folder)
                other.scripts = lab.scripts
                execute(lab.flow(), other.environment())
            yield payload({"n": number}, state={"next": number + 1})

    once = itertools.count()
    with pytest.raises(FlowFailedError, match="ConcurrentRunError") as caught:
        lab.run(Whole("t", read))
    assert isinstance(caught.value.errors[0], ConcurrentRunError)
    assert len(lab.numbers("t")) >= 30
    assert lab.states == {("t", ""): {"next": 30}}


def test_a_run_notices_a_state_that_was_reset_and_made_anew(lab: Lab) -> None:
    """Other runs committed just as often after the reset: counted alone, the state would be this run's."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        for number in range(int(str(state.get("next", 0))), 30):
            if number == 15 and next(once) == 0:
                while lab.states != {("t", ""): {"next": 15}}:
                    time.sleep(0.001)  # the writer lands the third batch
                reset_states(lab.flow(), lab.environment())
                for end in (2, 4, 6):
                    until[0] = end
                    execute(lab.flow(), lab.environment(Options(batch_rows=5)))
                until[0] = 30
            if number == until[0]:
                return
            yield payload({"n": number}, state={"next": number + 1})

    once, until = itertools.count(), [30]
    with pytest.raises(FlowFailedError, match="ConcurrentRunError"):
        lab.run(Whole("t", read), options=Options(batch_rows=5))
    assert lab.states == {("t", ""): {"next": 6}}


def test_of_two_runs_that_replace_one_table_none_publishes_half_of_it(lab: Lab) -> None:
    """The second run drops what the first has staged; the first must notice."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        for number in range(40):
            if number == 25 and next(once) == 0:
                execute(lab.flow(write_mode="replace"), lab.environment())
            yield payload({"n": number})

    once = itertools.count()
    with pytest.raises(FlowFailedError, match="ConcurrentRunError"):
        lab.run(Whole("t", read), write_mode="replace")
    assert lab.numbers("t") == list(range(40))


def test_the_same_key_twice_in_one_file_is_refused(lab: Lab) -> None:
    """Two flows would move one state; the message names both."""
    lab.script(Whole("t", counting(3)))
    flow = lab.flow()
    flow["flows"] *= 2
    with pytest.raises(Exception, match=r"flows\[1\].*already, in flow: flows\[0\]"):
        execute(flow, lab.environment())


def test_partitions_keep_their_own_states(lab: Lab) -> None:
    """Each partition goes on from its own state, in parallel, with every row landed once."""
    parts = {str(part): counting(40, page=3) for part in range(12)}
    report = lab.run(Split("t", parts)).streams[0]
    assert report.partitions == 12
    assert len(lab.tables["t"]) == 480
    assert lab.states == {("t", str(part)): {"next": 40} for part in range(12)}
    assert lab.run(Split("t", parts)).streams[0].rows_landed == 0


def test_batches_land_by_time_as_well(lab: Lab) -> None:
    """A slow source's rows do not wait for a batch to fill."""
    seen: list[int] = []

    def read(state: State) -> Iterator[DataSourcePayload]:
        for number in range(5):
            yield payload({"n": number}, state={"next": number})
            pause.wait(0.05)
            seen.append(len(lab.tables.get("t", [])))

    pause = threading.Event()
    lab.run(Whole("t", read), options=replace(QUICK, batch_rows=1000, batch_seconds=0.01))
    assert max(seen[:4]) > 0


@pytest.mark.parametrize(
    ("garbage", "message"),
    [
        ({"n": 1}, "yielded dict: it must yield DataSourcePayload"),
        (DataSourcePayload(5), "data of type int"),
        (DataSourcePayload("text"), "data of type str"),
        (DataSourcePayload([{"n": 1}, 2]), "a list with a int in it"),
        (DataSourcePayload({1: 2}), "value {1: 2}: the column name 1 is not a string"),
        (DataSourcePayload({"n": 1, None: ["x"]}), r"value {'n': 1, None: \['x'\]}: .* csv.DictReader has the fields"),
        (DataSourcePayload({"_vdk_x": 1}), "begin with _vdk_"),
        (DataSourcePayload({"n": 1}, metadata={"count:x": "many"}), "'many': it must be an integer"),
    ],
)
def test_garbage_is_named_and_fails_its_stream_alone(lab: Lab, garbage: Any, message: str) -> None:
    """The message says what was yielded, and what should be."""
    with pytest.raises(FlowFailedError, match=message):
        lab.run(Whole("bad", lambda state: [garbage]), Whole("good", counting(3)))
    assert lab.numbers("good") == [0, 1, 2]


@pytest.mark.parametrize(
    ("returned", "kind"), [(DataSourcePayload({"n": 1}), "a DataSourcePayload"), (None, "nothing")]
)
def test_a_payload_that_is_returned_is_named(lab: Lab, returned: Any, kind: str) -> None:
    """``return`` in place of ``yield`` is a slip that Python reports as an object that is not iterable."""
    (stream := Whole("t", counting(1))).read = lambda state: returned  # type: ignore[method-assign]  # on purpose
    with pytest.raises(FlowFailedError, match=rf"read\(\) returned {kind}, and must yield .* in place of return"):
        lab.run(stream)


@pytest.mark.parametrize("on_bad_record", ["fail", "reject"])
def test_an_error_that_read_raises_has_its_place_and_the_way_out(lab: Lab, on_bad_record: str) -> None:
    """The library's own text, such as ``Expected `int`, got `str```, names neither the row nor a remedy."""

    def read(state: Any) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload([{"n": 1}, {"n": 2}])
        raise ValueError("Expected `int`, got `str`")

    told = r"got `str`; raised by read\(\) after 2 rows; to skip such a row, yield DataSourcePayload\(RejectedRows\("
    with pytest.raises(FlowFailedError, match=told):
        lab.run(Whole("t", read), on_bad_record=on_bad_record)


@pytest.mark.parametrize("template", [None, "{table}", "{stream}"])
def test_a_reserved_table_name_of_a_stream_is_refused_alone(lab: Lab, template: str | None) -> None:
    """A stream cannot write where the framework keeps its states; the others land."""
    with pytest.raises(FlowFailedError, match=r"^1 of 2 streams failed: src\._vdk_datasource_state: .*framework's"):
        lab.run(Whole("_vdk_datasource_state", counting(1)), Whole("good", counting(3)), destination_table=template)
    assert lab.numbers("good") == [0, 1, 2]
