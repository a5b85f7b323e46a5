"""Any history of a table, read by any sequence of runs, against the plain truth."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import Landed, in_bulk, interrupted, rows_of, run, stream_of
from vdk.plugin.datasource_sql.incremental import reader

pytestmark = pytest.mark.heavy

START = dt.datetime(2026, 10, 25, 0, 0, 0, tzinfo=dt.UTC)
LOOKBACK = 10
EXAMPLES = 50 if os.environ.get("FAULTS") == "all" else 15
TABLES = {
    "integer key, index": ("id INTEGER PRIMARY KEY", "CREATE INDEX i ON t(updated_at)"),
    "integer key, no index": ("id INTEGER PRIMARY KEY", None),
    "text key, index": ("id TEXT PRIMARY KEY", "CREATE INDEX i ON t(updated_at)"),
    "text key, covering index": ("id TEXT PRIMARY KEY NOT NULL", "CREATE INDEX i ON t(updated_at, id)"),
    "text key, no index": ("id TEXT PRIMARY KEY", None),
    "unique index": ("id TEXT NOT NULL UNIQUE", "CREATE INDEX i ON t(updated_at)"),
    "no key, index": ("id", "CREATE INDEX i ON t(updated_at)"),
    "no key, no index": ("id", None),
    "falling index": ("id INTEGER PRIMARY KEY", "CREATE INDEX i ON t(updated_at DESC)"),
}

Step = tuple[str, int, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tick"), st.integers(1, 15), st.just(0)),
        st.tuples(st.just("insert"), st.integers(1, 6), st.integers(0, LOOKBACK)),  # how many, how late
        st.tuples(st.just("update"), st.integers(0, 40), st.integers(0, LOOKBACK)),  # which, how late
        st.tuples(st.just("null"), st.integers(0, 40), st.just(0)),
        st.tuples(st.just("insert null"), st.integers(1, 3), st.just(0)),
        st.tuples(st.just("delete"), st.integers(0, 40), st.just(0)),
        st.tuples(st.just("run"), st.just(0), st.just(0)),
        st.tuples(st.just("interrupted"), st.integers(1, 8), st.just(0)),  # behind how many payloads
    ),
    max_size=30,
)


@dataclass
class History:
    """A table, its clock, and a destination that lands rows and states together."""

    database: Path
    page_rows: int
    clock: int = 0
    keys: list[int] = field(default_factory=list)
    version: int = 0
    landed: Landed = field(default_factory=Landed)
    seen: set[tuple[Any, ...]] = field(default_factory=set)

    def step(self, connection: sqlite3.Connection, step: Step) -> None:
        what, number, late = step
        if what == "tick":
            self.clock += number
        elif what in ("insert", "insert null"):
            for _ in range(number):
                self.version += 1
                self.keys.append(self.version)
                at = None if what == "insert null" else self.at(late)
                connection.execute("INSERT INTO t VALUES (?, ?, ?)", (f"{self.version:04}", self.version, at))
        elif what in ("update", "null") and self.keys:
            self.version += 1
            at = None if what == "null" else self.at(late)
            key = f"{self.keys[number % len(self.keys)]:04}"
            connection.execute("UPDATE t SET v = ?, updated_at = ? WHERE id = ?", (self.version, at, self.bound(key)))
        elif what == "delete" and self.keys:
            key = f"{self.keys.pop(number % len(self.keys)):04}"
            connection.execute("DELETE FROM t WHERE id = ?", (self.bound(key),))
        connection.commit()
        if what == "run":
            self.run()
        elif what == "interrupted":
            self.landed = _joined(self.landed, interrupted(self.stream(), number, self.landed.state))

    def at(self, late: int) -> str:
        return (START + dt.timedelta(seconds=self.clock - late)).strftime("%Y-%m-%d %H:%M:%S")

    def bound(self, key: str) -> Any:
        return int(key) if "INTEGER" in rows_of(self.database, "SELECT sql FROM sqlite_master")[0][0] else key

    def stream(self) -> Any:
        now = START + dt.timedelta(seconds=self.clock)
        return stream_of(self.database, page_rows=self.page_rows, lookback=f"{LOOKBACK}s", now=now)

    def run(self) -> None:
        self.landed = _joined(self.landed, run(self.stream(), self.landed.state))
        self.seen |= set(self.source())

    def source(self) -> list[tuple[Any, ...]]:
        return rows_of(self.database, "SELECT CAST(id AS TEXT), v, updated_at FROM t ORDER BY id")


def _joined(before: Landed, after: Landed) -> Landed:
    after.rows[:0] = before.rows
    after.events[:0] = before.events
    return after


def _plain(rows: Any) -> list[tuple[Any, ...]]:
    return sorted(
        (str(row["id"]), row["v"], None if row["updated_at"] is None else str(row["updated_at"])) for row in rows
    )


@pytest.mark.parametrize("bulk", [False, True], ids=["row by row", "in bulk"])
@pytest.mark.parametrize("table", TABLES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, page_rows=st.integers(1, 7), cap=st.sampled_from([2, 100_000]))
def test_every_history_lands(bulk: bool, table: str, steps: list[Step], page_rows: int, cap: int) -> None:
    """Upserted, the destination equals the source after a clean run; appended, every version that a run saw
    is there, exactly once unless more rows lie at the boundary than are remembered one by one; a run without
    changes yields no rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "CAP", cap)
        if bulk:
            in_bulk(patch)
        check_history(table, steps, page_rows, exactly_once=cap > 2)


def check_history(table: str, steps: list[Step], page_rows: int, *, exactly_once: bool) -> None:
    key, index = TABLES[table]
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "t.db", page_rows)
        with closing(sqlite3.connect(history.database)) as connection:
            connection.execute(f"CREATE TABLE t ({key}, v INTEGER, updated_at TEXT)")
            if index:
                connection.execute(index)
            for step in steps:
                history.step(connection, step)
        history.run()
        before = len(history.landed.rows)
        history.run()
        assert len(history.landed.rows) == before, "a run without changes landed rows"
        landed = _plain(history.landed.rows)
        assert not exactly_once or len(landed) == len(set(landed)), "a version landed twice"
        assert set(landed) >= history.seen, "a version that a run saw is missing"
        upserted = {row[0]: row for row in _plain(history.landed.upserted("id").values())}
        assert [row for row in history.source() if upserted.get(row[0]) != row] == []
