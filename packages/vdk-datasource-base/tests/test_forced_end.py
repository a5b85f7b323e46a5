"""A process that runs a flow ends in bounded time after a signal, whatever a source or a destination does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VDK = [sys.executable, "-m", "vdk.internal.cli_entry", "datasource", "run", "flow.toml"]
SCRIPT = [sys.executable, "-c", "from vdk.plugin.datasource_base import run_flows; run_flows(None, 'flow.toml')"]
FLOW = """
[sources.src]
name = "hanging"
[destinations.lake]
method = "hanging"
[[flows]]
from = "src"
to = "lake"
transform = "hanging_source:transform"
"""
PLACES = [
    "identity", "connect", "streams", "schema", "partitions", "read", "transform", "disconnect",
    "open", "load_states", "commit", "close", "log handler",
]  # fmt: skip


pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("usual_signals")]


@contextmanager
def hanging(folder: Path, place: str, command: list[str], stop_seconds: str = "0.3") -> Iterator[subprocess.Popen[str]]:
    """A run that hangs at a place."""
    info = folder / "hanging_source-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hanging-source\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        "[vdk.datasource.sources]\nhanging = hanging_source:HangingSource\n"
        "[vdk.datasource.destinations]\nhanging = hanging_source:HangingDestination\n",
        "utf-8",
    )
    (folder / "hanging_source.py").write_text((HERE / "hanging_source.py").read_text("utf-8"), "utf-8")
    (folder / "flow.toml").write_text(FLOW, "utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "HANGS_AT": place,
        "VDK_VERSION_CHECK_DISABLED": "true",
        "DATASOURCE_STOP_SECONDS": stop_seconds,
    }
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for _ in range(6000):
            if (folder / "hangs").exists() or process.poll() is not None:
                break
            time.sleep(0.01)
        assert process.poll() is None, process.communicate(timeout=10)
        assert (folder / "hangs").exists()
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


@pytest.mark.parametrize("place", PLACES)
def test_a_job_ends_after_one_signal_wherever_it_hangs(tmp_path: Path, place: str) -> None:
    """With the exit code of the signal."""
    with hanging(tmp_path, place, VDK) as process:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 143, output
        assert "Pluggy" not in output  # a signal is not the fault of a plugin


@pytest.mark.parametrize("place", ["lock held", "connect"])
@pytest.mark.parametrize("command", [VDK, SCRIPT], ids=["vdk", "python"])
def test_a_second_signal_ends_the_process_where_no_handler_of_python_runs(
    tmp_path: Path, place: str, command: list[str]
) -> None:
    """A library holds the interpreter's lock, or swallows what the first one raised."""
    with hanging(tmp_path, place, command, stop_seconds="600") as process:
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)  # two signals that wait together are one
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM
