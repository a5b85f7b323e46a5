"""Starts the API, runs the job twice, with changed issues in between, and shows what landed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import forge
from tabulate import tabulate

JOB = Path(__file__).resolve().parent
DATA = JOB / "data"
LAKE = DATA / "lake.duckdb"


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for old in [LAKE, *DATA.glob("lake.duckdb.*")]:
        old.unlink(missing_ok=True)
    with forge.served() as server:
        first, requests = run_job(server), len(server.requests)
        server.changed = True
        second = run_job(server)
    print(f"First run, with {requests} requests, one of which was answered by 429 and asked again:\n")
    show(first)
    print("\nSecond run, after one issue of each repository was closed and another opened:\n")
    show(second)
    with duckdb.connect(str(LAKE), read_only=True) as lake:
        query = (
            "SELECT repos_full_name, number, state, closed_by FROM issues WHERE updated_at > '2026-02' ORDER BY 1, 2"
        )
        result = lake.execute(query)
        print(f"\nChanged issues in {LAKE.name}:\n")
        print(tabulate(result.fetchall(), headers=[column[0] for column in result.description or ()]))
    if second["issues"] != 6:
        sys.exit(f"The second run should have landed 6 issues, and landed {second['issues']}.")
    print("\nThe second run landed the changed issues and no others.")


def run_job(server: forge.Forge) -> dict[str, int]:
    """One ``vdk run``; returns the rows that landed, by stream."""
    environment = {**os.environ, "FORGE_URL": server.url, "FORGE_TOKEN": forge.TOKEN}
    command = [sys.executable, "-m", "vdk.internal.cli_entry", "run", str(JOB)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n\nThe job failed; its log is above.")
    streams = json.loads((DATA / "forge.json").read_text("utf-8"))["streams"]
    return {stream["stream"]: stream["rows_landed"] for stream in streams}


def show(landed: dict[str, int]) -> None:
    print(tabulate(landed.items(), headers=["stream", "rows landed"]))


if __name__ == "__main__":
    main()
