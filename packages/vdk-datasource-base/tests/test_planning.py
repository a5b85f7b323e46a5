"""All flows of a file are planned before the first row of any is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support import QUICK, FailEvery, Lab, Whole, counting, payload
from vdk.plugin.datasource_base import ConfigurationError, ConnectionFailedError, DataSourcePayload, FlowFailedError
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.runtime import execute


def flows(lab: Lab, *entries: dict[str, Any]) -> dict[str, Any]:
    """One flow file: a source for each entry, called a, b, c ..., with one stream of that name."""
    file: dict[str, Any] = {"sources": {}, "destinations": {}, "flows": []}
    for name, entry in zip("abcd", entries, strict=False):
        lab.script(Whole(name, counting(3)), source=name)
        one = lab.flow(source=name, **entry)
        file["sources"].update(one["sources"])
        file["destinations"].update(one["destinations"])
        file["flows"] += one["flows"]
    return file


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"streams": ["x*"]}, r"flows\[3\]\.streams: no stream matches 'x\*'"),
        ({"write_mode": "upsert"}, r"flows\[3\]: write_mode = \"upsert\" needs a primary key"),
        ({"destination_table": "a", "write_mode": "append"}, r"flows\[3\]: .*shared_table = true in"),
        (
            {"destination_table": "_vdk_x"},
            r"flows\[3\]: .* names that begin with _vdk_ are the framework's own",
        ),
    ],
)
def test_a_flow_that_cannot_be_right_stops_the_run_before_the_first_row(
    lab: Lab, tmp_path: Path, wrong: dict[str, Any], error: str
) -> None:
    """Nothing has landed, so nothing lands twice once it is corrected. Every source is disconnected once."""
    file = flows(lab, {"write_mode": "append"}, {}, {}, wrong)
    with pytest.raises(ConfigurationError, match=error):
        execute(file, lab.environment(), summary=tmp_path / "summary.json")
    assert lab.tables == {}
    assert [script.calls.count("disconnect") for script in lab.scripts.values()] == [1, 1, 1, 1]
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert [(one["stream"], one["status"], one["rows_read"]) for one in summary["streams"][:3]] == [
        (name, "stopped", 0) for name in "abc"
    ]
    assert "nothing was read: flow: flows[3] is wrong" in summary["streams"][0]["error"]


def test_every_source_is_connected_before_the_first_row(lab: Lab) -> None:
    """And each is disconnected when its flow has ended."""
    order: list[str] = []
    file = flows(lab, {}, {}, {})
    for name, script in lab.scripts.items():
        script.on = {call: partial(order.append, f"{call} {name}") for call in ("connect", "disconnect")}
    lab.fault(lambda operation, destination: order.append(operation) if operation == "commit!" else None)
    execute(file, lab.environment())
    connected = [f"connect {name}" for name in "abc"]
    ended = [one for name in "abc" for one in ("commit!", f"disconnect {name}")]
    assert [one for one, before in zip(order, ["", *order], strict=False) if one != before] == connected + ended


def test_a_source_that_is_away_fails_its_own_flow_and_what_landed_is_in_the_summary(lab: Lab) -> None:
    """Nothing in the file is wrong, so the others land."""
    file = flows(lab, {}, {}, {})

    def away() -> None:
        raise ConnectionFailedError("nobody answers")

    lab.scripts["b"].on["connect"] = away
    with pytest.raises(ConnectionFailedError, match="nobody answers") as caught:
        execute(file, lab.environment())
    assert set(lab.tables) == {"a", "c"}
    summary = caught.value.__dict__["summary"]
    assert [(stream.stream, stream.rows_landed) for stream in summary.streams] == [("a", 3), ("c", 3)]


@pytest.mark.parametrize(("waited", "attempts"), [(False, QUICK.retry_attempts), (True, 1)])
def test_a_destination_that_is_away_is_waited_for_once(lab: Lab, waited: bool, attempts: int) -> None:
    """Each flow into it fails, and it is not opened again for each. What has waited itself is not tried again."""
    fault = FailEvery("open", ConnectionFailedError("away", waited=waited))
    lab.fault(fault)
    with pytest.raises(FlowFailedError, match=r"flows\[1\]: ConnectionFailedError: away"):
        execute(flows(lab, {}, {}), lab.environment())
    assert fault.count == attempts
    assert lab.tables == {}


@pytest.mark.parametrize("call", ["connect", "streams"])
def test_a_source_that_has_waited_for_a_lock_is_not_tried_again(lab: Lab, call: str) -> None:
    attempts = 0

    def locked(*_: object) -> None:
        nonlocal attempts
        attempts += 1
        raise ConnectionFailedError("locked by process 4711, still after 30 s", waited=True)

    file = flows(lab, {})
    lab.scripts["a"].on[call] = locked
    with pytest.raises((FlowFailedError, ConnectionFailedError), match="process 4711"):
        execute(file, lab.environment())
    assert attempts == 1


def test_a_summary_that_cannot_be_written_does_not_hide_what_landed(lab: Lab, tmp_path: Path) -> None:
    """The error carries the summary; where a stream failed too, that is the error."""
    file, summary = flows(lab, {}), tmp_path / "reports" / "summary.json"

    def read(state: State, *more: Any) -> Iterator[DataSourcePayload]:
        yield payload({"n": 1})
        summary.parent.rmdir()  # it was there when the run began
        summary.parent.touch()
        yield from more

    for stream, error in (
        (Whole("a", read, incremental=False), ConfigurationError),
        (Whole("a", lambda state: read(state, "garbage"), incremental=False), FlowFailedError),
    ):
        summary.parent.unlink(missing_ok=True)
        summary.parent.mkdir()
        lab.script(stream, source="a")
        with pytest.raises(error) as caught:
            execute(file, lab.environment(), summary=summary)
        landed = caught.value.__dict__["summary"].streams[0].rows_landed
        assert landed == (1 if error is ConfigurationError else 0)
