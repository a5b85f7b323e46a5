"""Ctrl-C and SIGTERM: what is complete lands, the exit code says so, and a later run goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ticks import all_rows
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.testing.faults import assert_exactly_once

pytestmark = pytest.mark.heavy

ENDLESS = 100_000
VDK = [sys.executable, "-m", "vdk.internal.cli_entry"]
SCRIPT = "import sys; from vdk.plugin.datasource_base import run_flows; run_flows(None, sys.argv[1])"
COMMANDS = {
    "vdk run": [*VDK, "run", "."],
    "vdk datasource run": [*VDK, "datasource", "run", "10_ticks.ingest.toml"],
    "python": [sys.executable, "-c", SCRIPT, "10_ticks.ingest.toml"],
}
# Python itself answers a KeyboardInterrupt that nobody catches by the signal's own end, which a shell calls 130.
CODES = {signal.SIGINT: {"python": -signal.SIGINT, "vdk": 130}, signal.SIGTERM: {"python": 143, "vdk": 143}}


class Job:
    """A job whose only step reads ticks."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        self._site = site

    def write(self, *, write_mode: str = "append", **config: Any) -> Path:
        """Its flow file."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in {"partitions": 2, **config}.items()]
        path = self.folder / "10_ticks.ingest.toml"
        path.write_text(
            f"""
            summary = "summary.json"
            [sources.src]
            name = "ticks"
            config = {{ {", ".join(lines)} }}
            [destinations.lake]
            method = "arrow"
            target = "duckdb:///lake.duckdb"
            [[flows]]
            from = "src"
            to = "lake"
            batch_rows = 10
            write_mode = "{write_mode}"
            """,
            "utf-8",
        )
        return path

    def begin(self, command: str, *, stop_seconds: str = "20", **config: Any) -> subprocess.Popen[str]:
        """Start a run, and wait until it has read something."""
        begun = self.folder / "begun"
        begun.unlink(missing_ok=True)
        self.write(begun=str(begun), **config)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self._site), os.environ.get("PYTHONPATH", "")]),
            "VDK_VERSION_CHECK_DISABLED": "true",
            "DATASOURCE_STOP_SECONDS": stop_seconds,
        }
        process = subprocess.Popen(
            COMMANDS[command],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        while not begun.exists():
            assert process.poll() is None, process.stdout and process.stdout.read()
            time.sleep(0.01)
        return process

    def complete(self, upto: int, **config: Any) -> None:
        """Run it here, to its end."""
        run_flows(None, self.write(upto=upto, **config))

    @property
    def summary(self) -> Any:
        return json.loads((self.folder / "summary.json").read_text("utf-8"))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(duckdb.connect(str(self.folder / "lake.duckdb"))) as lake:
            return lake.execute(sql).fetchall()


@pytest.fixture(autouse=True)
def usual_signals() -> Iterator[None]:
    """Those of a terminal: a run that is started in the background inherits an ignored SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def job(tmp_path: Path, ticks_installed: Path) -> Job:
    return Job(tmp_path, ticks_installed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_lands_what_is_complete_and_a_later_run_goes_on(
    job: Job, command: str, number: signal.Signals
) -> None:
    """The exit code says which signal, the summary that the run was interrupted and how far it came."""
    process = job.begin(command, upto=ENDLESS, pause=0.01)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == CODES[number][command.partition(" ")[0]], output
    assert job.summary["status"] == "interrupted"
    (stream,) = job.summary["streams"]
    assert stream["status"] == "stopped"
    assert job.query("SELECT count(*) FROM ticks") == [(stream["rows_landed"],)]
    states = job.query("SELECT \"partition\", json_extract(state, '$.next')::INT FROM _vdk_datasource_state")
    assert sum(upto for _, upto in states) == stream["rows_landed"] > 0
    assert dict(states) == {name: state["next"] for name, state in stream["state"]["after"].items()}

    upto = max(upto for _, upto in states) + 9
    job.complete(upto)
    assert_exactly_once(all_rows(upto, 2), job.query("SELECT id, text FROM ticks"))


@pytest.mark.parametrize(("command", "number"), [("vdk run", signal.SIGTERM), ("vdk datasource run", signal.SIGINT)])
def test_a_source_that_does_not_come_back_holds_the_process_for_a_bounded_time(
    job: Job, command: str, number: signal.Signals
) -> None:
    """What the others had read has landed; the summary tells of the one that hung."""
    process = job.begin(command, stop_seconds="1", upto=30, stall_at=15)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == CODES[number]["vdk"], output
    (stream,) = job.summary["streams"]
    assert (stream["status"], stream["error"]) == ("stopped", "interrupted, and its source did not return in time")
    job.complete(30)
    assert_exactly_once(all_rows(30, 2), job.query("SELECT id, text FROM ticks"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_at_once(job: Job, number: signal.Signals) -> None:
    """It dies as by the signal itself; nothing is torn."""
    process = job.begin("vdk run", stop_seconds="600", upto=30, stall_at=15)
    process.send_signal(number)
    assert process.stdout is not None
    for line in process.stdout:
        if "a second signal ends the process at once" in line:
            break
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == -number
    job.complete(30)
    assert_exactly_once(all_rows(30, 2), job.query("SELECT id, text FROM ticks"))


def test_a_replaced_table_stays_as_it_was(job: Job) -> None:
    """Half of the new one is dropped."""
    job.complete(6, write_mode="replace", states=False)
    process = job.begin("vdk run", write_mode="replace", states=False, upto=ENDLESS, pause=0.01)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert_exactly_once(all_rows(6, 2), job.query("SELECT id, text FROM ticks"))
    assert job.query("SELECT count(*) FROM _vdk_datasource_staging") == [(0,)]
