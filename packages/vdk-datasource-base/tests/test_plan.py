# SPDX-License-Identifier: Apache-2.0
"""``vdk datasource plan``: what the next run would do, without doing it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs import FLOW, Vdk, job
from support import AppendOnly, Lab, Split, Whole, counting, numbers, payload
from vdk.plugin.datasource_base import BoundedPartition, DataSourcePayload, StreamPartition, StreamSchema
from vdk.plugin.datasource_base.runtime.inspect.plan import StreamNews, plan_flow

KEYED = StreamSchema(pa.schema([("n", pa.int64())]), ("n",))
WIDER = StreamSchema(pa.schema([("n", pa.string()), ("new", pa.string())]), ("n",))


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Lab:
    return Lab(request.node.name, tmp_path)


class Bounded(BoundedPartition):
    """The numbers up to ``length``."""

    def __init__(self, id: str, length: int) -> None:
        self.id, self._length = id, length

    def end(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"next": self._length}

    def count(self, state: Mapping[str, Any], end: Mapping[str, Any]) -> int | None:
        count: int = end["next"] - state.get("next", 0)
        if count > 100:
            raise RuntimeError("too many")
        return count if count < 50 else None

    def read(self, state: Mapping[str, Any], end: Mapping[str, Any] | None = None) -> Iterator[DataSourcePayload]:
        yield payload(*numbers(state.get("next", 0), self._length), state={"next": self._length})


def bounded(*lengths: int) -> Split:
    def partitions(states: Mapping[str, Any]) -> list[StreamPartition]:
        return [Bounded(str(number), length) for number, length in enumerate(lengths)]

    return Split("t", partitions, KEYED, incremental=True)


def planned(lab: Lab, *streams: Any, **entry: Any) -> StreamNews:
    """The plan of the only stream. Nothing changes, in the destination and at the source."""
    if streams:
        lab.script(*streams)
    before = str((lab.tables, lab.states, lab.staged))
    (news,) = plan_flow(lab.flow(**entry), lab.environment())
    assert str((lab.tables, lab.states, lab.staged)) == before
    return news


def test_partitions_are_planned_from_their_states_to_their_ends(lab: Lab) -> None:
    """And after a run the plan is empty, until there is news."""
    first = planned(lab, bounded(3, 5))
    assert (first.changes, first.new_table, first.planned.write_mode) == (True, True, "upsert")
    assert [change.as_dict() for change in first.columns] == [{"column": "n", "from": None, "to": "int64"}]
    assert [(item.id, item.begin, item.end, item.news) for item in first.partitions] == [
        ("0", {}, {"next": 3}, "some"),
        ("1", {}, {"next": 5}, "some"),
    ]
    lab.run()
    after = planned(lab)
    assert (after.changes, after.rows, after.new_table, list(after.columns)) == (False, 0, False, [])
    assert after.guarantee is not None
    again = planned(lab, bounded(3, 7))
    assert again.changes is True
    assert [(item.news, item.rows) for item in again.partitions] == [("none", 0), ("some", 2)]
    assert again.rows == 2
    for length in (60, 200):  # what cannot be counted, and what fails to be, is unknown
        assert planned(lab, bounded(3, length)).rows is None


@pytest.mark.parametrize(
    ("stream", "entry", "changes"),
    [
        (Whole("t", counting(3), KEYED), {}, None),  # no end: whether there is news is known after reading
        (Whole("t", counting(3), WIDER), {}, True),
        (Whole("t", lambda state: iter([payload(*numbers(0, 3))]), KEYED), {}, True),  # read and replaced in each run
    ],
)
def test_changes_may_be_certain_or_unknown(
    lab: Lab, stream: Whole, entry: dict[str, Any], changes: bool | None
) -> None:
    lab.run(Whole("t", stream._read, KEYED, incremental=stream.incremental), **entry)
    news = planned(lab, stream, **entry)
    assert news.changes is changes
    expected = [("n", "int64", "string"), ("new", None, "string")] if changes and stream._schema is WIDER else []
    assert [(change.column, change.before, change.after) for change in news.columns] == expected


def test_a_destination_that_knows_nothing_is_planned_too(lab: Lab) -> None:
    assert AppendOnly.transactional is False
    news = planned(lab, Whole("t", counting(3), KEYED), method="AppendOnly", write_mode="append")
    assert news.changes is not False
    assert news.guarantee is not None
    assert news.guarantee.startswith("at least once")


def test_the_command_exits_with_2_if_a_run_may_change_something(tmp_path: Path) -> None:
    flow = job(tmp_path, {"flow.toml": FLOW.format(upto=3, method="kept", target=str(tmp_path))}) / "flow.toml"
    vdk = Vdk()
    done = vdk("datasource", "plan", flow, "-o", "json", "--exit-code")
    assert done.exit_code == 2, done.output
    (stream,) = json.loads(done.stdout)
    assert stream["new_table"] is True
    assert stream["partitions"][0]["from"] == {}
    assert vdk("datasource", "plan", flow).exit_code == 0
    assert "as there is no state yet" in vdk("datasource", "plan", flow).stdout
    assert "no stream matches" in vdk("datasource", "plan", flow, "--stream", "nmbers").output
