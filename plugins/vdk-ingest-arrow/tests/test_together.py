"""Three runs of one flow at once: each row lands once, and whoever loses is told what the documentation says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lakes import Lake, any_target
from processes import ENVIRONMENT
from ticks import all_rows
from vdk.plugin.datasource_base import run_flows

pytestmark = pytest.mark.heavy

RUN = """
import sys
from test_together import flow
from vdk.plugin.datasource_base import run_flows

print("ready", flush=True)
sys.stdin.readline()
run_flows(None, flow(*sys.argv[1:]))
"""


def flow(target: str, mode: str, states: str) -> dict[str, Any]:
    config = {"upto": 30, "pause": 0.01, "partitions": 2, "states": states == "True"}
    return {
        "sources": {"src": {"name": "ticks", "config": config}},
        "destinations": {"lake": {"method": "arrow", "target": target}},
        "flows": [{"from": "src", "to": "lake", "batch_rows": 3, "write_mode": mode}],
    }


@any_target
@pytest.mark.parametrize(("mode", "states"), [("append", True), ("upsert", True), ("replace", False)])
def test_of_three_runs_at_once_the_losers_say_so(lake: Lake, mode: str, states: bool, ticks_installed: Path) -> None:
    if mode == "upsert" and lake.kind == "parquet":
        pytest.skip("files are not upserted")
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{ticks_installed}"}
    command = [sys.executable, "-c", RUN, lake.target("?lock_timeout=30s"), mode, str(states)]

    def begun() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    runs = [begun() for _ in range(3)]
    for one in runs:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in runs:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    told = [run.communicate(timeout=250)[1] for run in runs]
    for text in [text for one, text in zip(runs, told, strict=True) if one.returncode]:
        last = text.strip().splitlines()[-1]
        assert "ConcurrentRunError" in last, last
        assert "Run one job at a time" in last or "run it again, alone" in last, last
    run_flows(None, flow(*command[3:]))
    assert sorted(lake.query("SELECT id, text FROM ticks")) == sorted(all_rows(30, 2))
