"""Whole runs: rows go to a destination and come back as they were, and a server that restarts costs nothing."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support import reader_url, run, source_of
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.testing.postgresql import Server

VALUES: dict[str, tuple[str, list[str | None]]] = {
    "id": ("int PRIMARY KEY", ["1", "2"]),
    "n": ("numeric(20,5)", ["12345678901234.50000", None]),
    "f": ("float8", ["0.1", None]),
    "b": ("boolean", ["true", None]),
    "t": ("text", ["'ö ''100%'", None]),
    "x": ("bytea", [r"'\x00ff'", None]),
    "d": ("date", ["'2026-02-28'", None]),
    "ts": ("timestamp", ["'2026-01-01 10:00:00.000001'", None]),
    "tz": ("timestamptz", ["'2026-01-01 10:00:00.5+02'", None]),
    "j": ("jsonb", ["'{\"a\": [1, null]}'", None]),
    "u": ("uuid", ["'00000000-0000-7000-8000-000000000001'", None]),
    "a": ("int[]", ["'{1,2}'", None]),
}


def deliver(server: Server, target: str, **config: Any) -> Any:
    return run_flows(
        None,
        {
            "sources": {"shop": {"name": "postgres", "config": {"url": reader_url(server), **config}}},
            "destinations": {"lake": {"method": "arrow", "target": target}},
            "flows": [{"from": "shop", "to": "lake"}],
        },
    )


def test_rows_go_to_postgresql_and_come_back(server: Server) -> None:
    """The second database is read as the first one is."""
    server.query("shop", f"CREATE TABLE t ({', '.join(f'{name} {type_}' for name, (type_, _) in VALUES.items())})")
    for row in range(2):
        values = [values[row] or "NULL" for _, values in VALUES.values()]
        server.query("shop", f"INSERT INTO t VALUES ({', '.join(values)})")
    server.query("postgres", "DROP DATABASE IF EXISTS lake")
    server.query("postgres", "CREATE DATABASE lake")
    assert deliver(server, server.url("lake")).status == "succeeded"
    (original,) = source_of(server).streams()
    (landed,) = source_of(server, url=server.url("lake")).streams()
    assert run(landed).rows == run(original).rows


@pytest.mark.heavy
def test_a_server_that_restarts_in_the_middle_costs_no_row(server: Server, tmp_path: Path) -> None:
    """The run reads on where the last committed state is."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz)")
    server.query("shop", "CREATE INDEX ON t (updated_at, id)")
    server.query(
        "shop", "INSERT INTO t SELECT n, timestamptz '2026-01-01' + n * interval '1 s' FROM generate_series(1, 20000) n"
    )
    lake = tmp_path / "lake.duckdb"
    summaries: list[Any] = []
    thread = threading.Thread(target=lambda: summaries.append(deliver(server, f"duckdb:///{lake}", page_rows=10)))
    thread.start()
    thread.join(1)
    was_running = thread.is_alive()
    server.end(signal.SIGQUIT)
    server.start()
    thread.join()
    assert was_running
    assert summaries[0].status == "succeeded"
    with duckdb.connect(str(lake), read_only=True) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT id), max(id) FROM t").fetchone() == (
            20000,
            20000,
            20000,
        )
