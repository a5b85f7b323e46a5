"""Ten tables in one flow, read one after the other and in parallel."""

from __future__ import annotations

import data
from bench import Bench, flow, lands, removing
from big import QUIET
from measure import Contender
from report import Comparison, Target

TABLES = 10
IN_SEQUENCE, IN_PARALLEL = "in sequence", "in parallel"


def measure(bench: Bench) -> list[Comparison]:
    """Ten tables of which each has a tenth of the rows of the large job."""
    rows = max(bench.rows // TABLES, 1)
    database = data.orders(bench.folder / "data" / f"orders-{TABLES}x{rows}.db", rows, tables=TABLES)
    contenders = []
    for name, partitions in ((IN_SEQUENCE, 1), (IN_PARALLEL, 4)):
        space = bench.space(f"tables-{partitions}")
        lake = space / "lake.duckdb"
        path = flow(space, database, target=f"duckdb:///{lake}", more=f"max_parallel_partitions = {partitions}")
        every = " + ".join(f"(SELECT count(*) FROM orders_{number:02})" for number in range(TABLES))
        contenders.append(
            Contender(
                name,
                [bench.ours / "vdk", "datasource", "run", path],
                environment=QUIET,
                prepare=removing(lake),
                check=lands(bench, lake, f"{every} = {rows * TABLES}", "(SELECT 1)"),
                rows=rows * TABLES,
            )
        )
    measured = bench.measure(*contenders)
    target = Target("parallel / sequence", measured[1].wall / measured[0].wall, 1.0)
    return [Comparison(f"{TABLES} tables of {rows:,} rows", measured, IN_SEQUENCE, [target])]
