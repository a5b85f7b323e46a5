"""What further rows take, and how much memory, beside the limit: one, five and ten times the rows of the large job."""

from __future__ import annotations

from dataclasses import replace

import data
import sqlite
from bench import Bench, ours
from report import MIB, OURS, Comparison, Target, slope

SIZES = (1, 5, 10)


def measure(bench: Bench) -> list[Comparison]:
    """The tables are in the cache of the disk: they were made, or read in the first round, before."""
    contenders = []
    for size in SIZES:
        rows = size * bench.rows
        database = data.orders(bench.folder / "data" / f"orders-{rows}.db", rows)
        pair = (
            sqlite.limit(bench, database, rows),
            ours(bench, f"{OURS}-{rows}", "sqlite", f'database = "{database}"', rows=rows),
        )
        runs = None if size == 1 else 2
        names = (f"ADBC → DuckDB, {rows:,} rows", f"{OURS}, {rows:,} rows")
        contenders += [replace(each, name=name, runs=runs) for name, each in zip(names, pair, strict=True)]
    measured = bench.measure(*contenders)
    limit, we, limit_of_more, more, limit_of_most, most = measured
    seconds, processor = slope((we, limit), (more, limit_of_more))
    targets = [
        Target("seconds of further rows / those of the limit", seconds, 1.15),
        Target("processor seconds of further rows / those of the limit", processor, 1.15),
        Target("the largest table, times the limit", most.wall / limit_of_most.wall, 1.2),
        Target("memory of the largest table / of the smallest", most.peak / we.peak, 1.1),
        Target("peak MB, all processes", most.peak / MIB, 300),
    ]
    return [Comparison("Growth: SQLite → DuckDB, 10 columns", measured, limit.name, targets)]
