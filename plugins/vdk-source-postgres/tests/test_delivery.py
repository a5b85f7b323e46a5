"""Whole runs: rows go to a destination and come back as they were."""

from __future__ import annotations

from typing import Any

import pytest

from support import reader_url, run, source_of
from vdk.plugin.datasource_base import ConfigurationError, run_flows
from vdk.plugin.datasource_base.parts import Registry
from vdk.plugin.datasource_base.runtime import Environment, execute
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


def test_a_table_is_not_copied_onto_itself(server: Server) -> None:
    """However either end calls the server; another schema of the database is another place. Nothing is read."""
    server.query("shop", "CREATE TABLE itself (id int PRIMARY KEY, updated_at timestamp)")
    server.query("shop", "INSERT INTO itself VALUES (1, '2026-01-01')")
    target = server.url("shop").replace("127.0.0.1", "localhost")
    assert target != server.url("shop")
    registry = Registry()
    registry.add("sql", "vdk.plugin.datasource_sql.generic.source:AnySqlSource")
    flow: dict[str, Any] = {}
    for source, scheme in {"postgres": "postgresql", "sql": "postgresql+psycopg"}.items():
        url = reader_url(server).replace("postgresql", scheme)
        flow = {
            "sources": {"shop": {"name": source, "config": {"url": url}}},
            "destinations": {"lake": {"method": "arrow", "target": target}},
            "flows": [{"from": "shop", "to": "lake", "streams": ["itself"], "write_mode": "append"}],
        }
        with pytest.raises(ConfigurationError, match="stream 'itself' is read from the very table"):
            execute(flow, Environment(registry=registry))
        assert server.query("shop", "SELECT count(*) FROM itself") == [(1,)]
    flow["destinations"] = {"lake": {"method": "arrow", "target": f"{target}?schema=copies"}}
    assert execute(flow, Environment(registry=registry)).status == "succeeded"
