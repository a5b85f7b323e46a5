"""What the tests of the Parquet target land with, and how they look at what landed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from landing import unit
from vdk.plugin.datasource_base.parts import Destination, TableBatch
from vdk.plugin.ingest_arrow.targets import arrow_destination


def opened(lake: Path, options: str = "") -> Destination:
    destination = arrow_destination(f"parquet:///{lake}{options}", folder=lake.parent)
    destination.open()
    return destination


def land(lake: Path, *batches: TableBatch, options: str = "") -> None:
    """Land batches as one unit, and close."""
    destination = opened(lake, options)
    try:
        destination.commit(unit(*batches))
    finally:
        destination.close()


def files(lake: Path, table: str = "orders") -> list[str]:
    """The files in a table's folder, in the order in which readers take them."""
    return sorted(path.name for path in (lake / table).iterdir())


def query(lake: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query in DuckDB, in which ``orders`` is the files of that table."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"CREATE VIEW orders AS SELECT * FROM read_parquet('{lake}/orders/*.parquet', union_by_name = true)"
        )
        return connection.execute(sql).fetchall()


def dataset(lake: Path, table: str = "orders") -> pa.Table:
    """All rows as pyarrow reads the folder, nothing said about it."""
    return ds.dataset(lake / table).to_table()


def ids(lake: Path, table: str = "orders") -> list[Any]:
    """The column ``id``, sorted, where both readers have the same."""
    with duckdb.connect() as connection:
        seen = connection.execute(
            f"SELECT id FROM read_parquet('{lake}/{table}/*.parquet', union_by_name = true) ORDER BY id"
        ).fetchall()
    values = sorted(dataset(lake, table).column("id").to_pylist())
    assert [value for (value,) in seen] == values
    return values


def record(lake: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((lake / "_vdk" / "commits.json").read_text("utf-8"))
    return content


def states(lake: Path) -> Sequence[tuple[str, int, Any]]:
    """Partition, version and state of each."""
    return sorted((one["key"]["partition"], one["version"], one["state"]) for one in record(lake)["states"])


def left_over(lake: Path) -> list[str]:
    """Files of the target that no table has and no state."""
    known = {"commits.json", "lock"}
    return sorted(str(path) for path in (lake / "_vdk").rglob("*") if path.is_file() and path.name not in known)


def twice(action: Callable[[], object]) -> None:
    action()
    action()
