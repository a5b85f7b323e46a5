"""A table that is read by its cursor knows where a read ends before it begins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support import Landed, execute, interrupted, stream_of
from vdk.plugin.datasource_base.contract import BoundedPartition, StateError

INDEXES = ("SELECT 1", "CREATE INDEX i ON t (updated_at)", "CREATE INDEX i ON t (updated_at, id)")


@pytest.fixture(params=INDEXES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "t.db"
    execute(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)", request.param)
    write(path, *range(1, 21))
    execute(path, "INSERT INTO t VALUES (100, NULL)")
    return path


def write(database: Path, *numbers: int) -> None:
    execute(
        database,
        ("INSERT OR REPLACE INTO t VALUES (?, ?)", [(n, f"2026-10-01 10:{n // 2:02}:00") for n in numbers]),
    )


def end_of(database: Path, state: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    stream = stream_of(database, page_rows=3, **options)
    assert isinstance(stream, BoundedPartition)
    return json.loads(json.dumps(stream.end(state)))  # type: ignore[no-any-return]  # JSON is Any


def read(database: Path, state: Mapping[str, Any], end: Mapping[str, Any] | None) -> Landed:
    stream = stream_of(database, page_rows=3)
    assert isinstance(stream, BoundedPartition)
    landed = Landed(state)
    for payload in stream.read(state, end):
        landed.take(payload)
    return landed


def test_a_read_goes_up_to_its_end_and_no_further(database: Path) -> None:
    """Rows that come meanwhile are left to the next one, and the same read yields the same rows again."""
    end = end_of(database, {})
    write(database, 30, 31)
    first = read(database, {}, end)
    assert sorted(first.column("id")) == [*range(1, 21), 100]
    assert read(database, {}, end).rows == first.rows
    assert sorted(read(database, first.state, None).column("id")) == [30, 31]
    assert read(database, first.state, end).rows == []


def test_a_row_that_comes_before_the_end_is_read_once(database: Path) -> None:
    """After the end was taken, with a cursor that is not above it, or with none: the next read delivers it."""
    end = end_of(database, {})
    execute(database, "INSERT INTO t VALUES (300, '2026-10-01 10:10:00'), (301, '2026-10-01 10:09:59'), (302, NULL)")
    first = read(database, {}, end)
    assert sorted(first.column("id")) == [*range(1, 21), 100]
    for state in (end, first.state):
        assert sorted(read(database, state, end_of(database, state)).column("id")) == [300, 301, 302]
        assert sorted(read(database, state, None).column("id")) == [300, 301, 302]


@pytest.mark.parametrize("again", [False, True], ids=["at once", "another attempt"])
def test_the_end_of_a_run_holds_back_no_row_of_its_window(database: Path, again: bool) -> None:
    """Such an end does not say which rows it remembers, so every row up to it is read."""
    stream = stream_of(database, page_rows=3)
    assert isinstance(stream, BoundedPartition)
    end = stream.end_of_read({})
    reader = stream_of(database, page_rows=3) if again else stream
    assert isinstance(reader, BoundedPartition)
    landed = Landed({})
    for payload in reader.read({}, end):
        landed.take(payload)
    assert landed.rows == read(database, {}, None).rows
    assert sorted(landed.column("id")) == [*range(1, 21), 100]


def test_the_rows_up_to_an_end_are_counted(database: Path) -> None:
    """What a state remembers within lookback, and without a cursor, is not read again."""
    stream = stream_of(database, page_rows=3)
    assert isinstance(stream, BoundedPartition)
    state, first = read(database, {}, None).state, end_of(database, {})
    assert stream.count({}, first) == 21
    execute(database, "INSERT INTO t VALUES (200, '2026-10-01 10:09:30'), (201, NULL), (202, '2026-10-01 11:30:00')")
    end = end_of(database, state)
    execute(database, "INSERT INTO t VALUES (203, '2026-10-01 12:00:00')")
    assert stream.count(state, end) == len(read(database, state, end).rows) == 3
    execute(database, "DELETE FROM t")
    assert stream.count(state, end) == 1, "the states differ"


def test_the_end_is_the_state_only_if_nothing_is_to_be_read(database: Path) -> None:
    """A row within lookback, or without a cursor, is something."""
    state = read(database, {}, None).state
    assert end_of(database, state) == state
    for statement in (
        "INSERT INTO t VALUES (200, '2026-10-01 10:09:30')",
        "INSERT INTO t VALUES (201, NULL)",
        "INSERT INTO t VALUES (202, '2026-10-01 10:30:00')",
    ):
        execute(database, statement)
        end = end_of(database, state)
        assert end != state
        landed = read(database, state, end)
        assert len(landed.rows) == 1
        state = landed.state
        assert end_of(database, state) == state
    execute(database, "DELETE FROM t")
    assert read(database, end_of(database, state), None).rows == []


@pytest.mark.parametrize("after", range(1, 8))
def test_a_read_that_was_interrupted_is_finished_up_to_the_end(database: Path, after: int) -> None:
    """From the state that it left."""
    first = interrupted(stream_of(database, page_rows=3), after)
    end = end_of(database, first.state)
    write(database, 30)
    rest = read(database, first.state, end)
    assert sorted(first.column("id") + rest.column("id")) == [*range(1, 21), 100]


def test_an_empty_table_has_no_end(tmp_path: Path) -> None:
    """Nothing is to be read."""
    execute(tmp_path / "t.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)")
    assert end_of(tmp_path / "t.db", {}) == {}


def test_an_end_before_the_state_is_refused(database: Path) -> None:
    """It belongs to an earlier read."""
    early = end_of(database, {})
    write(database, 40)
    late = read(database, {}, None).state
    with pytest.raises(StateError, match="does not follow the state"):
        read(database, late, early)


def test_a_table_without_a_cursor_has_no_end(database: Path) -> None:
    """It is read whole, and so is a range of the rows."""
    assert not isinstance(stream_of(database, options={"cursor": False}), BoundedPartition)
    assert not isinstance(stream_of(database, options={"end_value": "2027-01-01"}), BoundedPartition)
