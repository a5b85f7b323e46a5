"""What a row costs, and how much memory it takes, from small tables to large ones."""

from __future__ import annotations

import data
from bench import Bench, flow, lands, removing
from big import QUIET
from measure import Contender, Measured
from report import MIB, Comparison, Target, bars

SMALLEST, STEPS = 10_000, 4


def measure(bench: Bench) -> list[Comparison]:
    """Tables of 10,000 rows, and ten times as many, up to ten times those of the large job."""
    sizes = [SMALLEST * 10**step for step in range(STEPS) if SMALLEST * 10**step <= bench.rows * 10]
    contenders = []
    for rows in sizes:
        space = bench.space(f"growth-{rows}")
        lake = space / "lake.duckdb"
        database = data.orders(bench.folder / "data" / f"orders-{rows}.db", rows)
        path = flow(space, database, target=f"duckdb:///{lake}")
        contenders.append(
            Contender(
                f"{rows:,} rows",
                [bench.ours / "vdk", "datasource", "run", path],
                environment=QUIET,
                prepare=removing(lake),
                check=lands(bench, lake, f"count(*) = {rows}"),
                runs=None if rows < 10**7 else 3,
                rows=rows,
            )
        )
    measured = bench.measure(*contenders)
    return [Comparison("Growth", measured, measured[-1].name, _targets(measured), _chart(measured))]


def _costs(measured: list[Measured]) -> list[tuple[str, float]]:
    """Microseconds a row takes beyond what the smallest table takes: start-up is no cost of rows."""
    first = measured[0]
    return [(one.name, (one.wall - first.wall) / (one.rows - first.rows) * 1e6) for one in measured[1:]]


def _targets(measured: list[Measured]) -> list[Target]:
    costs = [cost for _, cost in _costs(measured)]
    if len(costs) < 2:
        return []
    return [
        Target("cost of a row in the largest table / in the next smaller one", costs[-1] / costs[-2], 1.2),
        Target("memory of the largest / of the next smaller one", measured[-1].peak / measured[-2].peak, 1.2),
    ]


def _chart(measured: list[Measured]) -> list[str]:
    memory = [(one.name, one.peak / MIB) for one in measured]
    return ["", "a row, beyond start-up", *bars(_costs(measured), unit="µs"), "", "memory", *bars(memory, unit="MB")]
