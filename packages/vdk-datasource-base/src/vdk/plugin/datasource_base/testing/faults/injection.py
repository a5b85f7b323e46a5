# SPDX-License-Identifier: Apache-2.0
"""The injection of faults into the sources and destinations of a run."""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from ...contract import DataSource, DataSourcePayload, StreamPartition
from ...parts import CommitUnit, Destination, StateKey, TableBatch
from ...parts.closing import closing_early
from ...runtime.run import flow_file_run
from .kinds import Fault, Garble, When
from .proxy import StreamProxy

OF_DESTINATION = ("open", "load_states", "discard", "stage", "commit", "publish", "close")
OF_SOURCE = ("connect", "disconnect")
_END: Any = object()


class PassedInstant(NamedTuple):
    """An instant that a run has passed, for the ``nth`` time."""

    instant: str
    when: When
    nth: int


class Injection:
    """Records the instants that a run passes, and lets the faults strike at theirs.

    With ``passed`` a test can try every instant of a run::

        with injected() as clean:
            run_flows(None, flow)
        for instant, when, nth in clean.passed:
            result = run_child(run_flows, None, flow, faults=[Kill(instant, when=when, nth=nth)])
    """

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        self.passed: list[PassedInstant] = []
        self.struck: list[Fault] = []
        self._released = threading.Event()
        self._times: dict[str, int] = {}
        self._lock = threading.Lock()

    def release(self) -> None:
        """Let every call that hangs return, and let no further call hang."""
        self._released.set()

    def into_destination(self, destination: Destination) -> None:
        """Make a destination faulty by replacing methods of the object.

        :raises ValueError: a fault strikes at half of a commit, and the destination commits in transactions.
        """
        halves = [fault for fault in self.faults if fault.when == "half"]
        if halves and destination.transactional:
            raise ValueError(
                f"{destination.identity()} has no half of a {halves[0].instant}, since it is transactional: use "
                "one of its own functions as the instant, such as the one that executes a statement"
            )
        for name in OF_DESTINATION:
            self._replace(destination, name, _HALVES.get(name))
        destination.commit_group = self._around_group(destination.commit_group)  # type: ignore[method-assign]  # on purpose
        if (store := getattr(destination, "_store", None)) is not None:  # of a destination over an ingestion plugin
            self._replace(store, "save")

    def into_source(self, source: DataSource[Any]) -> None:
        """Make a source faulty, with all its streams and partitions."""
        for name in OF_SOURCE:
            self._replace(source, name)
        streams = self.around("streams", source.streams)
        source.streams = lambda: [  # type: ignore[method-assign]  # on purpose
            StreamProxy(stream, self._around_payloads, self.around("partitions", stream.partitions))
            for stream in streams()
        ]

    def around(
        self, instant: str, call: Callable[..., Any], half: Callable[..., object] | None = None
    ) -> Callable[..., Any]:
        """The function with an instant before and after it. ``half`` does half of its work."""

        def called(*args: Any, **kwargs: Any) -> Any:
            nth = self.next(instant)
            self.strike(PassedInstant(instant, "before", nth))
            if half is not None and self._faults_at(PassedInstant(instant, "half", nth)):
                half(call, *args, **kwargs)
                self.strike(PassedInstant(instant, "half", nth))
            result = call(*args, **kwargs)
            self.strike(PassedInstant(instant, "after", nth))
            return result

        return called

    def _around_payloads(
        self, partition: StreamPartition, payloads: Iterator[DataSourcePayload]
    ) -> Iterator[DataSourcePayload]:
        """Each payload, and the end of the payloads, is a ``read``."""
        with closing_early(payloads):
            while True:
                nth = self.next("read")
                faults = self.strike(PassedInstant("read", "before", nth))
                payload = next(payloads, _END)
                faults += self.strike(PassedInstant("read", "after", nth))
                if payload is _END:
                    return
                yield next((fault.payload for fault in faults if isinstance(fault, Garble)), payload)

    def _around_group(self, commit_group: Callable[..., list[int]]) -> Callable[..., list[int]]:
        """A commit of several units passes the instant ``commit`` once for each unit: the size of a group depends on
        timing, and the number of instants must not."""

        def called(units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
            numbers = [self.next("commit") for _ in units]
            for nth in numbers:
                self.strike(PassedInstant("commit", "before", nth))
            versions = commit_group(units, batches)
            for nth in numbers:
                self.strike(PassedInstant("commit", "after", nth))
            return versions

        return called

    def next(self, instant: str) -> int:
        """Count a passing of the instant, and return its number."""
        with self._lock:
            self._times[instant] = self._times.get(instant, 0) + 1
            return self._times[instant]

    def strike(self, passed: PassedInstant) -> list[Fault]:
        """Pass an instant. Returns the faults that have struck, unless they raise or kill."""
        faults = self._faults_at(passed)
        self.passed.append(passed)
        for fault in faults:
            self.struck.append(fault)
            fault.strike(self._released)
        return faults

    def _faults_at(self, passed: PassedInstant) -> list[Fault]:
        return [
            fault
            for fault in self.faults
            if (fault.instant, fault.when) == (passed.instant, passed.when) and fault.strikes(passed.nth)
        ]

    def _replace(self, owner: object, name: str, half: Callable[..., object] | None = None) -> None:
        setattr(owner, name, self.around(name, getattr(owner, name), half))


def _half_commit(commit: Callable[[CommitUnit], int], unit: CommitUnit) -> None:
    commit(replace(unit, batches=_half(unit.batches), state=None))


def _half_stage(stage: Callable[..., None], key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
    stage(key, _half(batches), run_id)


_HALVES: Mapping[str, Callable[..., object]] = {"commit": _half_commit, "stage": _half_stage}


def _half(batches: Sequence[TableBatch]) -> list[TableBatch]:
    """The first half of the rows of each batch."""
    return [replace(batch, data=batch.data.slice(0, batch.data.num_rows // 2)) for batch in batches]


@contextmanager
def injected(*faults: Fault, watch: Sequence[str] = ()) -> Iterator[Injection]:
    """Inject these faults into every source and destination of the flows that this process runs inside the block.

    The flows are real ones, run by ``run_flows`` or by ``vdk`` in this process.

    :param watch: functions (``"package.module:Class.method"``) that become instants without a fault, to be counted.
    :raises AssertionError: at the end of a block without an error, for a fault that never struck: a test that waits for
        the fifth commit of three tests nothing.
    """
    injection = Injection(*faults)
    with ExitStack() as undo:
        undo.callback(injection.release)
        begin = flow_file_run.FileRun.__init__
        setattr(flow_file_run.FileRun, "__init__", _beginning(injection))  # noqa: B010  # mypy refuses the assignment
        undo.callback(setattr, flow_file_run.FileRun, "__init__", begin)
        for point in dict.fromkeys([*watch, *(fault.instant for fault in faults if ":" in fault.instant)]):
            owner, name = _owner(point)
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, injection.around(point, getattr(owner, name)))
        yield injection
    for fault in faults:
        times = [(passed.instant, passed.when) for passed in injection.passed].count((fault.instant, fault.when))
        assert fault in injection.struck, f"{fault} never struck: the run passed its instant {times} times, lower nth"


def _beginning(injection: Injection) -> Any:
    begin = flow_file_run.FileRun.__init__

    def begun(run: flow_file_run.FileRun, *args: Any, **kwargs: Any) -> None:
        begin(run, *args, **kwargs)
        for destination in run._destinations.values():
            injection.into_destination(destination)
        for flow in run._flows:
            injection.into_source(flow._source)

    return begun


def _owner(point: str) -> tuple[Any, str]:
    """The module or class of the function, and its name. Raises ``ValueError`` if the function does not exist."""
    module, _, path = point.partition(":")
    *parents, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    if not inspect.isfunction(inspect.getattr_static(owner, name, None)):
        raise ValueError(f"{point!r} is not a function: use package.module:function or package.module:Class.method")
    return owner, name
