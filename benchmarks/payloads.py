"""The source that a beginner writes: one payload for each row, each with its state."""

from __future__ import annotations

from bench import QUIET, Bench, lands, removing
from measure import Contender
from report import Comparison, Target

ROWS = 10_000
FEW, MANY = "1 payload", f"{ROWS:,} payloads of one row and a state each"
JOB = """
import sys
from vdk.plugin.datasource_base.runtime import Environment, execute
environment = Environment()
environment.registry.add("naive", "naive_source:NaiveSource")
execute({
    "sources": {"naive": {"name": "naive", "config": {"rows": int(sys.argv[1])}}},
    "destinations": {"lake": {"method": "arrow", "target": "duckdb:///" + sys.argv[2]}},
    "flows": [{"from": "naive", "to": "lake"}],
}, environment)
"""


def measure(bench: Bench) -> list[Comparison]:
    """Rows per second beyond the start-up, which is that of the same flow with a single payload."""
    python = bench.ours / "python"
    contenders = []
    for name, rows in ((FEW, 1), (MANY, ROWS), ("ten times as many", ROWS * 10)):
        lake = bench.space(f"payloads-{rows}") / "lake.duckdb"
        contenders.append(
            Contender(
                name,
                [python, "-c", JOB, str(rows), lake],
                environment={**QUIET, "PYTHONPATH": str(bench.peers)},
                prepare=removing(lake),
                check=lands(bench, lake, f"count(*) = {rows}", "numbers"),
                rows=rows,
            )
        )
    measured = bench.measure(*contenders)
    few, _, most = measured
    speed = (most.rows - few.rows) / (most.wall - few.wall)
    target = Target("rows/s beyond start-up", speed, 100_000, least=True)
    return [Comparison("One row in each payload", measured, FEW, [target])]
