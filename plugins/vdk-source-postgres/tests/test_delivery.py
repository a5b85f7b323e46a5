"""Whole runs: rows go to a destination and come back as they were."""

from __future__ import annotations

from typing import Any

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


def deliver(server: Server, target: str, *, flow: dict[str, Any] | None = None, **config: Any) -> Any:
    return run_flows(
        None,
        {
            "sources": {"shop": {"name": "postgres", "config": {"url": reader_url(server), **config}}},
            "destinations": {"lake": {"method": "arrow", "target": target}},
            "flows": [{"from": "shop", "to": "lake", **(flow or {})}],
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
