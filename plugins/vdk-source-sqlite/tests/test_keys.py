"""Primary keys: a row must be found again under the key it landed by."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from support import execute, run, stream_of
from vdk.plugin.datasource_base import BadRecordError, ConfigurationError, run_flows


@pytest.mark.parametrize("odd", ["2026-01-03T00:00:00Z", "n/a", 7])
def test_an_odd_key_does_not_change_how_the_others_land(tmp_path: Path, odd: object) -> None:
    """Keys that are times land as the text they are, so one that is none leaves the rows of the others alone."""
    path = tmp_path / "shop.db"
    execute(
        path,
        "CREATE TABLE t (k DATETIME PRIMARY KEY, v TEXT, updated_at TEXT)",
        "INSERT INTO t VALUES ('2026-01-01T00:00:00', 'a', '2026-01-01'), ('2026-01-02T00:00:00', 'b', '2026-01-01')",
    )
    flow = {
        "sources": {"shop": {"name": "sqlite", "config": {"database": str(path), "deletes": {"sweep": "0s"}}}},
        "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{tmp_path}/lake.duckdb"}},
        "flows": [{"from": "shop", "to": "lake"}],
    }
    run_flows(None, flow)
    execute(
        path,
        ("INSERT INTO t VALUES (?, 'c', '2026-01-02')", (odd,)),
        "UPDATE t SET v = 'changed', updated_at = '2026-01-02' WHERE v = 'a'",
    )
    summary = run_flows(None, flow)
    assert summary.streams[0].rows_deleted == 0
    with closing(duckdb.connect(str(tmp_path / "lake.duckdb"))) as lake:
        assert lake.execute("SELECT k, v FROM t ORDER BY v").fetchall() == [
            ("2026-01-02T00:00:00", "b"),
            (str(odd), "c"),
            ("2026-01-01T00:00:00", "changed"),
        ]


def test_keys_that_are_one_as_text_are_refused(tmp_path: Path) -> None:
    """1 and "1" are two keys in a column without a type, and would be one row at the destination."""
    path = tmp_path / "shop.db"
    execute(path, "CREATE TABLE t (k PRIMARY KEY, updated_at TEXT)", "INSERT INTO t VALUES (1, '2026-01-01')")
    assert run(stream_of(path)).column("k") == ["1"]
    execute(path, "INSERT INTO t VALUES ('1', '2026-01-01')")
    with pytest.raises(BadRecordError, match="same as text"):
        run(stream_of(path))


def test_a_configured_key_that_rows_share_is_refused(tmp_path: Path) -> None:
    """All but the last of them would be lost."""
    path = tmp_path / "shop.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b, updated_at TEXT)",
        "INSERT INTO t VALUES (1, 'x', 1, '2026-01-01'), (2, 'X', 1, '2026-01-01'), (3, NULL, 1, '2026-01-01')",
    )
    assert run(stream_of(path, options={"primary_key": "a"})).column("a") == ["x", "X", None]
    execute(path, "INSERT INTO t VALUES (4, 'x', 2, '2026-01-01')")
    with pytest.raises(ConfigurationError, match=r"tables\.t\.primary_key: 2 rows of stream 't' have the key 'x'"):
        run(stream_of(path, options={"primary_key": "a"}))
    assert len(run(stream_of(path, options={"primary_key": ["a", "id"]})).rows) == 4
    assert len(run(stream_of(path, options={"primary_key": ["a", "b"]})).rows) == 4


def test_an_option_that_could_make_one_key_of_two_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    execute(
        path,
        "CREATE TABLE t (k NUMERIC(5,2) PRIMARY KEY, v NUMERIC(5,2), updated_at TEXT)",
        "INSERT INTO t VALUES (1.001, 1.001, '2026-01-01'), (1.002, 1.5, '2026-01-01')",
    )
    landed = run(stream_of(path, decimals="round"))
    assert (landed.rows, [error.column for _, error in landed.rejected]) == ([], ["k", "k"])
    for options in ({"decimals": {"k": "round"}}, {"columns": {"k": "latin-1"}}):
        with pytest.raises(ConfigurationError, match=r"tables\.t\.(decimals|columns): 'k' is in the primary key"):
            run(stream_of(path, options=options))


def test_an_infinite_cursor_is_refused(tmp_path: Path) -> None:
    """Nothing would ever come after it."""
    path = tmp_path / "shop.db"
    execute(
        path,
        "CREATE TABLE t (k INTEGER PRIMARY KEY, updated_at REAL)",
        "INSERT INTO t VALUES (1, 1.5), (2, 9e999)",
    )
    with pytest.raises(ConfigurationError, match="updated_at"):
        run(stream_of(path))


def test_times_that_are_not_taken_for_such_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One absurd number among epochs makes plain numbers of them all, which nobody wants unawares."""
    path = tmp_path / "shop.db"
    execute(
        path,
        "CREATE TABLE t (k INTEGER PRIMARY KEY, updated_at INTEGER)",
        "INSERT INTO t VALUES (1, 1760000000), (2, 9223372036854775807)",
    )
    with caplog.at_level(logging.WARNING):
        run(stream_of(path))
    assert "read as a plain number" in caplog.text
