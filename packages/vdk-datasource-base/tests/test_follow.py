"""A flow that follows its source reads it again and again, until a signal, a limit or a failure ends it."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support import QUICK, FailEvery, FaultyDestination, Lab, Split, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import ConfigurationError, ConnectionFailedError, DataSourcePayload, FlowFailedError
from vdk.plugin.datasource_base.contract import Duration, State
from vdk.plugin.datasource_base.runtime import Options, RunSummary, execute

pytestmark = pytest.mark.usefixtures("usual_signals")


class Log:
    """A log that grows: reads what lies between its state and its end of that moment."""

    def __init__(self, end: int = 0) -> None:
        self.end = end
        self.reads = 0
        self.on_read: Callable[[int], object] = lambda read: None

    def __call__(self, state: State) -> Iterator[DataSourcePayload]:
        self.reads += 1
        self.on_read(self.reads)
        begin, end = int(str(state.get("next", 0))), self.end
        for number in range(begin, end):
            yield payload({"n": number}, state={"next": number + 1})

    def grow(self, rows: int) -> None:
        self.end += rows


def interrupt(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def follow(lab: Lab, *streams: Any, options: Options = QUICK, summary: Path | None = None, **entry: Any) -> RunSummary:
    lab.script(*streams)
    return execute(lab.flow(**{"follow": "10ms", **entry}), lab.environment(options), summary=summary)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_rows_that_come_later_land_until_a_signal_ends_it(lab: Lab, number: int) -> None:
    """The signal is the usual end: the run returns, and its summary says that it was stopped."""
    log = Log(3)
    log.on_read = lambda read: log.grow(2) if read in (2, 4) else interrupt(number) if read == 6 else None
    summary = follow(lab, Whole("t", log, incremental=True))
    assert lab.numbers("t") == list(range(7))
    assert lab.states["t", ""] == {"next": 7}
    (stream,) = summary.streams
    assert (summary.status, stream.status, stream.error) == ("stopped", "stopped", None)
    assert (stream.rows_read, stream.rows_landed) == (7, 7)
    assert stream.counters["rounds"] >= 5
    assert lab.scripts["src"].calls.count("connect") == lab.scripts["src"].calls.count("disconnect") == 1


def test_a_signal_lands_what_a_state_covers(lab: Lab) -> None:
    """Here after 5 of 30 rows, in mid-round; the next run goes on behind them."""
    log = Log(1)

    def read(state: State) -> Iterator[DataSourcePayload]:
        for number, part in enumerate(log(state)):
            if log.reads > 1 and number == 5:
                time.sleep(0.1)  # the main thread has come to wait for this one
                interrupt()
                time.sleep(0.1)
            yield part

    log.on_read = lambda read: log.grow(30) if read == 2 else None
    assert follow(lab, Whole("t", read, incremental=True)).status == "stopped"
    landed = lab.numbers("t")
    assert 1 < len(landed) < 31
    assert lab.states["t", ""] == {"next": len(landed)}
    lab.run(Whole("t", log, incremental=True))
    assert lab.numbers("t") == list(range(31))


def test_a_signal_in_the_first_round_is_no_failure_either(lab: Lab) -> None:
    """A backlog of hours may be read before anything is followed."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        for number in range(int(str(state.get("next", 0))), 1_000):
            if number == 5:
                interrupt()
            time.sleep(0.005 if number > 5 else 0)
            yield payload({"n": number}, state={"next": number + 1})

    summary = follow(lab, Whole("t", read, incremental=True))
    assert (summary.status, summary.streams[0].status) == ("stopped", "stopped")
    assert lab.numbers("t") == list(range(lab.states["t", ""]["next"]))


def test_a_signal_while_another_flow_is_read_whole_is_an_interruption(lab: Lab) -> None:
    """That flow has not landed, so exit code 0 would be a lie."""
    file = lab.flow(follow="10ms")
    lab.script(Whole("t", Log(1), incremental=True))
    other = lab.flow(source="other")
    file["sources"] |= other["sources"]
    file["flows"].insert(0, other["flows"][0])

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield payload({"n": 1})
        interrupt()
        time.sleep(0.2)
        yield payload({"n": 2})

    lab.script(Whole("u", read), source="other")
    with pytest.raises(SystemExit):
        execute(file, lab.environment())


def test_a_quiet_source_costs_no_operation_of_the_destination(lab: Lab) -> None:
    """Neither a commit nor a look at the states."""
    log = Log(3)
    operations: list[str] = []

    def count(operation: str, destination: FaultyDestination) -> None:
        if log.reads > 1:
            operations.append(operation)

    log.on_read = lambda read: interrupt() if read == 20 else None
    lab.fault(count)
    follow(lab, Whole("t", log, incremental=True))
    assert set(operations) <= {"close", "discard"}, operations
    assert operations.count("discard") <= 1, "the stream that the signal ends drops what it staged"


def test_partitions_that_are_added_are_read_in_the_next_round(lab: Lab) -> None:
    """They are asked for in every round."""
    parts: dict[str, Any] = {"a": counting(2)}

    def partitions(state: Any) -> Any:
        if "a" in state:
            parts["b"] = counting(3)
        if "b" in state:
            interrupt()
        return Split("t", dict(parts)).partitions(state)

    follow(lab, Split("t", partitions, incremental=True))
    assert lab.numbers("t") == [0, 0, 1, 1, 2]


def test_a_round_that_filled_a_batch_is_followed_at_once(lab: Lab) -> None:
    """A backlog is read without a pause; else a round begins each ``follow``, however little comes."""
    log = Log(1)
    begins: list[float] = []

    def on_read(read: int) -> None:
        begins.append(time.monotonic())
        log.grow(20 if read == 3 else 1)
        if read == 5:
            interrupt()

    log.on_read = on_read
    follow(lab, Whole("t", log, incremental=True), follow="400ms", batch_rows=10)
    pauses = [after - before for before, after in itertools.pairwise(begins)]
    assert pauses[0] < 0.3, "the first one may have taken hours"
    assert pauses[1] >= 0.35
    assert pauses[2] < 0.3, "the third one filled a batch"
    assert pauses[3] >= 0.35


def test_the_end_of_rows_is_an_end_that_succeeds(lab: Lab) -> None:
    """``idle_timeout`` counts from the last round that had news."""
    log = Log(2)
    log.on_read = lambda read: log.grow(1) if read == 3 else None
    begin = time.monotonic()
    summary = follow(lab, Whole("t", log, incremental=True), idle_timeout="300ms")
    assert (summary.status, summary.streams[0].status) == ("succeeded", "succeeded")
    assert lab.numbers("t") == [0, 1, 2]
    assert time.monotonic() - begin >= 0.3


def test_a_deadline_ends_it_while_rows_keep_coming(lab: Lab) -> None:
    """After the round that is under way."""
    log = Log(2)
    log.on_read = lambda read: log.grow(1)
    summary = follow(lab, Whole("t", log, incremental=True), deadline="200ms")
    assert summary.status == "succeeded"
    assert lab.numbers("t") == list(range(log.end))


def test_a_deadline_between_rounds_is_not_waited_beyond(lab: Lab) -> None:
    """No round is under way then, and the next one would begin in an hour."""
    log = Log(2)
    summary = follow(lab, Whole("t", log, incremental=True), follow="1h", deadline="200ms")
    assert (summary.status, log.reads) == ("succeeded", 2)


@pytest.mark.parametrize("order", [1, -1])
def test_a_flow_that_is_wrong_lets_no_other_be_followed(lab: Lab, order: int) -> None:
    """Nothing is read, as in a run that does not follow."""
    log = Log(2)
    lab.script(Whole("t", log, incremental=True))
    lab.script(Whole("u", counting(1)), source="other")
    file, other = lab.flow(follow="10ms"), lab.flow(source="other", follow="10ms", write_mode="replace")
    file["sources"] |= other["sources"]
    file["flows"] = [*file["flows"], *other["flows"]][::order]
    with pytest.raises(ConfigurationError, match=r"write_mode = \"replace\" would replace"):
        execute(file, lab.environment())
    assert (log.reads, lab.tables.get("t")) == (0, None)


def test_a_stream_that_fails_ends_its_flow_and_the_run_fails(lab: Lab) -> None:
    """The other stream's round is complete; who supervises the process starts it again."""
    log, other = Log(2), Log(2)

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield from log(state)
        if log.reads == 3:
            raise ValueError("broken")

    with pytest.raises(FlowFailedError, match=r"1 of 2 streams failed: src\.t: ValueError: broken") as caught:
        follow(lab, Whole("t", read, incremental=True), Whole("u", other, incremental=True))
    assert lab.numbers("u") == [0, 1]
    assert caught.value.summary.streams[1].status == "succeeded"


def test_retries_count_for_each_round(lab: Lab) -> None:
    """Twice as many failures as one round allows, over many rounds."""
    log = Log(1)
    failures = iter(range(QUICK.retry_attempts * 2))

    def on_read(read: int) -> None:
        log.grow(1)
        if read % 2 == 0 and next(failures, None) is not None:
            raise ConnectionFailedError("away for a moment")
        if read > QUICK.retry_attempts * 4 + 2:
            interrupt()

    log.on_read = on_read
    summary = follow(lab, Whole("t", log, incremental=True))
    assert summary.streams[0].retries == QUICK.retry_attempts * 2
    landed = lab.numbers("t")
    assert landed == list(range(len(landed)))


def test_a_destination_that_fails_once_loses_and_doubles_nothing(lab: Lab) -> None:
    """Also where the commit had landed and its answer was lost."""
    log = Log(5)
    log.on_read = lambda read: log.grow(3) if read < 8 else interrupt()
    lab.fault(FailEvery("commit!", ConnectionError("cut"), 2, 4))
    follow(lab, Whole("t", log, incremental=True))
    assert lab.numbers("t") == list(range(lab.states["t", ""]["next"]))


def test_the_summary_file_is_whole_at_any_instant(lab: Lab, tmp_path: Path) -> None:
    """It is written after each round with news, and says that the run is under way."""
    path = tmp_path / "summary.json"
    log, seen, ended = Log(1), [], threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if path.exists():
                seen.append(json.loads(path.read_text()))

    log.on_read = lambda read: log.grow(1) if read < 20 else interrupt()
    watching = threading.Thread(target=watch)
    watching.start()
    follow(lab, Whole("t", log, incremental=True), summary=path)
    ended.set()
    watching.join()
    assert {one["status"] for one in seen} <= {"running", "stopped"}
    assert seen[0]["streams"][0]["rows_landed"] < 20
    assert json.loads(path.read_text())["status"] == "stopped"
    assert [one.name for one in tmp_path.iterdir()] == ["summary.json"]


def test_a_summary_file_behind_a_link_stays_behind_it(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a file that cannot be replaced leaves none beside it."""
    link, real = tmp_path / "link.json", tmp_path / "real.json"
    real.touch()
    link.symlink_to(real)
    log = Log(2)
    log.on_read = lambda read: interrupt() if read == 3 else None
    summary = follow(lab, Whole("t", log, incremental=True), summary=link)
    assert link.is_symlink()
    assert json.loads(real.read_text())["status"] == "stopped"
    monkeypatch.setattr(Path, "replace", lambda path, target: path.rename(tmp_path / "missing" / "x"))
    with pytest.raises(ConfigurationError, match="cannot be written"):
        summary.write(real, atomically=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "real.json"]


def test_what_is_held_back_is_of_the_last_round(lab: Lab) -> None:
    """Other counters are summed."""
    rounds = iter(range(100))

    def read(state: State) -> Iterator[DataSourcePayload]:
        number = next(rounds)
        if number == 5:
            interrupt()
        counts = {"count:rows_seen": 1} | ({"count:rows_held_back": number} if number < 4 else {})
        yield DataSourcePayload(None, counts)

    (stream,) = follow(lab, Whole("t", read, incremental=True)).streams
    assert stream.counters["rows_seen"] >= 5
    assert stream.counters["rows_held_back"] == 0


def test_rounds_of_a_quiet_source_are_not_logged(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """A process that runs for months would fill the disk with them."""
    log = Log(2)
    log.on_read = lambda read: interrupt() if read == 12 else None
    with caplog.at_level(logging.INFO):
        follow(lab, Whole("t", log, incremental=True), options=replace(QUICK, progress_seconds=0.02))
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "src.t" in line]) <= 6, lines


@pytest.mark.parametrize(
    ("stream", "entry", "message"),
    [
        (
            Whole("t", lambda state: [payload({"n": 1})]),
            {},
            r"follow: stream 't' is not incremental: .* leave it out: streams = \[\"\*\", \"!t\"\]",
        ),
        (Whole("t", counting(3)), {"write_mode": "replace"}, r"follow: write_mode = \"replace\" would replace"),
        (Whole("t", counting(3), backfill=True), {}, r"follow: stream 't' reads a fixed range \(a backfill\)"),
        (Whole("t", counting(3)), {"follow": "0s"}, r"flows\[0\].follow: expected more than 0"),
    ],
    ids=["whole", "replace", "backfill", "zero"],
)
def test_what_cannot_be_followed_is_refused_before_a_row_is_read(
    lab: Lab, stream: Whole, entry: dict[str, Any], message: str
) -> None:
    """With what to do instead."""
    with pytest.raises(ConfigurationError, match=message):
        follow(lab, stream, **entry)
    assert not lab.tables.get("t")


@pytest.mark.parametrize("option", ["idle_timeout", "deadline"])
def test_a_limit_of_following_needs_follow(lab: Lab, option: str) -> None:
    """Else it would do nothing, in silence."""
    lab.script(Whole("t", counting(3)))
    with pytest.raises(ConfigurationError, match=rf'{option}: the flow does not follow; add follow = "5s"'):
        execute(lab.flow(**{option: "5s"}), lab.environment())


def test_the_environment_makes_every_flow_follow(lab: Lab) -> None:
    """As ``run --follow`` does."""
    log = Log(2)
    log.on_read = lambda read: interrupt() if read == 4 else None
    lab.script(Whole("t", log, incremental=True))
    summary = execute(lab.flow(), lab.environment(follow=Duration(milliseconds=10)))
    assert (summary.status, lab.tables["t"]) == ("stopped", numbers(0, 2))


def test_a_run_that_is_stopped_from_inside_ends_as_stopped(lab: Lab) -> None:
    """By the program that runs the flow, in a thread where there are no signals."""
    environment = lab.environment()
    log = Log(2)
    log.on_read = lambda read: environment.stop.set() if read == 4 else None
    lab.script(Whole("t", log, incremental=True))
    assert execute(lab.flow(follow="10ms"), environment).status == "stopped"


def test_a_run_that_is_stopped_within_a_round_ends_as_stopped(lab: Lab) -> None:
    """The rows after the stop are left to the next run, so the round has not succeeded."""
    environment = lab.environment()
    log = Log(2)

    def read(state: State) -> Iterator[DataSourcePayload]:
        for number, part in enumerate(log(state)):
            if log.reads == 3 and number == 50:
                environment.stop.set()
            yield part

    log.on_read = lambda read: log.grow(200) if read == 3 else None
    lab.script(Whole("t", read, incremental=True))
    summary = execute(lab.flow(follow="10ms"), environment)
    assert 2 < len(lab.numbers("t")) < 202
    assert (summary.status, summary.streams[0].status) == ("stopped", "stopped")
