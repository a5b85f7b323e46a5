"""The faults themselves: each strikes at its instant, and a test fails if it never strikes."""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import Lab, Read, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import (
    BoundedPartition,
    ConnectionFailedError,
    DataSourcePayload,
    DataSourceStream,
    FlowFailedError,
)
from vdk.plugin.datasource_base.contract import DestinationError, State
from vdk.plugin.datasource_base.testing import MemoryDestination
from vdk.plugin.datasource_base.testing.faults import (
    Fail,
    Fault,
    Garble,
    Hang,
    Injection,
    Kill,
    When,
    assert_at_least_once,
    assert_exactly_once,
    file_size_limit,
    injected,
    run_child,
    run_with_random_kills,
    small_disk,
)
from vdk.plugin.datasource_base.testing.faults.proxy import StreamProxy

ROWS = numbers(0, 30)


def without_states(state: State) -> list[DataSourcePayload]:
    """A stream that is read completely each time."""
    return [payload(*ROWS[start : start + 7]) for start in range(0, 30, 7)]


class Numbers(DataSourceStream, BoundedPartition):
    """Declares everything that a stream can."""

    name, id, incremental, backfill, sharing_needs = "numbers", "all", True, True, "another table"

    def end(self, state: State) -> State:
        return {"next": 3}

    def read(self, state: State, end: State | None = None) -> Iterator[DataSourcePayload]:
        return iter(counting(3 if end is None else int(str(end["next"])))(state))

    def share(self, state: State, end: State) -> float | None:
        return 0.5


@pytest.mark.parametrize("bounded", [True, False])
def test_a_proxy_passes_everything_on(bounded: bool) -> None:
    """A faulty or watched stream is one like the other: what it declares, and whether its partitions know their end."""
    stream = Numbers() if bounded else Whole("numbers", counting(3))
    proxy = StreamProxy(stream, lambda partition, payloads: payloads)
    fields = inspect.get_annotations(DataSourceStream)
    assert {"name", "id", "incremental", "backfill", "sharing_needs"} <= set(fields)
    assert [getattr(proxy, name) for name in fields] == [getattr(stream, name) for name in fields]
    (partition,) = proxy.partitions({})
    assert partition.id == stream.id
    assert list(partition.read({})) == list(stream.read({}))
    assert isinstance(partition, BoundedPartition) is bounded
    if isinstance(partition, BoundedPartition):
        assert (partition.end({}), partition.share({}, {})) == ({"next": 3}, 0.5)
        assert len(list(partition.read({}, {"next": 2}))) == 2


class TestFaults:
    def test_every_nth_call_fails_and_nothing_is_lost(self, lab: Lab) -> None:
        """2, 5, 8 …: each is retried."""
        with injected(Fail("commit", nth=2, every=3)) as injection:
            report = lab.run(Whole("t", counting(30))).streams[0]
        assert_exactly_once(ROWS, lab.tables["t"])
        assert report.retries == len(injection.struck) > 0

    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize(
        ("read", "instant"),
        [
            *[(counting(30), instant) for instant in ("open", "load_states", "discard", "commit")],
            *[(without_states, instant) for instant in ("open", "load_states", "discard", "stage", "publish")],
        ],
    )
    def test_a_call_that_fails_before_or_after_its_work_is_survived(
        self, lab: Lab, read: Read, instant: str, when: When
    ) -> None:
        """A lost acknowledgement neither loses nor repeats a row, in one more run at the latest."""
        with injected(Fail(instant, when=when)):
            try:
                lab.run(Whole("t", read))
            except (FlowFailedError, ConnectionFailedError):
                lab.run(Whole("t", read))
        assert_exactly_once(ROWS, lab.tables["t"])
        assert not lab.staged

    def test_half_of_a_batch_lands_without_transactions(self, lab: Lab) -> None:
        """The rows repeat, and nothing is lost."""
        with injected(Fail("commit", nth=2, when="half")):
            lab.run(Whole("t", counting(30)), method="AppendOnly")
        assert assert_at_least_once(ROWS, lab.tables["t"]) == 5

    def test_half_of_a_transaction_is_refused(self, lab: Lab) -> None:
        """It cannot happen; the error says what to do instead."""
        with (
            pytest.raises(ValueError, match="one of its own functions as the instant"),
            injected(Fail("commit", when="half")),
        ):
            lab.run(Whole("t", counting(30)))

    def test_any_function_is_an_instant(self, lab: Lab) -> None:
        """The function is restored afterwards."""
        method = MemoryDestination._store_state
        with injected(Fail(f"{MemoryDestination.__module__}:MemoryDestination._store_state", nth=2)):
            lab.run(Whole("t", counting(30)))
        assert_exactly_once(ROWS, lab.tables["t"])
        assert MemoryDestination._store_state is method

    def test_a_call_that_hangs_can_be_released(self, lab: Lab) -> None:
        """No row is lost."""
        with injected(Hang("commit", nth=2)) as injection:
            timer = threading.Timer(0.1, injection.release)
            timer.start()
            lab.run(Whole("t", counting(30)))
            timer.join()
        assert_exactly_once(ROWS, lab.tables["t"])

    def test_a_call_that_hangs_for_a_time_returns(self, lab: Lab) -> None:
        """By itself."""
        with injected(Hang("read", nth=5, seconds=0.01)):
            lab.run(Whole("t", counting(30)))
        assert_exactly_once(ROWS, lab.tables["t"])

    def test_a_payload_is_replaced(self, lab: Lab) -> None:
        """By any object of the test."""
        with pytest.raises(FlowFailedError, match="yielded str"), injected(Garble("read", nth=3, payload="garbage")):
            lab.run(Whole("t", counting(30)))
        assert_exactly_once(ROWS[:2], lab.tables["t"])

    def test_a_destination_by_itself_can_be_faulty(self, tmp_path: Path) -> None:
        """Without any flow."""
        destination = MemoryDestination(folder=tmp_path)
        Injection(Fail("open", error=DestinationError)).into_destination(destination)
        with pytest.raises(DestinationError):
            destination.open()
        destination.open()

    def test_a_fault_that_never_struck_fails_the_test(self, lab: Lab) -> None:
        """The error says how often its instant was passed."""
        with (
            pytest.raises(AssertionError, match=r"Fail\(instant='commit', nth=99.*never struck.* 3 times"),
            injected(Fail("commit", nth=99)),
        ):
            lab.run(Whole("t", counting(30)))

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: Fail("comit"), "unknown instant 'comit'"),
            (lambda: Fail("read", when="half"), "has no half"),
            (lambda: Hang("commit", when="half"), "twice"),
            (lambda: Fail("commit", nth=0), "count from 1"),
            (lambda: Fail("commit", every=0), "count from 1"),
            (lambda: Garble("commit", payload=5), "yields no payload"),
        ],
    )
    def test_an_impossible_fault_is_refused(self, make: Callable[[], Fault], message: str) -> None:
        """When it is made."""
        with pytest.raises(ValueError, match=message):
            make()

    @pytest.mark.parametrize("point", ["os:path", "os:nothing"])
    def test_an_instant_that_is_not_a_function_is_refused(self, point: str) -> None:
        """With its name."""
        with pytest.raises(ValueError, match="is not a function"), injected(Fail(point)):
            pass

    def test_faults_can_be_pickled(self) -> None:
        """They are sent to the child."""
        for fault in (Fail("read", error=DestinationError), Kill("read"), Hang("read", seconds=1.0)):
            assert pickle.loads(pickle.dumps(fault)) == fault


class TestChildren:
    def test_a_child_ends_by_itself(self) -> None:
        """The result has its output; the child has the given environment."""
        result = run_child(_print, "hello", environment={"GREETED": "world"})
        assert (result.exitcode, result.killed, result.output) == (0, False, "hello world\n")

    def test_an_error_in_a_child_is_reported(self) -> None:
        """The traceback is in its output."""
        result = run_child(_raise)
        assert result.exitcode == 1
        assert "LookupError: broken" in result.output

    def test_a_child_is_killed_at_an_instant(self) -> None:
        """Here at the second call of a function."""
        result = run_child(_list_twice, faults=[Kill(f"{__name__}:_list", nth=2)])
        assert result.killed
        assert result.exitcode == -signal.SIGKILL
        assert result.output == "listed\n"

    def test_a_child_can_get_any_signal(self) -> None:
        """Such as SIGTERM, after an instant."""
        result = run_child(_list_twice, faults=[Kill(f"{__name__}:_list", when="after", signal=signal.SIGTERM)])
        assert result.exitcode == -signal.SIGTERM

    def test_a_child_is_killed_after_a_time(self) -> None:
        """From outside, so at any point."""
        assert run_child(time.sleep, 60, kill_after=0.01).killed

    def test_the_time_can_be_counted_from_an_instant(self) -> None:
        """What comes before the instant does not count."""
        result = run_child(_list_and_wait, kill_after=0.01, since=f"{__name__}:_list")
        assert (result.killed, result.output) == (True, "listed\n")

    def test_a_child_that_does_not_end_is_killed_and_reported(self) -> None:
        """After the timeout."""
        with pytest.raises(TimeoutError, match=r"did not end within 0\.2 s"):
            run_child(time.sleep, 60, timeout=0.2)

    def test_random_kills_come_as_often_as_asked_and_can_be_repeated(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The seed is printed."""
        monkeypatch.setenv("VDK_DATASOURCE_FAULTS_SEED", "7")
        counts: list[int] = []
        run_with_random_kills(time.sleep, 0.1, kills=3, within=0.2, between=counts.append)
        assert counts[0] == 0
        assert counts[-1] == 2
        assert "SEED=7" in capsys.readouterr().out

    def test_a_run_that_fails_is_not_a_kill(self) -> None:
        """The error has its output."""
        with pytest.raises(AssertionError, match="LookupError: broken"):
            run_with_random_kills(_raise, kills=3, within=30.0)

    def test_runs_that_are_too_short_to_be_killed_are_an_error(self) -> None:
        """They test nothing."""
        with pytest.raises(AssertionError, match="only 0 of 5 runs"):
            run_with_random_kills(_nothing, kills=1, within=10.0)


class TestComparing:
    def test_the_same_rows_in_any_order_pass(self) -> None:
        """Repeated rows as well, if they are expected so often."""
        assert_exactly_once([{"a": 1, "b": [2]}, (3,), (3,)], [(3,), {"b": [2], "a": 1}, (3,)])

    @pytest.mark.parametrize(
        ("landed", "message"),
        [
            ([(1,)], r"1 rows are lost, such as \(2,\) \(of 2\)"),
            ([(1,), (2,), (2,)], r"1 rows are repeated, such as \(2,\)"),
            ([(1,), (2,), (3,)], r"1 rows are not in the source, such as \(3,\)"),
            ([(1,), (3,)], r"1 rows are lost, such as \(2,\); 1 rows are not in the source"),
        ],
    )
    def test_the_error_shows_the_difference(self, landed: list[tuple[int]], message: str) -> None:
        """With some of the rows."""
        with pytest.raises(AssertionError, match=message):
            assert_exactly_once([(1,), (2,)], landed)

    def test_repeats_are_counted_and_bounded(self) -> None:
        """Under at least once."""
        assert assert_at_least_once([1, 2], [1, 1, 1, 2]) == 2
        with pytest.raises(AssertionError, match="2 rows are repeated"):
            assert_at_least_once([1, 2], [1, 1, 1, 2], at_most=1)


class TestDisks:
    def test_files_may_not_grow(self, tmp_path: Path) -> None:
        """In the child process only."""
        result = run_child(_write, tmp_path / "file", 2**20)
        assert "File too large" in result.output
        assert (tmp_path / "file").stat().st_size <= 2**20
        (tmp_path / "file").write_bytes(bytes(2**21))

    def test_a_small_disk_gets_full_and_is_unmounted(self, tmp_path: Path) -> None:
        """It is a file system of its own."""
        try:
            with small_disk(tmp_path / "disk", 2**20) as disk:
                with pytest.raises(OSError, match="No space left"):
                    (disk / "file").write_bytes(bytes(2**21))
                assert os.path.ismount(disk)
        except OSError as error:
            pytest.skip(str(error))
        assert list((tmp_path / "disk").iterdir()) == []


def _print(text: str) -> None:
    print(text, os.environ["GREETED"])


def _raise() -> None:
    raise LookupError("broken")


def _nothing() -> None:
    return


def _list() -> None:
    print("listed")


def _list_twice() -> None:
    _list()
    _list()


def _list_and_wait() -> None:
    time.sleep(0.1)
    _list()
    time.sleep(60)


def _write(path: Path, size: int) -> None:
    with file_size_limit(size):
        path.write_bytes(bytes(2 * size))
