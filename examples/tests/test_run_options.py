"""``vdk datasource run`` with its options, as real processes: what lands, and what the next run goes on from."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import duckdb
import pytest

from conftest import Vdk

pytestmark = pytest.mark.heavy


def test_a_backfill_and_a_full_refresh_between_ordinary_runs(
    vdk: Vdk, flow: Callable[..., Path], tmp_path: Path
) -> None:
    """Rows are corrected without a new time, and one is deleted. A dry run changes no byte, and creates no file."""
    flow()
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, v TEXT, updated_at TEXT)")
        shop.executemany("INSERT INTO orders VALUES (?, 'v', ?)", [(n, f"2026-01-0{n} 10:00:00") for n in range(1, 6)])

        def run(*options: str) -> dict[int, str]:
            done = vdk("datasource", "run", "flow.toml", "-q", *options)
            assert done.returncode == 0, done.stderr
            with duckdb.connect(tmp_path / "lake.duckdb") as lake:
                return dict(lake.execute("SELECT id, v FROM orders").fetchall())

        def planned(*options: str) -> str:
            done = vdk("datasource", "run", "flow.toml", "--dry-run", "-o", "json", *options)
            assert (done.returncode, done.stderr) == (0, "")
            return str(json.loads(done.stdout)[0]["reads"])

        assert planned() == "new"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["flow.toml", "shop.db"]
        run()
        lake = sha256((tmp_path / "lake.duckdb").read_bytes()).digest()
        assert planned("--since", "2026-01-02") == "range"
        assert sha256((tmp_path / "lake.duckdb").read_bytes()).digest() == lake
        shop.execute("UPDATE orders SET v = 'corrected'")
        landed = run("--since", "2026-01-02", "--until", "2026-01-04")
        assert landed == {1: "v", 2: "corrected", 3: "corrected", 4: "v", 5: "v"}
        shop.execute("DELETE FROM orders WHERE id = 1")
        assert run("--full-refresh", "--yes") == dict.fromkeys(range(2, 6), "corrected")
        shop.execute("INSERT INTO orders VALUES (6, 'new', '2026-01-06 10:00:00')")
        assert run() == {**dict.fromkeys(range(2, 6), "corrected"), 6: "new"}
