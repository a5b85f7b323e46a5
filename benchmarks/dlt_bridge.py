"""One large table from SQLite into DuckDB by dlt: read by our source, beside dlt's own source of databases."""

from __future__ import annotations

import data
from bench import Bench, emptied, lands
from measure import Contender
from report import Comparison, Target
from rivals import OFFLINE, Road, dlt

BY_OURS = "our source, by dlt"
BACKEND = "connectorx"
"""The fastest of dlt's."""


def measure(bench: Bench) -> list[Comparison]:
    """Cold processes, dlt's normalising and loading included, which is the same for both."""
    file = data.orders(bench.folder / "data" / f"orders-{bench.rows}.db", bench.rows)
    road = Road("SQLite", {bench.rows: f"sqlite:///{file}"}, bench.rows)
    space = bench.space("dlt-by-ours")
    lake = space / "lake.duckdb"
    by_ours = Contender(
        BY_OURS,
        [bench.dlt / "python", bench.peers / "dlt_by_ours.py", file, lake, space / "dlt"],
        environment=OFFLINE,
        prepare=emptied(space),
        check=lands(bench, lake, f"count(*) = {bench.rows}", "bench_dataset.orders"),
        rows=bench.rows,
    )
    own = dlt(bench, road, BACKEND)
    measured = bench.measure(by_ours, own, dlt(bench, road, "pyarrow"))
    comparison = Comparison(f"{bench.rows:,} rows, 10 columns, SQLite → dlt → DuckDB, cold process", measured, own.name)
    we, they = comparison.of(BY_OURS), comparison.of(own.name)
    targets = [
        Target(f"times dlt's own source, {BACKEND} backend", we.wall / they.wall, 1.0),
        Target("the same, by processor time", we.cpu / they.cpu, 1.0),
    ]
    return [Comparison(comparison.title, measured, own.name, targets)]
