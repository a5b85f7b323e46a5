"""The records of runs: in the transaction of their rows, few, and never a reason for a run to fail."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lakes import Lake, ParquetLake, any_target
from landing import APPEND, KEY, REPLACE, opened, query, rows, unit
from vdk.plugin.datasource_base import DataSource, DataSourceConfig, DataSourcePayload, DataSourceStream, data_source
from vdk.plugin.datasource_base.parts import KEPT_RUNS, Destination, Registry, RunRecord, TableSnapshot
from vdk.plugin.datasource_base.runtime import Environment, Options, RunSummary, execute
from vdk.plugin.ingest_arrow.parquet.run_file import RunFile

pytestmark = pytest.mark.libraries

TABLE = "_vdk_datasource_runs"
BEGAN = dt.datetime(2026, 11, 29, 1, 2, 3, 456000, dt.UTC)
RECORD = RunRecord(
    "run-1", "shop", "orders", "orders", BEGAN, rows_read=9, rows_landed=2, state_before='{"": {"n": 1}}'
)

COMMITTED = threading.Event()


class NumbersConfig(DataSourceConfig):
    end: int = 10
    kill_at: int = -1
    password: str = "hunter2hunter2"


class Numbers(DataSourceStream):
    name = "numbers"
    incremental = True

    def __init__(self, config: NumbersConfig) -> None:
        self._config = config

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for number in range(int(state.get("next", 0)), self._config.end):
            if number == self._config.kill_at:
                COMMITTED.wait(60)
                os.kill(os.getpid(), signal.SIGKILL)
            yield DataSourcePayload({"n": number}, state={"next": number + 1})


@data_source(name="numbers", config=NumbersConfig)
class NumbersSource(DataSource[NumbersConfig]):
    def streams(self) -> list[DataSourceStream]:
        return [Numbers(self.config)]

    def committed(self, stream: str, states: Mapping[str, Any]) -> None:
        COMMITTED.set()


def run(target: str, run_id: str = "run-1", **config: Any) -> RunSummary:
    registry = Registry()
    registry.add("numbers", f"{__name__}:NumbersSource")
    flow = {
        "sources": {"src": {"name": "numbers", "config": config}},
        "destinations": {"lake": {"method": "arrow", "target": target}},
        "flows": [{"from": "src", "to": "lake"}],
    }
    return execute(flow, Environment(registry=registry, run_id=run_id, options=Options(batch_rows=2)))


@any_target
def test_a_record_is_read_back_as_it_was_stored(destination: Destination) -> None:
    """Also with a character that no database stores, which is escaped."""
    ended = dataclasses.replace(
        RECORD, ended_at=BEGAN + dt.timedelta(seconds=2), status="failed", error="é\0'; --", retries=3
    )
    destination.record_runs([RECORD, dataclasses.replace(RECORD, source_id="other")])
    destination.record_runs([ended])
    (loaded,) = destination.load_records(["shop"])
    assert dataclasses.replace(loaded, error="", started_at=BEGAN) == dataclasses.replace(ended, error="")
    assert loaded.error in ("é\\0'; --", "é\0'; --")
    assert abs(loaded.started_at - BEGAN) < dt.timedelta(milliseconds=2)
    assert destination.load_records([]) == destination.load_records(["unknown"]) == []


def test_a_record_lands_with_its_rows_or_not_at_all(lake: Lake, destination: Destination) -> None:
    """Also in a group, and with a snapshot."""
    counts = f"SELECT status, rows_landed FROM {TABLE}"
    landing = rows(APPEND, {"id": [1, 2]})
    destination.commit(dataclasses.replace(unit(landing, state={"n": 1}), record=RECORD))
    assert query(lake, counts) == [("running", 2)]
    more = dataclasses.replace(RECORD, rows_landed=4)
    with pytest.raises(Exception, match="version"):
        destination.commit(dataclasses.replace(unit(landing, state={"n": 2}, version=7), record=more))
    assert query(lake, counts) == [("running", 2)]
    destination.commit_group([dataclasses.replace(unit(state={"n": 2}, version=1), record=more)], [landing])
    assert query(lake, counts) == [("running", 4)]
    destination.stage(KEY, [rows(REPLACE, {"id": [5]})], "run-1")
    snapshot = TableSnapshot([REPLACE], [unit(version=2)], dataclasses.replace(RECORD, rows_landed=5))
    destination.publish(snapshot)
    assert query(lake, counts) == [("running", 5)]


@any_target
def test_old_records_are_deleted(destination: Destination) -> None:
    """Of each stream on its own: a stream that runs often does not drive out another."""
    later = [
        dataclasses.replace(RECORD, run_id=f"run-{n}", started_at=BEGAN + dt.timedelta(minutes=n)) for n in range(60)
    ]
    rare = dataclasses.replace(RECORD, stream="rare")
    destination.record_runs([rare, *later])
    loaded = destination.load_records(["shop"])
    assert [record.run_id for record in loaded if record.stream == "orders"] == [
        f"run-{n}" for n in range(59, 59 - KEPT_RUNS, -1)
    ]
    assert [record.stream for record in loaded if record.stream != "orders"] == ["rare"]


@any_target
def test_a_run_is_recorded_with_its_states_and_without_secrets(lake: Lake) -> None:
    run(lake.target(), end=5)
    run(lake.target(), "run-2", end=7, password="7")  # which is no reason to hide the 7 of a state
    destination = opened(lake)
    try:
        second, first = destination.load_records(["src"])
    finally:
        destination.close()
    assert (first.status, first.rows_read, first.rows_landed, first.bytes > 0) == ("succeeded", 5, 5, True)
    assert (first.state_before, first.state_after) == ("{}", '{"": {"next": 5}}')
    assert (second.run_id, second.rows_landed, second.state_before) == ("run-2", 2, '{"": {"next": 5}}')
    assert second.ended_at is not None
    assert second.ended_at >= second.started_at


@any_target
def test_a_run_that_is_killed_has_a_record(lake: Lake) -> None:
    """Of what had landed by a commit of its last second. A folder of files records runs that end."""
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_runs\n"
    script += f"test_runs.run({lake.target()!r}, end=100, kill_at=50)"
    process = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    lake.settle()
    landed = len(query(lake, "SELECT * FROM numbers"))
    recorded = [] if isinstance(lake, ParquetLake) else query(lake, f"SELECT status, rows_landed FROM {TABLE}")
    assert [status for status, _ in recorded] == ["running"] * len(recorded)
    assert [0 < count <= landed for _, count in recorded] == [True] * (not isinstance(lake, ParquetLake))
    run(lake.target(), "run-2", end=100)
    destination = opened(lake)
    try:
        last, *_ = destination.load_records(["src"])
    finally:
        destination.close()
    assert (last.status, last.run_id, last.rows_landed) == ("succeeded", "run-2", 100 - landed)


def test_a_table_of_runs_that_cannot_be_written_fails_no_run(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    """One warning names it."""
    run(lake.target(), end=1)
    query(lake, f"DROP TABLE {TABLE}")
    query(lake, f"CREATE TABLE {TABLE} (id INTEGER)")
    assert run(lake.target(), "run-2", end=5).status == "succeeded"
    assert len(query(lake, "SELECT * FROM numbers")) == 5
    warnings = [record.getMessage() for record in caplog.records if TABLE in record.getMessage()]
    assert len(warnings) == 1
    assert "are missing" in warnings[0]


def test_a_record_that_fails_in_the_transaction_is_left_out(
    lake: Lake, destination: Destination, caplog: pytest.LogCaptureFixture
) -> None:
    """The rows of that transaction land all the same, once."""
    destination.commit(dataclasses.replace(unit(rows(APPEND, {"id": [1]}), state={"n": 1}), record=RECORD))
    wrong = dataclasses.replace(RECORD, rows_landed="many")  # type: ignore[arg-type]  # a wrong value on purpose
    if lake.kind == "sqlite":  # it stores text in a column of numbers
        wrong = dataclasses.replace(RECORD, run_id=None)  # type: ignore[arg-type]  # a wrong value on purpose
    destination.commit(dataclasses.replace(unit(rows(APPEND, {"id": [2]}), state={"n": 2}, version=1), record=wrong))
    assert query(lake, "SELECT id FROM orders ORDER BY 1") == [(1,), (2,)]
    assert query(lake, f"SELECT rows_landed FROM {TABLE}") == [(2,)]
    assert [record.levelname for record in caplog.records if TABLE in record.getMessage()] == ["WARNING"]


def test_a_line_of_a_file_that_is_damaged_is_left_out(tmp_path: Path) -> None:
    """A time without a zone, too: it would keep every later run from being recorded."""
    file = RunFile(tmp_path / "runs.json", tmp_path / "aside")
    file.add([RECORD])
    text = (tmp_path / "runs.json").read_text("utf-8")
    (tmp_path / "runs.json").write_text(f"{{\nnull\n{text}{text.replace('+00:00', '')}", "utf-8")
    file.add([later := dataclasses.replace(RECORD, started_at=BEGAN + dt.timedelta(1))])
    assert file.load() == [later, RECORD]


def test_a_table_of_an_earlier_release_gets_the_column_that_it_lacks(sqlite: Lake, tmp_path: Path) -> None:
    """Runs that were recorded before stay, and have no verification."""
    run(sqlite.target(), end=5)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes()[:6] == b"SQLite")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"ALTER TABLE {TABLE} DROP COLUMN verification")
    destination = opened(sqlite)
    try:
        assert [record.verification for record in destination.load_records(["src"])] == [""]
    finally:
        destination.close()
    run(sqlite.target(), "run-2", end=7)
    assert query(sqlite, f"SELECT run_id, verification FROM {TABLE} ORDER BY run_id") == [
        ("run-1", None),
        ("run-2", ""),
    ]
