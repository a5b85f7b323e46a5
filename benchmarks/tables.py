"""Many small tables into each target, against one table with all their rows; and ten tables read in parallel."""

from __future__ import annotations

import data
from bench import QUIET, Bench, flow, lands, removing
from landing import TARGETS, landings
from measure import Command, Contender
from report import Comparison, Target

TABLES, ROWS = 400, 100
LARGER_TABLES = 10
IN_SEQUENCE, IN_PARALLEL = "in sequence", "in parallel"


def measure(bench: Bench) -> list[Comparison]:
    """Each target, and then the flow of ten larger tables."""
    return [*(_many(bench, target) for target in TARGETS), _parallel(bench)]


def _many(bench: Bench, target: str) -> Comparison:
    """The second run finds nothing, as ``discover`` does, which lists the tables of the source."""
    tables = max(min(TABLES, bench.rows // 500), 2)
    rows = tables * ROWS
    many = data.orders(bench.folder / "data" / f"orders-{tables}x{ROWS}.db", ROWS, tables=tables)
    one = data.orders(bench.folder / "data" / f"orders-{rows}.db", rows)
    vdk = bench.ours / "vdk"
    with landings(bench, target) as place:
        of_one, of_many = place("one"), place("many")
        path, paths = (
            flow(bench.space(f"flow-{name}"), "sqlite", f'database = "{database}"', landing.url)
            for name, database, landing in (("one", one, of_one), ("many", many, of_many))
        )
        single: Command = [vdk, "datasource", "run", path]
        run: Command = [vdk, "datasource", "run", paths]
        discovering: Command = [vdk, "datasource", "discover", paths]
        last = of_many.has(ROWS, f"orders_{tables - 1:03}")
        measured = bench.measure(
            Contender(f"one table of {rows:,} rows", single, None, QUIET, of_one.empty, of_one.has(rows), rows=rows),
            Contender(f"{tables} tables of {ROWS} rows", run, None, QUIET, of_many.empty, last, runs=3, rows=rows),
        )
        measured += bench.measure(
            Contender("discover, of the many", discovering, environment=QUIET),
            Contender("a second run of the many, which finds nothing", run, environment=QUIET, runs=3),
        )
    whole, split, discover, idle = measured
    targets = [
        Target(f"{tables} tables / one with all their rows", split.wall / whole.wall, 2),
        Target("an idle second run / discover", idle.wall / discover.wall, 2),
    ]
    return Comparison(f"{tables} small tables, SQLite → {target}", measured, whole.name, targets)


def _parallel(bench: Bench) -> Comparison:
    """Ten tables of which each has a tenth of the rows of the large job."""
    rows = max(bench.rows // LARGER_TABLES, 1)
    database = data.orders(bench.folder / "data" / f"orders-{LARGER_TABLES}x{rows}.db", rows, tables=LARGER_TABLES)
    every = " + ".join(f"(SELECT count(*) FROM orders_{number:03})" for number in range(LARGER_TABLES))
    contenders = []
    for name, partitions in ((IN_SEQUENCE, 1), (IN_PARALLEL, 4)):
        space = bench.space(f"tables-{partitions}")
        lake = space / "lake.duckdb"
        more = f"max_parallel_partitions = {partitions}"
        path = flow(space, "sqlite", f'database = "{database}"', f"duckdb:///{lake}", more)
        check = lands(bench, lake, f"{every} = {rows * LARGER_TABLES}", "(SELECT 1)")
        run: Command = [bench.ours / "vdk", "datasource", "run", path]
        contenders.append(Contender(name, run, None, QUIET, removing(lake), check, rows=rows * LARGER_TABLES))
    measured = bench.measure(*contenders)
    target = Target("parallel / sequence", measured[1].wall / measured[0].wall, 1.0)
    return Comparison(f"{LARGER_TABLES} tables of {rows:,} rows, SQLite → DuckDB", measured, IN_SEQUENCE, [target])
