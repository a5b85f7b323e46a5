"""What is particular to this source. TODO: what can go wrong with your data, and what the user reads then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from vdk.plugin.test_utils.util_funcs import CliEntryBasedTestRunner

from tickets import export, ticket
from vdk.plugin import datasource_base as base
from vdk.plugin.datasource_base import plugin_entry as base_entry
from vdk.plugin.datasource_base.testing import MemoryDestination
from vdk.plugin.source_acme import plugin_entry
from vdk.plugin.source_acme import source as ours

FLOW = """
[sources.acme]
name = "acme"
config = { folder = "tickets" }
[destinations.lake]
method = "scratch"
[[flows]]
from = "acme"
to = "lake"
on_bad_record = "reject"
"""


def read(path: Path, state: Any = None, **options: Any) -> list[base.DataSourcePayload]:
    return list(ours.Team(path, ours.AcmeConfig(folder=path.parent, **options)).read(state or {}))


def ids(payloads: list[base.DataSourcePayload]) -> list[str]:
    data: list[Any] = [payload.data for payload in payloads if not isinstance(payload.data, base.RejectedRows)]
    return [row["id"] for rows in data for row in rows]


def test_the_oldest_changes_come_first(tmp_path: Path) -> None:
    """Whatever the order of the file: only then does each page's state cover all rows before it."""
    export(tmp_path, "berlin", ticket("1", 60), ticket("2", 0), ticket("3", 30))
    assert ids(read(tmp_path / "berlin.jsonl", page_rows=1)) == ["2", "3", "1"]


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    """From the last time on, including that time, and as far back as late changes may come."""
    export(tmp_path, "berlin", ticket("1", 0), ticket("2", 50), ticket("3", 60))
    state = read(tmp_path / "berlin.jsonl")[0].state
    assert ids(read(tmp_path / "berlin.jsonl", state, lookback=base.Duration(seconds=10))) == ["2", "3"]


def rejected_rows(payloads: list[base.DataSourcePayload]) -> list[tuple[Any, base.BadRecordError]]:
    return [pair for payload in payloads if isinstance(payload.data, base.RejectedRows) for pair in payload.data.rows]


def test_a_line_that_is_not_a_ticket_is_rejected_with_its_offset_and_the_others_land(tmp_path: Path) -> None:
    """Once if its time can be read; otherwise in each run, as tickets without a time are."""
    path = tmp_path / "berlin.jsonl"
    export(tmp_path, "berlin", ticket("1", 0), ticket("2", 60))
    timed, none = b'{"id": "3", "updated_time": "2026-03-01T00:01:00Z"}\n', b'{"id": \xff\n'
    path.write_bytes(timed + none + path.read_bytes())
    first = read(path)
    assert ids(first) == ["1", "2"]
    assert [row["byte"] for row, _ in rejected_rows(first)] == [0, len(timed)]
    assert rejected_rows(first)[0][0]["line"] == timed.decode()
    assert "berlin.jsonl, byte 0" in str(rejected_rows(first)[0][1])
    assert "`title`" in str(rejected_rows(first)[0][1])
    assert [row["byte"] for row, _ in rejected_rows(read(path, first[-1].state))] == [len(timed)]


def test_under_reject_the_other_lines_land(tmp_path: Path) -> None:
    """In a run: the bad line lands in a table of its own, with the reason."""
    MemoryDestination.clear()
    folder = tmp_path / "tickets"
    export(folder, "berlin", *(ticket(str(number), number) for number in range(20)))
    with (folder / "berlin.jsonl").open("a", encoding="utf-8") as file:
        file.write("not a ticket\n")
    (tmp_path / "10_acme.ingest.toml").write_text(FLOW, "utf-8")
    result = CliEntryBasedTestRunner(base_entry, plugin_entry).invoke(["run", str(tmp_path)])
    assert result.exit_code == 0, result.output
    tables = MemoryDestination.tables()
    assert len(tables["tickets"]) == 20
    assert ["not a ticket" in row["row"] for row in tables["tickets__rejected"]] == [True]


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(base.StateError, match="state reset"):
        read(tmp_path / "berlin.jsonl", {"page": 3})
