"""Stored states, changed on demand: what it costs is shown first, and the next run goes on from them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from jobs import FLOW, Vdk, job
from support import Lab, Split, Whole, counting
from vdk.plugin.datasource_base import ConfigurationError
from vdk.plugin.datasource_base.contract import DataSourceError, StateError
from vdk.plugin.datasource_base.runtime.inspect.dry_run import dry_run
from vdk.plugin.datasource_base.runtime.stored.adoption import Former, adopt_states
from vdk.plugin.datasource_base.runtime.stored.exchange import export_states, import_states
from vdk.plugin.datasource_base.runtime.stored.listing import show_states
from vdk.plugin.datasource_base.runtime.stored.reset import reset_states
from vdk.plugin.datasource_base.runtime.stored.setting import set_state


class Refused(Exception):
    """The person at the prompt says no."""


class Asked:
    """What was asked, and refused."""

    def __init__(self) -> None:
        self.costs: list[str] = []

    def __call__(self, costs: Sequence[str]) -> None:
        self.costs += costs
        raise Refused


class Checked(Whole):
    """Its states have the number of the next row."""

    def check_state(self, partition: str, state: Mapping[str, Any]) -> None:
        if not isinstance(state.get("next"), int):
            raise StateError(f"{state} has no number of the next row")


@pytest.fixture
def flow(lab: Lab) -> dict[str, Any]:
    """Of two streams that have run, one of them in partitions."""
    lab.run(Checked("t", counting(3)), Split("parts", {"a": counting(2), "b": counting(2)}))
    return lab.flow()


def test_each_change_shows_its_cost_and_changes_nothing_unless_it_is_wanted(lab: Lab, flow: dict[str, Any]) -> None:
    """In rows of the table."""
    document = json.dumps(export_states(flow, lab.environment()))
    before, environment = lab.states, lab.environment()
    renamed = lab.flow(destination_table="{stream}_2")
    cases: list[tuple[Callable[[Asked], object], list[str]]] = [
        (
            lambda asked: reset_states(flow, environment, confirm=asked),
            [
                "src.parts will be read again from the beginning; in lake, table 'parts' has 4 rows now",
                "src.t will be read again from the beginning; in lake, table 't' has 3 rows now",
            ],
        ),
        (
            lambda asked: set_state(flow, environment, "t", "", '{"next": 1}', confirm=asked),
            ["src.t will be read from this state: rows before it are not read, rows after it are .*; it replaces"],
        ),
        (
            lambda asked: set_state(flow, environment, "parts", "c", '{"next": 1}', confirm=asked),
            ["src.parts, partition 'c' will be .* no state now \\(those that have one: a, b\\); .* has 4 rows now"],
        ),
        (
            lambda asked: import_states(flow, environment, document, confirm=asked),
            ["src.parts gets 2 states: ", "src.t gets 1 state: rows before .* table 't' has 3 rows now"],
        ),
        (
            lambda asked: adopt_states(renamed, environment, Former(), ["t"], confirmed=True, confirm=asked),
            [r"src.t goes on from 1 state of src.t \(table 't', the data\).* in lake, table 't_2' does not exist"],
        ),
    ]
    for change, costs in cases:
        with pytest.raises(Refused):
            change(asked := Asked())
        assert len(asked.costs) == len(costs)
        for cost, pattern in zip(asked.costs, costs, strict=True):
            assert re.search(pattern, cost), cost
        assert lab.states == before


def test_a_state_is_set(lab: Lab, flow: dict[str, Any]) -> None:
    """One partition's; the next run reads from there."""
    (replaced,) = set_state(flow, lab.environment(), "src.t", "", '{"next": 2}')
    assert (replaced.stored.state, lab.states["t", ""]) == ({"next": 3}, {"next": 2})
    assert set_state(flow, lab.environment(), "parts", "c", '{"next": 9}') == []
    lab.run(Checked("t", counting(5)))
    assert lab.numbers("t") == [0, 1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("stream", "text", "problem"),
    [
        ("t", "next=5", r"is not JSON: .*write it in quotes, as in '\{\"next\": 5\}'"),
        ("t", "[5]", "is not a JSON object"),
        ("t", "{}", "vdk datasource state reset FLOW --stream NAME"),
        ("t", '{"nxt": 5}', "has no number of the next row"),
        ("t", '{"next": 5e999}', "finite numbers"),
        ("tt", '{"next": 5}', "no stream matches; expected one of: parts, t"),
        ("*", '{"next": 5}', r"2 streams match, src.t to lake, src.parts to lake; name one: --stream src.t"),
    ],
)
def test_a_state_that_no_run_could_read_is_refused(
    lab: Lab, flow: dict[str, Any], stream: str, text: str, problem: str
) -> None:
    before = lab.states
    with pytest.raises(DataSourceError, match=problem):
        set_state(flow, lab.environment(), stream, "", text)
    assert lab.states == before


def test_states_are_exported_and_imported(lab: Lab, flow: dict[str, Any]) -> None:
    """A stream has the states of the document afterwards, and no others."""
    environment = lab.environment()
    document = json.dumps(export_states(flow, environment, ["parts"]))
    lab.run(Checked("t", counting(3)), Split("parts", {"a": counting(5), "b": counting(2), "c": counting(1)}))
    replaced = import_states(flow, environment, document)
    assert [state.stored.state for state in replaced] == [{"next": 5}, {"next": 2}, {"next": 1}]
    assert lab.states == {("t", ""): {"next": 3}, ("parts", "a"): {"next": 2}, ("parts", "b"): {"next": 2}}
    reset_states(flow, environment)
    with pytest.raises(ConfigurationError, match="no state to export; run the flow first"):
        export_states(flow, environment)


def test_a_document_with_two_origins_of_a_stream_is_refused(lab: Lab, flow: dict[str, Any]) -> None:
    """An export has the states of every table that a stream ever landed in: none of them may win unseen."""
    lab.run(Checked("t", counting(5)), destination_table="{stream}_2")
    before, environment = lab.states, lab.environment()
    document = export_states(flow, environment, ["t"])
    with pytest.raises(ConfigurationError, match=r"states of src.t for table 't' .*, and for table 't_2' "):
        import_states(flow, environment, json.dumps(document), confirmed=True)
    document["states"][1] = document["states"][0] | {"state": {"next": 1}}
    with pytest.raises(ConfigurationError, match=r"two states of src.t, partition ''; remove one"):
        import_states(flow, environment, json.dumps(document), confirmed=True)
    assert lab.states == before


def test_states_of_other_data_are_imported_with_yes_only(lab: Lab, flow: dict[str, Any]) -> None:
    """They are stored for the present data, in the present table."""
    environment = lab.environment()
    document = json.dumps(export_states(flow, environment, ["t"]))
    lab.scripts["src"].identity = "the copy"
    with pytest.raises(ConfigurationError, match=r"of the data, and the source reads the copy; .*add --yes"):
        import_states(flow, environment, document)
    import_states(flow, environment, document, confirmed=True)
    keys = [state.stored.key.source_identity for state in show_states(flow, environment, ["t"])]
    assert keys == ["the data", "the copy"]
    lab.scripts["src"].identity = "the data"
    other = lab.flow(destination_table="{stream}_2")
    with pytest.raises(ConfigurationError, match=r"are of table 't', and flow: flows\[0\] lands in 't_2'"):
        import_states(other, environment, document)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "is not an export of states"),
        ({"format": "vdk-datasource-state-export", "version": 2}, "version 2, and this release reads 1"),
        ({"format": "vdk-datasource-state-export", "version": 1, "states": [{"source": 1}]}, "damaged"),
        ({"format": "vdk-datasource-state-export", "version": 1, "states": []}, "has no states"),
    ],
)
def test_other_documents_are_refused(lab: Lab, flow: dict[str, Any], document: Any, problem: str) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(ConfigurationError, match=problem):
        import_states(flow, lab.environment(), text)
    foreign = json.dumps(export_states(flow, lab.environment())).replace('"src"', '"source"')
    with pytest.raises(ConfigurationError, match=r"'source.parts' of the document is not in the flow file"):
        import_states(flow, lab.environment(), foreign)


def test_errors_of_sources_have_no_secrets(lab: Lab, flow: dict[str, Any]) -> None:
    """Of the commands that connect them without a run."""

    class Telling(Checked):
        def check_state(self, partition: str, state: Mapping[str, Any]) -> None:
            raise StateError("the URL is https://me:hunter22@host")

    document = json.dumps(export_states(flow, lab.environment(), ["t"]))
    lab.script(Telling("t", counting(3)))
    flow["sources"]["src"]["config"]["password"] = "hunter22"
    attempts: list[Callable[[], object]] = [
        lambda: set_state(flow, lab.environment(), "t", "", '{"next": 2}'),
        lambda: import_states(flow, lab.environment(), document),
    ]
    for attempt in attempts:
        with pytest.raises(StateError, match=r"the URL is https://me:\*\*\*@host"):
            attempt()
    lab.scripts["src"].identity = "hunter22 at another place"
    with pytest.raises(StateError, match=r"reads \*\*\* at another place"):
        dry_run(flow, lab.environment())


class TestAdopt:
    def test_after_the_data_moved(self, lab: Lab, flow: dict[str, Any]) -> None:
        """A run names the command; after it, the run goes on and the old states are gone. Also a reset helps."""
        remedies: list[Callable[[], object]] = [
            lambda: adopt_states(flow, lab.environment(), Former()),
            lambda: reset_states(flow, lab.environment(), ["t"]),
        ]
        for remedy in remedies:
            script = lab.scripts["src"]
            script.identity += " at another place"
            script.streams = [Checked("t", counting(4)), Split("parts", {"a": counting(2), "b": counting(2)})]
            with pytest.raises(StateError, match="vdk datasource state adopt FLOW --stream t"):
                lab.run()
            remedy()
            lab.run(script.streams[0])
            script.streams = [Checked("t", counting(4)), Split("parts", {"a": counting(2), "b": counting(2)})]
        assert lab.numbers("t") == [0, 0, 1, 1, 2, 2, 3, 3]  # adopted once, and read again after the reset

    def test_after_a_source_was_renamed(self, lab: Lab, flow: dict[str, Any]) -> None:
        lab.script(Checked("t", counting(5)), source="shop")
        renamed = lab.flow(source="shop")
        with pytest.raises(ConfigurationError, match="--from-source NAME"):
            adopt_states(renamed, lab.environment(), Former())
        adopted = adopt_states(renamed, lab.environment(), Former(source="src"))
        assert [state.stored.state for state in adopted] == [{"next": 3}]
        lab.run(source="shop")
        assert lab.numbers("t") == [0, 1, 2, 3, 4]
        assert [state.stored.key.stream for state in show_states(flow, lab.environment())] == ["parts", "parts"]

    def test_after_a_stream_was_renamed(self, lab: Lab, flow: dict[str, Any]) -> None:
        """The table must be there; a stream with states of its own is left alone."""
        lab.script(Checked("orders", counting(5)))
        former, environment = Former(stream="t"), lab.environment()
        with pytest.raises(ConfigurationError, match="name the one stream that it is now"):
            adopt_states(flow, environment, former)
        with pytest.raises(ConfigurationError, match=r"table 'orders' does not exist in lake.*ALTER TABLE"):
            adopt_states(flow, environment, former, ["orders"])
        flow = lab.flow(destination_table="t")
        adopt_states(flow, environment, former, ["orders"])
        lab.run(destination_table="t")
        assert (lab.numbers("t"), lab.states["orders", ""]) == ([0, 1, 2, 3, 4], {"next": 5})
        with pytest.raises(ConfigurationError, match=r"has 1 state of its own.*--yes"):
            adopt_states(flow, environment, Former(stream="parts"), ["orders"])

    def test_another_flow_of_the_file_keeps_its_states(self, lab: Lab, flow: dict[str, Any]) -> None:
        """It would read everything again."""
        flow["flows"].append({"from": "src", "to": "lake", "destination_table": "{stream}_2", "streams": ["t"]})
        before = lab.states
        with pytest.raises(ConfigurationError, match="there are no states to adopt"):
            adopt_states(flow, lab.environment(), Former(), confirmed=True)
        assert lab.states == before

    def test_from_another_flow_file(self, lab: Lab, flow: dict[str, Any]) -> None:
        """Whose states stay: it may land elsewhere."""
        other = Lab(f"{lab.target} 2", lab.folder)
        other.script(Checked("t", counting(4)))
        states = show_states(flow, lab.environment())
        adopt_states(other.flow(), other.environment(), Former(states=states), confirmed=True)
        other.run()
        assert (other.numbers("t"), lab.states["t", ""]) == ([3], {"next": 3})


def test_the_commands(tmp_path: Any) -> None:
    """A round of all of them; without a terminal and without --yes nothing is changed."""
    file = job(tmp_path, {"a.toml": FLOW.format(method="kept", target=str(tmp_path), upto=5)}) / "a.toml"
    states = tmp_path / "states.json"
    vdk = Vdk()

    def state(command: str, *arguments: Any) -> Any:
        return vdk("datasource", "state", command, file, *arguments)

    assert vdk("datasource", "run", file, "-q").exit_code == 0
    assert state("export", states).stderr == f"1 state was exported to {states}.\n"
    os.mkfifo(pipe := tmp_path / "pipe")
    reading = os.open(pipe, os.O_RDWR)
    assert state("export", pipe).exit_code == 0
    assert pipe.is_fifo(), "a pipe or a device is written to, and not replaced"
    os.close(reading)
    refused = state("reset")
    assert refused.exit_code == 1
    assert "numbers will be read again from the beginning; in lake, table 'numbers' has 5 rows now" in refused.stderr
    assert refused.stderr.endswith("Error: nobody can answer here, and nothing was changed; to go ahead, add --yes\n")
    done = state("set", '{"next": 2}', "--stream", "numbers", "--yes", "-o", "json")
    assert ([item["state"] for item in json.loads(done.stdout)], done.stderr) == ([{"next": 5}], "")
    assert json.loads(state("export").stdout)["states"][0]["state"] == {"next": 2}
    assert state("import", states, "--yes").exit_code == 0
    assert json.loads(state("show", "-o", "json").stdout)[0]["state"] == {"next": 5}
    assert "there are no states to adopt" in state("adopt", "--yes").stderr
    missing = state("import", tmp_path / "none.json")
    assert "none.json' cannot be read: No such file or directory; write one with" in missing.stderr
