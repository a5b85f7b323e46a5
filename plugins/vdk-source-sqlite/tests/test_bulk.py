"""Reading in bulk gives what reading row by row gives, whatever a table holds, and however it ends."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support import Landed, execute, in_bulk, run, stream_of
from vdk.plugin.source_sqlite import bulk
from vdk.plugin.source_sqlite.verified_page import VerifiedPage

pytestmark = pytest.mark.heavy

EXAMPLES = 30 if os.environ.get("FAULTS") == "all" else 10
DECLARED = (
    "INTEGER", "BIGINT", "BOOLEAN", "REAL", "DOUBLE PRECISION", "NUMERIC", "DECIMAL(10,2)", "DECIMAL(5,0)", "TEXT",
    "VARCHAR(10) COLLATE NOCASE", "BLOB", "DATE", "TIMESTAMP", "DATETIME", "JSON", "UUID", "",
)  # fmt: skip
VALUES = st.one_of(
    st.none(),
    st.sampled_from([0, 1, -1, 7, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)]),
    st.sampled_from([0.0, -0.0, 0.5, 1.25, 12.34, 1e15, 9007199254740993.0, 1e300, -5e-324, float("inf")]),
    st.sampled_from(["", "a", "ä€😀", "a\0b", "12", "1.5", "NULL", "2026-01-02", "2026-01-02 03:04:05", "x" * 300]),
    st.sampled_from(["2026-01-02T03:04:05Z", "2026-02-30", "0001-01-01", "9999-12-31 23:59:59.999999", "1e400"]),
    st.sampled_from([b"", b"a", b"\xff", b"2026-01-02", b"\0"]),
)
AS_TEXT = st.binary(min_size=1, max_size=4)
"""Bytes that are stored as text, and may be no UTF-8."""


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    """Declared types, and rows: of few values each, so that most pages are of one type and some are not."""
    declared = draw(st.lists(st.sampled_from(DECLARED), min_size=1, max_size=4))
    pools = [draw(st.lists(VALUES, min_size=1, max_size=3)) for _ in declared]
    rows = draw(st.lists(st.tuples(*map(st.sampled_from, pools)), min_size=8, max_size=30))
    return declared, [list(row) for row in rows]


def made(folder: str, declared: list[str], rows: list[list[Any]], *, index: bool, key: str = "INTEGER") -> Path:
    database = Path(folder) / "t.db"
    names = [f"c{number}" for number in range(len(declared))]
    columns = ", ".join(f'"{name}" {type_}' for name, type_ in zip(names, declared, strict=True))
    marks = ", ".join("?" * (len(names) + 2))
    execute(
        database,
        f"CREATE TABLE t (id {key} PRIMARY KEY NOT NULL, {columns}, updated_at TIMESTAMP)",
        *(["CREATE INDEX i ON t(updated_at, id)"] if index else []),
        (
            f"INSERT INTO t VALUES ({marks})",
            [(at, *row, f"2026-10-25 00:{at % 60:02}:00") for at, row in enumerate(rows)],
        ),
    )
    return database


def told(landed: Landed) -> list[Any]:
    """All there is to see. As text: 1 is not 1.0 there, nor -0.0 what 0.0 is."""
    rejected = [(repr(row), str(error)) for row, error in landed.rejected]
    return [list(map(repr, landed.events)), rejected, landed.state, landed.counters]


def read(database: Path, **options: Any) -> tuple[list[Any], list[Any]]:
    first = run(stream_of(database, page_rows=3, **options))
    return told(first), told(run(stream_of(database, page_rows=3, **options), first.state))


def both_ways(database: Path, **options: Any) -> None:
    slowly = read(database, **options)
    with pytest.MonkeyPatch.context() as patch:
        in_bulk(patch)
        assert read(database, **options) == slowly


@settings(max_examples=4 * EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(table=tables(), index=st.booleans(), text=st.booleans(), text_key=st.booleans())
@example((["NUMERIC"], [[1], [2.5]] * 6), False, False, False)  # 1 and 1.0 are told apart at the boundary
@example((["TEXT"], [["a"]] * 8 + [[b"a"]]), True, False, False)  # bytes that the driver would take for text
@example((["NUMERIC"], [[0.5]] * 5 + [[2**53 + 1]] * 2), False, False, False)  # an integer that no double holds
@example((["JSON"], [["{}"]] * 5 + [[12]]), False, True, True)  # a number that the driver would write as text
def test_whatever_a_table_holds(
    table: tuple[list[str], list[list[Any]]], index: bool, text: bool, text_key: bool
) -> None:
    """Rows, rejected rows, states and counters are the same, in the first run and in the next one."""
    declared, rows = table
    with tempfile.TemporaryDirectory() as folder:
        database = made(folder, declared, rows, index=index, key="TEXT" if text_key else "INTEGER")
        both_ways(database, dynamic_types="text" if text else "strict")


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(AS_TEXT, min_size=8, max_size=20), declared=st.sampled_from(["TEXT", "DATE", "UUID"]))
@example([b"a"] * 8 + [b"\xff"], "TEXT")
def test_text_that_is_no_utf8(texts: list[bytes], declared: str) -> None:
    """Its rows are rejected, as they are row by row."""
    with tempfile.TemporaryDirectory() as folder:
        database = made(folder, [declared], [[None]] * len(texts), index=False)
        update = "UPDATE t SET c0 = CAST(? AS TEXT) WHERE id = ?"
        execute(database, (update, [(text, index) for index, text in enumerate(texts)]))
        both_ways(database)


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pages that were read in bulk."""
    sizes: list[int] = []
    take = VerifiedPage.__init__

    def counting(self: VerifiedPage, *arguments: Any) -> None:
        take(self, *arguments)
        sizes.append(len(self))

    monkeypatch.setattr(VerifiedPage, "__init__", counting)
    return sizes


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that were begun."""
    found: list[subprocess.Popen[bytes]] = []
    start = bulk.SqliteBulkReader._start

    def remembering(self: bulk.SqliteBulkReader) -> None:
        start(self)
        assert self._process is not None
        found.append(self._process)

    monkeypatch.setattr(bulk.SqliteBulkReader, "_start", remembering)
    return found


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """More rows than it takes to begin a process."""
    database = tmp_path / "large.db"
    execute(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, amount NUMERIC, note TEXT, updated_at TIMESTAMP)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000) "
        "INSERT INTO t SELECT i, i / 4.0, 'note ' || i, datetime('2026-01-01', i || ' seconds') FROM n",
    )
    return database


def test_a_large_table_is_read_by_a_process(large: Path, proven: list[int]) -> None:
    landed = run(stream_of(large))
    assert landed.column("id") == list(range(1, 120_001))
    assert landed.rows[41_001] == {**landed.rows[41_001], "amount": 10250.5, "note": "note 41002"}
    assert sum(proven) == 115_000  # the first page goes row by row: it belongs to the snapshot of the upper bound
    assert run(stream_of(large), landed.state).rows == []


def test_a_backfill_of_a_large_table_is_read_by_a_process(large: Path, proven: list[int]) -> None:
    execute(large, "CREATE INDEX i ON t(updated_at, id)")
    landed = run(stream_of(large, options={"initial_value": "2026-01-01", "end_value": "2026-01-02 12:00:00"}))
    assert landed.column("id") == list(range(1, 120_001))
    assert sum(proven) == 115_000
    assert landed.states == 0


def test_without_the_driver_rows_are_read_one_by_one(
    large: Path, proven: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "find_spec", lambda name: None)
    assert len(run(stream_of(large)).rows) == 120_000
    assert proven == []


def test_a_process_that_dies_is_done_without(
    large: Path, proven: list[int], begun: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    """The page that did not come is read row by row, and the rest by another process."""
    caplog.set_level(logging.DEBUG)
    landed = Landed()
    for payload in stream_of(large).read({}):
        landed.take(payload)
        if len(proven) == 2:
            begun[0].kill()
    assert landed.column("id") == list(range(1, 120_001))
    assert len(begun) == 2
    assert "the reader of t gave up: it ended" in caplog.text


def test_a_page_with_a_value_of_another_type_is_read_row_by_row(large: Path, proven: list[int]) -> None:
    """Its row is rejected by name; the pages behind it are read in bulk again."""
    execute(large, "UPDATE t SET note = x'00' WHERE id = 70000")
    landed = run(stream_of(large))
    assert len(landed.rows) == 119_999
    assert [error.key for _, error in landed.rejected] == [70_000]
    assert sum(proven) == 94_520  # all but the first page and the odd one


def test_not_for_ever_are_processes_begun_that_give_up(large: Path, begun: list[subprocess.Popen[bytes]]) -> None:
    execute(large, "UPDATE t SET note = x'00' WHERE id % 1000 = 0")
    landed = run(stream_of(large, page_rows=5_000))
    assert len(landed.rows) == 119_880
    assert len(begun) == bulk.ATTEMPTS


def test_a_closed_reading_ends_its_process(large: Path, begun: list[subprocess.Popen[bytes]]) -> None:
    reading = stream_of(large).read({})
    for _ in range(2):
        next(reading)
    assert begun[0].poll() is None
    reading.close()  # type: ignore[attr-defined]  # a generator
    assert begun[0].poll() is not None


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks Linux whether a process is still there")
def test_a_process_whose_asker_is_killed_ends(large: Path) -> None:
    code = """
        import sys, time
        from pathlib import Path
        sys.path.append(sys.argv[2])
        from support import stream_of
        from vdk.plugin.source_sqlite import bulk
        start = bulk.SqliteBulkReader._start
        def told(self):
            start(self)
            print(self._process.pid, flush=True)
        bulk.SqliteBulkReader._start = told
        reading = stream_of(Path(sys.argv[1])).read({})
        next(reading), next(reading)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(large), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asker:
        assert asker.stdout is not None
        status = Path(f"/proc/{asker.stdout.readline().strip()}/status")
        assert status.exists()
        asker.kill()
    for _ in range(600):
        if not status.exists() or "State:\tZ" in status.read_text("ascii"):
            return
        time.sleep(0.05)
    pytest.fail("it is still there")


def test_writers_are_not_held_up_between_pages(large: Path, proven: list[int]) -> None:
    """A page is over before it is taken; rows that change meanwhile are left to the next run."""
    reading, landed = stream_of(large).read({}), Landed()
    for _ in range(3):
        landed.take(next(reading))
    with closing(sqlite3.connect(large, timeout=0)) as connection:
        connection.execute("UPDATE t SET note = 'new', updated_at = '2026-09-01 00:00:00' WHERE id = 119000")
        connection.commit()
    for payload in reading:
        landed.take(payload)
    assert len(proven) > 1
    assert 119_000 not in landed.column("id")
    assert run(stream_of(large), landed.state).column("note") == ["new"]
