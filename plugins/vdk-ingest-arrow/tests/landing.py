"""What these tests land with, and how they look at what landed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from vdk.plugin.datasource_base.parts import CommitUnit, Slice, StateKey, TableSpec
from vdk.plugin.ingest_arrow.destination import ArrowDestination

KEY = StateKey("shop", "sqlite /shop.db", "orders", "", "orders")
APPEND = TableSpec("orders", "append")
UPSERT = TableSpec("orders", "upsert", ("id",))
REPLACE = TableSpec("orders", "replace")


def partition(name: str) -> StateKey:
    return StateKey(KEY.source_id, KEY.source_identity, KEY.stream, name, KEY.table)


def rows(spec: TableSpec, data: Mapping[str, Any] | pa.Table) -> Slice:
    return Slice(spec, "rows", data if isinstance(data, pa.Table) else pa.table(dict(data)))


def deletes(spec: TableSpec, data: Mapping[str, Any]) -> Slice:
    return Slice(spec, "deletes", pa.table(dict(data)))


def unit(
    *slices: Slice,
    state: Mapping[str, Any] | None = None,
    version: int = 0,
    key: StateKey = KEY,
    run_id: str = "run-1",
) -> CommitUnit:
    return CommitUnit(key, slices, state, version, run_id)


def opened(path: Path, options: str = "") -> ArrowDestination:
    destination = ArrowDestination(f"duckdb:///{path}{options}", folder=path.parent)
    destination.open()
    return destination


def land(path: Path, *slices: Slice) -> None:
    """Land slices as one unit, and close."""
    destination = opened(path)
    try:
        destination.commit(unit(*slices))
    finally:
        destination.close()


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, in UTC; zoned times are to be cast by the query."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(sql).fetchall()


def columns(path: Path, table: str = "orders") -> dict[str, str]:
    with duckdb.connect(str(path)) as connection:
        quoted = table.replace('"', '""')
        return {row[0]: row[1] for row in connection.execute(f'DESCRIBE "{quoted}"').fetchall()}


def tables(path: Path) -> list[str]:
    """Every table but the framework's two."""
    found = query(path, "SELECT table_name FROM duckdb_tables() ORDER BY 1")
    return [name for (name,) in found if not name.startswith("_vdk_datasource_")]


def states(path: Path) -> Sequence[tuple[str, int, str]]:
    """Partition, version and state of each, without what is kept of those that were forgotten."""
    return query(path, "SELECT partition, version, state FROM _vdk_datasource_state WHERE source_id <> '' ORDER BY 1")
