# SPDX-License-Identifier: Apache-2.0
"""The history of runs: shown, restored and undone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs import FLOW, Vdk, job
from support import Lab, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import ConfigurationError, StreamSchema
from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts.run_records import MAX_TEXT
from vdk.plugin.datasource_base.runtime.stored.history import restore_states, run_history
from vdk.plugin.datasource_base.runtime.stored.undo import undo_run
from vdk.plugin.datasource_base.testing import MemoryDestination

APPEND: dict[str, Any] = {"write_mode": "append", "metadata_columns": ["run_id"]}
KEYED = StreamSchema(pa.schema([("n", pa.int64())]), ("n",))


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Lab:
    return Lab(request.node.name, tmp_path)


def runs(lab: Lab, *ends: int, stream: str = "t", **entry: Any) -> list[str]:
    """Runs that read up to each of the ends, and their ids."""
    ids = []
    for end in ends:
        ids.append(lab.run(Whole(stream, counting(end, page=10), KEYED), **entry).run_id)
    return ids


def test_the_history_has_the_states_of_each_run(lab: Lab) -> None:
    first, second = runs(lab, 3, 5, **APPEND)
    newest, oldest = (run.as_dict() for run in run_history(lab.flow(**APPEND), lab.environment()))
    assert (newest["run"], newest["state_before"], newest["state_after"]) == (
        second, {"": {"next": 3}}, {"": {"next": 5}},
    )  # fmt: skip
    assert (oldest["run"], oldest["state_before"], oldest["rows_landed"]) == (first, {}, 3)
    with pytest.raises(ConfigurationError, match="no run of such a stream is recorded; expected one of: t"):
        run_history(lab.flow(**APPEND), lab.environment(), ["other"])


def test_a_run_that_never_ended_was_killed_once_a_later_one_began(lab: Lab) -> None:
    for end, expected in ((3, ["running"]), (5, ["running", "killed"])):
        runs(lab, end, **APPEND)
        records = MemoryDestination(lab.target).records
        records.update({key: replace(record, status="running", ended_at=None) for key, record in records.items()})
        assert [run.record.status for run in run_history(lab.flow(**APPEND), lab.environment())] == expected


@pytest.mark.parametrize(("before", "state"), [(False, {"next": 3}), (True, {})])
def test_states_are_restored_and_the_cost_is_said_first(lab: Lab, before: bool, state: dict[str, int]) -> None:
    first, _ = runs(lab, 3, 5)
    costs: list[str] = []
    restore_states(lab.flow(), lab.environment(), first[:8], before=before, confirm=costs.extend)
    assert lab.states == {("t", ""): state}
    rows = 5 if before else 2
    assert re.search(rf"{rows} rows that landed since are read again.* table 't' has 5 rows now", costs[0])
    assert runs(lab, 5)
    assert lab.numbers("t") == [0, 1, 2, 3, 4]  # upserted


def test_a_run_is_undone_rows_states_and_record(lab: Lab) -> None:
    first, second = runs(lab, 3, 5, **APPEND)
    costs: list[str] = []
    (undone,) = undo_run(lab.flow(**APPEND), lab.environment(), second, confirm=costs.extend)
    assert (undone.rows, lab.numbers("t"), lab.states) == (2, [0, 1, 2], {("t", ""): {"next": 3}})
    assert "the 2 rows of run" in costs[0]
    assert run_history(lab.flow(**APPEND), lab.environment())[0].record.status == "undone"
    undo_run(lab.flow(**APPEND), lab.environment(), first)
    assert (lab.numbers("t"), lab.states) == ([], {("t", ""): {}})
    runs(lab, 5, **APPEND)
    assert lab.numbers("t") == [0, 1, 2, 3, 4]


def changed_record(lab: Lab, **changes: Any) -> None:
    store = MemoryDestination(lab.target)
    for key, record in list(store.records.items()):
        store.records[key] = replace(record, **changes)


def test_what_cannot_be_undone_or_restored_is_refused_by_name(lab: Lab) -> None:
    first, second = runs(lab, 3, 5, **APPEND)
    flow, environment = lab.flow(**APPEND), lab.environment()
    refusals = [
        (lab.flow(**APPEND), first, f"run {second} came after it"),
        (lab.flow(write_mode="append"), second, 'write metadata_columns = ["run_id"]'),
        (lab.flow(metadata_columns=["run_id"]), second, "replaced earlier versions of rows"),
        (lab.flow(write_mode="replace"), second, "replaced the table"),
        (flow, "0000", "no run '0000' is recorded; the newest are"),
    ]
    before = str((lab.tables, lab.states))
    for wrong, run, message in refusals:
        with pytest.raises(ConfigurationError) as raised:
            undo_run(wrong, environment, run)
        assert message in str(raised.value)
    changed_record(lab, rows_landed=7)
    with pytest.raises(DestinationError, match="has landed 7 rows"):
        undo_run(flow, environment, second)
    for changes, message in (
        ({"state_after": ""}, "the record has no states from after it"),
        ({"state_after": '{"": {"token": "***"}}'}, "contain a secret"),
        ({"ended_at": None}, "it has not ended"),
    ):
        changed_record(lab, **changes)
        with pytest.raises(ConfigurationError, match=message):
            restore_states(flow, environment, second)
    assert str((lab.tables, lab.states)) == before


def test_states_that_are_too_long_for_a_record_are_unknown_and_not_none(lab: Lab) -> None:
    long = {"text": "x" * MAX_TEXT}
    lab.run(Whole("t", lambda state: iter([payload(*numbers(0, 1), state=long)]), KEYED))
    (run,) = run_history(lab.flow(), lab.environment())
    assert (run.as_dict()["state_before"], run.as_dict()["state_after"]) == ({}, None)


def test_the_commands_ask_first(tmp_path: Path) -> None:
    text = FLOW.format(upto=3, method="kept", target=str(tmp_path)) + 'metadata_columns = ["run_id"]\n'
    flow = job(tmp_path, {"flow.toml": text}) / "flow.toml"
    vdk = Vdk()
    assert vdk("datasource", "run", flow, "-q").exit_code == 0
    done = vdk("datasource", "state", "history", flow, "-o", "json")
    assert done.exit_code == 0, done.output
    (run,) = json.loads(done.stdout)
    for command in (("undo",), ("state", "restore")):
        refused = vdk("datasource", *command, flow, run["run"])
        assert (refused.exit_code, "to go ahead, add --yes" in refused.output) == (1, True)
    undone = vdk("datasource", "undo", flow, run["run"], "--yes", "-o", "json")
    assert undone.exit_code == 0, undone.output
    assert json.loads(undone.stdout)[0]["rows"] == 3
    assert MemoryDestination.tables(str(tmp_path))["numbers"] == []
