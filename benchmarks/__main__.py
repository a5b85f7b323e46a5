"""``python benchmarks``: measures what was chosen, prints tables, and writes them into docs/performance.md.

One failing contender has its reason in its row, and one failing job does not stop the others.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

import commits
import dlt_bridge
import document
import growth
import kafka
import mysql
import on_spark
import payloads
import postgres
import reading
import redaction
import rest
import second
import serving
import shapes
import singer
import sqlite
import startup
import tables
import targets
from bench import Bench, Job
from report import OURS, as_json, as_text, machine

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
JOBS: dict[str, Job] = {
    "sqlite": sqlite.measure,
    "postgres": postgres.measure,
    "mysql": mysql.measure,
    "rest": rest.measure,
    "kafka": kafka.measure,
    "singer": singer.measure,
    "dlt": dlt_bridge.measure,
    "targets": targets.measure,
    "growth": growth.measure,
    "second": second.measure,
    "startup": startup.measure,
    "tables": tables.measure,
    "shapes": shapes.measure,
    "payloads": payloads.measure,
    "redaction": redaction.measure,
    "commits": commits.measure,
    "reading": reading.measure,
    "cloudquery": serving.measure,
    "spark": on_spark.measure,
}
QUICK_ROWS = 20_000


def main() -> int:
    asked = _arguments()
    rows, runs = asked.rows or (QUICK_ROWS if asked.quick else 1_090_000), asked.runs or (1 if asked.quick else 5)
    bench = Bench(asked.folder.resolve(), rows, runs, asked.installed and asked.installed.absolute())
    bench.folder.mkdir(parents=True, exist_ok=True)
    page = asked.write or (None if asked.quick else PAGE)
    jobs = asked.only or list(JOBS)
    if page is not None:
        for name in jobs:
            document.around(page, name)  # raises before hours of measuring, and not after
    failed = [name for name in jobs if not _done(name, bench, asked.folder / "results.json", page)]
    print(f"failed: {', '.join(failed)}" if failed else "every job ran")
    return 1 if failed else 0


def _done(name: str, bench: Bench, results: Path, page: Path | None) -> bool:
    """Run a job, and print and write what it found. Whether it ran, and all of ours in it."""
    started = time.monotonic()
    bench.environments.versions.clear()
    try:
        comparisons = JOBS[name](bench)
    except (Exception, SystemExit):  # whatever it is, the other jobs can still be measured
        traceback.print_exc()
        return False
    finally:
        bench.clear()
    for comparison in comparisons:
        print(f"\n{as_text(comparison)}", flush=True)
    about = document.about(machine(), bench.environments.versions, rows=bench.rows, runs=bench.runs)
    print(f"{name}: {time.monotonic() - started:.0f} s; {about}", flush=True)
    everything = json.loads(results.read_text("utf-8")) if results.exists() else {}
    everything[name] = {"about": about, "comparisons": [as_json(each) for each in comparisons]}
    results.write_text(json.dumps(everything, indent=2, ensure_ascii=False), "utf-8")
    if page is not None:
        document.write(page, name, comparisons, about)
    # a peer may fail, and we may not
    return all(each.runs for found in comparisons for each in found.measured if each.name.startswith(OURS))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(JOBS), help="this job only; can be given again")
    parser.add_argument(
        "--quick", action="store_true", help="small tables, one run, nothing written: a check that all works"
    )
    parser.add_argument("--rows", type=int, help="rows of the large job (default: 1,090,000)")
    parser.add_argument("--runs", type=int, help="runs that count, after one that does not (default: 5)")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".bench", help="environments, data, results (default: .bench)"
    )
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced (default: docs/performance.md)")
    parser.add_argument("--installed", type=Path, help="bin folder of an environment to measure instead of a new one")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
