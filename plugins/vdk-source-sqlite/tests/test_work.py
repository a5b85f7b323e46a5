"""The work of a run is counted, and not timed: statements, commits and imports stay as few as they are."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import execute
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_sql import SqlSession
from vdk.plugin.ingest_arrow.duckdb.connection import DuckDBConnection
from vdk.plugin.source_sqlite.backend import SqliteBackend

pytestmark = pytest.mark.libraries

UNNEEDED = {"filelock", "opentelemetry", "pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet", "requests"}
"""Modules that a run without new rows does not import; in a process without vdk-core, which imports some of them."""
IDLE_RUN = """
import sys
from vdk.plugin.datasource_base import run_flows
(stream,) = run_flows(None, {flow!r}).streams
assert stream.rows_landed == 0, stream
print(sorted({unneeded!r} & set(sys.modules)))
"""


def flow_of(database: Path) -> dict[str, Any]:
    return {
        "sources": {"shop": {"name": "sqlite", "config": {"database": str(database)}}},
        "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{database.with_name('lake.duckdb')}"}},
        "flows": [{"from": "shop", "to": "lake"}],
    }


def add_tables(database: Path, *names: str) -> None:
    for name in names:
        execute(
            database,
            f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, v TEXT, updated_at TEXT)",
            (f"INSERT INTO {name} VALUES (?, 'v', ?)", [(n, f"2026-01-01 00:{n:02}:00") for n in range(20)]),
        )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    add_tables(path, "t0")
    return path


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Counter[str]]:
    """Takes the numbers of statements since the last call: at the source, at DuckDB, and those of them that write."""
    counts: Counter[str] = Counter()

    def counted(owner: type, method: str, names: Callable[[Any], list[str]]) -> None:
        original = getattr(owner, method)

        def call(self: Any, statement: Any, *arguments: Any, **options: Any) -> Any:
            counts.update(names(statement))
            return original(self, statement, *arguments, **options)

        monkeypatch.setattr(owner, method, call)

    counted(SqlSession, "_pages", lambda statement: ["source"])
    counted(SqliteBackend, "cursor_info", lambda session: ["cursor"])
    counted(DuckDBConnection, "execute", _kinds)

    def taken() -> Counter[str]:
        taken = Counter(counts)
        counts.clear()
        return taken

    return taken


def _kinds(sql: str) -> list[str]:
    """None for the records of runs, which are stored by the clock."""
    if "_vdk_datasource_runs" in sql or sql in ("BEGIN TRANSACTION", "COMMIT"):
        return []
    return ["duckdb", *(["write"] if sql.startswith(("INSERT", "UPDATE", "DELETE", "CREATE")) else [])]


def test_a_run_looks_at_each_cursor_once(database: Path, statements: Callable[[], Counter[str]]) -> None:
    for _ in range(2):
        run_flows(None, flow_of(database))
        assert statements()["cursor"] == 1


def test_a_further_table_without_news_takes_few_statements_and_writes_nothing(
    database: Path, statements: Callable[[], Counter[str]]
) -> None:
    idle = {}
    for count in (5, 10):
        add_tables(database, *(f"t{number}" for number in range(count - 5 or 1, count)))
        run_flows(None, flow_of(database))
        statements()
        run_flows(None, flow_of(database))
        idle[count] = statements()
    assert idle[10]["write"] == idle[5]["write"]
    further = idle[10]
    further.subtract(idle[5])
    assert further["duckdb"] <= 5 * 5, "for each table: what is staged, and whether it exists with its columns"
    assert further["source"] <= 5 * 12


def test_a_run_without_news_imports_no_more_than_it_needs(database: Path) -> None:
    run_flows(None, flow_of(database))
    code = IDLE_RUN.format(flow=flow_of(database), unneeded=UNNEEDED)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=database.parent, timeout=120
    )
    assert (result.returncode, result.stdout) == (0, "[]\n"), result.stderr


def test_a_run_warns_of_a_source_behind_its_state(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also where its end is found before it is read."""
    run_flows(None, flow_of(database))
    execute(database, "DELETE FROM t0 WHERE id > 10")
    with caplog.at_level(logging.WARNING):
        run_flows(None, flow_of(database))
    assert "the highest cursor is '2026-01-01 00:10:00'" in caplog.text
