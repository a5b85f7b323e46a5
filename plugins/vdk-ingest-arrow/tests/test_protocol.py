"""The delivery protocol as a model: whatever happens between runs and in them, rows and states say the same.

Hypothesis makes the histories: operations in the source, runs that end well, that fail, that are killed, that lose an
answer, that are overtaken by another run, full refreshes and resets. After each event the target is compared with a
model of a few lines. docs/protocol.md names each step, and the test that breaks without it.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from journal import PARTITIONS, Operation, current, key_of
from lakes import DuckDBLake, Lake, ParquetLake, PostgresqlLake, SqliteLake
from vdk.plugin.datasource_base import FlowFailedError
from vdk.plugin.datasource_base.parts import CommitUnit, Destination
from vdk.plugin.datasource_base.runtime import Environment, Options, execute
from vdk.plugin.datasource_base.runtime.run.landing.stream_run import StreamRun
from vdk.plugin.datasource_base.runtime.scope import RunScope
from vdk.plugin.datasource_base.runtime.stored.reset import reset_states
from vdk.plugin.datasource_base.testing.faults import Fail, Fault, Kill, injected, run_child
from vdk.plugin.ingest_arrow.sql.state_table import StateTable

pytestmark = pytest.mark.heavy

if TYPE_CHECKING:
    from vdk.plugin.datasource_base.testing.postgresql import Server

ALL = os.environ.get("FAULTS") == "all"
MODES = {"events": "append", "rows": "upsert", "snapshot": "replace", "swept": "upsert"}
FORGETFUL = ["events", "rows", "swept"]
"""The streams with states, which can be reset."""
STEPS = st.sampled_from(["read", "discard", "stage", "commit", "publish", "load_states", "close"])
TIMES = st.integers(1, 6)
WHENS = st.sampled_from(["before", "after"])
CHANGES = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9) | st.none()), min_size=1, max_size=9)
REFRESH = RunScope(full_refresh=True, confirmed=True)
Table = Counter[tuple[int, int]]
"""Rows, and how often each is there."""

HISTORIES = settings(
    max_examples=100 if ALL else 1,
    stateful_step_count=30 if ALL else 10,
    derandomize=not ALL,
    # To shrink a history takes minutes; the one that failed is short enough to be read.
    phases=[Phase.generate],
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def environment(scope: RunScope | None = None) -> Environment:
    """Small batches, so that a run stages and commits often."""
    made = Environment(options=Options(batch_rows=3, retry_delay=0.0), scope=scope or RunScope())
    made.registry.add("journal", "journal:JournalSource")
    return made


def run(flow: dict[str, Any], scope: RunScope | None = None) -> None:
    execute(flow, environment(scope))


@dataclass(frozen=True, kw_only=True)
class Overtaken(Fault):
    """Another process runs the same flow, from its beginning to its end, while this one stands still."""

    flow: dict[str, Any]

    def strike(self, released: threading.Event) -> None:
        run_child(run, self.flow)


class Protocol(RuleBasedStateMachine):
    """A journal of two partitions, its streams, and a target.

    A *world* is what a table may have held when its states were last reset: what was read since is added to it. There
    are two of them after an event of which nobody knows whether it has landed, until the target shows which one it is.
    """

    lake: Lake
    flow: dict[str, Any]
    journal: Path

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[list[Operation]] = [[] for _ in range(PARTITIONS)]
        self.worlds: dict[str, list[Table]] = {flow["streams"][0]: [Counter()] for flow in self.flow["flows"]}

    @initialize(first=CHANGES, second=CHANGES)
    def the_source_begins(self, first: list[Operation], second: list[Operation]) -> None:
        self.the_source_changes(0, first)
        self.the_source_changes(1, second)

    @rule(partition=st.integers(0, PARTITIONS - 1), changes=CHANGES)
    def the_source_changes(self, partition: int, changes: list[Operation]) -> None:
        self.operations[partition] += [(key_of(partition, key), value) for key, value in changes]
        self.journal.write_text(json.dumps(self.operations), "utf-8")

    @rule()
    def a_run_ends_well(self) -> None:
        run(self.flow)
        self.all_landed()

    @rule(step=STEPS, nth=TIMES, when=WHENS, scope=st.sampled_from([None, REFRESH]))
    def a_run_is_killed(self, step: str, nth: int, when: Any, scope: RunScope | None) -> None:
        """``kill -9``, before or after a step: of a commit nobody knows whether it has landed."""
        run_child(run, self.flow, scope, faults=[Kill(step, nth=nth, when=when)])
        self.lake.settle()
        self.attempted(scope)

    @rule(step=STEPS, nth=TIMES, when=WHENS, scope=st.sampled_from([None, REFRESH]))
    def an_answer_is_lost(self, step: str, nth: int, when: Any, scope: RunScope | None) -> None:
        """The connection breaks: the run tries again, and finds out what has landed.

        Only of a published table without states it cannot: then the run fails, and says so.
        """
        well = self.disturbed(scope, Fail(step, nth=nth, when=when))
        assert well or (step, when) == ("publish", "after"), "a single lost connection fails the run"

    @rule(step=STEPS, nth=TIMES, when=WHENS, scope=st.sampled_from([None, REFRESH]))
    def a_run_fails(self, step: str, nth: int, when: Any, scope: RunScope | None) -> None:
        """An error that is not tried again."""
        self.disturbed(scope, Fail(step, nth=nth, when=when, error=RuntimeError))

    @rule(step=st.sampled_from(["read", "commit", "publish"]), nth=TIMES, scope=st.sampled_from([None, REFRESH]))
    def a_run_is_overtaken(self, step: str, nth: int, scope: RunScope | None) -> None:
        """Of two runs at once one may lose, and says so; a file of DuckDB has room for one."""
        if not isinstance(self.lake, DuckDBLake):
            self.disturbed(scope, Overtaken(step, nth=nth, flow=self.flow))

    @rule(stream=st.sampled_from(FORGETFUL))
    def a_state_is_reset(self, stream: str) -> None:
        if stream in {name for name, _ in self.states()}:
            reset_states(self.flow, environment(), [stream])
            self.worlds[stream] = [self.landed(stream)]

    @invariant()
    def rows_and_states_agree(self) -> None:
        """At each moment a table holds what its states say, of one world, and nothing else."""
        states = self.states()
        for stream, worlds in self.worlds.items():
            landed = self.landed(stream)
            possible = [world for world in worlds if landed == self.expected(stream, world, states)]
            assert possible, (
                f"{stream}: {dict(landed)} of {states}, expected {self.expected(stream, worlds[0], states)}"
            )
            self.worlds[stream] = possible

    def disturbed(self, scope: RunScope | None, fault: Fault) -> bool:
        """Whether a run with a fault has said that it succeeded: then everything must be there."""
        well = False
        with suppress(Exception), injected(fault):  # also that the fault never struck
            run(self.flow, scope)
            well = True
        self.attempted(scope)
        if well:
            self.all_landed()
        return well

    def attempted(self, scope: RunScope | None) -> None:
        """A run has come to an end of some kind: what it replaces may be there, or still be what it was."""
        for stream, worlds in self.worlds.items():
            if MODES[stream] == "replace":
                worlds.append(self.current())
            elif scope is not None:
                worlds.append(Counter())

    def all_landed(self) -> None:
        """Each table is there, and each state is at the end of the journal."""
        assert self.worlds.keys() <= set(self.lake.all_tables())
        self.worlds = {**self.worlds, "snapshot": [self.current()]}
        for stream in self.worlds.keys() & set(FORGETFUL):
            for number in range(1 if stream == "swept" else PARTITIONS):
                assert self.states().get((stream, f"p{number}"), 0) == len(self.operations[number])

    def current(self, partitions: int = PARTITIONS) -> Table:
        return Counter(current(itertools.chain(*self.operations[:partitions])).items())

    def expected(self, stream: str, world: Table, states: dict[tuple[str, str], int]) -> Table:
        if stream == "snapshot":
            return world
        read = [self.operations[number][: states.get((stream, f"p{number}"), 0)] for number in range(PARTITIONS)]
        if stream == "swept":
            return Counter(current(read[0]).items()) if read[0] else world
        if stream == "events":
            return world + Counter((number, value or 0) for part in read for number, (_, value) in enumerate(part))
        return Counter(current(itertools.chain(*read), dict(world)).items())

    def landed(self, stream: str) -> Table:
        if stream not in self.lake.all_tables():
            return Counter()
        return Counter((key, value) for key, value in self.lake.query(f'SELECT id, v FROM "{stream}"'))

    def states(self) -> dict[tuple[str, str], int]:
        """As the next run will load them; opening the target completes what a kill has interrupted."""
        destination = self.lake.opened()
        try:
            return {
                (one.key.stream, one.key.partition): int(str(one.state.get("n", 0)))
                for one in destination.load_states("src")
            }
        finally:
            destination.close()


def protocol(lake: Lake, folder: Path) -> Callable[[], Protocol]:
    """Makes machines; each has a new target."""
    journal = folder / "journal.json"
    streams = [name for name, mode in MODES.items() if not (isinstance(lake, ParquetLake) and mode == "upsert")]

    class Made(Protocol):
        pass

    Made.lake, Made.journal = lake, journal
    Made.flow = {
        "sources": {"src": {"name": "journal", "config": {"path": str(journal)}}},
        "destinations": {"lake": {"method": "arrow", "target": lake.target()}},
        "flows": [{"from": "src", "to": "lake", "streams": [name], "write_mode": MODES[name]} for name in streams],
    }
    return Made


@pytest.mark.parametrize("kind", ["duckdb", "sqlite", "postgresql", "parquet"])
def test_rows_and_states_agree_whatever_happens(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    numbers = itertools.count()

    def new() -> Protocol:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        if kind == "postgresql":
            server: Server = request.getfixturevalue("postgresql_server")
            server.clear("lake")
            return protocol(PostgresqlLake(server, "lake", folder), folder)()
        made: dict[str, Lake] = {
            "duckdb": DuckDBLake(folder / "lake.duckdb"),
            "sqlite": SqliteLake(folder / "lake.db"),
            "parquet": ParquetLake(folder / "lake"),
        }
        return protocol(made[kind], folder)()

    run_state_machine_as_test(cast("type[Protocol]", new), settings=HISTORIES)


def nothing(*arguments: Any) -> Any:
    """In the place of a step: what a protocol without it does."""


def expected_versions(table: StateTable, units: Sequence[CommitUnit]) -> dict[str, tuple[int, str]]:
    """Whatever is stored, it is what the run expects."""
    return {partition: (unit.version, "") for unit in units if (partition := unit.key.partition) and unit.version}


def remembered_state(run: StreamRun, destination: Destination, partition: str) -> dict[str, Any]:
    """The state from before the commit whose answer is lost."""
    return dict(run.state_of(partition))


def an_answer_of_a_commit_is_lost(machine: Protocol) -> None:
    machine.an_answer_is_lost(step="commit", nth=1, when="after", scope=None)


def a_read_is_repeated(machine: Protocol) -> None:
    """One of these is the second payload of a partition, whose first one is staged."""
    for nth in (2, 3, 4):
        machine.an_answer_is_lost(step="read", nth=nth, when="before", scope=None)
        for partition in range(PARTITIONS):
            machine.the_source_changes(partition, [(key, nth) for key in range(1, 8)])


def two_runs_at_once(machine: Protocol) -> None:
    """With states that both runs know, and few enough changes that nothing is staged."""
    machine.a_run_ends_well()
    machine.the_source_changes(0, [(1, 1)])
    machine.a_run_is_overtaken(step="commit", nth=1, scope=None)


def an_answer_of_a_full_refresh_is_lost(machine: Protocol) -> None:
    assert machine.disturbed(REFRESH, Fail("publish", when="after")), "its states tell that it has landed"


SQL = "vdk.plugin.ingest_arrow.sql."
RUN = "vdk.plugin.datasource_base.runtime.run."
STEPS_LEFT_OUT: dict[str, tuple[str, Callable[..., Any], Callable[[Protocol], None]]] = {
    "compare": (f"{SQL}state_table.StateTable._versions", expected_versions, two_runs_at_once),
    "load again": (f"{RUN}landing.stream_run.StreamRun.restart", remembered_state, an_answer_of_a_commit_is_lost),
    "discard": (f"{SQL}target.SqlTarget.discard", nothing, a_read_is_repeated),
    "ask before publishing again": (
        f"{RUN}landing.publication.Publication._published_versions",
        nothing,
        an_answer_of_a_full_refresh_is_lost,
    ),
    "store": (f"{SQL}state_table.StateTable._update", lambda *_: True, lambda machine: None),
}
"""Step of docs/protocol.md → the function that does it, what is put in its place, and the history that shows it."""


@pytest.mark.parametrize("step", STEPS_LEFT_OUT)
def test_without_a_step_of_the_protocol_the_model_fails(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is needed: the history passes with it, and fails without it."""
    place, broken, history = STEPS_LEFT_OUT[step]

    def passes(folder: Path) -> None:
        folder.mkdir()
        machine = protocol(SqliteLake(folder / "lake.db"), folder)()
        operations: list[Operation] = [(key, 10 * key) for key in range(1, 8)]
        for _ in range(2):
            machine.the_source_changes(0, operations)
            machine.the_source_changes(1, operations)
            history(machine)
            machine.rows_and_states_agree()
            machine.a_run_ends_well()
            machine.rows_and_states_agree()

    passes(tmp_path / "whole")
    monkeypatch.setattr(place, broken)
    with pytest.raises((AssertionError, FlowFailedError)):
        passes(tmp_path / "broken")
