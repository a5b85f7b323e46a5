"""What fails fails alone, is retried where that may help, and is reported."""

from __future__ import annotations

import itertools
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import QUICK, FailEvery, FaultyDestination, Lab, Part, Split, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import (
    AuthenticationError,
    BadRecordError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourcePayload,
    FlowFailedError,
    StreamPartition,
    StreamSchema,
)
from vdk.plugin.datasource_base.contract import DestinationError, State
from vdk.plugin.datasource_base.parts import may_wait, one_line
from vdk.plugin.datasource_base.runtime import execute
from vdk.plugin.datasource_base.runtime.retry import Retry

SCHEMA = StreamSchema(pa.schema([("n", pa.int64())]))


def raising(error: BaseException) -> Any:
    def read(state: State) -> Iterator[DataSourcePayload]:
        yield payload({"n": 0})
        raise error

    return read


class TestIsolation:
    def test_one_stream_that_fails_leaves_the_others_complete(self, lab: Lab) -> None:
        """The error names it, after all have ended; the summary tells of each."""
        with pytest.raises(FlowFailedError, match=r"1 of 3 streams failed: src\.bad: ValueError: oh") as caught:
            lab.run(Whole("a", counting(30)), Whole("bad", raising(ValueError("oh"))), Whole("z", counting(30)))
        assert lab.numbers("a") == lab.numbers("z") == list(range(30))
        assert [stream.status for stream in caught.value.summary.streams] == ["succeeded", "failed", "succeeded"]
        assert [type(error) for error in caught.value.errors] == [ValueError]

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()])
    def test_a_source_cannot_end_the_run(self, lab: Lab, error: BaseException) -> None:
        """Not even with what ends a program: it is raised in a reader, not in the driver."""
        with pytest.raises(FlowFailedError, match="bad"):
            lab.run(Whole("bad", raising(error)), Whole("good", counting(3)))
        assert lab.numbers("good") == [0, 1, 2]

    def test_a_schema_that_cannot_be_read_fails_its_stream_alone(self, lab: Lab) -> None:
        """One table that cannot be reflected does not keep the others from landing."""

        class Broken(Whole):
            def schema(self, table: str | None = None) -> StreamSchema | None:
                raise ValueError("no such view")

        with pytest.raises(FlowFailedError, match=r"src\.bad: ValueError: no such view"):
            lab.run(Broken("bad", counting(1)), Whole("good", counting(3)))
        assert lab.numbers("good") == [0, 1, 2]

    def test_on_error_stop_ends_the_run_at_the_first_failure(self, lab: Lab) -> None:
        """What is complete has landed, what has not begun is not begun, and is reported as stopped."""
        one = replace(QUICK, max_parallel_partitions=1)
        with pytest.raises(FlowFailedError) as caught:
            lab.run(
                Whole("a", counting(3)), Whole("bad", raising(ValueError("oh"))), Whole("c", counting(3)),
                on_error="stop", options=one,
            )  # fmt: skip
        assert lab.numbers("a") == [0, 1, 2]
        assert "c" not in lab.tables
        assert [stream.status for stream in caught.value.summary.streams] == ["succeeded", "failed", "stopped"]

    def test_a_flow_that_cannot_begin_leaves_the_other_flows(self, lab: Lab, tmp_path: Path) -> None:
        """Its error is raised after the others ended, and the summary is written."""
        lab.script(Whole("t", counting(3))).on["connect"] = lambda: (_ for _ in ()).throw(AuthenticationError("no"))
        lab.script(Whole("u", counting(3)), source="other")
        flow = lab.flow()
        flow["sources"].update(lab.flow(source="other")["sources"])
        flow["flows"].append({"from": "other", "to": "lake"})
        flow["summary"] = str(tmp_path / "summary.json")
        with pytest.raises(AuthenticationError, match="no"):
            execute(flow, lab.environment())
        assert lab.numbers("u") == [0, 1, 2]
        summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
        assert summary["status"] == "failed"
        assert summary["errors"] == ["flow: flows[0]: AuthenticationError: no"]
        assert [one["stream"] for one in summary["streams"]] == ["u"]

    @pytest.mark.parametrize("method", ["identity", "connect", "streams"])
    def test_the_source_is_disconnected_whatever_fails(self, lab: Lab, method: str) -> None:
        """``disconnect`` is called once, last, and the source's own error is raised."""

        def fail() -> None:
            raise LookupError("broken")

        script = lab.script(Whole("t", counting(3)))
        script.on[method] = fail
        with pytest.raises(LookupError, match="broken"):
            lab.run()
        assert script.calls[-1] == "disconnect"
        assert script.calls.count("disconnect") == 1

    def test_the_source_is_disconnected_after_streams_that_fail(self, lab: Lab) -> None:
        """And after those that do not."""
        script = lab.script(Whole("t", raising(ValueError())))
        with pytest.raises(FlowFailedError):
            lab.run()
        script.streams = []
        lab.run()
        assert script.calls == ["identity", "connect", "streams", "disconnect"] * 2

    def test_a_disconnect_that_fails_does_not_put_in_question_what_landed(
        self, lab: Lab, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is logged as a warning."""

        def fail() -> None:
            raise OSError("socket")

        lab.script(Whole("t", counting(3))).on["disconnect"] = fail
        assert lab.run().status == "succeeded"
        assert "could not be disconnected: socket" in caplog.text

    def test_a_destination_that_cannot_be_closed_does_not_either(
        self, lab: Lab, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What was committed is durable."""
        lab.fault(FailEvery("close", OSError("disk")))
        assert lab.run(Whole("t", counting(3))).status == "succeeded"
        assert "could not be closed" in caplog.text

    def test_a_partition_that_fails_fails_its_stream_and_keeps_the_others_progress(self, lab: Lab) -> None:
        """Partitions under way go on; the next run reads only what is missing."""
        bad = Split("t", {"a": counting(30), "b": raising(ValueError("oh"))})
        with pytest.raises(FlowFailedError):
            lab.run(bad, options=replace(QUICK, max_parallel_partitions=2))
        landed = lab.run(Split("t", {"a": counting(30), "b": counting(30)})).streams[0]
        assert len(lab.tables["t"]) == 60
        assert landed.status == "succeeded"

    def test_partition_ids_are_unique(self, lab: Lab) -> None:
        """The state is kept under them."""
        parts = [Part("x", counting(3)), Part("x", counting(3))]
        with pytest.raises(FlowFailedError, match="more than one partition with the id 'x'"):
            lab.run(Split("t", lambda state: parts, incremental=True))

    def test_a_partition_list_that_raises_fails_the_stream(self, lab: Lab) -> None:
        """What was yielded before may have landed; what is missing is not taken for done."""

        def parts(state: Any) -> Iterator[StreamPartition]:
            yield Part("a", counting(3))
            raise ValueError("listing")

        with pytest.raises(FlowFailedError, match="listing"):
            lab.run(Split("t", parts))

    def test_stream_names_are_unique(self, lab: Lab) -> None:
        """Two streams of one name would share state and table."""
        with pytest.raises(FlowFailedError, match="two streams with the name 't'"):
            lab.run(Whole("t", counting(1)), Whole("t", counting(1)))


class TestRetries:
    def test_a_source_that_is_away_is_read_again_from_the_last_state(self, lab: Lab) -> None:
        """Nothing is lost or repeated, and each attempt is counted."""
        fails = iter([5, 11, 11, 17])
        at = [next(fails)]

        def fail(number: int) -> None:
            if at[0] == number:
                at[0] = next(fails, -1)
                raise ConnectionFailedError("blip")

        report = lab.run(Whole("t", counting(25, fail_at=fail))).streams[0]
        assert lab.numbers("t") == list(range(25))
        assert report.retries == 4

    @pytest.mark.parametrize("error", [ConnectionResetError("x"), TimeoutError("x"), ConnectionFailedError("x")])
    def test_attempts_without_progress_are_bounded(self, lab: Lab, error: Exception) -> None:
        """The stream fails with the error itself after the last one."""
        with pytest.raises(FlowFailedError, match=type(error).__name__) as caught:
            lab.run(Whole("t", raising(error)))
        assert caught.value.summary.streams[0].retries == QUICK.retry_attempts - 1

    def test_staging_is_no_progress(self, lab: Lab) -> None:
        """A replaced stream that always fails behind its first batch is not tried for ever."""
        attempts = itertools.count(1)

        def read(state: State) -> Iterator[DataSourcePayload]:
            next(attempts)
            yield payload(*numbers(0, 50))
            time.sleep(0.02)
            raise ConnectionFailedError("away")

        with pytest.raises(FlowFailedError, match="away"):
            lab.run(Whole("t", read, SCHEMA))
        assert next(attempts) == QUICK.retry_attempts + 1

    def test_a_state_that_does_not_move_is_no_progress(self, lab: Lab) -> None:
        """Nor is the same state over and over."""
        attempts = itertools.count(1)

        def read(state: State) -> Iterator[DataSourcePayload]:
            next(attempts)
            yield payload(state={"always": "the same"})
            raise ConnectionFailedError("away")

        with pytest.raises(FlowFailedError, match="away"):
            lab.run(Whole("t", read))
        assert next(attempts) == QUICK.retry_attempts + 1

    def test_progress_makes_the_next_failure_a_first_one(self, lab: Lab) -> None:
        """A source that fails at every row, once, is read to its end."""
        failed: set[int] = set()

        def fail(number: int) -> None:
            if number not in failed:
                failed.add(number)
                raise ConnectionFailedError("flaky")

        report = lab.run(Whole("t", counting(20, fail_at=fail))).streams[0]
        assert lab.numbers("t") == list(range(20))
        assert report.retries == 20

    @pytest.mark.parametrize(
        "error",
        [
            ConfigurationError("x"),
            AuthenticationError("x"),
            BadRecordError("x"),
            DestinationError("x"),
            ValueError("x"),
            OSError("x"),
        ],
    )
    def test_what_would_come_again_is_not_retried(self, lab: Lab, error: Exception) -> None:
        """Configuration, credentials, bad rows and unknown errors fail the stream at once."""
        with pytest.raises(FlowFailedError) as caught:
            lab.run(Whole("t", raising(error)))
        assert caught.value.summary.streams[0].retries == 0

    def test_retry_after_is_a_lower_bound(self) -> None:
        """And one that exceeds the time allowed ends the attempts."""
        retry = Retry(attempts=5, seconds=10, delay=0.001)
        wait = retry.wait_after(ConnectionFailedError("x", retry_after=3))
        assert wait is not None
        assert 3 <= wait < 3.1
        assert retry.wait_after(ConnectionFailedError("x", retry_after=30)) is None

    def test_waits_are_random_and_their_bound_doubles(self) -> None:
        """Full jitter: anything between nothing and the bound."""
        random.seed(7)
        waits = []
        for _ in range(200):
            retry = Retry(attempts=5, seconds=1000, delay=1)
            waits.append([retry.wait_after(ConnectionFailedError("x")) or 0.0 for _ in range(4)])
        for nth, bound in enumerate((1, 2, 4, 8)):
            column = [wait[nth] for wait in waits]
            assert bound * 0.9 < max(column) <= bound
            assert min(column) < bound * 0.1

    def test_the_time_is_counted_from_the_first_failure(self) -> None:
        """A stream that was read for long before its first failure is tried again all the same."""
        retry = Retry(attempts=5, seconds=0.05, delay=0.0)
        time.sleep(0.1)
        assert retry.wait_after(ConnectionFailedError("x")) is not None
        time.sleep(0.1)
        assert retry.wait_after(ConnectionFailedError("x")) is None

    def test_the_time_bounds_the_attempts_of_a_source(self) -> None:
        """A source that repeats its requests asks first, and the time of those that failed counts."""
        retry = Retry(attempts=5, seconds=10, delay=0.0)
        now = time.monotonic()
        asked: Iterator[bool] = (may_wait(wait, now - 4) for wait in (5, 7))
        assert list(retry.bounded(asked)) == [True, False]
        assert retry.call(lambda: may_wait(7, now - 4), what="x", stop=threading.Event(), redact=str) is False
        assert may_wait(99, now - 99)
        assert retry.wait_after(ConnectionFailedError("x", failing_since=now - 9)) is not None
        assert not retry.has_time(2, now)
        assert Retry(5, 10, 0.0).wait_after(ConnectionFailedError("x", failing_since=now - 11)) is None

    def test_progress_gives_new_attempts_but_not_for_ever(self, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
        """A source that fails behind every row is given up in the end; the next run goes on where it was."""

        def read(state: State) -> Iterator[DataSourcePayload]:
            number = int(str(state.get("next", 0)))
            yield payload({"n": number}, state={"next": number + 1})
            raise ConnectionFailedError("flaky")

        with pytest.raises(FlowFailedError, match="flaky") as caught:
            lab.run(Whole("t", read))
        report = caught.value.summary.streams[0]
        assert report.retries == 3 * 20 - 1
        assert lab.numbers("t") == list(range(60))
        assert "giving up (60 failures in one run): flaky" in caplog.text

    def test_giving_up_is_reported(self, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
        """With the bound that was met."""
        with pytest.raises(FlowFailedError):
            lab.run(Whole("t", raising(ConnectionFailedError("busy"))))
        assert "src.t: attempt 1 of 3 failed, retrying in 0.0 s: busy" in caplog.text
        assert "src.t: attempt 3 failed, giving up (retry_attempts = 3): busy" in caplog.text
        caplog.clear()
        with pytest.raises(FlowFailedError):
            lab.run(Whole("t", raising(ConnectionFailedError("busy", retry_after=999))))
        assert "attempt 1 failed, giving up (retry_for = 300 s, the server asked for 999 s): busy" in caplog.text
        caplog.clear()
        with pytest.raises(FlowFailedError):
            lab.run(Whole("t", raising(ValueError("wrong"))))
        assert "attempt" not in caplog.text

    @pytest.mark.parametrize("operation", ["open", "load_states", "commit", "publish"])
    def test_a_stop_ends_the_wait_for_a_destination(self, lab: Lab, operation: str) -> None:
        """Of whatever it was asked: nobody waits a minute for a run that is to end, and nothing is asked again."""

        class Stop(threading.Event):
            """Comes while somebody waits for it."""

            def wait(self, timeout: float | None = None) -> bool:
                self.set()
                return True

        environment = lab.environment(stop=Stop())
        fault = FailEvery(operation, ConnectionFailedError("away"))
        lab.fault(fault)
        lab.script(Whole("t", counting(3)))
        with pytest.raises((FlowFailedError, ConnectionFailedError), match="away"):
            execute(lab.flow(write_mode="replace" if operation == "publish" else "append"), environment)
        assert fault.count == 1

    @pytest.mark.parametrize("method", ["identity", "connect", "streams"])
    def test_connecting_is_retried(self, lab: Lab, method: str) -> None:
        """Also before anything is read."""
        left = iter([1, 1])

        def fail() -> None:
            if next(left, 0):
                raise ConnectionFailedError("away")

        lab.script(Whole("t", counting(3))).on[method] = fail
        assert lab.run().status == "succeeded"

    @pytest.mark.parametrize("operation", ["open", "load_states", "discard", "commit", "stage"])
    @pytest.mark.parametrize("times", [1, 2])
    def test_a_destination_that_is_away_is_retried(self, lab: Lab, operation: str, times: int) -> None:
        """Whatever it is asked when it is away."""
        lab.fault(FailEvery(operation, ConnectionFailedError("away"), *range(1, times + 1)))

        def read(state: State) -> Iterator[DataSourcePayload]:
            yield payload(*numbers(0, 12))
            yield payload(*numbers(12, 24), state={"next": 24})

        assert lab.run(Whole("t", read)).status == "succeeded"
        assert lab.numbers("t") == list(range(24))
        assert lab.states == {("t", ""): {"next": 24}}

    def test_a_destination_that_stays_away_while_an_attempt_is_cleaned_up_is_retried(self, lab: Lab) -> None:
        """Dropping what the failed attempt left may fail as the attempt did."""
        away = threading.Event()

        def fault(operation: str, destination: FaultyDestination) -> None:
            if operation == "commit" and not destination.rows.get("t"):
                away.set()
            if away.is_set() and next(left, 0):
                raise ConnectionFailedError("away")

        left = iter([1, 1])
        lab.fault(fault)
        assert lab.run(Whole("t", counting(15))).status == "succeeded"
        assert lab.numbers("t") == list(range(15))

    def test_a_listing_of_partitions_that_breaks_off_is_continued(self, lab: Lab) -> None:
        """Those that are under way are not read twice."""
        broken = iter([True])

        def parts(state: Any) -> Iterator[StreamPartition]:
            yield Part("a", counting(12))
            if next(broken, False):
                raise ConnectionFailedError("listing")
            yield Part("b", counting(12))

        report = lab.run(Split("t", parts)).streams[0]
        assert len(lab.tables["t"]) == 24
        assert report.partitions == 2

    def test_attempts_are_logged_without_secrets(self, lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
        """Each failed attempt is a warning with its number, the wait and the redacted reason."""
        left = iter([1])

        def fail(number: int) -> None:
            if next(left, 0):
                raise ConnectionFailedError("https://me:canary-1@host refused canary-2, or canary%2D2? canary%2F3")

        lab.script(Whole("t", counting(3, fail_at=fail)))
        flow = lab.flow()
        flow["sources"]["src"]["config"]["password"] = "canary/3"
        with caplog.at_level(logging.DEBUG):
            execute(flow, lab.environment())
        assert "attempt 1 of 3 failed" in caplog.text
        assert "canary-1" not in caplog.text
        assert "canary%2F3" not in caplog.text


class TestEarlyEnd:
    def test_generators_are_closed_early(self, lab: Lab) -> None:
        """A reader that is stopped frees what it holds, at once."""
        closed: list[str] = []

        def read(state: State) -> Iterator[DataSourcePayload]:
            try:
                for number in itertools.count():
                    yield payload({"n": number}, state={"next": number})
            finally:
                closed.append(threading.current_thread().name)

        lab.fault(FailEvery("commit", DestinationError("no"), 2))
        with pytest.raises(FlowFailedError, match="no"):
            lab.run(Whole("t", read))
        assert len(closed) == 1
        assert closed[0].startswith("reader")

    def test_an_interrupted_run_ends_cleanly(self, lab: Lab, tmp_path: Path) -> None:
        """Ctrl-C in the driver: what is complete has landed, what is not is dropped, the summary tells."""
        lab.run(Whole("whole", lambda state: [payload(*numbers(0, 3))], SCHEMA))
        going = threading.Event()

        def endless(state: State) -> Iterator[DataSourcePayload]:
            for number in itertools.count():
                going.set()
                yield payload({"n": number}, state={"next": number + 1})

        def parts(state: Any) -> Iterator[StreamPartition]:
            yield Part("a", lambda state: [payload(*numbers(50, 60))])
            going.wait(5)
            time.sleep(0.05)
            raise KeyboardInterrupt

        script = lab.script(
            Whole("done", lambda state: [payload(*numbers(0, 7))], SCHEMA),
            Whole("t", endless), Split("whole", parts, SCHEMA), Whole("never", counting(3)),
        )  # fmt: skip
        flow = lab.flow()
        flow["summary"] = str(tmp_path / "summary.json")
        with pytest.raises(KeyboardInterrupt):
            execute(flow, lab.environment())
        assert lab.states["t", ""] == {"next": len(lab.numbers("t"))}
        assert lab.numbers("done") == list(range(7))
        assert lab.numbers("whole") == [0, 1, 2]
        assert not lab.staged
        assert script.calls[-1] == "disconnect"
        summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
        assert summary["status"] == "interrupted"
        assert {one["stream"]: one["status"] for one in summary["streams"]} == {
            "done": "succeeded", "t": "stopped", "whole": "stopped", "never": "stopped",
        }  # fmt: skip

    def test_a_run_that_is_stopped_from_outside_is_no_success(self, lab: Lab) -> None:
        """Flows that never began are reported."""
        environment = lab.environment()
        environment.stop.set()
        lab.script(Whole("t", counting(3)))
        with pytest.raises(FlowFailedError, match="stopped before it began"):
            execute(lab.flow(), environment)
        assert lab.tables == {}


class TestBackPressure:
    @pytest.mark.parametrize("partitions", [1, 6])
    def test_a_fast_source_waits_for_a_slow_destination(self, lab: Lab, partitions: int) -> None:
        """What is in flight is bounded by the queue and one batch a reader, however much there is to read."""
        size = 1000
        lock = threading.Lock()
        read = [0]
        flying: list[int] = []

        def rows(state: State) -> Iterator[DataSourcePayload]:
            for number in range(200):
                with lock:
                    read[0] += 1
                yield payload({"n": number, "text": "x" * size}, state={"next": number})

        def slow(operation: str, destination: FaultyDestination) -> None:
            if operation == "commit":
                time.sleep(0.002)
                flying.append(read[0] - len(destination.rows.get("t", [])))

        lab.fault(slow)
        options = replace(QUICK, batch_rows=5, queue_bytes=20 * size, max_parallel_partitions=partitions)
        lab.run(Split("t", {str(part): rows for part in range(partitions)}), options=options)
        assert len(lab.tables["t"]) == 200 * partitions
        # 20 waiting, 5 being written, and of each reader a full batch at the door and one row more
        assert max(flying) <= 25 + 7 * partitions

    def test_a_destination_that_hangs_holds_the_source_and_nothing_else_is_lost(self, lab: Lab) -> None:
        """While it hangs no more is read than fits; when it answers, everything lands once."""
        hanging, read = threading.Event(), [0]

        def rows(state: State) -> Iterator[DataSourcePayload]:
            for number in range(500):
                read[0] = number
                yield payload({"n": number}, state={"next": number})

        def hang(operation: str, destination: FaultyDestination) -> None:
            if operation == "commit" and not hanging.is_set():
                hanging.set()
                time.sleep(0.2)
                held.append(read[0])

        held: list[int] = []
        lab.fault(hang)
        lab.run(Whole("t", rows), options=replace(QUICK, queue_bytes=2000))
        assert held[0] < 100
        assert lab.numbers("t") == list(range(500))

    def test_a_batch_larger_than_the_queue_lands_alone(self, lab: Lab) -> None:
        """It does not wait for room that never comes."""
        options = replace(QUICK, queue_bytes=10)
        assert lab.run(Whole("t", counting(40)), options=options).streams[0].rows_landed == 40

    def test_many_streams_share_the_slots(self, lab: Lab) -> None:
        """No more partitions are read at once than the flow says."""
        now, most = [0], [0]
        lock = threading.Lock()

        def read(state: State) -> Iterator[DataSourcePayload]:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.005)
            yield payload({"n": 1}, state={"x": 1})
            with lock:
                now[0] -= 1

        streams = [Split(f"t{n}", {str(part): read for part in range(5)}) for n in range(6)]
        lab.run(*streams, max_parallel_partitions=3)
        assert most[0] == 3
        assert all(len(lab.tables[f"t{n}"]) == 5 for n in range(6))


def test_a_stress_of_failures_in_every_corner_loses_and_repeats_nothing(lab: Lab) -> None:
    """Random faults of source and destination over many partitions and runs: in the end every row is there once."""
    rng = random.Random(20261121)
    lock = threading.Lock()

    def roll(chance: float) -> bool:
        with lock:
            return rng.random() < chance

    def fault(operation: str, destination: FaultyDestination) -> None:
        if operation not in ("close", "load_states") and "!" not in operation and roll(0.05):
            raise ConnectionFailedError(operation) if roll(0.7) else DestinationError(operation)

    def fail(number: int) -> None:
        if roll(0.02):
            raise ConnectionFailedError("source") if roll(0.7) else ValueError("source")

    lab.fault(fault)
    parts: dict[str, Callable[[State], Any]] = {
        str(part): counting(60, page=1 + part, fail_at=fail) for part in range(6)
    }
    for _ in range(40):
        try:
            lab.run(Split("t", parts), Whole("whole", counting(30, page=4, fail_at=fail), SCHEMA))
            break
        except (FlowFailedError, DestinationError):
            continue
    lab.fault(None)
    lab.run(Split("t", {name: counting(60) for name in parts}), Whole("whole", counting(30), SCHEMA))
    assert lab.numbers("t") == sorted([*range(60)] * 6)
    assert lab.numbers("whole") == list(range(30))
    assert not lab.staged


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("refused\n\tIs the server running?\n", "refused; Is the server running?"),
        ("failed:\n  refused.\nTry again", "failed: refused. Try again"),
        ("syntax error\nLINE 1: SELECT x FRM\n  ^\n", "syntax error; LINE 1: SELECT x FRM"),
        ("one\r\n\r\n two  three", "one; two three"),
        ("", ""),
    ],
)
def test_a_message_of_several_lines_becomes_one(text: str, line: str) -> None:
    """Its sentences stay apart."""
    assert one_line(text) == line
    assert one_line(line) == line
