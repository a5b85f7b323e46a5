"""Streams that are read whole: a new snapshot is visible at once, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from support import QUICK, FailEvery, FaultyDestination, Lab, Part, Split, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import (
    ConfigurationError,
    ConnectionFailedError,
    DataSourcePayload,
    FlowFailedError,
    SnapshotLostError,
    StreamPartition,
    StreamSchema,
)
from vdk.plugin.datasource_base.contract import COUNTER_PREFIX, DestinationError, State
from vdk.plugin.datasource_base.runtime import execute
from vdk.plugin.datasource_base.runtime.report.read_share import ReadShare
from vdk.plugin.datasource_base.runtime.run.landing.stream_run import StreamRun
from vdk.plugin.datasource_base.runtime.scope import RunScope
from vdk.plugin.datasource_base.runtime.stored.reset import reset_states
from vdk.plugin.datasource_base.testing import MemoryDestination

SCHEMA = StreamSchema(pa.schema([("n", pa.int64())]))
KEYED = StreamSchema(pa.schema([("n", pa.int64())]), primary_key=("n",))


def whole(end: int, start: int = 0) -> Any:
    return lambda state: [payload(*numbers(index, min(index + 4, end))) for index in range(start, end, 4)]


def test_a_stream_without_cursor_and_state_replaces_its_table(lab: Lab) -> None:
    """Each run lands the whole stream anew; nothing of the run before stays."""
    lab.run(Whole("t", whole(30), SCHEMA))
    lab.run(Whole("t", whole(12, 5), SCHEMA))
    assert lab.numbers("t") == list(range(5, 12))
    assert lab.states == {}


def test_a_replaced_table_keeps_rows_of_equal_keys(lab: Lab) -> None:
    """The key is not looked at: what the source has, the table has."""
    lab.run(Whole("t", lambda state: [payload(*numbers(0, 8), *numbers(0, 8))], KEYED))
    assert len(lab.tables["t"]) == 16


def test_zero_rows_publish_an_empty_table(lab: Lab) -> None:
    """A table that has become empty is empty after the run."""
    lab.run(Whole("t", whole(3), SCHEMA))
    lab.run(Whole("t", lambda state: [], SCHEMA))
    assert lab.tables["t"] == []


def test_an_empty_table_is_made_from_its_schema(lab: Lab) -> None:
    """Also by a stream that is incremental and has no rows yet."""
    lab.run(Whole("t", lambda state: [], replace(KEYED, cursor="n")), Whole("u", lambda state: [], SCHEMA))
    assert lab.tables == {"t": [], "u": []}


def test_readers_see_the_old_rows_until_all_partitions_are_read(lab: Lab) -> None:
    """Nothing is visible before the end, however many batches and partitions there are."""
    lab.run(Whole("t", whole(3), SCHEMA))
    seen: set[int] = set()
    lab.fault(lambda operation, destination: seen.add(len(destination.rows["t"])))
    lab.run(Split("t", {str(part): whole(50) for part in range(5)}, SCHEMA))
    assert len(lab.tables["t"]) == 250
    assert seen <= {3, 250}


def test_one_partition_that_fails_keeps_the_old_table(lab: Lab) -> None:
    """The other partitions' rows are dropped, and the next run starts again."""
    lab.run(Whole("t", whole(3), SCHEMA))

    def bad(state: State) -> Iterator[DataSourcePayload]:
        yield payload(*numbers(0, 30))
        raise ValueError("gone")

    with pytest.raises(FlowFailedError, match="ValueError: gone"):
        lab.run(Split("t", {"a": whole(40), "b": bad, "c": whole(40)}, SCHEMA))
    assert lab.numbers("t") == [0, 1, 2]
    assert not lab.staged
    lab.run(Split("t", {"a": whole(2)}, SCHEMA))
    assert lab.numbers("t") == [0, 1]


def test_what_a_killed_run_staged_is_dropped(lab: Lab) -> None:
    """Rows left behind by a run that could not clean up do not land with the next one."""
    lab.fault(FailEvery("discard", DestinationError("killed"), 2))  # 1 is the beginning, 2 the cleaning up
    with pytest.raises(FlowFailedError):
        # type ignored: what the contract forbids
        lab.run(Whole("t", lambda state: [payload(*numbers(0, 20)), payload(*numbers(20, 40)), "garbage"], SCHEMA))  # type: ignore[list-item]
    assert lab.staged
    lab.fault(None)
    lab.run(Whole("t", whole(4), SCHEMA))
    assert lab.numbers("t") == [0, 1, 2, 3]


@pytest.mark.parametrize("is_staged", [False, True])
def test_a_stream_whose_snapshot_is_lost_is_read_anew(lab: Lab, is_staged: bool) -> None:
    """All partitions, also those that were read to their end: rows of two moments do not land together."""
    lab.run(Whole("t", whole(3), SCHEMA))
    moments = iter([100, 200, 300])

    def partitions(states: Any) -> Iterable[StreamPartition]:
        moment = next(moments)

        def last(state: State) -> Iterator[DataSourcePayload]:
            yield payload(*numbers(moment, moment + (20 if is_staged else 1)))
            if moment < 300:
                raise SnapshotLostError("closed")

        return [Part("a", whole(moment + 20, moment)), Part("b", last)]

    summary = lab.run(Split("t", partitions, SCHEMA, incremental=False))
    last = numbers(300, 320 if is_staged else 301)
    assert lab.numbers("t") == sorted([*range(300, 320), *[row["n"] for row in last]])
    assert not lab.staged
    (stream,) = summary.streams
    assert (stream.rows_landed, stream.retries, stream.partitions) == (len(lab.tables["t"]), 2, 2)


def test_a_snapshot_that_is_lost_each_time_fails_the_stream(lab: Lab) -> None:
    """After three readings; the old table stays."""
    lab.run(Whole("t", whole(3), SCHEMA))
    reads = []

    def lost(state: State) -> Iterator[DataSourcePayload]:
        reads.append(1)
        yield payload(*numbers(0, 20))
        raise SnapshotLostError("closed")

    with pytest.raises(FlowFailedError, match="closed"):
        lab.run(Split("t", {"a": lost}, SCHEMA))
    assert len(reads) == 3
    assert lab.numbers("t") == [0, 1, 2]
    assert not lab.staged


def test_a_lost_snapshot_is_a_failed_connection_where_rows_are_added(lab: Lab) -> None:
    """What other partitions have landed stays, so that only this one is tried again."""
    failures = iter([True, False])
    others = []

    def other(state: State) -> Iterator[DataSourcePayload]:
        others.append(1)
        yield payload(*numbers(0, 20))

    def lost(state: State) -> Iterator[DataSourcePayload]:
        yield payload(*numbers(20, 40))
        if next(failures):
            raise SnapshotLostError("closed")

    lab.run(Split("t", {"a": other, "b": lost}, SCHEMA), write_mode="append")
    assert lab.numbers("t") == list(range(40))
    assert others == [1]


def test_an_explicit_replace_reads_from_the_beginning_and_keeps_the_state(lab: Lab) -> None:
    """``read`` gets ``{}``; the state of the snapshot lands with it, for a later run that is incremental."""
    seen: list[State] = []

    def read(state: State) -> Iterable[DataSourcePayload]:
        seen.append(dict(state))
        return counting(25)(state)

    for _ in range(2):
        lab.run(Whole("t", read), write_mode="replace")
        assert lab.numbers("t") == list(range(25))
        assert lab.states == {("t", ""): {"next": 25}}
    assert seen == [{}, {}]
    lab.run(Whole("t", counting(27)))
    assert lab.numbers("t") == list(range(27))


def test_a_partition_that_is_read_again_is_staged_once(lab: Lab) -> None:
    """A retry drops what the failed attempt staged."""
    failures = iter([True, True, False])

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield payload(*numbers(0, 25))
        if next(failures):
            raise ConnectionFailedError("blip")
        yield payload(*numbers(25, 30))

    report = lab.run(Whole("t", read, SCHEMA)).streams[0]
    assert lab.numbers("t") == list(range(30))
    assert (report.retries, report.rows_landed, report.rows_read) == (2, 30, 80)


@pytest.mark.parametrize("times", [1, 2])
def test_a_publication_is_tried_again(lab: Lab, times: int) -> None:
    """A destination that comes back in time takes the snapshot, which is still staged."""
    lab.run(Whole("t", whole(3), SCHEMA))
    lab.fault(FailEvery("publish", ConnectionFailedError("away"), *range(1, times + 1)))
    report = lab.run(Whole("t", whole(9), SCHEMA)).streams[0]
    assert lab.numbers("t") == list(range(9))
    assert report.rows_landed == 9


def test_a_publication_that_fails_keeps_the_old_table_and_fails_the_stream(lab: Lab) -> None:
    """When the attempts are over, or at once where trying again would not help."""
    lab.run(Whole("t", whole(3), SCHEMA))
    for error in (ConnectionFailedError("away"), DestinationError("no")):
        fault = FailEvery("publish", error)
        lab.fault(fault)
        with pytest.raises(FlowFailedError, match=str(error)):
            lab.run(Whole("t", whole(9), SCHEMA))
        assert fault.count == (3 if isinstance(error, ConnectionFailedError) else 1)
        assert lab.numbers("t") == [0, 1, 2]


def test_a_publication_whose_answer_is_lost_has_landed_once(lab: Lab) -> None:
    """The states say that it was this run: nothing is published twice, or emptied, and the stream succeeds."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield payload(*numbers(0, 25), state={"seen": 25})

    fault = FailEvery("publish!", ConnectionFailedError("gone before it answered"), 1)
    lab.fault(fault)
    report = lab.run(Whole("t", read), write_mode="replace").streams[0]
    assert (report.status, report.rows_landed) == ("succeeded", 25)
    assert lab.numbers("t") == list(range(25))
    assert lab.states == {("t", ""): {"seen": 25}}
    assert report.state_after == {"": {"seen": 25}}
    lab.fault(None)
    assert lab.run(Whole("t", read), write_mode="replace").status == "succeeded"


def test_a_publication_without_states_whose_answer_is_lost_is_reported_as_unknown(lab: Lab) -> None:
    """Whichever snapshot is there is whole, and the next run brings the present one."""
    lab.fault(FailEvery("publish!", ConnectionFailedError("gone before it answered"), 1))
    with pytest.raises(FlowFailedError, match="nobody knows whether it is"):
        lab.run(Whole("t", whole(9), SCHEMA))
    assert lab.numbers("t") == list(range(9))
    lab.fault(None)
    assert lab.run(Whole("t", whole(5), SCHEMA)).status == "succeeded"
    assert lab.numbers("t") == list(range(5))


def test_what_fails_after_a_publication_does_not_repeat_it(lab: Lab) -> None:
    """The look at the other streams' states, which is tried again on its own."""
    seen: list[str] = []

    def lose_the_look(operation: str, destination: FaultyDestination) -> None:
        seen.append(operation)
        if operation == "load_states" and seen.count("publish") == 1 and seen[-2].startswith("publish"):
            raise ConnectionFailedError("away")

    lab.fault(lose_the_look)
    report = lab.run(Whole("t", whole(9), SCHEMA), write_mode="replace").streams[0]
    assert (report.status, report.rows_landed) == ("succeeded", 9)
    assert seen.count("publish") == 1
    assert lab.numbers("t") == list(range(9))


def test_a_publication_that_another_run_overtook_is_refused(lab: Lab) -> None:
    """States that are there but not this run's own are another run's snapshot."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield payload(*numbers(0, 5), state={"seen": 5})

    def overtake(operation: str, destination: FaultyDestination) -> None:
        if operation == "publish" and not done:
            done.append(True)
            execute(lab.flow(write_mode="replace"), lab.environment())
            raise ConnectionFailedError("away")

    done: list[bool] = []
    lab.fault(overtake)
    with pytest.raises(FlowFailedError, match="ConcurrentRunError"):
        lab.run(Whole("t", read), write_mode="replace")
    assert lab.numbers("t") == list(range(5))


def test_a_stop_between_partitions_does_not_publish_what_was_read_so_far(lab: Lab) -> None:
    """A stream whose partitions were not all read has no new snapshot, though none of those read failed."""
    lab.run(Whole("t", whole(3), SCHEMA))
    environment = lab.environment(replace(QUICK, max_parallel_partitions=1))
    read = threading.Event()

    def parts(state: Any) -> Iterator[StreamPartition]:
        def first(state: State) -> Iterator[DataSourcePayload]:
            yield payload(*numbers(0, 5))
            read.set()

        yield Part("a", first)
        read.wait()
        environment.stop.set()
        yield Part("b", whole(9))

    lab.script(Split("t", parts, SCHEMA))
    with pytest.raises(FlowFailedError, match="stopped before all partitions were read"):
        execute(lab.flow(), environment)
    assert lab.numbers("t") == [0, 1, 2]


def test_two_streams_that_replace_one_table_are_refused(lab: Lab) -> None:
    """They would wipe each other's rows; the message names both, and nothing is read."""
    with pytest.raises(ConfigurationError, match="'a' and 'b' would replace the same table"):
        lab.run(Whole("a", whole(3)), Whole("b", whole(3)), destination_table="All")
    assert lab.tables == {}


def test_streams_may_share_a_table_they_add_to(lab: Lab) -> None:
    """Where the flow allows it: rows of both are there. Else they are refused, and nothing is read."""
    streams = [Whole("a", counting(3)), Whole("b", counting(3))]
    with pytest.raises(ConfigurationError, match=r"'a' .* 'b' .* one table, 'all'.*shared_table = true in flow: flows"):
        lab.run(*streams, destination_table="all", write_mode="append")
    assert lab.tables == {}
    lab.run(*streams, destination_table="all", write_mode="append", shared_table=True)
    assert lab.numbers("all") == [0, 0, 1, 1, 2, 2]


def test_flows_that_share_a_table_all_allow_it(lab: Lab) -> None:
    """The message names those that do not. Two sources may have streams of one name."""
    lab.script(Whole("t", counting(3)))
    lab.script(Whole("t", counting(3)), source="other")
    flow = lab.flow(shared_table=True)
    flow["sources"].update(lab.flow(source="other")["sources"])
    flow["flows"].append({"from": "other", "to": "lake"})
    with pytest.raises(ConfigurationError, match=r"source 'src' .* source 'other' .* in flow: flows\[1\]$"):
        execute(flow, lab.environment())
    assert lab.tables == {}
    flow["flows"][1]["shared_table"] = True
    execute(flow, lab.environment())
    assert lab.numbers("t") == [0, 0, 1, 1, 2, 2]


def test_a_row_routed_into_the_table_of_another_stream_is_refused(lab: Lab) -> None:
    """It shows when the row comes: its stream fails, and the other one's table has its own rows only."""
    routed = [payload(*numbers(0, 3), destination_table="a", state={"n": 1})]
    with pytest.raises(FlowFailedError, match=r"would land in one table, 'a'"):
        lab.run(Whole("a", counting(3)), Whole("b", lambda state: routed, incremental=True))
    assert lab.numbers("a") == [0, 1, 2]


def test_streams_upsert_one_table_once_the_flow_says_so(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """The refusal says that rows of one with the key of another's replace those; who then shares it is not warned."""
    streams = [Whole(name, counting(rows), StreamSchema(SCHEMA.fields, ("n",))) for name, rows in (("a", 3), ("b", 5))]
    with pytest.raises(
        ConfigurationError, match="no row of one has the key of a row of the other, which it would repl"
    ):
        lab.run(*streams, destination_table="all", write_mode="upsert")
    caplog.clear()
    lab.run(*streams, destination_table="all", write_mode="upsert", shared_table=True)
    assert not [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert lab.numbers("all") == [0, 1, 2, 3, 4]


def test_a_backfill_does_not_replace_its_table(lab: Lab) -> None:
    """It has a range of the rows only: explicit replace is refused before it is read, and by default it adds."""
    lab.run(Whole("t", whole(9), SCHEMA))
    backfill = Whole("t", whole(6, 4), SCHEMA, backfill=True)
    with pytest.raises(ConfigurationError, match=r"flows\[0\]: .* would delete all rows of stream 't'"):
        lab.run(backfill, write_mode="replace")
    assert lab.numbers("t") == list(range(9))
    lab.run(backfill)
    assert lab.numbers("t") == sorted([*range(9), 4, 5])


def test_a_table_that_had_rows_of_another_stream_is_told_when_it_is_replaced(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    """The other stream's state says that its rows are there, so they would be missing without a word."""
    lab.run(Whole("first", counting(3), KEYED), destination_table="t")
    lab.script(Whole("second", whole(5), SCHEMA))
    execute(lab.flow(destination_table="t"), lab.environment(scope=RunScope(confirmed=True)))
    assert "has replaced table 't', which had rows of 'first'" in caplog.text
    caplog.clear()
    lab.run(Whole("second", whole(5), SCHEMA), destination_table="u")
    assert "has replaced" not in caplog.text


def test_two_streams_that_route_rows_to_one_replaced_table_are_refused(lab: Lab) -> None:
    """The second one fails; the rows of the first stay."""

    def routed(start: int) -> Any:
        return lambda state: [payload(*numbers(start, start + 3), destination_table="common")]

    with pytest.raises(FlowFailedError, match="would replace the same table 'common'"):
        lab.run(Whole("a", routed(0), SCHEMA), Whole("b", routed(10), SCHEMA))
    assert len(lab.numbers("common")) == 3


def test_two_flows_that_replace_one_table_are_refused(lab: Lab) -> None:
    """Also where they belong to different sources."""
    lab.script(Whole("t", whole(3), SCHEMA))
    lab.script(Whole("t", whole(9), SCHEMA), source="other")
    flow = lab.flow()
    flow["sources"].update(lab.flow(source="other")["sources"])
    flow["flows"].append({"from": "other", "to": "lake"})
    with pytest.raises(ConfigurationError, match="would replace the same table"):
        execute(flow, lab.environment())
    assert lab.tables == {}


def test_routed_tables_are_published_together_with_the_stream(lab: Lab) -> None:
    """All tables of a stream change at once."""
    stream = Whole("t", lambda state: [payload(*numbers(0, 30)), payload(*numbers(0, 20), destination_table="u")])
    lab.run(stream)
    lab.run(stream)
    assert (len(lab.numbers("t")), len(lab.numbers("u"))) == (30, 20)


class TestIncremental:
    """A stream is added to if it says that it is incremental or names a cursor; else each run replaces its table."""

    def test_a_log_that_was_emptied_keeps_its_rows(self, lab: Lab) -> None:
        """Also where its state was reset: what has landed incrementally is never replaced by nothing."""
        lab.run(Whole("t", counting(3)))
        reset_states(lab.flow(), lab.environment())
        assert lab.states == {("t", ""): {}}
        summary = lab.run(Whole("t", lambda state: [], incremental=True))
        assert (summary.status, lab.numbers("t")) == ("succeeded", [0, 1, 2])

    def test_a_reset_state_reads_from_the_beginning(self, lab: Lab) -> None:
        """The source is given what it gets in a first run, and the state goes on from its version."""
        stream = Whole("t", counting(3), KEYED)
        lab.run(stream)
        before = MemoryDestination(lab.target).load_states("src")[0]
        assert [state.stored for state in reset_states(lab.flow(), lab.environment())] == [before]
        assert reset_states(lab.flow(), lab.environment()) == []
        report = lab.run(stream).streams[0]
        assert (report.rows_read, report.state_before, report.state_after) == (3, {}, {"": {"next": 3}})
        assert dict(lab.scripts["src"].seen or {}) == {}
        assert MemoryDestination(lab.target).load_states("src")[0].version == before.version + 2

    @pytest.mark.parametrize("incremental", [None, False])
    def test_states_of_a_stream_that_is_not_declared_are_refused(self, lab: Lab, incremental: bool | None) -> None:
        """By the next run they might be gone, and its table replaced by an empty one. The error names the remedy."""
        stream = Split("t", {"a": counting(12)}, KEYED)
        stream.incremental = incremental
        with pytest.raises(FlowFailedError, match=r"yields states and .*Set `incremental = True` on Split") as caught:
            lab.run(stream)
        assert caught.value.summary.streams[0].retries == 0
        assert (lab.tables, lab.states, lab.staged) == ({}, {}, {})

    @pytest.mark.parametrize("mode", ["append", "upsert", "replace"])
    def test_a_flow_may_settle_it(self, lab: Lab, mode: str) -> None:
        """The write mode that a person sets leaves nothing to be guessed."""
        stream = Split("t", {"a": counting(12)}, KEYED)
        stream.incremental = None
        for _ in range(2):
            lab.run(stream, write_mode=mode)
            assert lab.numbers("t") == list(range(12))

    def test_a_stored_state_says_it_too(self, lab: Lab) -> None:
        """Of a stream that landed with an explicit write mode, or before it had to say so."""
        stream = Whole("t", counting(12))
        lab.run(stream)
        stream.incremental = None
        lab.run(stream)
        assert lab.numbers("t") == list(range(12))

    def test_a_stream_that_lost_its_cursor_replaces_what_landed_incrementally(self, lab: Lab) -> None:
        """After a reset, and with rows: whole ones, that are not added to the old ones. From then on it is a table
        like any that is read whole."""
        lab.run(Split("t", {"a": counting(3), "b": counting(2)}))
        reset_states(lab.flow(), lab.environment())
        with pytest.raises(FlowFailedError, match=r"an empty table would replace the rows .*write_mode = \"replace\""):
            lab.run(Whole("t", lambda state: [], SCHEMA))
        assert lab.numbers("t") == [0, 0, 1, 1, 2]
        lab.run(Whole("t", whole(4), SCHEMA))
        assert (lab.numbers("t"), lab.states) == ([0, 1, 2, 3], {})
        lab.run(Whole("t", lambda state: [], SCHEMA))
        assert lab.numbers("t") == []

    def test_an_explicit_replace_publishes_an_empty_table(self, lab: Lab) -> None:
        """Somebody has asked for it."""
        lab.run(Whole("t", counting(3)))
        reset_states(lab.flow(), lab.environment())
        lab.run(Whole("t", lambda state: [], incremental=True), write_mode="replace")
        assert lab.numbers("t") == []

    def test_a_stream_that_says_it_is_read_whole_refuses_an_old_state(self, lab: Lab) -> None:
        """It alone; the message says how to reset the state."""
        lab.run(Whole("t", counting(3)))
        with pytest.raises(FlowFailedError, match=r"vdk datasource state reset FLOW --stream t"):
            lab.run(Whole("t", whole(3), incremental=False), Whole("u", whole(3)))
        assert (lab.numbers("t"), lab.numbers("u")) == ([0, 1, 2], [0, 1, 2])
        reset_states(lab.flow(), lab.environment())
        lab.run(Whole("t", whole(5), incremental=False))
        assert lab.numbers("t") == [0, 1, 2, 3, 4]

    def test_a_stream_may_be_read_whole_though_it_names_a_cursor(self, lab: Lab) -> None:
        """``incremental = False`` is its own word."""
        for end in (5, 3):
            lab.run(Whole("t", whole(end), replace(KEYED, cursor="n"), incremental=False))
            assert lab.numbers("t") == list(range(end))

    def test_a_value_that_is_none_is_refused(self, lab: Lab) -> None:
        """Text is true in Python, whatever it says."""
        with pytest.raises(FlowFailedError, match="incremental = 'no' is not a boolean; set it to True, False or None"):
            lab.run(Whole("t", whole(3), incremental="no"))  # type: ignore[arg-type]  # what the contract forbids
        assert lab.tables == {}

    def test_a_state_that_comes_late_covers_what_was_set_aside(self, lab: Lab) -> None:
        """Rows of several batches wait, and land with the state."""
        lab.run(Whole("t", lambda state: [*whole(60)(state), payload(state={"x": 1})]))
        assert lab.numbers("t") == list(range(60))
        assert lab.states == {("t", ""): {"x": 1}}

    def test_equal_keys_set_aside_before_the_state_are_reduced(self, lab: Lab) -> None:
        """The last row of each key lands, once."""
        rows = [payload({"n": number % 7, "at": number}) for number in range(50)]
        lab.run(Whole("t", lambda state: [*rows, payload(state={"x": 1})], KEYED))
        assert {row["n"]: row["at"] for row in lab.tables["t"]} == {number % 7: number for number in range(43, 50)}
        assert len(lab.tables["t"]) == 7

    def test_without_a_state_the_second_run_replaces_again(self, lab: Lab) -> None:
        """Nothing is stored that would make it incremental."""
        for _ in range(2):
            lab.run(Split("t", {"a": whole(20), "b": whole(20)}))
            assert len(lab.tables["t"]) == 40

    def test_a_partition_without_rows_may_yield_no_state(self, lab: Lab) -> None:
        """An empty partition says nothing about the stream."""
        lab.run(Split("t", {"a": lambda state: [], "b": counting(12)}, KEYED))
        assert lab.numbers("t") == list(range(12))


def test_what_fails_beside_a_lost_snapshot_is_read_anew_too(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of another partition may follow from the loss. If it does not, it comes again."""
    lost, begun, failures, fail = threading.Event(), threading.Event(), iter([True, False]), StreamRun.fail

    def failing(run: StreamRun, error: BaseException) -> None:
        fail(run, error)
        lost.set()

    monkeypatch.setattr(StreamRun, "fail", failing)

    def first(state: State) -> Iterator[DataSourcePayload]:
        if not lost.is_set():
            assert begun.wait(10)
            raise SnapshotLostError("closed")
        yield payload(*numbers(0, 3))

    def second(state: State) -> Iterator[DataSourcePayload]:
        begun.set()
        assert lost.wait(10)
        if next(failures):
            raise ValueError("the transaction is aborted")
        yield payload(*numbers(3, 6))

    summary = lab.run(Split("t", {"a": first, "b": second}, SCHEMA), on_error="stop")
    assert (lab.numbers("t"), summary.status) == ([0, 1, 2, 3, 4, 5], "succeeded")


def test_partitions_that_cannot_be_listed_since_their_snapshot_is_lost(lab: Lab) -> None:
    """They are listed again, as those are read again that were listed."""
    lists: list[int] = []

    def partitions(states: Any) -> Iterator[StreamPartition]:
        lists.append(1)
        moment = 100 * len(lists)
        yield Part("a", whole(moment + 3, moment))
        if len(lists) == 1:
            raise SnapshotLostError("closed")
        yield Part("b", whole(moment + 6, moment + 3))

    summary = lab.run(Split("t", partitions, SCHEMA, incremental=False))
    assert (lab.numbers("t"), summary.status) == ([*range(200, 206)], "succeeded")


def test_the_share_that_is_read_begins_anew() -> None:
    """Partitions of the first reading do not count in the second."""
    share = ReadShare()
    share.partitions = 2
    share.set("old", None)
    share.end("a")
    share.start_over()
    share.partitions = 2
    share.set("a", 0.5)
    assert share.get() == 0.25


@pytest.mark.parametrize("error", [SnapshotLostError("closed"), ConnectionFailedError("blip")])
def test_what_waits_at_the_source_is_counted_once(lab: Lab, error: Exception) -> None:
    """However often it is read."""
    failures = iter([True, False])

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload(numbers(0, 3), metadata={f"{COUNTER_PREFIX}rows_held_back": 7})
        if next(failures):
            raise error

    summary = lab.run(Split("t", {"a": read}, SCHEMA))
    assert summary.streams[0].counters == {"rows_held_back": 7}
