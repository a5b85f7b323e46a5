"""A source learns which states are stored; nothing that it does with them matters to the run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from support import Lab, ScriptConfig, ScriptedSource, Split, Whole, counting, payload
from vdk.plugin.datasource_base import DataSourcePayload, data_source
from vdk.plugin.datasource_base.contract import State
from vdk.plugin.datasource_base.runtime import RunSummary, execute, states

NOTES: list[tuple[str, Mapping[str, State]]] = []
WHEN: list[Any] = []


@data_source(name="noting", config=ScriptConfig)
class NotingSource(ScriptedSource):
    """Keeps what it is given."""

    def committed(self, stream: str, states: Mapping[str, State]) -> None:
        NOTES.append((stream, dict(states)))
        self.script.calls.append("committed")
        for act in WHEN:
            act()


@pytest.fixture(autouse=True)
def noting(lab: Lab) -> Iterator[None]:
    lab.registry.add("noting", f"{__name__}:NotingSource")
    yield
    NOTES.clear()
    WHEN.clear()


def run(lab: Lab, *streams: Any, **entry: Any) -> RunSummary:
    lab.script(*streams)
    file = lab.flow(**entry)
    file["sources"]["src"]["name"] = "noting"
    return execute(file, lab.environment())


def newest() -> dict[tuple[str, str], State]:
    return {(stream, partition): state for stream, states in NOTES for partition, state in states.items()}


def test_the_newest_state_of_each_partition_is_handed_over_before_disconnecting(lab: Lab) -> None:
    """Many commits are few calls, and the last one has what was stored last."""
    run(lab, Split("t", {"a": counting(50), "b": counting(30)}), Whole("u", counting(20)))
    assert newest() == {("t", "a"): {"next": 50}, ("t", "b"): {"next": 30}, ("u", ""): {"next": 20}}
    calls = lab.scripts["src"].calls
    assert calls.index("committed") < calls.index("disconnect")
    assert calls.count("committed") <= 6, "at most once a second, and once at the end"


def test_a_state_is_handed_over_only_once_it_is_stored(lab: Lab) -> None:
    """Whatever the source has yielded: the destination had each state by then, or already a later one."""
    stored: list[bool] = []
    WHEN.append(lambda: stored.append(all(lab.states[key]["next"] >= state["next"] for key, state in newest().items())))
    run(lab, Whole("t", counting(40)))
    assert stored
    assert all(stored)


def test_a_replaced_stream_is_handed_over_after_it_is_published(lab: Lab) -> None:
    """Its states are those of the snapshot that became visible."""

    def read(state: State) -> Iterator[DataSourcePayload]:
        yield payload({"n": 1}, state={"seen": 1})

    WHEN.append(lambda: seen.append(list(lab.tables.get("t", []))))
    seen: list[Any] = []
    run(lab, Whole("t", read), write_mode="replace")
    assert newest() == {("t", ""): {"seen": 1}}
    assert seen == [[{"n": 1}]]


def test_an_error_is_one_warning_and_the_run_succeeds(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody's rows depend on a monitor of lag."""

    def refuse() -> None:
        raise PermissionError("the group is read only")

    WHEN.append(refuse)
    summary = run(lab, Whole("t", counting(9)))
    assert summary.status == "succeeded"
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "committed() of source" in warnings[0]
    assert "the group is read only" in warnings[0]


def test_a_source_that_does_not_come_back_is_not_waited_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends, and its rows are there."""
    monkeypatch.setattr(states, "LAST_CALL_TIMEOUT", 0.2)
    never = threading.Event()
    WHEN.append(never.wait)
    assert run(lab, Whole("t", counting(5))).streams[0].rows_landed == 5
    never.set()


def test_a_source_that_does_not_ask_costs_no_thread(lab: Lab) -> None:
    """Most sources have nobody to inform."""
    names: list[str] = []
    lab.script(Whole("t", counting(5)))
    lab.scripts["src"].on["disconnect"] = lambda: names.extend(one.name for one in threading.enumerate())
    execute(lab.flow(), lab.environment())
    assert "committed" not in names
