"""Opening a database, and what options say about its tables."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support import execute, run, source_of, stream_of
from vdk.plugin.datasource_base.contract import (
    ConfigurationError,
    ConnectionFailedError,
    DataSourceState,
    decode_config,
)
from vdk.plugin.source_sqlite import backend, reflection
from vdk.plugin.source_sqlite.backend import SqliteBackend
from vdk.plugin.source_sqlite.lock_holder import lock_holder
from vdk.plugin.source_sqlite.source import SqliteConfig, SqliteSource


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "t.db"
    execute(
        path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, status TEXT, updated_at TEXT, deleted_at TEXT)",
        (
            "INSERT INTO t VALUES (?, ?, ?, ?, NULL)",
            [(n, f"n{n}", "ab"[n % 2], f"2026-10-{n:02}") for n in range(1, 7)],
        ),
        "CREATE TABLE plain (a INTEGER)",
    )
    return path


class TestOpening:
    @pytest.mark.parametrize(
        "name", ["a b.db", "what?.db", "50%25.db", "#1.db", "größe.db", "a&mode=rwc.db", os.fsdecode(b"\xfc.db")]
    )
    def test_any_file_name(self, tmp_path: Path, name: str) -> None:
        execute(tmp_path / name, "CREATE TABLE t (a)", "INSERT INTO t VALUES ('x')")
        assert run(stream_of(tmp_path / name)).column("a") == ["x"]

    def test_a_missing_file_is_an_error_and_is_not_created(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"gone\.db' does not exist"):
            source_of(tmp_path / "gone.db")
        assert list(tmp_path.iterdir()) == []

    def test_the_error_names_the_option_and_the_database_that_may_be_meant(self, tmp_path: Path) -> None:
        """As a line to paste."""
        execute(tmp_path / "shop.db", "CREATE TABLE t (a)")
        (tmp_path / "shoop.txt").write_text("not a database", "utf-8")
        with pytest.raises(ConfigurationError) as caught:
            source_of(tmp_path / "shoop.db")
        assert str(caught.value) == (
            f"database: '{tmp_path}/shoop.db' does not exist (a relative path starts at the flow file's folder, "
            "or without one at the working directory); "
            f'write database = "{tmp_path}/shop.db"'
        )

    def test_a_folder_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="is a folder"):
            source_of(tmp_path)

    @pytest.mark.parametrize("name", ["a\0.db", "x" * 5000, "~nobody-of-this-name/a.db"])
    def test_a_path_that_no_file_can_have(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match=r"database: .*(null|long|no home)"):
            source_of(Path(name))

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "x.db").write_text("id,name\n" * 500)
        with pytest.raises(ConfigurationError, match=r"x\.db' is not a SQLite database"):
            source_of(tmp_path / "x.db").check()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
    def test_a_file_that_may_not_be_read(self, database: Path) -> None:
        database.chmod(0)
        with pytest.raises(ConfigurationError, match="permissions"):
            source_of(database)

    def test_a_locked_database_is_waited_for_once(self, database: Path) -> None:
        """For lock_timeout, when a run connects and when it reads; then the error says what to do."""
        stream = stream_of(database, lock_timeout="100ms")
        with closing(sqlite3.connect(database)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            for work in (lambda: source_of(database, lock_timeout="100ms"), lambda: run(stream)):
                with pytest.raises(
                    ConnectionFailedError,
                    match=r"t\.db' is locked by another process, still after 0\.1 s\. .* lock_timeout = \"5m\"",
                ) as caught:
                    work()
                assert caught.value.waited, "it would be waited for again, with each attempt"

    def test_a_database_that_is_locked_for_a_moment_is_read(
        self, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The wait is announced, and ends with the lock."""
        writer = sqlite3.connect(database, check_same_thread=False)
        writer.execute("BEGIN EXCLUSIVE")
        announced: list[str] = []

        def warning(message: str, *values: object) -> None:
            announced.append(message % values)
            writer.close()

        monkeypatch.setattr(backend, "_LOCK_SLICE", 0.01)
        monkeypatch.setattr(backend.log, "warning", warning)
        assert run(stream_of(database))
        assert announced == [f"the SQLite database {str(database)!r} is locked by another process: waiting up to 30 s"]

    @pytest.mark.skipif(not Path("/proc/locks").is_file(), reason="Linux lists the locks of processes")
    def test_the_process_that_locks_a_database_is_named(self, database: Path) -> None:
        hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); print(); input()"
        with subprocess.Popen(
            [sys.executable, "-c", hold, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert lock_holder(database) in (f"process {process.pid} (python)", f"process {process.pid} (python3)")
            process.communicate("\n")
        assert lock_holder(database) == "another process"

    def test_a_table_that_is_dropped_before_it_is_read(self, database: Path) -> None:
        stream = stream_of(database, "plain")
        execute(database, "DROP TABLE plain")
        with pytest.raises(ConfigurationError, match="no such table: plain"):
            run(stream)

    def test_a_column_that_is_dropped_before_it_is_read(self, database: Path) -> None:
        """SQLite takes an unknown name in double quotes for a text; a name with its table it does not."""
        stream = stream_of(database)
        execute(database, "ALTER TABLE t DROP COLUMN name")
        with pytest.raises(ConfigurationError, match=r"no such column: t\.name"):
            run(stream)

    def test_a_database_in_wal_mode(self, database: Path) -> None:
        writer = sqlite3.connect(database)
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("INSERT INTO plain VALUES (1)")
        writer.commit()
        assert run(stream_of(database, "plain")).column("a") == [1]
        writer.close()


def test_identity_is_the_path_with_links_resolved(database: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(database)
    assert source_of(link).identity() == f"sqlite:///{database.resolve()}"


def test_streams_come_without_an_explicit_connect(database: Path) -> None:
    source = SqliteSource(decode_config({"database": str(database)}, SqliteConfig, location="config"))
    assert [stream.name for stream in source.streams()] == ["plain", "t"]
    source.check()
    source.disconnect()
    source.connect(DataSourceState())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tables": {"tt": {}}}, "tables: 'tt' is not a table or view of the database; did you mean 't'"),
        (
            {"tables": {"t": {"cursor": "updatd_at"}}},
            r"tables\.t\.cursor: 'updatd_at' is not a column of table 't'; did you mean 'updated_at'",
        ),
        ({"tables": {"t": {"primary_key": ["id", "x"]}}}, r"tables\.t\.primary_key: 'x' is not"),
        (
            {"tables": {"t": {"columns": {"exclude": ["nam"]}}}},
            r"tables\.t\.columns: 'nam' is not .* did you mean 'name'",
        ),
        ({"tables": {"t": {"columns": {"exclude": ["id"]}}}}, "primary key or cursor, which always land"),
        ({"tables": {"t": {"columns": {"exclude": ["name"], "include": ["name"]}}}}, "not both"),
        ({"tables": {"t": {"deletes": {"column": "deletd_at"}}}}, r"tables\.t\.deletes\.column: 'deletd_at'"),
        ({"tables": {"t": {"deletes": {}}}}, "name the soft-delete column"),
        (
            {"tables": {"plain": {"deletes": {"sweep": "1d"}}}},
            r"tables\.plain\.deletes\.sweep: the table has no cursor",
        ),
        ({"tables": {"t": {"cursor": True}}}, "or say false for none"),
        ({"tables": {"plain": {"lookback": "5m"}}}, r"tables\.plain\.lookback: the table has no cursor"),
        ({"tables": {"plain": {"end_value": 5}}}, r"tables\.plain\.end_value: the table has no cursor"),
        ({"cursor_timezone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
    ],
)
def test_options_that_name_what_is_not_there(database: Path, config: dict[str, Any], message: str) -> None:
    """Found when the source connects, with the closest names."""
    with pytest.raises(ConfigurationError, match=message):
        source_of(database, **config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"database": "x", "colour": 1}, "unknown option 'colour'"),
        ({}, "the option 'database' is missing"),
        ({"database": "x", "page_rows": 0}, "page_rows"),
        ({"database": "x", "null_cursor": "maybe"}, "null_cursor"),
        (
            {"database": "x", "tables": {"t": {"lookbak": "5m"}}},
            r"tables\.t: unknown option 'lookbak'; did you mean 'lookback'",
        ),
    ],
)
def test_options_that_do_not_exist(config: dict[str, Any], message: str) -> None:
    """Found before anything connects."""
    with pytest.raises(ConfigurationError, match=message):
        decode_config(config, SqliteConfig, location="flow.toml: sources.shop.config")


class TestOptions:
    def test_cursor_and_key_by_other_names_and_letters(self, database: Path) -> None:
        schema = stream_of(database, options={"cursor": "NAME", "primary_key": ["STATUS", "id"]}).schema()
        assert (schema.cursor, schema.primary_key) == ("name", ("status", "id"))

    @pytest.mark.parametrize("none", [False, ""])
    def test_a_table_can_be_read_whole_on_purpose(self, database: Path, none: Any) -> None:
        assert stream_of(database, options={"cursor": none}).schema().cursor is None

    def test_the_tables_own_options_come_first(self, database: Path) -> None:
        stream = stream_of(database, page_rows=3, options={"page_rows": 2})
        assert (stream.plan.page_rows, stream_of(database, page_rows=3).plan.page_rows) == (2, 3)

    def test_included_columns_bring_key_and_cursor(self, database: Path) -> None:
        assert run(stream_of(database, options={"columns": {"include": ["name"]}})).rows[0] == {
            "id": 1,
            "name": "n1",
            "updated_at": "2026-10-01",
        }

    def test_excluded_columns_do_not_land(self, database: Path) -> None:
        landed = run(stream_of(database, columns={"exclude": ["name", "deleted_at"]}))
        assert list(landed.rows[0]) == ["id", "status", "updated_at"]

    def test_where_filters_rows_with_bound_values(self, database: Path) -> None:
        where = {"sql": "status = :status OR 0 -- and no more", "params": {"status": "a' OR 1=1 --"}}
        assert run(stream_of(database, options={"where": where})).rows == []
        where["params"] = {"status": "a"}
        first = run(stream_of(database, page_rows=1, options={"where": where}))
        assert first.column("id") == [2, 4, 6]
        execute(
            database,
            "INSERT INTO t VALUES (7, 'n', 'b', '2026-10-07', NULL)",
            "UPDATE t SET status = 'a', updated_at = '2026-10-08' WHERE id = 1",
        )
        assert run(stream_of(database, options={"where": where}), first.state).column("id") == [1]

    @pytest.mark.parametrize(
        ("where", "message"),
        [
            ({"sql": "status = :s", "params": {}}, r"has the names \['s'\]"),
            ({"sql": "stats = 'a'"}, "no such column: stats"),
            ({"sql": "status ="}, "syntax error"),
        ],
    )
    def test_a_where_that_is_wrong(self, database: Path, where: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            run(stream_of(database, options={"where": where}))

    @pytest.mark.parametrize("order", ["key", "cursor", "auto"])
    def test_order_of_the_first_run(self, database: Path, order: str) -> None:
        execute(database, "UPDATE t SET updated_at = '2026-10-20' WHERE id = 1")
        landed = run(stream_of(database, options={"order": order, "page_rows": 2}))
        assert landed.column("id") == ([2, 3, 4, 5, 6, 1] if order == "cursor" else [1, 2, 3, 4, 5, 6])

    def test_soft_deleted_rows_come_as_deletes(self, database: Path) -> None:
        options = {"deletes": {"column": "deleted_at"}}
        execute(database, "UPDATE t SET deleted_at = '2026-10-06' WHERE id = 2")
        first = run(stream_of(database, options=options))
        assert ("deletes", {"id": 2}) in first.events
        assert first.column("id") == [1, 3, 4, 5, 6]
        execute(database, "UPDATE t SET deleted_at = updated_at, updated_at = '2026-10-09' WHERE id = 3")
        second = run(stream_of(database, options=options), first.state)
        assert second.events == [("deletes", {"id": 3})]
        assert run(stream_of(database, options=options), second.state).events == []

    def test_soft_deletes_for_all_tables_hold_where_the_column_is(self, database: Path) -> None:
        execute(database, "UPDATE t SET deleted_at = 'x' WHERE id = 6")
        source = source_of(database, deletes={"column": "deleted_at"})
        assert [stream.plan.deleted_column for stream in source.streams()] == [None, "deleted_at"]

    def test_soft_deleted_rows_of_a_table_read_whole_are_left_out(self, database: Path) -> None:
        """The table is replaced: what is not in it is gone."""
        execute(database, "UPDATE t SET deleted_at = 'x' WHERE id > 4")
        landed = run(stream_of(database, options={"cursor": False, "deletes": {"column": "deleted_at"}}))
        assert (landed.column("id"), landed.events[-1][0]) == ([1, 2, 3, 4], "rows")

    def test_a_deleted_row_whose_key_does_not_fit_is_rejected(self, database: Path) -> None:
        execute(
            database,
            "CREATE TABLE u (k INT PRIMARY KEY, updated_at TEXT, gone INTEGER)",
            "INSERT INTO u VALUES (1, '2026-10-01', 1), ('x', '2026-10-01', 1)",
        )
        landed = run(stream_of(database, "u", options={"deletes": {"column": "gone"}}))
        assert landed.events == [("deletes", {"k": 1})]
        assert [error.key for _, error in landed.rejected] == ["x"]

    def test_deletes_need_a_key(self, database: Path) -> None:
        execute(database, "CREATE TABLE u (a, updated_at TEXT, gone INTEGER)")
        with pytest.raises(ConfigurationError, match=r"tables\.u\.deletes: .* by its primary key"):
            source_of(database, tables={"u": {"deletes": {"column": "gone"}}})


def test_the_plugin_entry_is_light() -> None:
    """VDK imports it on every command: it must not bring pyarrow, msgspec or a driver."""
    code = """
        import sys
        from vdk.plugin.source_sqlite.plugin_entry import vdk_datasource_register
        found = {}
        class Registry:
            def add(self, name, path): found[name] = path
        vdk_datasource_register(Registry())
        assert found == {"sqlite": "vdk.plugin.source_sqlite.source:SqliteSource"}, found
        heavy = {"adbc_driver_manager", "pyarrow", "msgspec", "sqlite3"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_a_change_that_was_cut_short_is_told_as_such(tmp_path: Path) -> None:
    """A writer that is killed leaves a journal, which only a writer can roll back: permissions are not to blame."""
    path = tmp_path / "shop.db"
    script = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA cache_size = 1')\n"
        "connection.execute('CREATE TABLE t (a)')\n"
        "connection.execute('BEGIN')\n"
        "for number in range(2000):\n"
        "    connection.execute('INSERT INTO t VALUES (?)', ('x' * 500,))\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert path.with_name("shop.db-journal").exists()
    with pytest.raises(ConfigurationError, match="left in the middle of a change"):
        source_of(path).streams()


def test_a_schema_that_is_known_opens_no_connection(database: Path) -> None:
    """The runtime asks for it more than once."""
    stream = stream_of(database, "t")
    known = stream.schema()
    database.unlink()
    assert stream.schema().fields == known.fields


def test_a_database_that_is_locked_while_it_is_described_is_retried(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stream is not set aside for it, as one whose module is missing is."""

    def locked(*_: Any) -> Any:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    monkeypatch.setattr(reflection, "_pragma", locked)
    with pytest.raises(ConnectionFailedError, match="is locked"):
        source_of(database)


def test_a_backfill_does_not_wait_for_open_transactions(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends where the configuration says."""
    monkeypatch.setattr(SqliteBackend, "safe_upper", lambda *_: pytest.fail("it looks for open transactions"))
    run(stream_of(database, "t", options={"end_value": "2030-01-01"}))
