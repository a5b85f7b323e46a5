"""Commits of several partitions: all of them or none, each with its own state, at a cost that does not grow."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakes import Lake, any_target
from landing import APPEND, UPSERT, connected, deletes, partition, rows, unit
from parquet_landing import ids as parquet_ids
from vdk.plugin.datasource_base.contract import ConcurrentRunError
from vdk.plugin.datasource_base.parts import CommitUnit, Destination
from vdk.plugin.datasource_base.testing.faults import Kill, run_child

pytestmark = pytest.mark.heavy

INSIDE = {
    "duckdb": "vdk.plugin.ingest_arrow.duckdb.connection:DuckDBConnection.execute",
    "sqlite": "vdk.plugin.ingest_arrow.sqlite.connection:SqliteConnection.execute",
    "postgresql": "vdk.plugin.ingest_arrow.postgresql.connection:PostgresqlConnection.run",
    "parquet": "vdk.plugin.ingest_arrow.parquet.storage_root:sync_folder",
}


def units(count: int, state: Any = "first", version: int = 0, first: int = 0) -> list[CommitUnit]:
    return [
        unit(state={"n": state}, version=version, key=partition(f"p{number}")) for number in range(first, first + count)
    ]


def states(destination: Destination) -> dict[str, tuple[int, Any]]:
    return {state.key.partition: (state.version, state.state["n"]) for state in destination.load_states("shop")}


def ids(lake: Lake) -> list[int]:
    if lake.kind == "parquet":
        return parquet_ids(Path(lake.target().removeprefix("parquet:///")))
    return [value for (value,) in lake.query("SELECT id FROM orders ORDER BY id")]


@any_target
def test_units_of_several_partitions_land_at_once(lake: Lake, destination: Destination) -> None:
    """With what each of them has staged, and with a version each."""
    assert destination.groups
    spec = APPEND if lake.kind == "parquet" else UPSERT
    destination.stage(partition("p1"), [rows(spec, {"id": [10, 11]})], "run-1")
    destination.stage(partition("other"), [rows(spec, {"id": [99]})], "run-1")
    assert destination.commit_group(units(3), [rows(spec, {"id": [1, 2]})]) == [1, 1, 1]
    assert destination.commit_group(units(300, first=3), []) == [1] * 300
    assert destination.commit_group(units(2, "second", 1), [rows(spec, {"id": [3]})]) == [2, 2]
    destination.discard(partition("*"))
    assert ids(lake) == [1, 2, 3, 10, 11]
    expected = {f"p{number}": (1, "first") for number in range(303)}
    assert states(destination) == {**expected, "p0": (2, "second"), "p1": (2, "second")}


@any_target
def test_one_version_that_is_another_keeps_everything_out(lake: Lake, destination: Destination) -> None:
    """Nothing of any unit is kept, and one by one the others can be committed."""
    destination.commit_group(units(2), [rows(APPEND, {"id": [1]})])
    stale = [*units(1, "second", 1), *units(1, "second", 7, first=1), *units(1, "new", 0, first=2)]
    with pytest.raises(ConcurrentRunError, match="partition 'p1'"):
        destination.commit_group(stale, [rows(APPEND, {"id": [2]})])
    assert (ids(lake), states(destination)) == ([1], {"p0": (1, "first"), "p1": (1, "first")})
    assert [destination.commit(one) for one in (stale[0], stale[2])] == [2, 1]


@pytest.mark.parametrize("lake", ["duckdb", "sqlite", "postgresql"], indirect=True)
def test_rows_and_deletes_of_a_group_land_in_their_order(lake: Lake, destination: Destination) -> None:
    destination.commit_group(units(2), [rows(UPSERT, {"id": [1, 2, 3], "v": ["a", "b", "c"]})])
    again = [rows(UPSERT, {"id": [2], "v": ["d"]}), deletes(UPSERT, {"id": [3]})]
    destination.commit_group(units(2, "second", 1), again)
    assert lake.query("SELECT id, v FROM orders ORDER BY id") == [(1, "a"), (2, "d")]


def commit_a_group(target: str) -> None:
    destination = connected(target)
    destination.commit_group(units(3), [rows(APPEND, {"id": [1, 2]})])
    destination.close()


@any_target
def test_killed_at_any_instant_a_group_is_there_whole_or_not_at_all(lake: Lake) -> None:
    """Rows of all partitions with all their states, or none of them."""
    outcomes = set()
    for nth in (1, 4, 9, 14, 19, 24, 29, 34, 39, 44, 60, 1000):  # the last is not reached
        ended = run_child(commit_a_group, lake.target(), faults=[Kill(INSIDE[lake.kind], nth=nth)])
        lake.settle()
        destination = lake.opened()
        there = states(destination)
        destination.close()
        if there:
            assert (there, ids(lake)) == ({f"p{number}": (1, "first") for number in range(3)}, [1, 2])
        else:
            assert "orders" not in lake.all_tables() or ids(lake) == []
        outcomes.add((ended.killed, bool(there)))
        if there:
            break
    assert (True, False) in outcomes
    assert any(there for _, there in outcomes)


@any_target
def test_a_commit_costs_the_same_among_many_states_as_among_few(
    lake: Lake, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In statements, and in bytes that are written to files by the target itself."""

    def cost(number: int) -> tuple[int, int]:
        spent = [0, 0]
        fsync = os.fsync

        def counted(handle: int) -> None:
            spent[0] += 1
            found = os.fstat(handle)
            spent[1] += found.st_size - sizes.get(found.st_ino, 0)
            sizes[found.st_ino] = found.st_size
            fsync(handle)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", counted)
            database = getattr(destination, "_database", None)
            if database is not None:
                execute = database.execute

                def statements(sql: str, parameters: Sequence[Any] = ()) -> Any:
                    spent[0] += 1
                    return execute(sql, parameters)

                patched.setattr(database, "execute", statements)
            sizes: dict[int, int] = {}
            for turn in range(20):
                one = unit(
                    rows(APPEND, {"id": [turn]}), state={"n": turn}, version=1 + turn, key=partition(f"p{number}")
                )
                destination.commit(one)
        return spent[0], spent[1]

    destination.commit_group(units(50), [])
    few = cost(1)
    destination.commit_group(units(600, first=50), [])
    many = cost(2)
    assert many[0] <= few[0] + 2
    assert many[1] <= few[1] * 2


def test_the_log_of_a_large_commit_record_is_named_by_it_and_is_the_only_one(tmp_path: Path) -> None:
    """Many commits after each other, of two processes in turn: the folder keeps two files of the record."""
    target = f"parquet:///{tmp_path / 'lake'}"
    mine, other = connected(target), connected(target)
    mine.commit_group(units(500, "x" * 200), [])
    control = tmp_path / "lake" / "_vdk"
    for turn in range(60):
        destination = mine if turn % 2 else other
        state = {"n": f"{turn}", "filler": uuid.uuid4().hex * 50}
        destination.commit(unit(rows(APPEND, {"id": [turn]}), state=state, version=1 + turn, key=partition("p3")))
    (log,) = control.glob("commits.json.*.log")
    assert json.loads((control / "commits.json").read_text("ascii"))["log"] == log.name
    assert states(connected(target))["p3"] == states(mine)["p3"] == (61, "59")
    assert pa.array(parquet_ids(tmp_path / "lake")).to_pylist() == list(range(60))
