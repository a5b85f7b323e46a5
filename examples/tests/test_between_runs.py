"""What happens to a database, and to the runs, between one run and the next."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from conftest import ENVIRONMENT, VDK, Vdk, summary_of
from values import differences

pytestmark = pytest.mark.heavy


def change(database: Path, script: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(script)


def test_two_runs_at_once_both_end_right(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """Of two runs of one flow at once the second waits or is refused; no row is lost, and none is there twice."""
    shop = tmp_path / "shop.db"
    change(
        shop,
        """
        CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_time TEXT);
        CREATE TABLE events (what TEXT, updated_time TEXT);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
        INSERT INTO orders SELECT i, datetime('2026-01-01', (i / 2) || ' seconds') FROM n;
        INSERT INTO events SELECT 'event ' || id, updated_time FROM orders;
        """,
    )
    path = flow(flow="batch_rows = 2000", config="page_rows = 1000")
    runs = [
        subprocess.Popen([*VDK, "datasource", "run", str(path)], cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = [run.communicate(timeout=120)[1] for run in runs]
    assert 0 in [run.returncode for run in runs], outputs
    for table in ("orders", "events"):
        assert differences(shop, table, tmp_path / "lake.duckdb", table) == []
    done = vdk("datasource", "run", str(path), "--summary", "summary.json")
    assert done.returncode == 0, done.stderr
    assert [stream["rows_landed"] for stream in summary_of(tmp_path / "summary.json").values()] == [0, 0]


def test_columns_and_tables_that_come_and_go(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """A new column lands, a dropped one is NULL in what is read from then on, a dropped table stays as it landed.

    Rows of the lookback are read again, and are other rows now: they land as they are.
    """
    shop = tmp_path / "shop.db"
    change(
        shop,
        """
        CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT, updated_time TEXT);
        CREATE TABLE old (id INTEGER PRIMARY KEY, updated_time TEXT);
        INSERT INTO orders VALUES (1, 'first', '2026-01-01 00:00:00'), (2, 'last', '2026-01-01 12:00:00');
        INSERT INTO old VALUES (1, '2026-01-01 00:00:00');
        """,
    )
    path = str(flow())
    assert vdk("datasource", "run", path).returncode == 0
    change(
        shop,
        """
        ALTER TABLE orders ADD COLUMN total DECIMAL(10, 2);
        ALTER TABLE orders DROP COLUMN note;
        INSERT INTO orders VALUES (3, '2026-01-02 00:00:00', 9.99);
        DROP TABLE old;
        CREATE TABLE new (id INTEGER PRIMARY KEY);
        INSERT INTO new VALUES (7);
        """,
    )
    done = vdk("datasource", "run", path)
    assert done.returncode == 0, done.stderr
    with closing(duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True)) as lake:
        orders = lake.execute("SELECT id, note, total::VARCHAR FROM orders ORDER BY id").fetchall()
        assert orders == [(1, "first", None), (2, None, None), (3, None, "9.99")]
        assert lake.execute("SELECT id FROM old").fetchall() == [(1,)]
        assert lake.execute("SELECT id FROM new").fetchall() == [(7,)]


def test_another_source_id_shares_the_table_where_it_may(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """It is another source, so it is refused until the flow shares its tables; then all is upserted again."""
    shop = tmp_path / "shop.db"
    change(
        shop,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_time TEXT);"
        "INSERT INTO orders VALUES (1, '2026-01-01 00:00:00');",
    )
    path = flow()
    assert vdk("datasource", "run", str(path)).returncode == 0
    renamed = path.with_name("renamed.toml")
    renamed.write_text(path.read_text("utf-8").replace("sources.shop", "sources.store").replace('"shop"', '"store"'))
    refused = vdk("datasource", "run", str(renamed))
    assert refused.returncode != 0
    assert "table 'orders' has rows of stream 'orders' of source 'shop'" in refused.stderr
    share = ("--set", "flows[0].shared_table=true")
    done = vdk("datasource", "run", str(renamed), *share, "--summary", "summary.json")
    assert done.returncode == 0, done.stderr
    assert summary_of(tmp_path / "summary.json")["orders"]["rows_landed"] == 1
    assert differences(shop, "orders", tmp_path / "lake.duckdb", "orders") == []


ORDERS = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_time TEXT);"
    "INSERT INTO orders VALUES (1, '2026-01-01 00:00:00'), (2, '2026-01-02 00:00:00');"
)


def test_a_renamed_flow_file_goes_on(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """The database holds the states, under the source's id, and knows no name of a file or a job."""
    change(tmp_path / "shop.db", ORDERS)
    path = flow(config="lookback = '0s'")
    assert vdk("datasource", "run", str(path)).returncode == 0
    renamed = path.rename(path.with_name("another.toml"))
    done = vdk("datasource", "run", str(renamed), "--summary", "summary.json")
    assert done.returncode == 0, done.stderr
    assert summary_of(tmp_path / "summary.json")["orders"]["rows_landed"] == 0


def test_a_database_that_was_deleted_is_filled_again(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """Its states are gone with it."""
    change(tmp_path / "shop.db", ORDERS)
    path = str(flow())
    assert vdk("datasource", "run", path).returncode == 0
    (tmp_path / "lake.duckdb").unlink()
    assert vdk("datasource", "run", path).returncode == 0
    assert differences(tmp_path / "shop.db", "orders", tmp_path / "lake.duckdb", "orders") == []


def test_a_table_that_was_dropped_is_told_until_its_state_is_reset(
    vdk: Vdk, flow: Callable[..., Path], tmp_path: Path
) -> None:
    """Somebody may have dropped it on purpose: only new rows land, and the warning says how all of them would."""
    change(tmp_path / "shop.db", ORDERS)
    path = str(flow(config="lookback = '0s'"))
    assert vdk("datasource", "run", path).returncode == 0
    with closing(duckdb.connect(str(tmp_path / "lake.duckdb"))) as lake:
        lake.execute("DROP TABLE orders")
    change(tmp_path / "shop.db", "INSERT INTO orders VALUES (3, '2026-01-03 00:00:00')")
    done = vdk("datasource", "run", path)
    assert done.returncode == 0, done.stderr
    assert "table 'orders' does not exist" in done.stderr
    with closing(duckdb.connect(str(tmp_path / "lake.duckdb"))) as lake:
        assert lake.execute("SELECT id FROM orders").fetchall() == [(3,)]
    assert vdk("datasource", "state", "reset", path, "--yes").returncode == 0
    assert vdk("datasource", "run", path).returncode == 0
    assert differences(tmp_path / "shop.db", "orders", tmp_path / "lake.duckdb", "orders") == []
