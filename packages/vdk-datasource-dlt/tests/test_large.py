"""A large table by dlt: all of it, nothing in the second run, and a process that is killed while it loads."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import dlt
import duckdb
import pytest

from conftest import MakePipeline
from vdk.plugin.datasource_dlt import dlt_source

ROWS = int(os.environ.get("VDK_DATASOURCE_DLT_ROWS", "1000000"))
LOAD = """
import dlt, sys
from vdk.plugin.datasource_dlt import dlt_source
folder, flow = sys.argv[1:]
destination = dlt.destinations.duckdb(folder + "/lake.duckdb")
pipeline = dlt.pipeline("shop", pipelines_dir=folder + "/work", destination=destination, dataset_name="landed")
pipeline.extract(dlt_source(flow))
pipeline.normalize()
print("loading", flush=True)
pipeline.load()
"""


def fill(path: Path, rows: int) -> str:
    """A flow file over a database with a table that has a key and a cursor."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total DECIMAL(12, 2), updated_at TIMESTAMP)")
        database.execute(
            "INSERT INTO orders WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "SELECT i, i || '.10', datetime('2026-01-01', '+' || i || ' seconds') FROM n",
            (rows - 1,),
        )
    flow = path.with_name("flow.toml")
    flow.write_text(
        f"""
        [sources.shop]
        name = "sqlite"
        config = {{ database = "{path}", tables.orders.cursor = "updated_at" }}
        [destinations.dlt]
        method = "dlt"
        [[flows]]
        from = "shop"
        to = "dlt"
        """
    )
    return str(flow)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["duckdb", "filesystem"])
def test_a_large_table_is_loaded_once(kind: str, pipeline: MakePipeline, tmp_path: Path) -> None:
    flow = fill(tmp_path / "shop.db", ROWS)
    destination = dlt.destinations.filesystem((tmp_path / "lake").as_uri()) if kind == "filesystem" else None
    loading = pipeline(destination=destination)
    counts = []
    for _ in range(2):
        loading.run(dlt_source(flow), loader_file_format="parquet")
        counts.append(loading.last_trace.last_normalize_info.row_counts.get("orders", 0))
    assert counts == [ROWS, 0]
    table = "landed.orders" if destination is None else f"read_parquet('{tmp_path}/lake/landed/orders/*.parquet')"
    with duckdb.connect(str(tmp_path / "lake.duckdb") if destination is None else ":memory:") as lake:
        found = lake.execute(f"SELECT count(*), count(DISTINCT id), sum(total) FROM {table}").fetchone()
    assert found is not None
    assert found[:2] == (ROWS, ROWS)
    assert int(found[2] * 100) == ROWS * (ROWS - 1) // 2 * 100 + ROWS * 10


@pytest.mark.heavy
def test_a_load_that_was_killed_is_completed(pipeline: MakePipeline, tmp_path: Path) -> None:
    """SIGKILL as soon as dlt loads: the next run completes the load, and the one after it finds nothing new."""
    flow = fill(tmp_path / "shop.db", 50_000)
    command = [sys.executable, "-c", LOAD, str(tmp_path), flow]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    for _ in range(2):
        pipeline().run(dlt_source(flow))
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as lake:
        found = lake.execute("SELECT count(*), count(DISTINCT id) FROM landed.orders").fetchone()
    assert found == (50_000, 50_000)
