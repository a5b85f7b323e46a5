"""Which tables there are, and how each kind of them is read."""

from __future__ import annotations

import pickle
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import execute, interrupted, rows_of, run, source_of, stream_of
from vdk.plugin.datasource_base.contract import ConfigurationError


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "t.db"


def names(database: Path, **config: Any) -> list[str]:
    return [stream.name for stream in source_of(database, **config).streams()]


def test_an_empty_database_has_no_streams(database: Path) -> None:
    execute(database, "VACUUM")
    assert names(database) == []


def test_a_file_of_zero_bytes_has_no_streams_and_a_warning(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    database.touch()
    assert names(database) == []
    assert f"the SQLite database {str(database)!r} has 0 bytes" in caplog.text


@pytest.mark.parametrize("options", [{"tables": {"t": {}}}, {"views": ["v"]}])
def test_a_file_of_zero_bytes_has_no_table_that_is_named(database: Path, options: dict[str, Any]) -> None:
    database.touch()
    with pytest.raises(ConfigurationError, match="there are none"):
        names(database, **options)


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_what_lies_beside_a_file_of_zero_bytes_is_not_deleted(database: Path, suffix: str) -> None:
    """SQLite deletes it as soon as the database is opened, though it may hold all there is."""
    database.touch()
    beside = database.with_name(database.name + suffix)
    beside.write_bytes(b"pages")
    with pytest.raises(ConfigurationError, match=rf"{suffix}' beside it has 5: .*from a copy"):
        names(database)
    assert beside.read_bytes() == b"pages"


def test_a_file_that_is_cut_off_is_an_error_before_a_row_is_lost(database: Path) -> None:
    execute(database, "CREATE TABLE t (v)", ("INSERT INTO t VALUES (?)", [("x" * 1000,) for _ in range(100)]))
    content = database.read_bytes()
    for size in (1, 99, 600, 4096, len(content) // 2, len(content) - 4096, len(content) - 1):
        database.write_bytes(content[:size])
        with pytest.raises(ConfigurationError, match=r"SQLite database"):
            run(stream_of(database))


@pytest.mark.parametrize(
    ("config", "warning"),
    [
        (
            {"deletes": {"column": "deletd_at"}},
            "deletes.column: no table has a column 'deletd_at'; did you mean 'deleted_",
        ),
        ({"columns": {"exclude": ["nam"]}}, "columns.exclude: no table has a column 'nam'; did you mean 'name'?"),
        ({"columns": {"include": ["id", "nam"]}}, "columns.include: no table has a column 'nam'"),
        ({"cursor_columns": ["chnaged"]}, "cursor_columns: no table has a column 'chnaged'; did you mean 'changed'?"),
        ({"lookback": "5m"}, "lookback: no table has a cursor, so it changes nothing"),
        ({"deletes": {"sweep": "1d"}}, "deletes.sweep: no table has both a cursor and a primary key"),
        ({"deletes": {"column": "DELETED_AT"}}, None),
        ({"cursor_columns": ["version", "changed"], "lookback": "5m", "deletes": {"sweep": "1d"}}, None),
    ],
)
def test_options_for_all_tables_that_hold_for_none_are_told(
    database: Path, caplog: pytest.LogCaptureFixture, config: dict[str, Any], warning: str | None
) -> None:
    """They are most likely misspelt, and are no error: tables come and go."""
    execute(
        database, "CREATE TABLE t (id INTEGER PRIMARY KEY, name, changed TEXT, deleted_at TEXT)", "CREATE TABLE u (x)"
    )
    assert names(database, **config) == ["t", "u"]
    assert (warning or "") in caplog.text
    assert bool(caplog.text) == bool(warning)


def test_sqlites_own_tables_are_no_streams(database: Path) -> None:
    execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)", "CREATE INDEX i ON t (id)", "ANALYZE")
    assert names(database) == ["t"]


def test_an_empty_table_has_columns_and_no_rows(database: Path) -> None:
    execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, at DATETIME, updated_at TEXT)", "CREATE TABLE u (a)")
    landed = run(stream_of(database))
    assert (landed.rows, landed.payloads, landed.state) == ([], 0, {})
    assert stream_of(database).schema().fields.names == ["id", "at", "updated_at"]
    assert run(stream_of(database, "u")).rows == []


def test_a_cursor_named_like_a_keyword(database: Path) -> None:
    execute(
        database, 'CREATE TABLE t ("group" INTEGER PRIMARY KEY, "order" TEXT)', "INSERT INTO t VALUES (1, '2026-10-01')"
    )
    landed = run(stream_of(database, options={"cursor": "order"}))
    assert landed.state["cursor"] == "order"


@pytest.mark.parametrize("suffix", ["", " WITHOUT ROWID"])
def test_a_composite_key_pages_and_resumes(database: Path, suffix: str) -> None:
    """The keyset is expanded over all its columns, in their declared order."""
    execute(
        database,
        f"CREATE TABLE t (b INTEGER, a TEXT, updated_at TEXT, PRIMARY KEY (a, b)){suffix}",
        ("INSERT INTO t VALUES (?, ?, '2026-10-01')", [(b, a) for a in "xyz" for b in range(5)]),
        "CREATE INDEX i ON t (updated_at)",
    )
    stream = stream_of(database, page_rows=2)
    assert stream.schema().primary_key == ("a", "b")
    for stop in range(1, 9):
        landed = interrupted(stream, stop)
        rest = run(stream, landed.state)
        assert [(row["a"], row["b"]) for row in landed.rows + rest.rows] == [(a, b) for a in "xyz" for b in range(5)]


def test_a_table_without_rowid_gives_the_order_of_cursor_and_key(database: Path) -> None:
    """Its indexes end with the primary key."""
    from vdk.plugin.datasource_sql.statements import TableQuery

    execute(
        database,
        "CREATE TABLE t (id TEXT PRIMARY KEY, updated_at TEXT) WITHOUT ROWID",
        "CREATE TABLE u (id TEXT PRIMARY KEY, updated_at TEXT)",
        "CREATE TABLE v (id TEXT PRIMARY KEY, updated_at TEXT)",
        "CREATE INDEX i ON t (updated_at)",
        "CREATE INDEX j ON u (updated_at)",
        "CREATE INDEX k ON v (updated_at) WHERE updated_at > '2026'",
    )
    levels = [TableQuery(stream.plan, stream._backend).index_level for stream in source_of(database).streams()]
    assert levels == ["full", "cursor", "none"]


def test_keys_are_paged_under_the_collation_they_are_unique_in(database: Path) -> None:
    """The index keeps 'a' and 'A' apart, the column's own collation does not: a keyset in that one skips rows."""
    execute(
        database,
        "CREATE TABLE t (code TEXT COLLATE NOCASE NOT NULL, updated_at TEXT)",
        "CREATE UNIQUE INDEX u ON t (code COLLATE BINARY)",
        ("INSERT INTO t VALUES (?, '2026-10-01')", [("a",), ("A",), ("b",), ("B",), ("c",)]),
    )
    assert sorted(run(stream_of(database, page_rows=1)).column("code")) == ["A", "B", "a", "b", "c"]


def test_a_primary_key_that_ignores_case(database: Path) -> None:
    execute(
        database,
        "CREATE TABLE t (code TEXT COLLATE NOCASE PRIMARY KEY, updated_at TEXT)",
        ("INSERT INTO t VALUES (?, '2026-10-01')", [("b",), ("A",), ("C",), ("a2",)]),
    )
    assert run(stream_of(database, page_rows=1)).column("code") == ["A", "a2", "b", "C"]


def test_null_in_a_primary_key_loses_no_row(database: Path) -> None:
    """SQLite allows NULL in a primary key that is not the rowid; such a key tells no rows apart."""
    execute(
        database,
        "CREATE TABLE t (id TEXT PRIMARY KEY, v INTEGER, updated_at TEXT)",
        ("INSERT INTO t VALUES (?, ?, '2026-10-01')", [(None, 1), (None, 2), ("a", 3), ("b", 4), (None, 5)]),
    )
    for index in ("SELECT 1", "CREATE INDEX i ON t (updated_at)"):
        execute(database, index)
        assert sorted(run(stream_of(database, page_rows=1)).column("v")) == [1, 2, 3, 4, 5]


def test_a_key_of_blobs_and_reals_survives_the_state(database: Path) -> None:
    execute(
        database,
        "CREATE TABLE t (k BLOB, r REAL, updated_at TEXT, PRIMARY KEY (k, r))",
        (
            "INSERT INTO t VALUES (?, ?, '2026-10-01')",
            [(bytes([n]), n / 3) for n in range(5)] + [(b"\xff", float("inf"))],
        ),
    )
    for stop in range(1, 6):
        landed = interrupted(stream_of(database, page_rows=1), stop)
        assert len(landed.rows + run(stream_of(database, page_rows=1), landed.state).rows) == 6


def test_a_key_that_a_person_named_is_not_trusted_to_be_unique(database: Path) -> None:
    """Rows that share it would replace each other at the destination."""
    execute(
        database,
        "CREATE TABLE t (code TEXT, updated_at TEXT)",
        ("INSERT INTO t VALUES (?, '2026-10-01')", [("a",)] * 5),
    )
    stream = stream_of(database, options={"primary_key": "code", "page_rows": 2})
    assert stream.schema().primary_key == ("code",)
    with pytest.raises(ConfigurationError, match="5 rows of stream 't' have the key 'a'"):
        run(stream)


def test_generated_columns_land(database: Path) -> None:
    execute(
        database,
        "CREATE TABLE t (a INTEGER, b INTEGER AS (a * 2), c TEXT GENERATED ALWAYS AS ('n' || a) STORED)",
        "INSERT INTO t (a) VALUES (4)",
    )
    assert run(stream_of(database)).rows == [{"a": 4, "b": 8, "c": "n4"}]


def test_a_table_of_300_columns(database: Path) -> None:
    columns = [f"c{n}" for n in range(300)]
    execute(
        database,
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(f'{c} TEXT' for c in columns)}, updated_at TEXT)",
        (f"INSERT INTO t VALUES ({', '.join('?' * 302)})", [(n, *columns, "2026-10-01") for n in range(50)]),
    )
    landed = run(stream_of(database, page_rows=7))
    assert len(landed.rows) == 50
    assert landed.rows[49]["c299"] == "c299"


def test_a_full_text_table_is_a_stream_and_its_shadow_tables_are_not(database: Path) -> None:
    """Shadow tables are where a virtual table keeps its data; they are read through it."""
    execute(
        database,
        "CREATE VIRTUAL TABLE notes USING fts5(title, body)",
        "INSERT INTO notes VALUES ('one', 'first'), ('two', 'second')",
    )
    assert names(database) == ["notes"]
    assert run(stream_of(database, "notes")).rows == [
        {"title": "one", "body": "first"},
        {"title": "two", "body": "second"},
    ]


def test_a_table_that_cannot_be_read_says_so_and_leaves_the_others_alone(database: Path) -> None:
    """A virtual table whose module is not there."""
    execute(
        database,
        "CREATE TABLE t (a)",
        "PRAGMA writable_schema = ON",
        "INSERT INTO sqlite_master VALUES ('table', 'far', 'far', 0, 'CREATE VIRTUAL TABLE far USING nowhere(a)')",
    )
    assert names(database) == ["far", "t"]
    with pytest.raises(ConfigurationError, match=r"stream 'far' cannot be read: no such module: nowhere.*\"!far\""):
        stream_of(database, "far").schema()
    assert run(stream_of(database)).rows == []


class TestViews:
    @pytest.fixture
    def database(self, database: Path) -> Path:
        execute(
            database,
            "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, updated_at TEXT)",
            "CREATE VIEW active AS SELECT id, name, id * 2 AS double, updated_at FROM t",
            "CREATE VIEW broken AS SELECT * FROM gone",
            ("INSERT INTO t VALUES (?, 'n', ?)", [(n, f"2026-10-{n % 2 + 1:02}") for n in range(1, 8)]),
        )
        return database

    def test_they_are_streams_when_they_are_asked_for(self, database: Path) -> None:
        assert names(database) == ["t"]
        assert names(database, views=["act*"]) == ["active", "t"]

    def test_a_glob_that_matches_none_is_an_error(self, database: Path) -> None:
        with pytest.raises(ConfigurationError, match="views: 'actve' matches no view; did you mean 'active'"):
            names(database, views=["actve"])

    def test_they_are_read_incrementally_without_a_key(self, database: Path) -> None:
        stream = stream_of(database, "active", views=["active"], page_rows=2)
        first = run(stream)
        assert sorted(first.column("id")) == list(range(1, 8))
        assert run(stream, first.state).rows == []
        assert stream.schema().fields.field("double").type == pa.string()

    def test_a_view_of_what_is_gone_says_so(self, database: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"stream 'broken' cannot be read: no such table: main\.gone"):
            stream_of(database, "broken", views=["broken"]).schema()

    def test_options_for_a_view_that_is_not_read_are_an_error(self, database: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"\['active'\] are views that are not read"):
            source_of(database, tables={"active": {"page_rows": 3}})


class TestWhole:
    """Tables without a cursor."""

    def test_they_are_read_in_one_snapshot_and_carry_no_state(self, database: Path) -> None:
        execute(
            database, "CREATE TABLE t (id INTEGER PRIMARY KEY)", ("INSERT INTO t VALUES (?)", [(n,) for n in range(9)])
        )
        stream = stream_of(database, page_rows=4)
        assert stream.schema().cursor is None
        landed = run(stream)
        assert (landed.column("id"), landed.payloads, landed.states) == (list(range(9)), 3, 0)

    def test_rows_added_while_reading_do_not_show(self, database: Path) -> None:
        execute(
            database,
            "PRAGMA journal_mode = wal",
            "CREATE TABLE t (id INTEGER PRIMARY KEY)",
            ("INSERT INTO t VALUES (?)", [(n,) for n in range(9)]),
        )
        reading = stream_of(database, page_rows=4).read({})
        rows = next(reading).data.num_rows  # type: ignore[union-attr]  # the payloads are batches
        execute(database, "INSERT INTO t VALUES (100)", "DELETE FROM t WHERE id = 8")
        # type ignored: the payloads are batches
        assert rows + sum(payload.data.num_rows for payload in reading) == 9  # type: ignore[union-attr]


def test_a_stream_pickles_and_reads_elsewhere(database: Path) -> None:
    execute(
        database, "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)", "INSERT INTO t VALUES (1, '2026-10-01')"
    )
    stream = source_of(database).streams()[0]
    stream.schema()
    assert run(pickle.loads(pickle.dumps(stream))).column("id") == [1]


def test_closing_early_lets_go_of_the_database(database: Path) -> None:
    """A writer in exclusive mode gets in at once."""
    execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY)", ("INSERT INTO t VALUES (?)", [(n,) for n in range(9)]))
    reading = stream_of(database, page_rows=2).read({})
    next(reading)
    reading.close()  # type: ignore[attr-defined]  # a generator
    writer = sqlite3.connect(database, timeout=0)
    writer.execute("BEGIN EXCLUSIVE")
    writer.close()


@pytest.mark.parametrize("index", ["CREATE INDEX i ON t (updated_at)", "SELECT 1"])
def test_a_writer_gets_in_between_pages(database: Path, index: str) -> None:
    """Pages are transactions of their own, also in the first run without an index, in order of the key."""
    execute(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)",
        ("INSERT INTO t VALUES (?, '2026-10-01')", [(n,) for n in range(9)]),
        index,
    )
    pages = 0
    for _ in stream_of(database, page_rows=2).read({}):
        pages += 1
        writer = sqlite3.connect(database, timeout=0)
        writer.execute("BEGIN EXCLUSIVE")
        writer.close()
    assert pages > 4


def test_nothing_is_ever_written(database: Path) -> None:
    execute(
        database, "CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TEXT)", "INSERT INTO t VALUES (1, '2026-10-01')"
    )
    before = database.read_bytes(), sorted(path.name for path in database.parent.iterdir())
    run(stream_of(database))
    assert before == (database.read_bytes(), sorted(path.name for path in database.parent.iterdir()))
    with closing(stream_of(database)._backend.connect()) as connection, pytest.raises(Exception, match="readonly"):
        connection.execute("DELETE FROM t")
    assert rows_of(database, "SELECT count(*) FROM t") == [(1,)]


def test_many_columns_share_a_page_of_bounded_bytes(database: Path) -> None:
    """Wide rows make shorter pages: memory is bounded by bytes, not by rows."""
    from vdk.plugin.datasource_sql.pages.paging import PAGE_BYTES, PageSizer

    page_sizer = PageSizer(20_000)
    page_sizer.record_page(5_000, 5_000 * 1_000_000)
    assert page_sizer() == PAGE_BYTES // 1_000_000
    page_sizer.record_page(60, 6_000)
    assert page_sizer() == 20_000
