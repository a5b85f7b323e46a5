"""A Singer tap over a file into DuckDB: read by ours, beside the same tap piped into a target, and run by Meltano."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bench import Bench, lands, ours, removing
from measure import Contender
from report import OURS, Comparison, Target, ahead
from rivals import OFFLINE, SLOW, piped, target_duckdb

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
        _meltano(bench, tap, options, rows=rows),
    )
    comparison = Comparison(f"{rows:,} records, tap-jsonl → DuckDB, cold process", measured, ALONE)
    we = comparison.of(OURS)
    targets = [Target("times the tap alone", we.wall / comparison.of(ALONE).wall, ALLOWED), ahead(measured, we)]
    return [Comparison(comparison.title, measured, ALONE, targets)]


def _meltano(bench: Bench, tap: Path, options: Mapping[str, object], *, rows: int) -> Contender:
    """Meltano with the same tap and target. It keeps the catalog between runs, and here no state."""
    space = bench.space("meltano")
    lake = space / "lake.duckdb"
    loading = {"path": str(lake), "default_target_schema": "main"}
    known = ["catalog", "discover", "state"]
    extractor = {"name": "tap-jsonl", "namespace": "tap_jsonl", "executable": str(tap), "capabilities": known}
    loader = {"name": "target-duckdb", "namespace": "target_duckdb", "executable": str(target_duckdb(bench))}
    plugins = {"extractors": [extractor | {"config": options}], "loaders": [loader | {"config": loading}]}
    project = {"default_environment": "bench", "environments": [{"name": "bench"}], "plugins": plugins}
    # all JSON is YAML
    (space / "meltano.yml").write_text(json.dumps(project | {"send_anonymous_usage_stats": False}), "utf-8")
    meltano = bench.environments.peer("meltano", "meltano") / "meltano"
    return Contender(
        "`meltano run`, into target-duckdb",
        [meltano, "run", "--full-refresh", "tap-jsonl", "target-duckdb"],
        space,
        OFFLINE,
        prepare=removing(lake),
        check=lands(bench, lake, f"count(*) > {rows} * 0.999"),
        rows=rows,
    )


def _order(number: int) -> dict[str, object]:
    order = {"id": number, "customer": f"customer {number % 997}", "total": number / 4, "open": number % 2 == 0}
    return order | {"at": f"2026-01-{number % 28 + 1:02d}T10:00:00Z", "note": f"note {number}"}
