"""Rows at the end of the last run are known by their columns as well as by their values."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from support import Landed, execute, interrupted, run, stream_of
from vdk.plugin.datasource_sql.incremental import reader, seen_rows

AT = "2026-10-01 00:00:{:02}"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT, updated_at TEXT)",
        "CREATE INDEX i ON t (updated_at)",
        ("INSERT INTO t VALUES (?, 'of a', 'of b', ?)", [(n, AT.format(n)) for n in range(5)]),
    )
    return path


def of_the_first_release(monkeypatch: pytest.MonkeyPatch, database: Path, **options: Any) -> Landed:
    """A run whose state has hashes of values alone."""
    with monkeypatch.context() as patch:
        patch.setattr(reader, "shape_of", lambda columns: "")
        return run(stream_of(database, **options))


def test_columns_that_swap_their_names_land_again(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The values of every row are those that landed, and each is under another name."""
    first = run(stream_of(database))
    execute(
        database,
        "ALTER TABLE t RENAME COLUMN a TO c",
        "ALTER TABLE t RENAME COLUMN b TO a",
        "ALTER TABLE t RENAME COLUMN c TO b",
    )
    with caplog.at_level(logging.WARNING):
        second = run(stream_of(database), first.state)
    assert [(row["a"], row["b"]) for row in second.rows] == [("of b", "of a")] * 5
    assert "stream 't': its columns or their declared types have changed" in caplog.text
    assert run(stream_of(database), second.state).rows == []


def test_a_renamed_column_lands_again(database: Path) -> None:
    first = run(stream_of(database))
    execute(database, "ALTER TABLE t RENAME COLUMN a TO c")
    assert run(stream_of(database), first.state).column("c") == ["of a"] * 5


def test_a_pass_that_was_interrupted_before_a_rename_loses_nothing(database: Path) -> None:
    first = run(stream_of(database))
    execute(database, ("INSERT INTO t VALUES (?, 'of a', 'of b', ?)", [(n, AT.format(n)) for n in range(5, 9)]))
    half = interrupted(stream_of(database, page_rows=2), 2, first.state)
    assert half.state["resume"] is not None
    execute(database, "ALTER TABLE t RENAME COLUMN a TO c")
    rest = run(stream_of(database, page_rows=2), half.state)
    assert sorted(set(rest.column("id"))) == [*range(9)]
    assert run(stream_of(database), rest.state).rows == []


@pytest.mark.parametrize("cap", [100_000, 2])
def test_a_state_of_the_first_release_is_read_once_as_it_was_written(
    database: Path, monkeypatch: pytest.MonkeyPatch, cap: int
) -> None:
    monkeypatch.setattr(reader, "CAP", cap)
    monkeypatch.setattr(seen_rows, "CAP", cap)
    first = of_the_first_release(monkeypatch, database)
    assert "shape" not in first.state["overlap"]
    execute(
        database, "UPDATE t SET a = 'new' WHERE id = 2", "INSERT INTO t VALUES (9, 'a', 'b', '2026-10-01 00:00:30')"
    )
    second = run(stream_of(database), first.state)
    assert {2, 9} <= set(second.column("id"))
    assert second.state["overlap"]["shape"]
    if cap > 2:
        assert second.column("id") == [2, 9]
    assert run(stream_of(database), second.state).rows == []


def test_an_interrupted_pass_of_the_first_release_is_finished(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(reader, "shape_of", lambda columns: "")
        half = interrupted(stream_of(database, page_rows=2), 1)
    rest = run(stream_of(database, page_rows=2), half.state)
    assert half.column("id") + rest.column("id") == [*range(5)]
    assert run(stream_of(database), rest.state).rows == []
