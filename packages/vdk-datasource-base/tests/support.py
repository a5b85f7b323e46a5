"""What the tests of the runtime are made of: streams from functions, and a destination that fails on request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    Secret,
    StreamPartition,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.parts import CommitUnit, Registry, StateKey, StoredState, TableBatch, TableSnapshot
from vdk.plugin.datasource_base.runtime import Environment, Options, RunSummary, execute
from vdk.plugin.datasource_base.testing import MemoryDestination

Read = Callable[[State], Iterable[DataSourcePayload]]
QUICK = Options(retry_delay=0.001, retry_attempts=3, batch_rows=10, max_rejected="100%")


def payload(*rows: Mapping[str, Any], state: Mapping[str, Any] | None = None, **others: Any) -> DataSourcePayload:
    return DataSourcePayload(list(rows) or None, state=state, **others)


def numbers(start: int, end: int) -> list[dict[str, int]]:
    return [{"n": number} for number in range(start, end)]


def counting(end: int, *, page: int = 1, fail_at: Callable[[int], None] = lambda number: None) -> Read:
    """Reads ``{"n": 0}`` up to ``end``, page by page, with a state behind each."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        for number in range(int(str(state.get("next", 0))), end, page):
            fail_at(number)
            after = min(number + page, end)
            yield DataSourcePayload(numbers(number, after), state={"next": after})

    return read


def yields_states(read: object) -> bool:
    """Whether a function passes ``state=`` to something, so that a stream made of it is declared as incremental."""
    codes = [getattr(read, "__code__", None)]
    for code in codes:
        if isinstance(code, CodeType):
            tuples = [const for const in code.co_consts if isinstance(const, tuple)]
            named = [one for one in tuples if "state" in one and "return" not in one]  # and no annotations
            # Python 3.11 has the names of annotations as constants of their own, "return" among them
            text = "state" in code.co_consts and "return" not in code.co_consts
            if named or text or "counting" in code.co_names:
                return True
            codes += [const for const in code.co_consts if isinstance(const, CodeType)]
    return False


class Whole(DataSourceStream):
    """A stream read in one go by a function."""

    def __init__(
        self,
        name: str,
        read: Read,
        schema: StreamSchema | None = None,
        *,
        incremental: bool | None = None,
        backfill: bool = False,
    ) -> None:
        self.name = name
        self.incremental = (yields_states(read) or None) if incremental is None else incremental
        self.backfill = backfill
        self._read = read
        self._schema = schema

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._schema

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return iter(self._read(state))


class Part(StreamPartition):
    def __init__(self, id: str, read: Read) -> None:
        self.id = id
        self._read = read

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        return iter(self._read(state))


class Split(DataSourceStream):
    """A stream of several partitions; ``parts`` may be a function, to be asked when the stream begins."""

    def __init__(
        self,
        name: str,
        parts: Mapping[str, Read] | Callable[[Mapping[str, State]], Iterable[StreamPartition]],
        schema: StreamSchema | None = None,
        *,
        incremental: bool | None = None,
    ) -> None:
        self.name = name
        reads = [parts] if callable(parts) else parts.values()
        self.incremental = (any(map(yields_states, reads)) or None) if incremental is None else incremental
        self._parts = parts
        self._schema = schema

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._schema

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        if callable(self._parts):
            return self._parts(state)
        return (Part(id, read) for id, read in self._parts.items())


@dataclass
class Script:
    """What a scripted source does, and what was done to it."""

    streams: list[DataSourceStream] = field(default_factory=list)
    identity: str = "the data"
    on: dict[str, Callable[[], None]] = field(default_factory=dict)
    """Called on entry of the source's method of that name."""
    calls: list[str] = field(default_factory=list)
    seen: DataSourceState | None = None


SCRIPTS: dict[str, Script] = {}


class ScriptConfig(DataSourceConfig):
    script: str
    password: Secret | None = None


@data_source(name="scripted", config=ScriptConfig)
class ScriptedSource(DataSource[ScriptConfig]):
    @property
    def script(self) -> Script:
        return SCRIPTS[self.config.script]

    def _called(self, method: str) -> None:
        self.script.calls.append(method)
        if method in self.script.on:
            self.script.on[method]()

    def identity(self) -> str:
        self._called("identity")
        return self.script.identity

    def connect(self, state: DataSourceState) -> None:
        self.script.seen = state
        self._called("connect")

    def streams(self) -> list[DataSourceStream]:
        self._called("streams")
        return self.script.streams

    def check(self) -> None:
        self._called("check")

    def disconnect(self) -> None:
        self._called("disconnect")


Fault = Callable[[str, "FaultyDestination"], None]
FAULTS: dict[str, Fault] = {}


class FaultyDestination(MemoryDestination):
    """Calls the test's fault before each operation, and after it under the name ``<operation>!``."""

    def _maybe(self, operation: str) -> None:
        fault = FAULTS.get(self.target or "")
        if fault is not None:
            fault(operation, self)

    def open(self) -> None:
        self._maybe("open")

    def close(self) -> None:
        self._maybe("close")

    def load_states(self, source_id: str) -> list[StoredState]:
        self._maybe("load_states")
        return super().load_states(source_id)

    def commit(self, unit: CommitUnit) -> int:
        self._maybe("commit")
        version = super().commit(unit)
        self._maybe("commit!")
        return version

    def stage(self, key: StateKey, batches: Iterable[TableBatch], run_id: str) -> None:
        self._maybe("stage")
        super().stage(key, list(batches), run_id)

    def discard(self, key: StateKey) -> None:
        self._maybe("discard")
        super().discard(key)

    def publish(self, snapshot: TableSnapshot) -> list[int]:
        self._maybe("publish")
        versions = super().publish(snapshot)
        self._maybe("publish!")
        return versions


class FailEvery:
    """A fault: raises at the operations chosen by number (1 is the first)."""

    def __init__(self, operation: str, error: BaseException, *numbers: int) -> None:
        self._operation, self._error, self._numbers = operation, error, numbers
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self, operation: str, destination: FaultyDestination) -> None:
        if operation == self._operation:
            with self._lock:
                self.count += 1
                if not self._numbers or self.count in self._numbers:
                    raise self._error


class AppendOnly(FaultyDestination):
    """Takes rows as they come and cannot take them back, as an ingestion plugin does."""

    write_modes = frozenset({"append"})
    deletes = False
    transactional = False


class Lab:
    """Runs scripted sources into a memory of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.target = name
        self.folder = folder
        self.scripts: dict[str, Script] = {}
        self.registry = Registry(installed=False)
        self.registry.add("scripted", "support:ScriptedSource")
        for method in ("FaultyDestination", "AppendOnly"):
            self.registry.add_destination(method, f"support:{method}")

    def script(self, *streams: DataSourceStream, source: str = "src") -> Script:
        script = self.scripts.setdefault(source, Script())
        SCRIPTS[f"{self.target}/{source}"] = script
        script.streams = list(streams)
        return script

    def flow(self, *, source: str = "src", method: str = "FaultyDestination", **entry: Any) -> dict[str, Any]:
        return {
            "sources": {source: {"name": "scripted", "config": {"script": f"{self.target}/{source}"}}},
            "destinations": {"lake": {"method": method, "target": self.target}},
            "flows": [{"from": source, "to": "lake", **entry}],
        }

    def environment(self, options: Options = QUICK, **others: Any) -> Environment:
        return Environment(registry=self.registry, options=options, **others)

    def run(self, *streams: DataSourceStream, options: Options = QUICK, **entry: Any) -> RunSummary:
        if streams:
            self.script(*streams, source=entry.get("source", "src"))
        return execute(self.flow(**entry), self.environment(options))

    def fault(self, fault: Fault | None) -> None:
        FAULTS.pop(self.target, None)
        if fault is not None:
            FAULTS[self.target] = fault

    @property
    def tables(self) -> dict[str, list[dict[str, Any]]]:
        return MemoryDestination.tables(self.target)

    @property
    def states(self) -> dict[tuple[str, str], Any]:
        """(stream, partition) → state, as stored."""
        stored = MemoryDestination(self.target).states
        return {(key.stream, key.partition): one.state for key, one in stored.items()}

    @property
    def staged(self) -> dict[StateKey, list[TableBatch]]:
        return MemoryDestination(self.target).staged

    def numbers(self, table: str) -> list[int]:
        return sorted(row["n"] for row in self.tables[table])


def faulty_destination(target: str | None, *, folder: Path) -> FaultyDestination:
    return FaultyDestination(target, folder=folder)
