"""States: stored with the rows they cover, compared and swapped."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lakes import DuckDBLake, Lake, any_target
from landing import APPEND, KEY, REPLACE, UPSERT, columns, opened, partition, query, rows, states, tables, unit
from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError, StateError
from vdk.plugin.datasource_base.parts import Destination, StateKey, StoredState, TableSnapshot

ROW = rows(APPEND, {"id": [1]})


@any_target
def test_a_new_database_has_no_states_and_asking_makes_no_table(lake: Lake, destination: Destination) -> None:
    assert destination.load_states("shop") == []
    assert lake.all_tables() == []


@any_target
def test_a_state_is_stored_with_its_rows_and_read_back(lake: Lake, destination: Destination) -> None:
    state: dict[str, Any] = {"v": 1, "cursor": "é\ud800", "key": [2**70, None, True, 0.1, {"a": []}]}
    assert destination.commit(unit(ROW, state=state)) == 1
    assert destination.commit(unit(ROW, state={"n": 2}, version=1, run_id="run-2")) == 2
    assert destination.commit(unit(state=state, version=2, run_id="run-3")) == 3
    assert destination.load_states("shop") == [StoredState(KEY, 3, state, "run-3")]
    assert destination.load_states("other") == []
    assert query(lake, f"SELECT {lake.recent('updated_at')} FROM _vdk_datasource_state") == [(True,)]


def test_the_state_table_has_the_columns_it_is_documented_with(lake: Lake, destination: Destination) -> None:
    destination.commit(unit(ROW, state={"n": 1}))
    documented = {
        "source_id": "VARCHAR",
        "source_identity": "VARCHAR",
        "stream": "VARCHAR",
        "partition": "VARCHAR",
        "destination_table": "VARCHAR",
        "version": "BIGINT",
        "state": "VARCHAR",
        "run_id": "VARCHAR",
        "updated_at": "TIMESTAMP WITH TIME ZONE",
    }
    assert columns(lake, "_vdk_datasource_state") == lake.spelled(documented)


@any_target
def test_every_part_of_the_key_tells_states_apart(destination: Destination) -> None:
    keys = [
        KEY,
        StateKey("other", KEY.source_identity, KEY.stream, "", KEY.table),
        StateKey(KEY.source_id, "sqlite /other.db", KEY.stream, "", KEY.table),
        StateKey(KEY.source_id, KEY.source_identity, "lines", "", KEY.table),
        partition("p"),
        StateKey(KEY.source_id, KEY.source_identity, KEY.stream, "", "elsewhere"),
    ]
    for number, key in enumerate(keys):
        assert destination.commit(unit(state={"n": number}, key=key)) == 1
    found = [*destination.load_states("shop"), *destination.load_states("other")]
    assert {one.key: one.state for one in found} == {key: {"n": n} for n, key in enumerate(keys)}


@any_target
def test_no_state_leaves_the_stored_one(destination: Destination) -> None:
    assert destination.commit(unit(ROW)) == 0
    destination.commit(unit(ROW, state={"n": 1}))
    assert destination.commit(unit(ROW, version=1)) == 1
    assert destination.load_states("shop")[0].state == {"n": 1}


@any_target
def test_a_reset_state_is_kept_as_an_empty_one(destination: Destination) -> None:
    destination.commit(unit(ROW, state={"n": 1}))
    assert destination.commit(dataclasses.replace(unit(state={}, version=1, run_id="reset"), reset=True)) == 2
    assert destination.load_states("shop") == [StoredState(KEY, 2, {}, "reset")]
    assert destination.commit(unit(ROW, state={"n": 1}, version=2)) == 3


@any_target
def test_an_empty_state_forgets_the_partition(lake: Lake, destination: Destination) -> None:
    destination.commit(unit(ROW, state={"n": 1}))
    assert destination.commit(unit(ROW, state={}, version=1)) == 0
    assert states(lake) == []
    assert destination.commit(unit(state={})) == 0
    assert destination.commit(unit(ROW, state={"n": 1})) == 2


@any_target
def test_no_version_comes_again(destination: Destination) -> None:
    """A run that knows a state from before it was forgotten and made anew is refused, however often that happens."""
    for turn in range(3):
        version = destination.commit(unit(ROW, state={"n": turn}))
        version = destination.commit(unit(ROW, state={"n": turn}, version=version))
        destination.commit(unit(state={}, version=version))
        assert destination.commit(unit(state={"n": 9}, key=partition("fresh"))) > version
        other = destination.commit(unit(ROW, state={"n": turn}))
        with pytest.raises(ConcurrentRunError):
            destination.commit(unit(ROW, state={"n": 5}, version=version))
        destination.commit(unit(state={}, version=other))
        destination.commit(unit(state={}, key=partition("fresh"), version=version + 1))


@any_target
@pytest.mark.parametrize("version", [0, 1, 3])
@pytest.mark.parametrize("state", [None, {}, {"n": 9}], ids=["unchanged", "forgotten", "moved"])
def test_a_version_that_is_not_the_stored_one_is_another_run(
    lake: Lake, destination: Destination, version: int, state: dict[str, int] | None
) -> None:
    p = partition("p1")
    destination.commit(unit(state={"n": 1}, key=p))
    destination.commit(unit(state={"n": 2}, key=p, version=1, run_id="run-2"))
    with pytest.raises(ConcurrentRunError) as caught:
        destination.commit(unit(ROW, state=state, key=p, version=version, run_id="run-3"))
    for part in ("'shop'", "'orders'", "'p1'", "'run-2'", "'run-3'", "version 2", "start again"):
        assert part in str(caught.value)
    assert states(lake) == [("p1", 2, '{"n": 2}')]
    assert tables(lake) == []


@any_target
def test_a_state_that_was_forgotten_meanwhile_is_another_run(destination: Destination) -> None:
    with pytest.raises(ConcurrentRunError, match="the stored one is none"):
        destination.commit(unit(ROW, state={"n": 2}, version=1))


@any_target
def test_a_generation_publishes_its_states_or_nothing(lake: Lake, destination: Destination) -> None:
    destination.commit(unit(state={"n": 1}, key=partition("b")))
    for name in "ab":
        destination.stage(partition(name), [rows(REPLACE, {"id": [1]})], "run-1")
    stale = [unit(state={"n": 5}, key=partition(name)) for name in "ab"]
    with pytest.raises(ConcurrentRunError, match="'b'"):
        destination.publish(TableSnapshot([REPLACE], stale))
    assert states(lake) == [("b", 1, '{"n": 1}')]
    good = [stale[0], unit(state={"n": 5}, key=partition("b"), version=1)]
    assert destination.publish(TableSnapshot([REPLACE], good)) == [1, 2]
    assert query(lake, "SELECT count(*) FROM orders") == [(2,)]


@any_target
def test_a_state_that_is_no_json_is_refused(lake: Lake, destination: Destination) -> None:
    with pytest.raises(DestinationError, match="the state is not valid JSON"):
        destination.commit(unit(ROW, state={"n": float("nan")}))
    assert tables(lake) == []


def test_a_damaged_state_is_told_and_left(lake: Lake, destination: Destination) -> None:
    destination.commit(unit(state={"n": 1}))
    query(lake, "UPDATE _vdk_datasource_state SET state = '[1]'")
    with pytest.raises(StateError, match=r"'orders', partition '' is damaged.*delete the row"):
        destination.load_states("shop")
    assert states(lake) == [("", 1, "[1]")]


def test_a_foreign_table_of_that_name_is_told_and_left(lake: Lake, destination: Destination) -> None:
    query(lake, "CREATE TABLE _vdk_datasource_state (id INTEGER)")
    for use in (lambda: destination.load_states("shop"), lambda: destination.commit(unit(ROW))):
        with pytest.raises(StateError, match="another program or version created it"):
            use()
    assert tables(lake) == []


@any_target
def test_of_two_runs_in_one_process_the_second_stops(lake: Lake, destination: Destination) -> None:
    other = opened(lake)
    destination.commit(unit(ROW, state={"n": 1}))
    with pytest.raises(ConcurrentRunError):
        other.commit(unit(ROW, state={"n": 1}, run_id="run-2"))
    assert other.commit(unit(ROW, state={"n": 2}, version=1, run_id="run-2")) == 2
    other.close()
    assert query(lake, "SELECT count(*) FROM orders") == [(2,)]


@any_target
def test_threads_with_a_destination_each_lose_and_repeat_nothing(lake: Lake) -> None:
    """Eight writers of one table, each with its own partition, adding columns and changing types under each other."""
    failed: list[BaseException] = []

    def write(number: int) -> None:
        destination = opened(lake)
        try:
            version = 0
            for turn in range(15):
                data = {"id": [number * 100 + turn], f"c{turn % 3}": [turn if number % 2 else f"{turn}"]}
                one = unit(rows(APPEND, data), state={"n": turn}, version=version, key=partition(f"p{number}"))
                version = destination.commit(one)
        except BaseException as error:
            failed.append(error)
        finally:
            destination.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    expected = sorted(number * 100 + turn for number in range(8) for turn in range(15))
    assert [value for (value,) in query(lake, "SELECT id FROM orders ORDER BY id")] == expected
    assert states(lake) == [(f"p{number}", 15, '{"n": 14}') for number in range(8)]


@any_target
@pytest.mark.parametrize("version", [0, 1], ids=["the first", "a later one"])
def test_of_many_commits_of_one_partition_one_wins(lake: Lake, version: int) -> None:
    """Its rows are there once; the others have the error that says why, and no rows."""
    for turn in range(4):
        key = partition(f"p{turn}")
        before = opened(lake)
        before.commit(unit(state={"n": 0} if version else None, key=key))
        outcomes: list[object] = []
        together = threading.Barrier(4)

        def run(key: StateKey, outcomes: list[object], together: threading.Barrier, number: int) -> None:
            destination = opened(lake)
            one = unit(ROW, state={"n": 1}, version=version, key=key, run_id=f"run-{number}")
            together.wait()
            try:
                outcomes.append(destination.commit(one))
            except Exception as error:
                outcomes.append(type(error))
            destination.close()

        threads = [threading.Thread(target=run, args=(key, outcomes, together, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        before.close()
        assert sorted(outcomes, key=str) == [version + 1, *[ConcurrentRunError] * 3]
        assert query(lake, "SELECT count(*) FROM orders") == [(turn + 1,)]


def test_writers_of_one_table_do_not_double_a_key(lake: Lake) -> None:
    """Each upserts the same keys for a partition of its own; no constraint watches over them."""
    together = threading.Barrier(4)
    failed: list[BaseException] = []

    def write(number: int) -> None:
        destination = opened(lake)
        version = 0
        try:
            together.wait()
            for turn in range(8):
                one = rows(UPSERT, {"id": list(range(50)), "writer": [number] * 50})
                version = destination.commit(unit(one, state={"n": turn}, version=version, key=partition(f"p{number}")))
        except BaseException as error:
            failed.append(error)
        destination.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert query(lake, "SELECT count(*), count(DISTINCT id), count(DISTINCT writer) FROM orders") == [(50, 50, 1)]


def test_a_query_of_the_same_process_may_look_on(tmp_path: Path) -> None:
    """A job's SQL steps connect to the file without a configuration, before the run or during it."""
    lake = DuckDBLake(tmp_path / "lake.duckdb")
    destination = opened(lake)
    with duckdb.connect(str(lake.path)) as mine:
        destination.commit(unit(ROW))
        assert mine.execute("SELECT id FROM orders").fetchall() == [(1,)]
    destination.close()
