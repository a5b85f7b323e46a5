"""The source that a beginner writes: one payload for each row, each with its state."""

from __future__ import annotations

from bench import Bench, lands, removing
from big import QUIET
from measure import Contender
from report import Comparison, Target

ROWS = 10_000
FEW, MANY = "1 payload", f"{ROWS:,} payloads of one row and a state each"
JOB = """
import json, logging, sys, time
from vdk.plugin.datasource_base import run_flows
rows, lake = int(sys.argv[1]), sys.argv[2]
run_flows(None, {
    "sources": {"naive": {"name": "naive", "config": {"rows": rows}}},
    "destinations": {"lake": {"method": "arrow", "target": "duckdb:///" + lake}},
    "flows": [{"from": "naive", "to": "lake"}],
})
"""


def measure(bench: Bench) -> list[Comparison]:
    """Rows per second beyond the start-up, which is that of the same flow with a single payload."""
    python = bench.environments.ours("naive", str(bench.peers / "naive")) / "python"
    contenders = []
    for name, rows in ((FEW, 1), (MANY, ROWS), ("ten times as many", ROWS * 10)):
        lake = bench.space(f"payloads-{rows}") / "lake.duckdb"
        contenders.append(
            Contender(
                name,
                [python, "-c", JOB, str(rows), lake],
                environment=QUIET,
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
