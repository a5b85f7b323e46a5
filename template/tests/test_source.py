"""What is particular to this source. TODO: what can be wrong with your data, and what a user reads then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tickets import export, ticket
from vdk.plugin import datasource_base as base
from vdk.plugin.source_acme import source as ours


def read(path: Path, state: Any = None, **options: Any) -> list[base.DataSourcePayload]:
    return list(ours.Team(path, ours.AcmeConfig(folder=path.parent, **options)).read(state or {}))


def ids(payloads: list[base.DataSourcePayload]) -> list[str]:
    data: list[Any] = [payload.data for payload in payloads]
    return [row["id"] for rows in data for row in rows]


def test_the_oldest_changes_come_first(tmp_path: Path) -> None:
    """However the file is ordered: each page's state is then right for all before it."""
    export(tmp_path, "berlin", ticket("1", 60), ticket("2", 0), ticket("3", 30))
    assert ids(read(tmp_path / "berlin.jsonl", page_rows=1)) == ["2", "3", "1"]


def test_only_what_changed_is_read_again(tmp_path: Path) -> None:
    """From the last time on, that time included, and as far back as late changes may come."""
    export(tmp_path, "berlin", ticket("1", 0), ticket("2", 50), ticket("3", 60))
    state = read(tmp_path / "berlin.jsonl")[0].state
    assert ids(read(tmp_path / "berlin.jsonl", state, lookback=base.Duration(seconds=10))) == ["2", "3"]


def test_a_line_that_is_no_ticket_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "berlin.jsonl").write_text('{"id": "1"}\n', "utf-8")
    with pytest.raises(base.BadRecordError, match=r"berlin\.jsonl, byte 0.*`title`"):
        read(tmp_path / "berlin.jsonl")


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(base.StateError, match="state reset"):
        read(tmp_path / "berlin.jsonl", {"page": 3})
