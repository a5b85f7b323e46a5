"""Sources landed by the real runtime, in a memory of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...contract import DataSource, DataSourceConfig, State
from ...parts import Registry
from ...parts._destination import Destination
from ...runtime import Environment, Options, RunSummary, execute
from .._memory import MemoryDestination

OPTIONS = Options(max_parallel_partitions=1, batch_rows=1, retry_attempts=1, retry_delay=0.001)
"""One partition after the other, each payload a commit of its own, and failures at once: nothing left to chance."""

Row = dict[str, Any]


class Landing:
    """Runs sources into one memory: a flow that is run again and again."""

    def __init__(self, destination: type[MemoryDestination] = MemoryDestination) -> None:
        self.target = f"conformance-{uuid.uuid4().hex}"
        self._destination = destination

    def run(self, make: Callable[[], DataSource[Any]], *, stop: Any = None, **options: Any) -> RunSummary:
        """One run of all streams. Raises what a user would get."""
        environment = Environment(_Given(make, self._destination), options=replace(OPTIONS, **options))
        if stop is not None:
            environment.stop = stop
        flow = {
            "sources": {"source": {"name": "given"}},
            "destinations": {"memory": {"method": "memory", "target": self.target}},
            "flows": [{"from": "source", "to": "memory"}],
        }
        return execute(flow, environment)

    @property
    def store(self) -> MemoryDestination:
        return MemoryDestination(self.target)

    @property
    def tables(self) -> dict[str, list[Row]]:
        return self.store.rows

    @property
    def states(self) -> dict[tuple[str, str], State]:
        """(stream, partition) → state, as stored."""
        return {(key.stream, key.partition): one.state for key, one in self.store.states.items()}

    def forget(self) -> None:
        MemoryDestination.forget(self.target)


class _Given(Registry):
    """Leads to the source that a test gives, whatever the flow calls it."""

    def __init__(self, make: Callable[[], DataSource[Any]], destination: type[Destination]) -> None:
        super().__init__(installed=False)
        self._make = make
        self._given = destination

    def source(self, name: str, *, where: str = "") -> type[DataSource[Any]]:
        make = self._make

        class Given(DataSource[DataSourceConfig]):
            def __new__(cls, config: DataSourceConfig) -> Any:
                return make()

        return Given

    def destination(self, method: str) -> type[Destination]:
        return self._given
