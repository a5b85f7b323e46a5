# SPDX-License-Identifier: Apache-2.0
"""Runs of a source by the real runtime, into a memory destination of its own."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ....contract import DataSource, DataSourceConfig, DataSourcePayload, DestinationError, FlowFailedError, State
from ....parts import Destination, Registry, StateKey, StoredState
from ....runtime import Environment, Options, RunSummary, execute
from ....runtime.inspect.plan import StreamNews, plan_flow
from ...faults.injection import Injection
from ...faults.kinds import Fail
from ...memory import MemoryDestination
from .reading import MakeSource, error_of, watched

OPTIONS = Options(max_parallel_partitions=1, batch_rows=1, retry_attempts=1, retry_delay=0.001)
"""One partition after another, a commit for each payload, and no retries, so that every run is the same."""
STOPS = 40
"""The number of payloads after which a run is stopped, in a run for each."""

Row = dict[str, Any]


class Landing:
    """Runs sources into one memory destination, as a flow that is run again and again."""

    def __init__(self) -> None:
        self.target = f"conformance-{uuid.uuid4().hex}"
        self.summary: RunSummary | None = None

    @classmethod
    @contextmanager
    def fresh(cls) -> Iterator[Landing]:
        """A new landing, which is cleared at the end."""
        landing = cls()
        try:
            yield landing
        finally:
            MemoryDestination.clear(landing.target)

    def run(self, make: MakeSource, **options: Any) -> RunSummary:
        """One run of all streams, which must succeed. ``options`` are those of the runtime."""
        __tracebackhide__ = True
        try:
            return self._execute(make, **options)
        except Exception as error:
            pytest.fail(
                f"the check needs a run of the source, and the run failed: {type(error).__name__}: {error}", False
            )

    def attempt(self, make: MakeSource, **options: Any) -> Exception | None:
        """One run, and the error that it ended with, if any."""
        return error_of(self._execute, make, **options)

    def stop(self, make: MakeSource, *, after: int, stream: str | None = None) -> Exception | None:
        """A run that is stopped, as by Ctrl-C, after this number of payloads, of one stream or of all.

        None: the source has fewer payloads, so the run was not stopped.
        """
        stop, remaining = threading.Event(), iter(range(1, after))

        def on_payload(name: str, partition: str, payload: DataSourcePayload) -> None:
            if stream in (None, name) and next(remaining, None) is None:
                stop.set()

        return self.attempt(watched(make, on_payload), stop=stop)

    def crash(self, make: MakeSource, *, commit: int, half: bool) -> Exception | None:
        """A run whose destination fails at a commit: before it, or with half of its rows and without its state."""
        return self.attempt(make, destination=_crashing(commit, half))

    def _execute(
        self,
        make: MakeSource,
        *,
        destination: type[Destination] = MemoryDestination,
        stop: threading.Event | None = None,
        **options: Any,
    ) -> RunSummary:
        environment = Environment(_FixedRegistry(make, destination), options=replace(OPTIONS, **options))
        environment.stop = stop or environment.stop
        try:
            self.summary = execute(self._flow, environment)
        except FlowFailedError as error:
            self.summary = error.summary
            raise
        return self.summary

    def plan(self, make: MakeSource) -> Sequence[StreamNews]:
        """What the next run would do."""
        return plan_flow(self._flow, Environment(_FixedRegistry(make, MemoryDestination), options=OPTIONS))

    @property
    def _flow(self) -> Mapping[str, Any]:
        return {
            "sources": {"source": {"name": "fixed"}},
            "destinations": {"memory": {"method": "memory", "target": self.target}},
            "flows": [{"from": "source", "to": "memory"}],
        }

    @property
    def store(self) -> MemoryDestination:
        return MemoryDestination(self.target)

    @property
    def tables(self) -> dict[str, list[Row]]:
        return self.store.rows

    @property
    def states(self) -> dict[tuple[str, str], State]:
        """The stored states, by stream and partition."""
        return {(key.stream, key.partition): state.state for key, state in self.store.states.items()}

    def add_state(self, make: MakeSource, stream: str, state: State, partition: str = "") -> None:
        """Add a state, as if an earlier run had stored it."""
        key = StateKey("source", make().identity(), stream, partition, stream)
        self.store.states[key] = StoredState(key, 1, state, "an earlier run")


class _FixedRegistry(Registry):
    """Resolves every name to the source and the destination of a test."""

    def __init__(self, make: Callable[[], DataSource[Any]], destination: type[Destination]) -> None:
        super().__init__(installed=False)
        self._make = make
        self._destination = destination

    def source(self, name: str, *, location: str = "") -> type[DataSource[Any]]:
        make = self._make

        class Made(DataSource[DataSourceConfig]):
            def __new__(cls, config: DataSourceConfig) -> Any:
                return make()

        return Made

    def destination(self, method: str) -> type[Destination]:
        return self._destination


def _crashing(commit: int, half: bool) -> type[MemoryDestination]:
    faults = [
        Fail("commit", nth=commit, when="half" if half else "before", error=_crash),
        Fail("publish", nth=commit, error=_crash),
    ]

    class Crashing(MemoryDestination):
        """Lands the rows first and the state after them, as most destinations do."""

        transactional = False

        def __init__(self, target: str | None = None, *, folder: Path | None = None) -> None:
            super().__init__(target, folder=folder)
            Injection(*faults).into_destination(self)

    return Crashing


def _crash() -> DestinationError:
    return DestinationError("the check makes the destination fail at this commit")
