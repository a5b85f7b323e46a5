"""Scripts that land in processes of their own, so that those can be killed, or be given a small disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lakes import Lake
from landing import query, states, tables

FILL = """
import resource, sys
from landing import APPEND, KEY, connected, rows, unit
from vdk.plugin.datasource_base.contract import DestinationError

if sys.argv[2] != "0":
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
destination = connected(sys.argv[1])
version = 0
try:
    for number in range(1000):
        ids = range(number * 10_000, number * 10_000 + 10_000)
        data = {"id": list(ids), "text": [f"{one * 2654435761 % 2**64:020d}" * 3 for one in ids]}
        version = destination.commit(unit(rows(APPEND, data), state={"n": number + 1}, version=version))
        print(number + 1, flush=True)
except DestinationError as error:
    print("refused:", error)
    destination.close()
"""


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}  # PYTHONSAFEPATH keeps the folder off the path


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script that imports these tests' helpers."""
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def consistent(lake: Lake | Path) -> int:
    """The state's number, after a look that exactly its rows are there."""
    if "orders" not in tables(lake):
        return 0
    ((_, version, state),) = states(lake)
    assert state == f'{{"n": {version}}}'
    assert query(lake, "SELECT count(*), count(DISTINCT id), max(id) + 1 FROM orders") == [(version * 10_000,) * 3]
    return version
