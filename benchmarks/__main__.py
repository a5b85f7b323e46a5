"""``python benchmarks``: measures what was chosen, prints tables, and writes everything as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import big
import commits
import growth
import kafka
import mysql
import on_spark
import payloads
import postgres
import reading
import redaction
import rest
import serving
import startup
import tables
from bench import Bench, Job
from report import as_json, as_text, machine

ROOT = Path(__file__).resolve().parents[1]
JOBS: dict[str, Job] = {
    "first": big.first_run,
    "second": big.second_run,
    "tables": tables.measure,
    "growth": growth.measure,
    "payloads": payloads.measure,
    "redaction": redaction.measure,
    "commits": commits.measure,
    "reading": reading.measure,
    "rest": rest.measure,
    "kafka": kafka.measure,
    "mysql": mysql.measure,
    "postgres": postgres.measure,
    "cloudquery": serving.measure,
    "spark": on_spark.measure,
    "startup": startup.measure,
}


def main() -> None:
    asked = _arguments()
    bench = Bench(asked.folder.resolve(), asked.rows, asked.runs)
    bench.folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name in asked.only or JOBS:
        for comparison in JOBS[name](bench):
            print(f"\n{as_text(comparison)}", flush=True)
            found.append(as_json(comparison))
            document = {"machine": machine(), "rows": asked.rows, "runs": asked.runs, "comparisons": found}
            asked.json.write_text(json.dumps(document, indent=2, ensure_ascii=False), "utf-8")
    print(f"as JSON: {asked.json}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(JOBS), help="this job only; can be said again")
    parser.add_argument("--rows", type=int, default=1_090_000, help="rows of the large job (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="runs that count, after one that does not (default: 5)")
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench", help="environments and data (default: .bench)")
    parser.add_argument("--json", type=Path, default=ROOT / ".bench" / "results.json", help="where results go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
