"""Sources landed by the real runtime, in a memory of their own."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ....contract import DataSource, DataSourceConfig, DataSourcePayload, DestinationError, FlowFailedError, State
from ....parts import Destination, Registry, StateKey, StoredState
from ....runtime import Environment, Options, RunSummary, execute
from ...faults.injection import Injection
from ...faults.kinds import Fail
from ...memory import MemoryDestination
from .reading import MakeSource, error_of, watched

OPTIONS = Options(max_parallel_partitions=1, batch_rows=1, retry_attempts=1, retry_delay=0.001)
"""One partition after the other, each payload a commit of its own, and failures at once: nothing left to chance."""
STOPS = 40
"""Payloads of a small set of data that a run is stopped behind, one run each; further ones are let be."""

Row = dict[str, Any]


class Landing:
    """Runs sources into one memory: a flow that is run again and again."""

    def __init__(self) -> None:
        self.target = f"conformance-{uuid.uuid4().hex}"
        self.summary: RunSummary | None = None

    @classmethod
    @contextmanager
    def fresh(cls) -> Iterator[Landing]:
        """Another one, forgotten at the end."""
        landing = cls()
        try:
            yield landing
        finally:
            MemoryDestination.clear(landing.target)

    def run(self, make: MakeSource, **options: Any) -> RunSummary:
        """One run of all streams, which has to succeed. ``options`` are the runtime's."""
        __tracebackhide__ = True
        try:
            return self._execute(make, **options)
        except Exception as error:
            pytest.fail(
                f"the source has to be run for this, and the run failed: {type(error).__name__}: {error}", False
            )

    def attempt(self, make: MakeSource, **options: Any) -> Exception | None:
        """One run, and the error it ended with, if it did."""
        return error_of(self._execute, make, **options)

    def stop(self, make: MakeSource, *, behind: int, stream: str | None = None) -> Exception | None:
        """A run that is stopped, as by Ctrl-C, behind so many payloads, of one stream or of all.

        None: there are fewer, so it was not.
        """
        stop, more = threading.Event(), iter(range(1, behind))

        def told(name: str, partition: str, payload: DataSourcePayload) -> None:
            if stream in (None, name) and next(more, None) is None:
                stop.set()

        return self.attempt(watched(make, told), stop=stop)

    def crash(self, make: MakeSource, *, at: int, half: bool) -> Exception | None:
        """A run whose destination dies at a commit: before it, or with half of its rows and without its state."""
        return self.attempt(make, destination=_crashing(at, half))

    def _execute(
        self,
        make: MakeSource,
        *,
        destination: type[Destination] = MemoryDestination,
        stop: threading.Event | None = None,
        **options: Any,
    ) -> RunSummary:
        environment = Environment(_Given(make, destination), options=replace(OPTIONS, **options))
        environment.stop = stop or environment.stop
        flow = {
            "sources": {"source": {"name": "given"}},
            "destinations": {"memory": {"method": "memory", "target": self.target}},
            "flows": [{"from": "source", "to": "memory"}],
        }
        try:
            self.summary = execute(flow, environment)
        except FlowFailedError as error:
            self.summary = error.summary
            raise
        return self.summary

    @property
    def store(self) -> MemoryDestination:
        return MemoryDestination(self.target)

    @property
    def tables(self) -> dict[str, list[Row]]:
        return self.store.rows

    @property
    def states(self) -> dict[tuple[str, str], State]:
        """(stream, partition) → state, as stored."""
        return {(key.stream, key.partition): state.state for key, state in self.store.states.items()}

    def add_state(self, make: MakeSource, stream: str, state: State, partition: str = "") -> None:
        """A state that an earlier run left behind."""
        key = StateKey("source", make().identity(), stream, partition, stream)
        self.store.states[key] = StoredState(key, 1, state, "an earlier run")


class _Given(Registry):
    """Leads to the source that a test gives, whatever the flow calls it."""

    def __init__(self, make: Callable[[], DataSource[Any]], destination: type[Destination]) -> None:
        super().__init__(installed=False)
        self._make = make
        self._given = destination

    def source(self, name: str, *, location: str = "") -> type[DataSource[Any]]:
        make = self._make

        class Given(DataSource[DataSourceConfig]):
            def __new__(cls, config: DataSourceConfig) -> Any:
                return make()

        return Given

    def destination(self, method: str) -> type[Destination]:
        return self._given


def _crashing(at: int, half: bool) -> type[MemoryDestination]:
    faults = [
        Fail("commit", nth=at, when="half" if half else "before", error=_dead),
        Fail("publish", nth=at, error=_dead),
    ]

    class Crashing(MemoryDestination):
        """Lands rows first and then the state, as most destinations do."""

        transactional = False

        def __init__(self, target: str | None = None, *, folder: Path | None = None) -> None:
            super().__init__(target, folder=folder)
            Injection(*faults).into_destination(self)

    return Crashing


def _dead() -> DestinationError:
    return DestinationError("the destination dies here, says the test")
