"""Reads a SQLite table in every way, in turns; the first round is a warm-up.

    python reading_read.py FOLDER DATABASE ROWS ROUNDS

Prints a line for each reading: its name, its seconds, and its processor seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import reading
from vdk.plugin.datasource_base import read
from vdk.plugin.datasource_base.parts import Registry
from vdk.plugin.datasource_base.runtime import Environment, execute
from vdk.plugin.datasource_base.testing import MemoryDestination
from vdk.plugin.source_sqlite.source import SqliteConfig, SqliteSource

TARGET = "benchmark"


def run(database: Path, method: str, target: str | None = None, **entry: Any) -> int:
    registry = Registry()
    registry.add_destination("nothing", "nothing:Nothing")
    flow = {
        "sources": {
            "shop": {"name": "sqlite", "config": {"database": str(database), "cursor_columns": ["updated_at"]}}
        },
        "destinations": {"lake": {"method": method, "target": target}},
        "flows": [{"from": "shop", "to": "lake", **entry}],
    }
    summary = execute(flow, Environment(registry=registry, on_summary=lambda summary: None, draw=False))
    return summary.streams[0].rows_read


def opened(database: Path) -> Any:
    return read(SqliteSource(SqliteConfig(database=database, cursor_columns=("updated_at",))), "orders")


def batches(database: Path) -> int:
    with opened(database) as reader:
        return sum(int(batch.num_rows) for batch in reader)


def main(folder: Path, database: Path, rows: int, rounds: int) -> None:
    lake = folder / "lake.duckdb"
    contenders: dict[str, Callable[[], int]] = {
        reading.RUNTIME: lambda: run(database, "nothing", write_mode="append"),
        reading.READ: lambda: batches(database),
        reading.TABLE: lambda: int(opened(database).to_arrow().num_rows),
        reading.DUCKDB: lambda: run(database, "arrow", f"duckdb:///{lake}"),
        reading.SCRATCH: lambda: run(database, "scratch", TARGET),
    }
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            lake.unlink(missing_ok=True)
            MemoryDestination.clear(TARGET)
            wall, cpu = time.perf_counter(), time.process_time()
            if (found := contender()) != rows:
                sys.exit(f"{name}: {found} rows, expected {rows}")
            if number:
                print(json.dumps([name, time.perf_counter() - wall, time.process_time() - cpu]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
