"""What a run makes of signals, and of sources and destinations that do not come back after one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from vdk.api.plugin.hook_markers import hookimpl

from jobs import Vdk
from support import QUICK, Lab, Split, Whole, counting, payload
from vdk.plugin.datasource_base import DataSourcePayload, FlowFailedError, StreamPartition
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.runtime import Options, execute
from vdk.plugin.datasource_base.runtime.run.flow_run import FlowRun
from vdk.plugin.datasource_base.runtime.signals import signals_raise
from vdk.plugin.datasource_base.testing.faults import Hang, Kill, assert_exactly_once, injected

pytestmark = pytest.mark.usefixtures("usual_signals")
SOON = replace(QUICK, stop_seconds=0.3)
ROWS = [{"n": number} for number in range(30)]


def interrupt(lab: Lab, options: Options = SOON) -> None:
    """Run, with a Ctrl-C after a short time."""
    timer = threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        execute(lab.flow(), lab.environment(options))
    timer.join()


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_signals_raise_in_the_main_thread_and_are_what_they_were_afterwards(
    number: signal.Signals, error: type[BaseException]
) -> None:
    """``SystemExit`` carries the code that a shell gives to a process which the signal ended."""
    before = signal.getsignal(number)
    with pytest.raises(error) as caught, signals_raise():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert getattr(caught.value, "code", 130) == 128 + number


def test_a_program_that_handles_a_signal_goes_on_doing_so() -> None:
    """Its handler is neither replaced nor lost."""
    seen: list[int] = []

    def handler(number: int, frame: object) -> None:
        seen.append(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with signals_raise():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_a_library_that_restarts_system_calls_does_not_hold_the_run(lab: Lab) -> None:
    """polars does so when it is imported: the main thread would wait on, and never run the handler."""
    interrupted = threading.Event()

    def read(state: State) -> Iterator[DataSourcePayload]:
        signal.siginterrupt(signal.SIGINT, False)
        threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
        interrupted.wait(20)
        yield payload({"n": 1})

    lab.script(Whole("t", read))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        execute(lab.flow(), lab.environment(SOON))
    waited = time.monotonic() - began
    interrupted.set()
    assert waited < 20  # the read itself ends then


def test_an_ignored_signal_stays_ignored(lab: Lab) -> None:
    """``nohup`` and jobs in the background of a script have asked for it; SIGTERM ends the run all the same."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals_raise():
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    with pytest.raises(SystemExit), signals_raise():
        signal.raise_signal(signal.SIGTERM)


def test_the_first_signal_restores_the_default_action_of_both() -> None:
    """Whichever comes second ends the process, as the system does it."""
    with signals_raise():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == [signal.SIG_DFL] * 2


class Collected:
    """Its end sends a signal, at a point where Python drops every exception."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_that_comes_while_an_object_is_collected_raises_all_the_same(
    number: signal.Signals, error: type[BaseException]
) -> None:
    """Also right before the end, with its exit code; and nothing is printed about an exception that was ignored."""
    before = signal.getsignal(number), sys.unraisablehook
    with pytest.raises(error) as caught, signals_raise():
        Collected(number)
    assert getattr(caught.value, "code", 130) == 128 + number
    assert (signal.getsignal(number), sys.unraisablehook) == before


def test_a_run_notices_a_signal_that_comes_while_an_object_is_collected(lab: Lab) -> None:
    """It does not go on as if nobody had asked it to end."""
    waited = []

    def parts(state: Any) -> Iterator[StreamPartition]:
        Collected(signal.SIGTERM)
        waited.append(threading.Event().wait(60))
        yield from Split("t", {"a": counting(3)}).partitions({})

    with pytest.raises(SystemExit):
        lab.run(Split("t", parts))
    assert not waited
    assert lab.tables == {}


def test_a_run_in_another_thread_leaves_signals_alone(lab: Lab) -> None:
    """Python gives them to the main thread only; the run is as good as any."""
    before = signal.getsignal(signal.SIGTERM)
    lab.script(Whole("t", counting(30)))
    seen: list[Any] = []

    def run() -> None:
        with injected() as injection:
            lab.run()
            seen.append((signal.getsignal(signal.SIGTERM), len(injection.passed)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen[0][0] is before
    assert_exactly_once(ROWS, lab.tables["t"])


def test_a_reader_that_is_interrupted_while_the_partitions_are_listed_publishes_nothing(lab: Lab) -> None:
    """Though all that were listed by then have been read to their end."""
    lab.run(Whole("t", lambda state: [payload({"n": -1})]))

    def parts(state: Any) -> Iterator[StreamPartition]:
        yield from Split("t", {"a": lambda state: [payload({"n": 1})]}).partitions({})
        signal.raise_signal(signal.SIGTERM)
        yield from Split("t", {"b": counting(3)}).partitions({})

    with pytest.raises(SystemExit):
        lab.run(Split("t", parts), write_mode="replace")
    assert lab.tables["t"] == [{"n": -1}]
    assert not lab.staged


def test_a_stream_that_is_interrupted_before_its_first_partition_publishes_nothing(lab: Lab) -> None:
    """No partition is not the same as no rows."""
    lab.run(Whole("t", lambda state: [payload({"n": -1})]))
    feeding = f"{FlowRun.__module__}:FlowRun._start_partitions"
    with pytest.raises(SystemExit), injected(Kill(feeding, signal=signal.SIGTERM)):
        lab.run(write_mode="replace")
    assert lab.tables["t"] == [{"n": -1}]


@pytest.mark.parametrize("instant", ["commit", "open", "load_states"])
def test_a_destination_that_does_not_return_is_abandoned(
    lab: Lab, instant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The run ends in bounded time; its last commit landed with its state, or the next run repeats it."""
    lab.script(Whole("t", counting(30)))
    with injected(Hang(instant)) as injection:
        interrupt(lab)
        log = caplog.text
        injection.release()
    assert "did not return within 0.24 s and is abandoned" in log
    _until_all_threads_ended()
    lab.run()
    assert_exactly_once(ROWS, lab.tables["t"])


@pytest.mark.parametrize("streams", [1, 3])
def test_a_batch_larger_than_the_queue_does_not_hold_the_main_thread(lab: Lab, streams: int) -> None:
    """In front of a destination that hangs: ending a stream waits for no room in the queue."""
    lab.script(*(Whole(f"t{number}", counting(30)) for number in range(streams)))
    with injected(Hang("commit")) as injection:
        interrupt(lab, replace(SOON, queue_bytes=1))
        injection.release()
    _until_all_threads_ended()
    lab.run()
    for number in range(streams):
        assert_exactly_once(ROWS, lab.tables[f"t{number}"])


@pytest.mark.parametrize("instant", ["connect", "streams", "partitions", "read", "disconnect"])
def test_a_source_that_does_not_return_is_abandoned(lab: Lab, instant: str) -> None:
    """Wherever it hangs; in the main thread the signal itself ends it."""
    lab.script(Whole("t", counting(30)))
    with injected(Hang(instant)) as injection:
        interrupt(lab)
        injection.release()
    _until_all_threads_ended()
    lab.run()
    assert_exactly_once(ROWS, lab.tables["t"])


@pytest.mark.parametrize("nth", range(1, 12))
@pytest.mark.parametrize("instant", ["read", "commit", "discard", "load_states", "partitions", "disconnect", "close"])
def test_a_signal_at_any_instant_loses_and_doubles_nothing(lab: Lab, instant: str, nth: int) -> None:
    """The next run completes what is missing, once; a signal that came after the end changes nothing."""

    def whole(state: State) -> list[DataSourcePayload]:
        return [payload(*ROWS[:15]), payload(*ROWS[15:])]

    streams = [Split("t", {"a": counting(30), "b": counting(30)}), Whole("whole", whole)]
    try:
        with injected(Kill(instant, nth=nth, signal=signal.SIGTERM)):
            lab.run(*streams)
    except (SystemExit, AssertionError):
        pass
    except FlowFailedError as error:
        raise AssertionError("an interrupted run is no failed one") from error
    lab.run(*streams)
    assert_exactly_once(ROWS * 2, lab.tables["t"])
    assert_exactly_once(ROWS, lab.tables["whole"])
    assert not lab.staged


def _until_all_threads_ended() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith(("reader-", "writer-", "ending")):
            thread.join(10)


@pytest.mark.parametrize("arguments", [("list",), ("no-such-command",)])
def test_ctrl_c_before_a_command_ends_the_process_quietly(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """While VDK imports what it needs; from the command on, and after it, Ctrl-C raises as usual."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")

    class Signalled:
        @hookimpl
        def vdk_initialize(self, context: Any) -> None:
            signal.raise_signal(signal.SIGINT)

    Vdk(Signalled())("datasource", *arguments)
    assert (codes, capfd.readouterr().err.count("Interrupted.")) == ([130], 1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
