"""A cursor that is read by other options than in the last run: each row lands once, and only a new one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from support import execute, interrupted, run, stream_of
from vdk.plugin.datasource_base.contract import StateError
from vdk.plugin.datasource_sql.incremental import changed_format, reader

pytestmark = pytest.mark.libraries  # SQLite and SQLAlchemy, not Python, decide what they find

AUTO: dict[str, Any] = {}
ISO = {"cursor_format": "iso"}
KEYS = [("INTEGER PRIMARY KEY", True), ("INTEGER", False)]
"""A key column, and whether there is an index on the cursor."""
SECONDS, DAY = 1_790_000_000, "2026-10-0{} 10:00:00"
TEXTS = [DAY.format(n) for n in range(1, 10)]


def table(path: Path, values: list[Any], key: str = "INTEGER PRIMARY KEY", *more: str) -> None:
    rows = [(n, value) for n, value in enumerate(values, 1)]
    execute(path, f"CREATE TABLE t (id {key}, updated_at)", *more, ("INSERT INTO t VALUES (?, ?)", rows))


@pytest.mark.parametrize(("key", "indexed"), KEYS)
@pytest.mark.parametrize(
    ("before", "after", "values", "late", "new"),
    [
        (ISO, AUTO, TEXTS, "2026-10-09 09:58:00", "2026-10-09 10:00:01"),
        (AUTO, ISO, TEXTS, "2026-10-09 09:58:00", "2026-10-09T12:00:01+02:00"),
        (ISO, AUTO, [f"{text}.1236" for text in TEXTS], "2026-10-09 09:58:00", "2026-10-09 10:00:00.1237"),
        (AUTO, ISO, [f"{text}.1236" for text in TEXTS], "2026-10-09 09:58:00", "2026-10-09 10:00:00.1237"),
        (ISO, AUTO, [text.replace(" ", "T") + "Z" for text in TEXTS], "2026-10-09T10:00:00Z", "2026-10-09T10:01:00Z"),
        (AUTO, ISO, [text + "+02:00" for text in TEXTS], "2026-10-09 09:58:00+02:00", "2026-10-09 08:00:01Z"),
        (ISO, AUTO, [text[:10] for text in TEXTS], "2026-10-09", "2026-10-10"),
        (AUTO, ISO, [text[:10] for text in TEXTS], "2026-10-08", "2026-10-09 01:00"),
        (ISO, {"cursor_format": "text"}, TEXTS, "2026-10-09 09:58:00", "2026-10-09 10:00:01"),
        ({"cursor_format": "%m-%d-%Y"}, {"cursor_format": "%d-%m-%Y"}, ["10-10-2026"] * 9, "10-10-2026", "11-10-2026"),
        (AUTO, {"null_cursor_values": ["0000-00-00"]}, TEXTS, "2026-10-09 09:58:00", "0000-00-00"),
        (ISO, {"null_cursor_values": ["0000-00-00"]}, TEXTS, "2026-10-09 09:58:00", "0000-00-00"),
        (AUTO, {"cursor_format": "number"}, [SECONDS + n for n in range(9)], SECONDS, SECONDS + 20),
        ({"cursor_format": "number"}, AUTO, [SECONDS + n for n in range(9)], SECONDS + 8, SECONDS + 20),
        (AUTO, {"cursor_format": "epoch_ms"}, [SECONDS + n for n in range(9)], SECONDS + 1, SECONDS + 20),
    ],
)
def test_other_options_go_on_where_the_last_run_ended(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    before: dict[str, Any],
    after: dict[str, Any],
    values: list[Any],
    late: Any,
    new: Any,
    key: str,
    indexed: bool,
) -> None:
    path = tmp_path / "t.db"
    table(path, [*values, None], key, "CREATE INDEX i ON t (updated_at)" if indexed else "SELECT 1")
    state = run(stream_of(path, options=before)).state
    with caplog.at_level(logging.WARNING):
        stream = stream_of(path, options=after)
        assert stream.count(state, stream.end(state)) == 0  # type: ignore[attr-defined]  # it has a cursor
        landed = run(stream, state)
        assert landed.rows == []
        assert landed.state["cursor_options"]["cursor_format"] == after.get("cursor_format", "auto")
        assert landed.state == stream.end(state)  # type: ignore[attr-defined]  # it has a cursor
        execute(path, ("INSERT INTO t VALUES (?, ?)", [(20, late), (21, new)]))
        for start in (state, landed.state):  # the rows come before the new options, or after
            end = stream.end(start)  # type: ignore[attr-defined]  # it has a cursor
            following = run(stream, start)
            assert 21 in following.column("id")
            assert (start is landed.state) or sorted(following.column("id")) == [20, 21]
            assert stream.count(start, end) == len(following.rows)  # type: ignore[attr-defined]  # it has a cursor
            assert run(stream, following.state).rows == []
    assert [record.message for record in caplog.records if "future" not in record.message] == []


def test_rows_that_were_refused_land_under_the_new_options(tmp_path: Path) -> None:
    """Also those that lie below everything that a later run reads."""
    path = tmp_path / "t.db"
    table(path, TEXTS)
    state = run(stream_of(path)).state
    execute(path, "INSERT INTO t VALUES (20, '2026-10-02'), (21, '2026-10-03T10:00:00'), (22, '2026-10-11')")
    landed = run(stream_of(path, options=ISO), state)
    assert landed.column("id") == [20, 21, 22]
    assert run(stream_of(path, options=ISO), landed.state).rows == []


@pytest.mark.parametrize(("key", "indexed"), [*KEYS, ("INTEGER PRIMARY KEY", False)])
@pytest.mark.parametrize(("before", "after"), [(ISO, AUTO), (AUTO, ISO)])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_pass_that_stopped_goes_on_under_other_options(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], key: str, indexed: bool, is_first: bool
) -> None:
    """Wherever it stopped: by key or by cursor, among rows of one cursor or without any, below the last run's end."""
    path = tmp_path / "t.db"
    table(path, [], key, "CREATE INDEX i ON t (updated_at)" if indexed else "SELECT 1")
    values = [*TEXTS[:3], *[TEXTS[3]] * 4, *TEXTS[4:], *[TEXTS[8]] * 4, None, None, None]
    start: dict[str, Any] = {}
    expected = list(range(1, len(values) + 1))
    if not is_first:
        execute(path, ("INSERT INTO t VALUES (?, ?)", [(101, TEXTS[0]), (102, TEXTS[3]), (103, TEXTS[3]), (104, None)]))
        start, expected = run(stream_of(path, options=before)).state, expected[3:]
    execute(path, ("INSERT INTO t VALUES (?, ?)", list(enumerate(values, 1))))
    stops = 0
    for stop in range(2, 40, 3):
        first = interrupted(stream_of(path, options=before, page_rows=2), stop, start)
        if first.state == start:
            continue
        if first.state["resume"] is None:
            break
        stops += 1
        second = run(stream_of(path, options=after, page_rows=2), first.state)
        assert sorted([*first.column("id"), *second.column("id")]) == expected, stop
        assert run(stream_of(path, options=after), second.state).rows == []
    assert stops > 1


@pytest.mark.parametrize(("before", "after"), [(ISO, AUTO), (AUTO, ISO)])
def test_a_table_that_lies_behind_is_known_under_other_options(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: dict[str, Any], after: dict[str, Any]
) -> None:
    path = tmp_path / "t.db"
    table(path, TEXTS)
    state = run(stream_of(path, options=before)).state
    execute(path, "DELETE FROM t WHERE id > 7")
    stream = stream_of(path, options=after)
    assert run(stream, state).rows == []
    assert "the last run had come to '2026-10-09 10:00" in caplog.text
    execute(path, "DELETE FROM t", "INSERT INTO t VALUES (1, '2026-10-01 00:00:01')")
    for read in (run, lambda *args: stream.end(state)):  # type: ignore[attr-defined]  # plan asks for the end
        with pytest.raises(StateError, match="another database"):
            read(stream, state)


def test_a_column_that_was_rewritten_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    table(path, TEXTS)
    state = run(stream_of(path)).state
    execute(path, "UPDATE t SET updated_at = unixepoch(updated_at)")
    for options in (AUTO, {"cursor_format": "epoch_s"}):
        with pytest.raises(StateError, match=r"'t': the format of its cursor has changed .* run.*state reset"):
            run(stream_of(path, options=options), state)


@pytest.mark.parametrize(("before", "after"), [(ISO, AUTO), (AUTO, ISO)])
def test_rows_that_are_remembered_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: dict[str, Any], after: dict[str, Any]
) -> None:
    for module in (changed_format, reader):
        monkeypatch.setattr(module, "CAP", 3)
    path = tmp_path / "t.db"
    table(path, [*TEXTS, *[TEXTS[8]] * 8, None])
    state = run(stream_of(path, options=before)).state
    assert "sums" in state["overlap"]["rows"]
    landed = run(stream_of(path, options=after), state)
    assert landed.rows == []
    assert run(stream_of(path, options=after), landed.state).rows == []
    execute(path, ("INSERT INTO t VALUES (?, ?)", [(30, TEXTS[8]), (31, "2026-10-09 10:00:01")]))
    for start in (state, landed.state):
        assert {30, 31} <= set(run(stream_of(path, options=after), start).column("id"))
