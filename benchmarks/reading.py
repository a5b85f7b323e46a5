"""Compares ``read`` with the runtime's own reading, and the destination ``scratch`` with DuckDB."""

from __future__ import annotations

from pathlib import Path

import data
from bench import Bench
from report import Comparison, Target

RUNTIME, READ, TABLE = "a run that drops the rows", "read, batch by batch", "read, to one Arrow table"
DUCKDB, SCRATCH = "a run into DuckDB", "a run into scratch"


def measure(bench: Bench) -> list[Comparison]:
    """Run all contenders in turns, in one process. Processor time counts: other programs change the time of a clock."""
    rows = bench.rows // 2
    database = data.orders(bench.folder / "data" / f"orders-{rows}.db", rows)
    script = Path(__file__).with_name("reading_read.py")
    command = [bench.ours / "python", script, bench.space("reading"), database, rows, bench.runs]
    measured = bench.measured_in([str(each) for each in command], rows)
    reading = [measured[name] for name in (RUNTIME, READ, TABLE)]
    landing = [measured[name] for name in (DUCKDB, SCRATCH)]
    targets = [Target("processor seconds, read / a run that drops the rows", reading[1].cpu / reading[0].cpu, 1.05)]
    own = [Target("processor seconds, scratch / DuckDB", landing[1].cpu / landing[0].cpu, 1.0)]
    return [
        Comparison(f"Reading a SQLite table in Python, {rows:,} rows of 10 columns", reading, RUNTIME, targets),
        Comparison(f"Landing the same table in memory, {rows:,} rows", landing, DUCKDB, own),
    ]
