"""What is SQLite's own: files, locks, declared types, and tables that are made anew."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lakes import SqliteLake
from landing import APPEND, KEY, REPLACE, UPSERT, columns, land, opened, query, rows, states, tables, unit
from processes import ENVIRONMENT
from values import SCHEMA, VALUES
from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError, DestinationError
from vdk.plugin.datasource_base.parts import TableSnapshot
from vdk.plugin.ingest_arrow.targets import arrow_destination

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
list(connection.execute("SELECT * FROM sqlite_master"))
print("held", flush=True)
time.sleep(float(sys.argv[3]))
"""


@contextmanager
def held(lake: SqliteLake, seconds: float, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """Another process that is in a transaction."""
    command = [sys.executable, "-c", HOLD, str(lake.path), begin, str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()


def test_a_file_that_another_process_writes_is_waited_for(sqlite: SqliteLake) -> None:
    with held(sqlite, 1.0):
        land(sqlite, rows(APPEND, {"id": [1]}))
    assert query(sqlite, "SELECT id FROM orders") == [(1,)]


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN"], ids=["writing", "reading"])
def test_a_file_that_stays_in_use_is_an_error_that_says_so(sqlite: SqliteLake, begin: str) -> None:
    """Whoever reads keeps a rollback journal from being committed; afterwards the same commit goes through."""
    land(sqlite, rows(APPEND, {"id": [1]}))
    started = time.monotonic()

    def commit() -> None:
        opened(sqlite, "?lock_timeout=400ms").commit(unit(rows(APPEND, {"id": [2]}), state={"n": 1}))

    with held(sqlite, 60, begin), pytest.raises(ConnectionFailedError, match=r"uses .*lake\.db.* 0\.4 s.*lock_timeout"):
        commit()
    assert time.monotonic() - started > 0.3
    destination = opened(sqlite)
    destination.commit(unit(rows(APPEND, {"id": [2]}), state={"n": 1}))
    destination.close()
    assert query(sqlite, "SELECT id FROM orders") == [(1,), (2,)]


def test_a_journal_that_a_person_chose_is_kept(sqlite: SqliteLake) -> None:
    """In a write-ahead log readers and the writer do not wait for each other."""
    query(sqlite, "PRAGMA journal_mode = WAL")
    land(sqlite, rows(APPEND, {"id": [1]}))
    with held(sqlite, 60, "BEGIN"):
        destination = opened(sqlite, "?lock_timeout=400ms")
        destination.commit(unit(rows(APPEND, {"id": [2]})))
        destination.close()
    assert query(sqlite, "PRAGMA journal_mode") == [("wal",)]
    assert query(sqlite, "SELECT id FROM orders") == [(1,), (2,)]


def test_a_new_database_is_one_file(sqlite: SqliteLake) -> None:
    land(sqlite, rows(APPEND, {"id": [1]}))
    assert query(sqlite, "PRAGMA journal_mode") == [("delete",)]
    assert [path.name for path in sqlite.folder.iterdir()] == ["lake.db"]


def test_an_empty_file_is_an_empty_database(sqlite: SqliteLake) -> None:
    """SQLite itself makes such files."""
    sqlite.path.touch()
    land(sqlite, rows(APPEND, {"id": [1]}))
    assert tables(sqlite) == ["orders"]


@pytest.mark.parametrize("content", [b"hello", b"\0" * 8 + b"DUCK" + b"\0" * 4096, b"SQLite format 2\0" + b"\0" * 4096])
def test_a_file_that_is_something_else_is_left_as_it_is(sqlite: SqliteLake, content: bytes) -> None:
    sqlite.path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"lake\.db is not an SQLite database"):
        opened(sqlite)
    assert sqlite.path.read_bytes() == content


@pytest.mark.parametrize(("first", "last"), [(16, 100), (100, 4096)], ids=["header", "schema"])
def test_a_damaged_database_is_an_error_that_says_so(sqlite: SqliteLake, first: int, last: int) -> None:
    land(sqlite, rows(APPEND, {"id": [1]}))
    content = bytearray(sqlite.path.read_bytes())
    content[first:last] = b"\xff" * (last - first)
    sqlite.path.write_bytes(bytes(content))
    with pytest.raises(DestinationError, match=r"lake\.db is damaged"):
        land(sqlite, rows(APPEND, {"id": [2]}))
    assert sqlite.path.read_bytes() == bytes(content)


LAND = """
import os, sys
from pathlib import Path
from landing import APPEND, rows, unit
from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.ingest_arrow.targets import arrow_destination

destination = arrow_destination(sys.argv[1], folder=Path())
one = unit(rows(APPEND, {"id": [2]}))
if os.geteuid() == 0:  # root may write everything
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    destination.open()
    destination.commit(one)
except DestinationError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_written_is_an_error_that_says_so(what: str) -> None:
    # Not in pytest's folder, which another user may not even enter.
    with tempfile.TemporaryDirectory(prefix="vdk-sqlite-") as name:
        lake = SqliteLake(Path(name) / "lake.db")
        land(lake, rows(APPEND, {"id": [1]}))
        lake.path.chmod(0o444 if what == "file" else 0o666)
        lake.folder.chmod(0o777 if what == "file" else 0o555)
        ended = subprocess.run(
            [sys.executable, "-c", LAND, lake.target()], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        lake.folder.chmod(0o777)
        assert ended.stdout.startswith(f"refused: {lake.path}: permission denied"), ended.stderr
        assert query(lake, "SELECT id FROM orders") == [(1,)]


def test_of_two_processes_each_row_lands(sqlite: SqliteLake) -> None:
    """Each with its own partition; whoever comes second waits for the other's commit."""
    script = """
import sys
from landing import APPEND, connected, partition, rows, unit
destination, version = connected(sys.argv[1]), 0
for turn in range(20):
    one = unit(rows(APPEND, {"id": [turn]}), state={"n": turn}, version=version, key=partition(sys.argv[2]))
    version = destination.commit(one)
destination.close()
"""
    both = [
        subprocess.Popen([sys.executable, "-c", script, sqlite.target(), name], env=ENVIRONMENT) for name in ("a", "b")
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    assert query(sqlite, "SELECT count(*), count(DISTINCT id) FROM orders") == [(40, 20)]
    assert states(sqlite) == [(name, 20, '{"n": 19}') for name in ("a", "b")]


def test_another_connection_of_the_process_does_not_break_the_locks(sqlite: SqliteLake) -> None:
    """POSIX drops a process's locks on a file when any of its descriptors closes; one copy of SQLite minds it."""
    destination = opened(sqlite)
    database = destination._database  # type: ignore[attr-defined]  # of destinations in databases

    def in_between() -> int:
        query(sqlite, "SELECT 1")
        script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('CREATE TABLE intruder (a)')"
        return subprocess.run(
            [sys.executable, "-c", script, str(sqlite.path)], capture_output=True, check=False
        ).returncode

    assert database.transaction(in_between) != 0
    destination.close()
    assert "intruder" not in tables(sqlite)


def test_the_names_that_are_sqlites_own_are_refused(sqlite: SqliteLake) -> None:
    with pytest.raises(DestinationError, match=r"'SQLite_orders' is not possible: .*SQLite"):
        land(sqlite, rows(replace(APPEND, name="SQLite_orders"), {"id": [1]}))


def test_there_is_no_schema_to_name() -> None:
    with pytest.raises(ConfigurationError, match="unknown option 'schema'; the options of sqlite are lock_timeout"):
        arrow_destination("sqlite:///lake.db?schema=raw", folder=Path())


@pytest.mark.parametrize(
    "definition",
    [
        "id INTEGER PRIMARY KEY, note INTEGER",
        "id INTEGER, note INTEGER CHECK (note > 0)",
        "id INTEGER, note INTEGER NOT NULL",
        "id INTEGER, note INTEGER DEFAULT 7",
        "id INTEGER, note INTEGER UNIQUE",
        "id INTEGER, note INTEGER, twice AS (note * 2)",
    ],
)
def test_a_table_with_rules_of_its_own_is_not_made_anew(sqlite: SqliteLake, definition: str) -> None:
    query(sqlite, f"CREATE TABLE orders ({definition})")
    land(sqlite, rows(APPEND, {"id": [1], "note": [5]}))
    with pytest.raises(DestinationError, match=r"'note' of table 'orders' has to become TEXT, .* is not rebuilt"):
        land(sqlite, rows(APPEND, {"id": [2], "note": ["x"]}))
    assert query(sqlite, "SELECT id, note FROM orders") == [(1, 5)]


def test_a_table_that_only_sounds_like_one_with_rules_is_made_anew(sqlite: SqliteLake) -> None:
    query(
        sqlite,
        """CREATE TABLE orders (id INTEGER, "CHECK" INTEGER /* NOT NULL */, [UNIQUE] TEXT -- DEFAULT 1
    )""",
    )
    land(sqlite, rows(APPEND, {"id": [1], "CHECK": ["x"]}))
    assert columns(sqlite) == {"id": "INTEGER", "CHECK": "TEXT", "UNIQUE": "TEXT"}


def test_triggers_and_views_outlive_a_change_and_a_replace(sqlite: SqliteLake) -> None:
    land(sqlite, rows(APPEND, {"id": [1], "x": [1]}))
    query(sqlite, "CREATE TABLE log (id INTEGER)")
    query(sqlite, "CREATE TRIGGER logged AFTER INSERT ON orders BEGIN INSERT INTO log VALUES (new.id); END")
    query(sqlite, "CREATE VIEW seen AS SELECT id FROM orders")
    land(sqlite, rows(APPEND, {"id": [2], "x": ["text"]}))
    destination = opened(sqlite)
    destination.stage(KEY, [rows(REPLACE, {"id": [7]})], "run-1")
    destination.publish(TableSnapshot([REPLACE], [unit()]))
    destination.commit(unit(rows(APPEND, {"id": [8]})))
    destination.close()
    assert query(sqlite, "SELECT id FROM log") == [(2,), (8,)]
    assert query(sqlite, "SELECT id FROM seen") == [(7,), (8,)]


def test_an_upserts_key_is_found_by_an_index(sqlite: SqliteLake) -> None:
    """Otherwise each commit would read the whole table."""
    for number in range(3):
        land(sqlite, rows(replace(UPSERT, primary_key=("id", "part")), {"part": ["a"], "id": [number]}))
    plan = query(sqlite, "EXPLAIN QUERY PLAN DELETE FROM orders WHERE (id, part) IN (SELECT 1, 'a')")
    assert any("USING COVERING INDEX _vdk_key_" in row[3] or "USING INDEX _vdk_key_" in row[3] for row in plan), plan
    assert len(query(sqlite, "SELECT 1 FROM sqlite_master WHERE type = 'index' AND tbl_name = 'orders'")) == 1


@pytest.mark.parametrize(
    ("declared", "values", "kept"),
    [
        ("VARCHAR(20)", ["x"], True),
        ("BIGINT", [2**62], True),
        ("DATETIME", [dt.datetime(2026, 1, 2)], True),
        ("DECIMAL(10,2)", [Decimal("1.25")], True),
        ("NUMERIC", [Decimal("1234567890.12345678901")], False),
        ("", ["anything"], True),
        ("FLOAT", [1], True),
        ("FLOAT", [2**53 + 1], False),
        ("NUMERIC", ["0123"], False),
        ("INT", ["12"], False),
    ],
)
def test_a_foreign_declaration_stays_where_it_stores_the_value(
    sqlite: SqliteLake, declared: str, values: list[Any], kept: bool
) -> None:
    """SQLite makes a number of text that looks like one; where that would change it, the column becomes text."""
    query(sqlite, f"CREATE TABLE orders (a {declared})")
    land(sqlite, rows(APPEND, {"a": values}))
    assert columns(sqlite) == {"a": declared if kept else "TEXT"}
    ((value,),) = query(sqlite, "SELECT a FROM orders")
    if isinstance(values[0], dt.datetime):
        assert value == str(values[0]) + ".000000"
    elif isinstance(values[0], str):
        assert value == values[0]
    else:
        assert Decimal(str(value)) == values[0]


def test_times_sort_as_text(sqlite: SqliteLake) -> None:
    moments = [dt.datetime(9, 1, 1), dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 1, microsecond=1)]
    zoned = [dt.datetime(2026, 1, 1, hour, tzinfo=dt.timezone(dt.timedelta(hours=hour))) for hour in (3, 2, 1)]
    land(sqlite, rows(APPEND, {"a": moments[::-1], "z": pa.array(zoned, pa.timestamp("us", "Europe/Sofia"))}))
    found = [value for (value,) in query(sqlite, "SELECT a FROM orders ORDER BY a")]
    assert found == [moment.isoformat(" ", "microseconds") for moment in moments]
    assert {value for (value,) in query(sqlite, "SELECT z FROM orders")} == {"2026-01-01 00:00:00.000000+00:00"}


@pytest.mark.parametrize(
    "array", [pa.array([-719163], pa.date32()), pa.array([2932897], pa.date32()), pa.array([10**12], pa.timestamp("s"))]
)
def test_a_date_whose_text_would_not_sort_is_refused(sqlite: SqliteLake, array: pa.Array) -> None:
    with pytest.raises(DestinationError, match=r"column 'a': (a date is before the year 1|.*out of bounds)"):
        land(sqlite, rows(APPEND, {"a": array}))


READ: dict[str, Any] = {
    "unsigned": int,
    "exact": Decimal,
    "flag": bool,
    "day": dt.date.fromisoformat,
    "moment": dt.datetime.fromisoformat,
    "instant": dt.datetime.fromisoformat,
    "clock": dt.time.fromisoformat,
    "took": lambda microseconds: dt.timedelta(microseconds=microseconds),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=20))
def test_every_value_is_read_back_as_it_was(sqlite: SqliteLake, landed: list[dict[str, Any]]) -> None:
    query(sqlite, "DROP TABLE IF EXISTS orders")
    land(sqlite, rows(APPEND, pa.Table.from_pylist(landed, SCHEMA)))
    found = [dict(zip(SCHEMA.names, row, strict=True)) for row in query(sqlite, "SELECT * FROM orders")]
    assert [{name: READ.get(name, lambda same: same)(value) for name, value in row.items()} for row in found] == landed


@example([dict.fromkeys(SCHEMA.names) | {"real": -0.0}])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=10))
def test_every_value_lands_in_a_text_column_as_text_that_says_it(
    sqlite: SqliteLake, landed: list[dict[str, Any]]
) -> None:
    """Whether it was there before the column became text, or comes afterwards."""
    query(sqlite, "DROP TABLE IF EXISTS orders")
    table = pa.Table.from_pylist(landed, SCHEMA)
    words = pa.table({name: ["word"] for name in SCHEMA.names})
    land(sqlite, rows(APPEND, table), rows(APPEND, words), rows(APPEND, table))
    found = query(sqlite, "SELECT * FROM orders")
    assert found[: len(landed)] == found[len(landed) + 1 :]
    assert {type(value) for row in found for value in row} <= {str, type(None)}
    assert [float(row[2]) for row in found[: len(landed)]] == [one["real"] for one in landed]


def test_memory_and_locks_are_let_go_on_closing(sqlite: SqliteLake) -> None:
    destination = opened(sqlite)
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    destination.close()
    os.replace(sqlite.path, sqlite.folder / "moved.db")
    with closing(sqlite3.connect(sqlite.folder / "moved.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
