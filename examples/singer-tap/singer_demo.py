"""Writes data, runs the job, changes the data, runs the job again, and shows what landed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
from tabulate import tabulate

JOB = Path(__file__).resolve().parent
DATA = JOB / "data"
MOONS: list[dict[str, Any]] = [
    {"name": "Io", "planet": "Jupiter", "radius_km": 1821.6, "changed": "2026-01-01T00:00:00Z"},
    {"name": "Europa", "planet": "Jupiter", "radius_km": 1560.8, "changed": "2026-01-02T00:00:00Z"},
    {"name": "Titan", "planet": "Saturn", "radius_km": 2574.7, "changed": "2026-01-03T00:00:00Z", "notes": "hazy"},
]


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    planets = [{"name": "Jupiter", "moons": 95}, {"name": "Pluto", "moons": 5}]
    write(planets, MOONS)
    first = run_job()
    triton = {"name": "Triton", "planet": "Neptune", "radius_km": 1353.4, "changed": "2026-02-01T00:00:00Z"}
    deleted = {"name": "Io", "changed": "2026-02-02T00:00:00Z", "_sdc_deleted_at": "2026-02-02T00:00:00Z"}
    write(planets[:1], [*MOONS[1:], triton, deleted])
    second = run_job()
    print("First run:\n")
    show(first)
    print("\nSecond run, with a new moon, a deleted moon, and a planet less:\n")
    show(second)
    with duckdb.connect(str(DATA / "lake.duckdb"), read_only=True) as lake:
        print("\nWhat is in the lake:\n")
        moons = lake.execute("SELECT * FROM moons ORDER BY name")
        rows = moons.fetchall()
        print(tabulate(rows, headers=[column[0] for column in moons.description or ()]))
        counts = lake.execute("SELECT count(*) FROM planets").fetchone()
    if [row[0] for row in rows] != ["Europa", "Titan", "Triton"] or counts != (1,):
        sys.exit("The lake should have three moons and one planet.")
    print("\nThe second run landed what changed, and deleted what is gone.")


def write(planets: list[dict[str, Any]], moons: list[dict[str, Any]]) -> None:
    (DATA / "moons.json").write_text(json.dumps({"planets": planets, "moons": moons}), encoding="utf-8")


def run_job() -> dict[str, dict[str, int]]:
    """One ``vdk run``; returns the counts of its summary, by stream."""
    command = [sys.executable, "-m", "vdk.internal.cli_entry", "run", str(JOB)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n\nThe job failed; its log is above.")
    streams = json.loads((DATA / "summary.json").read_text("utf-8"))["streams"]
    return {stream["stream"]: stream for stream in streams}


def show(streams: dict[str, dict[str, int]]) -> None:
    columns = ["rows_read", "rows_landed", "rows_deleted"]
    rows = [[name, *(counts[column] for column in columns)] for name, counts in streams.items()]
    print(tabulate(rows, headers=["stream", *columns]))


if __name__ == "__main__":
    main()
