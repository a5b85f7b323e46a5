"""One large table from SQLite into each target: ours, the target's bare writer, and the peers that can write it."""

from __future__ import annotations

from dataclasses import replace

import data
from bench import QUIET, Bench, flow
from landing import landings
from measure import Command, Contender
from report import OURS, Comparison, Target, ahead
from rivals import Road, dlt, sling

LIMITS = {"PostgreSQL": 1.2, "Parquet": 1.2, "SQLite": 1.2}
"""Times what the bare writer takes. DuckDB has a job of its own, ``sqlite``."""
BARE = "the bare writer (limit)"


def measure(bench: Bench) -> list[Comparison]:
    """A cold process reads a table with a cursor for the first time."""
    return [_into(bench, target, limit) for target, limit in LIMITS.items()]


def _into(bench: Bench, target: str, limit: float) -> Comparison:
    database = data.orders(bench.folder / "data" / f"orders-{bench.rows}.db", bench.rows)
    road = Road("SQLite", {bench.rows: f"sqlite:///{database}"}, bench.rows)
    python = bench.adbc
    with landings(bench, target) as place:
        bare, we, of_dlt, of_sling = (place(name) for name in ("bare", "ours", "dlt", "sling"))
        copy: Command = [python, bench.peers / "adbc_to_target.py", database, bare.url]
        path = flow(bench.space(f"flow-{target}"), "sqlite", f'database = "{database}"', we.url)
        run: Command = [bench.ours / "vdk", "datasource", "run", path]
        dataset = "bench_dataset.orders" if target == "PostgreSQL" else "orders"
        contenders = [
            Contender(BARE, copy, prepare=bare.empty, check=bare.has(bench.rows), rows=bench.rows),
            Contender(OURS, run, None, QUIET, we.empty, we.has(bench.rows), rows=bench.rows),
            replace(
                dlt(bench, road, "connectorx", of_dlt),
                check=of_dlt.has(bench.rows, dataset),
                runs=1 if target == "SQLite" else 2,
            ),
        ]
        if target != "Parquet":  # sling downloads a program for it
            contenders.append(
                replace(sling(bench, road, of_sling.url), prepare=of_sling.empty, check=of_sling.has(bench.rows))
            )
        measured = bench.measure(*contenders)
    least, own = measured[:2]
    targets = [Target("times the bare writer", own.wall / least.wall, limit), ahead(measured, own)]
    return Comparison(f"{bench.rows:,} rows, 10 columns, SQLite → {target}", measured, BARE, targets)
