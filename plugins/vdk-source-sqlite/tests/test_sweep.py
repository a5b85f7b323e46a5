"""deletes = { sweep = … }: rows that are gone at the source go at the destination, though no column says so."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support import NOW, execute, interrupted, run, source_of, stream_of
from vdk.plugin.datasource_base import ConfigurationError, StateError, run_flows

OPTIONS = {"deletes": {"sweep": "1d"}}
DAY = dt.timedelta(days=1)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n TEXT, updated_time TEXT)",
        ("INSERT INTO t VALUES (?, 'x', '2026-10-01 00:00:00')", [(number,) for number in range(1, 8)]),
    )
    return path


def keys(landed: Any) -> list[int]:
    return [row["id"] for kind, row in landed.events if kind == "keys"]


def test_the_first_run_has_nothing_to_sweep(database: Path) -> None:
    """Nothing landed before, so nothing can be gone; the time is remembered."""
    first = run(stream_of(database, options=OPTIONS))
    assert (len(first.rows), keys(first)) == (7, [])
    assert first.state["swept"] == NOW.isoformat()


def test_all_keys_come_when_the_time_is_there(database: Path) -> None:
    """Within a day no keys are read; after it they all are, once, in front of the rows, and the state says when."""
    state = run(stream_of(database, options=OPTIONS)).state
    execute(database, "DELETE FROM t WHERE id IN (2, 3)", "INSERT INTO t VALUES (9, 'new', '2026-10-02 00:00:00')")
    early = run(stream_of(database, options=OPTIONS, now=NOW + DAY / 2), state)
    assert (keys(early), early.column("id")) == ([], [9])
    due = stream_of(database, options={**OPTIONS, "page_rows": 2}, now=NOW + DAY)
    late = run(due, early.state)
    assert sorted(keys(late)) == [1, 4, 5, 6, 7, 9]
    assert late.state["swept"] == (NOW + DAY).isoformat()
    assert keys(run(due, late.state)) == []


def test_a_sweep_that_is_cut_short_says_nothing(database: Path) -> None:
    """No payload of the keys but the last carries a state, so a part of them is never taken for all."""
    options = {**OPTIONS, "page_rows": 2}
    state = run(stream_of(database, options=options)).state
    for after in range(1, 5):
        cut = interrupted(stream_of(database, options=options, now=NOW + DAY), after, state)
        assert (cut.state, cut.events) == (state, [])


def test_an_option_that_comes_later_sweeps_at_once(database: Path) -> None:
    """A table that was read without sweeps may have lost rows already."""
    state = run(stream_of(database)).state
    assert "swept" not in state
    assert sorted(keys(run(stream_of(database, options=OPTIONS), state))) == list(range(1, 8))


def test_rows_that_are_gone_go_in_the_lake(database: Path, tmp_path: Path) -> None:
    """Through the whole runtime: deleted rows go, others stay, and a row that came back stays."""
    flow = {
        "sources": {"shop": {"name": "sqlite", "config": {"database": str(database), "deletes": {"sweep": "0s"}}}},
        "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{tmp_path}/lake.duckdb"}},
        "flows": [{"from": "shop", "to": "lake", "batch_rows": 2}],
    }
    deleted = []
    for change in (
        "SELECT 1",
        "DELETE FROM t WHERE id > 4",
        "INSERT INTO t VALUES (6, 'back', '2026-10-03 00:00:00')",
        "DELETE FROM t",
    ):
        execute(database, change)
        summary = run_flows(None, flow)
        deleted.append(summary.streams[0].rows_deleted)
        with closing(duckdb.connect(str(tmp_path / "lake.duckdb"))) as lake:
            landed = lake.execute("SELECT id FROM t ORDER BY id").fetchall()
        expected = {0: range(1, 8), 1: range(1, 5), 2: [1, 2, 3, 4, 6], 3: []}[len(deleted) - 1]
        assert landed == [(number,) for number in expected]
    assert deleted == [0, 3, 0, 5]


def test_a_table_without_a_key_cannot_be_swept(tmp_path: Path) -> None:
    """Said for the table it is an error; said for all tables it holds for those that have a key and a cursor."""
    path = tmp_path / "events.db"
    execute(path, "CREATE TABLE t (what TEXT, updated_time TEXT)", "CREATE TABLE u (id INTEGER PRIMARY KEY)")
    with pytest.raises(ConfigurationError, match="primary key"):
        source_of(path, tables={"t": OPTIONS}).streams()
    with pytest.raises(ConfigurationError, match="no cursor"):
        source_of(path, tables={"u": OPTIONS}).streams()
    assert len(source_of(path, deletes={"sweep": "1d"}).streams()) == 2


def test_a_time_that_is_none_is_refused(database: Path) -> None:
    """A damaged state is not taken for a sweep that is due."""
    state = {**run(stream_of(database, options=OPTIONS)).state, "swept": "yesterday"}
    with pytest.raises(StateError, match="yesterday"):
        run(stream_of(database, options=OPTIONS), state)
