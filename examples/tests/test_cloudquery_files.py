"""CloudQuery's configuration files, run into each kind of destination."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from conftest import Vdk

CONFIG = """
kind: source
spec:
  name: shop
  path: ./cq-source-sqlite
  registry: local
  tables: ["*"]
  skip_tables: [audit]
  destinations: [lake]
  spec:
    database: ${SHOP}
---
kind: destination
spec:
  name: lake
  path: cloudquery/%s
  registry: cloudquery
  version: v5.0.0
  write_mode: %s
  spec: %s
"""
DESTINATIONS = {
    "duckdb": ("overwrite-delete-stale", "{connection_string: ./lake.duckdb}"),
    "sqlite": ("overwrite-delete-stale", "{connection_string: ./lake.db}"),
    "file": ("append", '{path: "out/{{TABLE}}/{{UUID}}.{{FORMAT}}", format: parquet}'),
}


def landed(folder: Path, destination: str) -> list[tuple[int, str]]:
    if destination == "sqlite":
        with closing(sqlite3.connect(folder / "lake.db")) as lake:
            return lake.execute("SELECT id, total FROM orders ORDER BY id").fetchall()
    table = "orders" if destination == "duckdb" else f"read_parquet('{folder}/out/orders/*.parquet')"
    with duckdb.connect(folder / "lake.duckdb" if destination == "duckdb" else ":memory:") as lake:
        return lake.execute(f"SELECT id, total FROM {table} ORDER BY id").fetchall()


@pytest.mark.heavy
@pytest.mark.parametrize("destination", ["duckdb", "sqlite", "file"])
def test_a_file_of_cloudquery_is_run(destination: str, vdk: Vdk, tmp_path: Path) -> None:
    """Its variables come from the environment; stale rows are deleted in the second run, unless rows are appended."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop, shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total TEXT)")
        shop.execute("CREATE TABLE audit (id INTEGER PRIMARY KEY)")
        shop.execute("INSERT INTO orders VALUES (1, '1.10'), (2, '2.20')")
    mode, options = DESTINATIONS[destination]
    (tmp_path / "config.yaml").write_text(CONFIG % (destination, mode, options), "utf-8")
    done = vdk("datasource", "sync", "config.yaml", SHOP="shop.db")
    assert done.returncode == 0, done.stderr
    assert landed(tmp_path, destination) == [(1, "1.10"), (2, "2.20")]
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop, shop:
        shop.execute("DELETE FROM orders WHERE id = 1")
    done = vdk("datasource", "sync", "config.yaml", "-o", "json", SHOP="shop.db")
    assert done.returncode == 0, done.stderr
    assert '"stream": "orders"' in done.stdout
    assert "audit" not in done.stdout
    if mode != "append":
        assert landed(tmp_path, destination) == [(2, "2.20")]
