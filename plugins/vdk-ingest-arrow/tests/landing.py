"""What these tests land with, and how they look at what landed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lakes import DuckDBLake, Lake
from vdk.plugin.datasource_base.parts import CommitUnit, Destination, StateKey, TableBatch, TableSpec
from vdk.plugin.datasource_base.parts.columns.types import normalize_types
from vdk.plugin.ingest_arrow.targets import arrow_destination

KEY = StateKey("shop", "sqlite /shop.db", "orders", "", "orders")
APPEND = TableSpec("orders", "append")
UPSERT = TableSpec("orders", "upsert", ("id",))
REPLACE = TableSpec("orders", "replace")


def partition(name: str) -> StateKey:
    return StateKey(KEY.source_id, KEY.source_identity, KEY.stream, name, KEY.table)


def rows(spec: TableSpec, data: Mapping[str, Any] | pa.Table) -> TableBatch:
    """Rows as the runtime hands them over: with normalized types."""
    return TableBatch(spec, "rows", normalize_types(data if isinstance(data, pa.Table) else pa.table(dict(data))))


def deletes(spec: TableSpec, data: Mapping[str, Any]) -> TableBatch:
    return TableBatch(spec, "deletes", pa.table(dict(data)))


def unit(
    *batches: TableBatch,
    state: Mapping[str, Any] | None = None,
    version: int = 0,
    key: StateKey = KEY,
    run_id: str = "run-1",
) -> CommitUnit:
    return CommitUnit(key, batches, state, version, run_id)


def connected(target: str) -> Destination:
    destination = arrow_destination(target, folder=Path())
    destination.open()
    return destination


# A path is a DuckDB file's.


def lake_of(lake: Lake | Path) -> Lake:
    return DuckDBLake(lake) if isinstance(lake, Path) else lake


def opened(lake: Lake | Path, options: str = "") -> Destination:
    return lake_of(lake).opened(options)


def land(lake: Lake | Path, *batches: TableBatch) -> None:
    """Land batches as one unit, and close."""
    destination = opened(lake)
    try:
        destination.commit(unit(*batches))
    finally:
        destination.close()


def query(lake: Lake | Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, in UTC; zoned times are to be cast by the query."""
    return lake_of(lake).query(sql)


def columns(lake: Lake | Path, table: str = "orders") -> dict[str, str]:
    return lake_of(lake).columns(table)


def tables(lake: Lake | Path) -> list[str]:
    """Every table but the framework's two."""
    return [name for name in lake_of(lake).all_tables() if not name.startswith("_vdk_datasource_")]


def states(lake: Lake | Path) -> Sequence[tuple[str, int, str]]:
    """Partition, version and state of each. The row that keeps the versions of forgotten ones has no source."""
    return query(lake, "SELECT partition, version, state FROM _vdk_datasource_state WHERE source_id <> '' ORDER BY 1")
