"""A Singer tap over a file into DuckDB: the tap read by ours, beside the same tap piped into a target."""

from __future__ import annotations

import json

from bench import Bench, ours
from measure import Contender
from report import OURS, Comparison, Target, ahead
from rivals import SLOW, piped

TAP = "tap-jsonl==0.3.1"
ALONE = "the tap alone, into nothing (limit)"
ALLOWED = 2.0


def measure(bench: Bench) -> list[Comparison]:
    """Taps write some ten thousand records a second, so a tenth of the rows is read."""
    rows = max(bench.rows // SLOW, 1)
    space = bench.space("singer-tap")
    path = space / "orders.jsonl"
    path.write_text("".join(f"{json.dumps(_order(number))}\n" for number in range(rows)), "utf-8")
    options = {"path": str(path), "stream_name": "orders", "primary_keys": ["id"]}
    tap = bench.environments.peer("singer-jsonl", TAP) / "tap-jsonl"
    lake, target, source = space / "lake.duckdb", space / "target.json", space / "source.json"
    target.write_text(json.dumps({"path": str(lake), "default_target_schema": "main"}), "utf-8")
    source.write_text(json.dumps(options), "utf-8")
    config = (
        f'tap = "tap-jsonl", executable = "{tap}", config = {{ path = "{path}", stream_name = "orders", '
        'primary_keys = ["id"] }'
    )
    measured = bench.measure(
        Contender(ALONE, [tap, "--config", source], rows=rows),
        ours(bench, OURS, "singer", config, rows=rows),
        piped(bench, [tap], target, {rows: options}, rows=rows, scale=1, lake=lake),
    )
    comparison = Comparison(f"{rows:,} records, tap-jsonl → DuckDB, cold process", measured, ALONE)
    we = comparison.of(OURS)
    targets = [Target("times the tap alone", we.wall / comparison.of(ALONE).wall, ALLOWED), ahead(measured, we)]
    return [Comparison(comparison.title, measured, ALONE, targets)]


def _order(number: int) -> dict[str, object]:
    order = {"id": number, "customer": f"customer {number % 997}", "total": number / 4, "open": number % 2 == 0}
    return order | {"at": f"2026-01-{number % 28 + 1:02d}T10:00:00Z", "note": f"note {number}"}
