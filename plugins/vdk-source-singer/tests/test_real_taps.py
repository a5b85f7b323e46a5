"""Taps from the package index, installed by the source itself: their rows land once, whatever is killed."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support import config_of
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.source_singer.program.environments import program_of

pytestmark = pytest.mark.heavy
ROWS = 2_000
_CHILD = """
import json, os, signal, sys, threading
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.source_singer import reading, source
committed, states, wrapped = threading.Event(), [0], reading.TapReading._wrapped
def counted(self, value):
    states[0] += 1
    if states[0] == 4 and committed.wait(60):
        os.kill(os.getpid(), signal.SIGKILL)
    return wrapped(self, value)
reading.TapReading._wrapped = counted
source.SingerSource.committed = lambda *_: committed.set()
run_flows(None, json.loads(sys.argv[1]))
"""
"""Kills its own run at the fourth state, after an earlier one has landed."""


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@pytest.fixture(scope="module")
def jsonl(environments: Path) -> dict[str, Any]:
    """The tap for JSON lines, with the environment that the first run makes."""
    return {"tap": "tap-jsonl", "pip_url": "tap-jsonl==0.3.1", "environments": str(environments)}


@pytest.fixture(scope="module")
def sqlite_tap(environments: Path, jsonl: dict[str, Any]) -> Callable[[Path], dict[str, Any]]:
    """The SDK's tap for SQL on SQLite, with the SDK that the other tap has brought."""
    python = Path(program_of(config_of(**jsonl), str)).with_name("python")
    program = environments / "tap-sqlite"
    code = Path(__file__).with_name("tap_sqlite.py").read_text("utf-8")
    program.write_text(f"#!{python}\n{code}", encoding="utf-8")
    program.chmod(0o755)
    return lambda database: {
        "tap": "tap-sqlite",
        "executable": str(program),
        "config": {"database": str(database)},
        "select": ["*orders.*", "!*.secret"],
        "metadata": {"*orders": {"replication-method": "INCREMENTAL", "replication-key": "id"}},
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flow_of(config: Mapping[str, Any], **flow: Any) -> dict[str, Any]:
    return {
        "sources": {"tap": {"name": "singer", "config": config}},
        "destinations": {"lake": {"method": "arrow", "target": "duckdb:///lake.duckdb"}},
        "flows": [{"from": "tap", "to": "lake", **flow}],
    }


def query(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect("lake.duckdb") as lake:
        return lake.execute(sql).fetchall()


def database_of(folder: Path, rows: int = ROWS) -> Path:
    path = folder / "shop.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, total NUMERIC(10, 2), at TIMESTAMP, secret TEXT)"
        )
        database.executemany(
            "INSERT INTO orders VALUES (?, ?, '2026-01-01 00:00:00.000000', 'hush')",
            [(number, number / 4) for number in range(rows)],
        )
        database.commit()
    return path


def lines_of(path: Path, numbers: Iterator[int] | range) -> None:
    path.write_text("".join(json.dumps({"id": n, "name": f"n{n}", "tags": [n]}) + "\n" for n in numbers), "utf-8")


def test_a_file_tap_lands_once_in_each_run(here: Path, jsonl: dict[str, Any]) -> None:
    """The environment is made once; the second run gets the same records in the SDK's BATCH files."""
    lines_of(here / "orders.jsonl", range(3_000))
    options = {"path": str(here / "orders.jsonl"), "stream_name": "orders", "primary_keys": ["id"]}
    (here / "batches").mkdir()
    storage = {"root": f"file://{here}/batches"}
    batches = {"encoding": {"format": "jsonl", "compression": "gzip"}, "storage": storage}
    for further in ({}, {"batch_config": batches}):
        summary = run_flows(None, flow_of({**jsonl, "config": options | further}))
        assert summary.streams[0].rows_read == 3_000
        assert query("SELECT count(*), sum(id), min(tags), typeof(any_value(id)) FROM orders") == [
            (3_000, sum(range(3_000)), "[0]", "BIGINT")
        ]
    (file, *_) = (here / "batches").iterdir()
    assert gzip.decompress(file.read_bytes()).startswith(b'{"id":')


def test_a_database_tap_lands_exactly_once_with_its_types(
    here: Path, sqlite_tap: Callable[[Path], dict[str, Any]]
) -> None:
    config = sqlite_tap(database_of(here))
    run_flows(None, flow_of(config, destination_table="orders"))
    assert query('SELECT count(*), sum(total), min("at")::DATE::VARCHAR FROM orders') == [
        (ROWS, sum(range(ROWS)) / 4, "2026-01-01")
    ]
    assert "secret" not in {name for (name, *_) in query("DESCRIBE orders")}
    with closing(sqlite3.connect(here / "shop.db")) as database:
        database.execute(f"INSERT INTO orders VALUES ({ROWS}, 1.5, '2026-01-02 00:00:00.000000', 'x')")
        database.commit()
    summary = run_flows(None, flow_of(config, destination_table="orders"))
    assert query("SELECT count(*), count(DISTINCT id) FROM orders") == [(ROWS + 1, ROWS + 1)]
    assert summary.streams[0].rows_read == 2, "the row at the bookmark, and the new one"


def test_a_run_that_is_killed_is_continued(here: Path, sqlite_tap: Callable[[Path], dict[str, Any]]) -> None:
    """The next run lands the rest, each row once, and removes the files with secrets that the first has left."""
    flow = flow_of({**sqlite_tap(database_of(here)), "batch_rows": 200}, destination_table="orders", batch_rows=200)
    environment = {**os.environ, "TMPDIR": str(here)}
    command = [sys.executable, "-c", _CHILD, json.dumps(flow)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=here, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert 0 < query("SELECT count(*) FROM orders")[0][0] < ROWS
    assert list(here.glob("vdk-singer-*"))
    tempfile.tempdir = str(here)
    try:
        summary = run_flows(None, flow)
    finally:
        tempfile.tempdir = None
    assert 0 < summary.streams[0].rows_read < ROWS, "it continues from the state"
    assert query("SELECT count(*), count(DISTINCT id), sum(id) FROM orders") == [(ROWS, ROWS, sum(range(ROWS)))]
    assert not list(here.glob("vdk-singer-*"))
