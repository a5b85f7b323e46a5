"""Cursors and states with values that no time and no database has: an error that names them, or a run that ends."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support import execute, stream_of
from vdk.plugin.datasource_base.contract import ConfigurationError, StateError

CURSORS = [
    (float("inf"), "epoch_s"), (float("-inf"), "epoch_ns"), (1e308, "epoch_s"), (-(2**63), "epoch_s"),
    (2**63 - 1, "epoch_ns"), (float("inf"), "julian_day"), (-1.5e300, "julian_day"), (float("inf"), "number"),
]  # fmt: skip
WRONG: list[Any] = [
    5, [], "9" * 5000, True, {"cursor": "x", "key": [1]}, {"cursor": 10**4000, "key": [1]},
    {"cursor": [1], "key": [1]}, {"cursor": 1767225600, "key": [10**30]}, {"cursor": 1767225600, "key": 1},
    {"cursor": 1767225600, "key": ["\ud800"]}, {"cursor": {"float": "x"}, "key": [1]}, {"cursor": True, "key": [1]},
    {"cursor": {"bytes": "AA=="}, "key": [1]},
]  # fmt: skip


def read(database: Path, options: dict[str, Any], state: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """The number of rows, and the last state as it is stored."""
    count, last = 0, state or {}
    for payload in stream_of(database, options=options).read(state or {}):
        data: Any = payload.data
        count += data.num_rows if data is not None else 0
        last = json.loads(json.dumps(payload.state)) if payload.state is not None else last
    return count, last


@pytest.mark.parametrize(("value", "format_"), CURSORS, ids=range(len(CURSORS)))
def test_a_cursor_beyond_all_times_ends_no_run(value: Any, format_: str, tmp_path: Path) -> None:
    """SQLite stores infinities; a lookback below its smallest integer is that integer."""
    database = tmp_path / "a.db"
    execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, at)", ("INSERT INTO t VALUES (1, ?)", (value,)))
    options = {"cursor": "at", "cursor_format": format_}
    if format_ != "number":
        options |= {"lookback": "5m"}
    with suppress(ConfigurationError):  # which names the value and the column: not all of these sort like times
        count, state = read(database, options)
        read(database, options, state)
        assert count <= 1


@pytest.mark.parametrize("mark", WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("place", ["high_watermark", "resume"])
def test_a_watermark_that_is_no_cursor_of_the_table_is_a_damaged_state(mark: Any, place: str, tmp_path: Path) -> None:
    """A state lies in the destination, where others can write."""
    database = tmp_path / "a.db"
    execute(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at INTEGER)",
        ("INSERT INTO t VALUES (?, ?)", [(1, 1767225600), (2, 1767225601)]),
    )
    options = {"cursor": "at", "cursor_format": "epoch_s"}
    _, state = read(database, options)
    if place == "resume" and isinstance(mark, dict):
        mark = {"order": "cursor", "upper": mark["cursor"], **mark}
    with pytest.raises(StateError, match="its state is damaged") as raised:
        read(database, options, {**state, place: mark})
    assert len(str(raised.value)) < 500
