"""Reading an HTTP API, against asking for its pages and doing nothing with them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import Bench
from measure import Measured, MeasuringError, Run
from report import Comparison, Target

RECORDS = 200_000
ALLOWED = 1.5
"""Times what a bare loop of requests takes that decodes and counts."""


def measure(bench: Bench) -> list[Comparison]:
    """Seconds within the processes, without their start: what is compared is the reading."""
    limit = bench.environments.peer("rest-limit", "requests", "msgspec") / "python"
    here, ours = Path(__file__).parent, bench.ours / "python"
    commands: dict[str, Sequence[str | Path]] = {
        "requests and msgspec, counting": [limit, bench.peers / "rest_count.py"],
        "the source's records": [ours, here / "rest_read.py", "records"],
        "the same with a cursor": [ours, here / "rest_read.py", "cursor"],
        "a flow: columns for a destination that drops them": [ours, here / "rest_read.py", "flow"],
    }
    taken: dict[str, list[Run]] = {name: [] for name in commands}
    with served(bench.peers / "rest_server.py") as base_url:
        for number in range(-1, bench.runs):
            for name, (python, script, *more) in commands.items():
                run = run_once([python, script, base_url, *more])
                if number >= 0:
                    taken[name].append(run)
    measured = [Measured(name, runs, RECORDS) for name, runs in taken.items()]
    ratio = measured[1].wall / measured[0].wall
    targets = [Target("the source's records, times a bare loop", ratio, ALLOWED)]
    return [Comparison(f"An HTTP API, {RECORDS:,} records in pages of 1,000", measured, measured[0].name, targets)]


def run_once(command: Sequence[str | Path]) -> Run:
    """A script that prints its seconds, processor seconds and records. Raises ``MeasuringError``."""
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
    if done.returncode:
        raise MeasuringError(f"{command} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    wall, cpu, records = done.stdout.split()
    if int(records) != RECORDS:
        raise MeasuringError(f"{command} read {records} records, not {RECORDS}")
    return Run(float(wall), float(cpu), 0)


@contextmanager
def served(script: Path) -> Iterator[str]:
    """The base URL of the server, which runs in a process of its own."""
    process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
