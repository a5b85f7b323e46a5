"""Whole runs: rows of every type go to a destination, and are there as they were read."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb

from support import reader_url
from types_of_mysql import TYPES
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.testing.mariadb import Server


def deliver(server: Server, lake: Path, **config: Any) -> Any:
    return run_flows(
        None,
        {
            "sources": {"shop": {"name": "mysql", "config": {"url": reader_url(server), **config}}},
            "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{lake}"}},
            "flows": [{"from": "shop", "to": "lake"}],
        },
    )


def landed(lake: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(lake), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(sql).fetchall()


def test_all_types_go_to_duckdb(server: Server, tmp_path: Path) -> None:
    """And the second run adds what is new."""
    columns = ", ".join(f"c{number} {case.declared}" for number, case in enumerate(TYPES))
    server.query("shop", f"CREATE TABLE t (id int PRIMARY KEY, updated_at datetime, {columns})")
    server.query("shop", f"INSERT INTO t VALUES (1, '2026-01-01', {', '.join(case.literal for case in TYPES)})")
    lake = tmp_path / "lake.duckdb"
    assert deliver(server, lake).status == "succeeded"
    server.query("shop", "INSERT INTO t (id, updated_at) VALUES (2, '2026-01-02')")
    assert deliver(server, lake).status == "succeeded"
    full, empty = landed(lake, "SELECT * EXCLUDE (id, updated_at) FROM t ORDER BY id")
    for case, value, null in zip(TYPES, full, empty, strict=True):
        expected = case.value.replace(tzinfo=dt.UTC) if getattr(case.value, "tzinfo", None) else case.value
        assert value == expected, case.declared
        assert null is None
