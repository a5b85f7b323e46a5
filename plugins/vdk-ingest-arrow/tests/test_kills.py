"""kill -9 at every instant there is: after one more run, every row is there exactly once.

The ordinary suite tries some instants around each kind of work, the environment ``faults`` of tox each time that any
is passed.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lakes import DuckDBLake, PostgresqlLake, SqliteLake
from parquet_landing import dataset
from ticks import all_rows
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.runtime import Environment, execute
from vdk.plugin.datasource_base.runtime.scope import RunScope
from vdk.plugin.datasource_base.testing.faults import (
    Kill,
    PassedInstant,
    assert_exactly_once,
    injected,
    run_child,
    run_with_random_kills,
)

pytestmark = pytest.mark.heavy

if TYPE_CHECKING:
    from vdk.plugin.datasource_base.testing.postgresql import Server

UPTO = 15
ENDLESS = 1_000_000
ALL = os.environ.get("FAULTS") == "all"
KILLS = 200 if ALL else 5
MODES = {
    "append": {"write_mode": "append"},
    "upsert": {"write_mode": "upsert"},
    "replace": {"write_mode": "replace"},
    # on its own the runtime replaces what is read whole each time, once the first run has shown that
    "undecided": {},
}
Row = tuple[int, str]


@dataclass(frozen=True)
class Kind:
    """A kind of target.

    :param url: of a new target in a folder. :param landed: the rows there.
    :param inside: a function that a commit calls again and again: an instant in its middle.
    """

    url: Callable[[Path], str]
    landed: Callable[[Path], list[Row]]
    inside: str


SQL = "SELECT id, text FROM ticks"
OURS = "vdk.plugin.ingest_arrow."
KINDS = {
    "duckdb": Kind(
        lambda folder: DuckDBLake(folder / "lake.duckdb").target(),
        lambda folder: DuckDBLake(folder / "lake.duckdb").query(SQL),
        f"{OURS}duckdb.connection:DuckDBConnection.execute",
    ),
    "sqlite": Kind(
        lambda folder: SqliteLake(folder / "lake.db").target(),
        lambda folder: SqliteLake(folder / "lake.db").query(SQL),
        f"{OURS}sqlite.connection:SqliteConnection.execute",
    ),
    "parquet": Kind(
        lambda folder: f"parquet:///{folder / 'lake'}",
        lambda folder: [(row["id"], row["text"]) for row in dataset(folder / "lake", "ticks").to_pylist()],
        f"{OURS}parquet.storage_root:StorageRoot._folders",
    ),
}
ALL_KINDS = [*KINDS, "postgresql"]


def kind_of(name: str, request: pytest.FixtureRequest) -> Kind:
    if name != "postgresql":
        return KINDS[name]
    server: Server = request.getfixturevalue("postgresql_server")

    def lake(folder: Path) -> PostgresqlLake:
        return PostgresqlLake(server, f"kills_{folder.name}", folder)

    def url(folder: Path) -> str:
        if not server.query("postgres", "SELECT 1 FROM pg_database WHERE datname = %s", [lake(folder).database]):
            server.query("postgres", f"CREATE DATABASE {lake(folder).database}")
        return lake(folder).target()

    return Kind(url, lambda folder: lake(folder).query(SQL), f"{OURS}postgresql.connection:PostgresqlConnection.run")


@pytest.fixture
def kind(request: pytest.FixtureRequest, ticks_installed: Path) -> Kind:
    return kind_of(request.param, request)


NUMBERS = itertools.count()


@pytest.fixture
def new(tmp_path: Path) -> Callable[[], Path]:
    """Makes a folder, with a name that no other has."""

    def make() -> Path:
        folder = tmp_path / str(next(NUMBERS))
        folder.mkdir()
        return folder

    return make


def flow(kind: Kind, folder: Path, mode: str, partitions: int, upto: int = UPTO) -> dict[str, Any]:
    """Batches of four rows, pages of three, a state on every other page: commits, and stages in front of them."""
    states = mode in ("append", "upsert")
    return {
        "sources": {"src": {"name": "ticks", "config": {"upto": upto, "partitions": partitions, "states": states}}},
        "destinations": {"lake": {"method": "arrow", "target": kind.url(folder)}},
        "flows": [{"from": "src", "to": "lake", "batch_rows": 4, **MODES[mode]}],
    }


def instants(passed: Sequence[PassedInstant], inside: str, chance: random.Random) -> list[PassedInstant]:
    """All of them, or one for each kind of work."""
    if ALL:
        return list(passed)
    work = sorted({one.instant for one in passed} & {"read", "discard", "stage", "commit", "publish", inside})
    return [chance.choice([one for one in passed if one.instant == instant]) for instant in work]


@pytest.mark.parametrize(
    ("kind", "mode", "partitions"),
    [
        (name, mode, partitions)
        for name in ALL_KINDS
        for mode, partitions in [("append", 3), ("upsert", 1), ("replace", 3), ("undecided", 1)]
        if (name, mode) != ("parquet", "upsert")
        # Whether it is decided is the runtime's: a database of each sort is enough.
        if ALL or mode != "undecided" or name in ("duckdb", "parquet")
    ],
    indirect=["kind"],
)
def test_a_process_killed_at_any_instant_neither_loses_nor_doubles_a_row(
    kind: Kind, mode: str, partitions: int, new: Callable[[], Path]
) -> None:
    """Before and after each call, and between the statements of a transaction; a second kill may follow the first."""
    with injected(watch=[kind.inside]) as clean:
        run_flows(None, flow(kind, new(), mode, partitions))
    chance = random.Random(mode)
    chosen = instants(clean.passed, kind.inside, chance)
    killed: set[str] = set()
    for at in chosen:
        folder = new()
        for _ in range(chance.choice([1, 1, 2])):
            fault = Kill(at.instant, when=at.when, nth=at.nth)
            if run_child(run_flows, None, flow(kind, folder, mode, partitions), faults=[fault]).killed:
                killed.add(at.instant)
        run_flows(None, flow(kind, folder, mode, partitions))
        try:
            assert_exactly_once(all_rows(UPTO, partitions), kind.landed(folder))
        except AssertionError as error:
            raise AssertionError(f"killed at {at}: {error}") from None
    assert killed == {one.instant for one in chosen}, "some were never killed at"


def refresh(flow: dict[str, Any]) -> None:
    execute(flow, Environment(scope=RunScope(full_refresh=True)))


@pytest.mark.parametrize("kind", ALL_KINDS, indirect=True)
def test_a_killed_full_refresh_leaves_the_old_table_and_the_old_states(
    kind: Kind, new: Callable[[], Path], request: pytest.FixtureRequest
) -> None:
    """Or the new ones, if it was killed after it had published them. In both cases the next run goes on from there."""
    mode = "append" if "parquet" in request.node.callspec.id else "upsert"
    run_flows(None, flow(kind, before := new(), mode, 2))
    with injected(watch=[kind.inside]) as clean:
        refresh(flow(kind, before, mode, 2, UPTO + 6))
    assert sorted(kind.landed(before)) == sorted(all_rows(UPTO + 6, 2))
    passed = [at for at in clean.passed if at.instant in ("publish", kind.inside)]
    for at in instants(passed, kind.inside, random.Random(mode)):
        folder = new()
        run_flows(None, flow(kind, folder, mode, 2))
        fault = Kill(at.instant, when=at.when, nth=at.nth)
        assert run_child(refresh, flow(kind, folder, mode, 2, UPTO + 6), faults=[fault]).killed
        upto = UPTO + 6 if (at.instant, at.when) == ("publish", "after") else UPTO
        if at.instant != kind.inside:
            assert_exactly_once(all_rows(upto, 2), kind.landed(folder))
        run_flows(None, flow(kind, folder, mode, 2, UPTO + 9))
        assert_exactly_once(all_rows(UPTO + 9, 2), kind.landed(folder))


@pytest.mark.parametrize("kind", ALL_KINDS, indirect=True)
def test_processes_killed_at_random_neither_lose_nor_double_a_row(kind: Kind, new: Callable[[], Path]) -> None:
    """One after the other, each going on from what the kill before it left; there is more to read than they can."""
    folder = new()
    run_flows(None, flow(kind, folder, "append", 2))
    run_with_random_kills(run_flows, None, flow(kind, folder, "append", 2, upto=ENDLESS), kills=KILLS, within=0.5)
    upto = max(identity % ENDLESS for identity, _ in kind.landed(folder)) + 10
    run_flows(None, flow(kind, folder, "append", 2, upto))
    assert_exactly_once(all_rows(upto, 2), kind.landed(folder))
