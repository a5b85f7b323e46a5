"""kill -9 at random instants: no row is lost, none is there twice."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from vdk.internal import cli_entry

from conftest import Vdk
from values import differences
from vdk.plugin.datasource_base.testing.faults import run_with_random_kills

pytestmark = pytest.mark.heavy

ROWS = 200_000
KILLS = 200 if os.environ.get("FAULTS") == "all" else 5
SETTINGS = {"VDK_VERSION_CHECK_DISABLED": "true", "PYTHONWARNINGS": "ignore"}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """200,000 rows, one table that is read by its cursor, one without a key and one that is read whole."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            """
            CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT, updated_time TEXT);
            CREATE INDEX orders_updated ON orders (updated_time, id);
            CREATE TABLE events (what TEXT, updated_time TEXT);
            CREATE TABLE countries (code TEXT PRIMARY KEY, name TEXT);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
            INSERT INTO orders SELECT i, 'note ' || i, datetime('2026-01-01', (i / 3) || ' seconds') FROM n;
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
            INSERT INTO events SELECT 'event ' || i, datetime('2026-01-01', (i / 2) || ' seconds') FROM n;
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
            INSERT INTO countries SELECT 'c' || i, 'country ' || i FROM n;
            """
        )
    return path


def test_no_row_is_lost_or_doubled_by_kill_9(shop: Path, vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """After runs killed at random instants and one clean run every row is there exactly once.

    Small batches make many commits, so that the kills fall before, within and after them; rows change between the
    runs, so that there is always something to do.
    """
    path = flow(shop, flow="batch_rows = 2000", config="page_rows = 1000")
    done = vdk("datasource", "run", str(path), "--summary", "summary.json")
    assert done.returncode == 0, done.stderr
    at_work = json.loads((tmp_path / "summary.json").read_text("utf-8"))["seconds"]
    (tmp_path / "lake.duckdb").unlink()

    def change(kills: int) -> None:
        with closing(sqlite3.connect(shop)) as source, source:
            source.execute(
                "UPDATE orders SET note = 'changed', updated_time = datetime('2026-02-01', ?, (id / 7) || ' seconds') "
                "WHERE id % 2 = ?",
                (f"{next(days)} days", kills % 2),
            )

    days = itertools.count(1)
    run = ["datasource", "run", str(path)]
    run_with_random_kills(
        vdk_here, *run, kills=KILLS, within=at_work / 2, since="read", between=change, environment=SETTINGS
    )

    done = vdk("datasource", "run", str(path))
    assert done.returncode == 0, done.stderr
    for table in ("orders", "events", "countries"):
        assert differences(shop, table, tmp_path / "lake.duckdb", table) == []
    with closing(duckdb.connect(str(tmp_path / "lake.duckdb"))) as lake:
        left = lake.execute("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE '%stage%'").fetchall()
        assert left == [], "nothing of the killed runs is left staged"


def vdk_here(*arguments: str) -> None:
    """What the command ``vdk`` does, in this process."""
    sys.argv = ["vdk", *arguments]
    cli_entry.main()
