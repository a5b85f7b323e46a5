"""What is PostgreSQL's own: URLs and secrets, connections that are lost, privileges, names, and its types."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from adbc_driver_manager import AdbcStatusCode, DataError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakes import PostgresqlLake
from landing import APPEND, KEY, REPLACE, UPSERT, columns, connected, land, opened, query, rows, states, tables, unit
from ticks import all_rows
from values import SCHEMA, VALUES
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DestinationError,
)
from vdk.plugin.datasource_base.parts import Destination, RefusedRowsError, TableSnapshot
from vdk.plugin.datasource_base.testing.faults import assert_exactly_once
from vdk.plugin.datasource_base.testing.postgresql import PASSWORD, QUOTED_PASSWORD
from vdk.plugin.ingest_arrow.postgresql.database import PostgresqlDatabase
from vdk.plugin.ingest_arrow.postgresql.url import PostgresqlUrl
from vdk.plugin.ingest_arrow.targets import arrow_destination
from vdk.plugin.ingest_arrow.values import RefusedValueError

BACKENDS = "FROM pg_stat_activity WHERE application_name = 'vdk-ingest-arrow'"


def made(target: str) -> Destination:
    return arrow_destination(target, folder=Path())


@pytest.mark.parametrize(
    ("target", "identity"),
    [
        ("postgresql://me:geheim@Db.Example/shop", "postgresql://db.example:5432/shop"),
        ("postgres://me@db.example:5433/shop?schema=raw", "postgresql://db.example:5433/shop?schema=raw"),
        ("postgresql://db.example/shop?user=me&password=geheim&port=7", "postgresql://db.example:7/shop"),
        ("postgresql:///shop?host=/run/postgresql", "postgresql://%2Frun%2Fpostgresql:5432/shop"),
        ("postgresql://me:geheim@a,b:7/shop?sslmode=require", "postgresql://a:5432,b:7/shop"),
        ("postgresql://me:a%40b%3A%2F@db.example/a%20b", "postgresql://db.example:5432/a%20b"),
    ],
)
def test_a_database_is_one_whoever_connects_and_however(target: str, identity: str) -> None:
    assert made(target).identity() == f"arrow {identity}"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("postgresql://me:geheim@db.example", "lacks a database: write it as in"),
        ("postgresql://me:geheim@db.example/?schema=raw", "lacks a database: write it as in"),
        ("postgresql://me:geheim%zz@db.example/shop", "not the beginning of a %XX"),
        ("postgresql://me:x@geheim@db.example/shop", "more than one '@'"),
        ("postgresql://me:geheim/y@db.example/shop", "an '@' after"),
        ("postgresql://me:x/geheim@db.example/shop", "an '@' after"),
        ("postgresql://me:x/y?geheim@db.example/shop", "after a '/' or '\\?'"),
        ("postgresql://me:x?geheim@db.example/shop", "after a '/' or '\\?'"),
        ("postgresql://me:geheim@db.example/shop?schema=", "not a schema name"),
        ("postgresql://me:geheim@db.example/shop?lock_timeout=soon", "is not a duration"),
        ("postgresql://me:geheim@db.example/shop?sslmode=a&sslmode=b", "twice"),
    ],
)
def test_a_target_that_names_no_database_is_refused_before_anything_opens(target: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        made(target)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ("?sslmode=require", ConfigurationError, "does not support SSL"),
        ("?sslmode=geheim", ConfigurationError, "libpq rejects the target's options: .*sslmode"),
        ("?host=%00", ConfigurationError, "libpq rejects the target's options: .*forbidden value %00"),
        ("?shema=raw", ConfigurationError, "libpq rejects the target's options: .*shema"),
        ("?host=127.0.0.1&port=1", ConnectionFailedError, "is unreachable"),
    ],
)
def test_options_that_are_not_ours_are_libpqs(
    postgresql: PostgresqlLake, options: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        opened(postgresql, options)


def test_a_wrong_password_is_refused_once_and_never_shown(postgresql: PostgresqlLake) -> None:
    wrong = postgresql.server.url("lake", password="falsch%3Aer")
    with pytest.raises(AuthenticationError, match=r"refuses the user or password") as caught:
        connected(wrong)
    assert "falsch" not in str(caught.value)


def test_a_missing_user_and_a_missing_database_are_named(postgresql: PostgresqlLake) -> None:
    with pytest.raises(AuthenticationError, match='user "nobody"'):
        connected(postgresql.target().replace("postgres:", "nobody:"))
    with pytest.raises(ConfigurationError, match=r'database does not exist: create it.*"missing"'):
        connected(postgresql.server.url("missing"))


def test_no_error_and_no_repr_shows_the_password(postgresql: PostgresqlLake) -> None:
    destination = opened(postgresql)
    database = destination._database  # type: ignore[attr-defined]  # of destinations in databases
    seen = [repr(destination), repr(vars(destination)), repr(vars(database)), destination.identity()]
    with pytest.raises(DestinationError) as caught:
        destination.commit(unit(rows(replace(APPEND, name="x" * 64), {"id": [1]})))
    destination.close()
    for text in (*seen, str(caught.value)):
        assert PASSWORD not in text
        assert QUOTED_PASSWORD not in text


@pytest.mark.parametrize("column", ["note", "note: old"])
def test_a_refused_value_keeps_its_column_without_the_password(column: str) -> None:
    database = PostgresqlDatabase(PostgresqlUrl.parse("postgresql://me:geheim@db.example/shop"))
    error = database.translated(
        DataError(
            "INVALID_DATA: [libpq] Failed to execute COPY statement: PGRES_FATAL_ERROR ERROR:  invalid byte sequence "
            f'for encoding "UTF8": 0x00 (geheim)\nCONTEXT:  COPY orders, line 2, column {column}\n. SQLSTATE: 22021',
            status_code=AdbcStatusCode.INVALID_DATA,
            sqlstate="22021",
        )
    )
    assert isinstance(error, RefusedValueError)
    assert error.column == column
    assert "invalid byte sequence" in str(error)
    assert "geheim" not in str(error)


def test_the_server_names_the_column_of_a_refused_value(postgresql: PostgresqlLake) -> None:
    """Otherwise it is searched for among the first 200, by landing the row without each of their values."""
    data = {**{f"c{number}": ["a"] for number in range(201)}, "note": ["a"], "note: old": ["a\0b"]}
    destination = opened(postgresql)
    with pytest.raises(RefusedRowsError) as caught:
        destination.commit(unit(rows(APPEND, data)))
    destination.close()
    assert [(row.row, row.column) for row in caught.value.rows] == [(0, "note: old")]


def test_a_schema_is_made_and_holds_rows_and_states(postgresql: PostgresqlLake) -> None:
    destination = opened(postgresql, "?schema=ra%22w")
    destination.commit(unit(rows(APPEND, {"id": [1]}), state={"n": 1}))
    assert [state.version for state in destination.load_states("shop")] == [1]
    destination.close()
    assert query(postgresql, 'SELECT id FROM "ra""w".orders') == [(1,)]
    other = opened(postgresql)
    assert other.load_states("shop") == []
    other.close()


@contextmanager
def user(lake: PostgresqlLake, *grants: str) -> Iterator[str]:
    """The URL of a user who may do no more than this."""
    query(lake, "CREATE USER clerk PASSWORD 'clerk'")
    try:
        for grant in grants:
            query(lake, f"GRANT {grant} TO clerk")
        yield lake.target().replace(f"postgres:{QUOTED_PASSWORD}", "clerk:clerk")
    finally:
        query(lake, "DROP OWNED BY clerk CASCADE")
        query(lake, "DROP USER clerk")


def test_who_may_not_make_tables_is_told_so(postgresql: PostgresqlLake) -> None:
    with user(postgresql, "USAGE ON SCHEMA public") as target:
        destination = connected(target)
        with pytest.raises(DestinationError, match=r"lacks a privilege: grant it.*permission denied for schema public"):
            destination.commit(unit(rows(APPEND, {"id": [1]})))
        destination.close()


def test_who_may_only_use_what_is_there_can_land_in_it(postgresql: PostgresqlLake) -> None:
    """Neither the right to make schemas nor that to make tables is asked for where there is nothing to make."""
    land(postgresql, rows(APPEND, {"id": [1]}))
    with user(
        postgresql, "USAGE ON SCHEMA public", "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
    ) as target:
        destination = connected(target)
        assert destination.commit(unit(rows(APPEND, {"id": [2]}), state={"n": 1})) == 1
        destination.close()
    assert query(postgresql, "SELECT id FROM orders") == [(1,), (2,)]


def test_a_server_that_takes_no_writes_is_told_as_that(postgresql: PostgresqlLake) -> None:
    destination = opened(postgresql, "?options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(DestinationError, match="the server is read-only"):
        destination.commit(unit(rows(APPEND, {"id": [1]})))
    destination.close()


def test_a_full_disk_is_told_as_that(postgresql: PostgresqlLake) -> None:
    """The error is made by a trigger; the rows of the unit before it are gone with it."""
    land(postgresql, rows(APPEND, {"id": [1]}))
    query(
        postgresql,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$",
    )
    query(postgresql, "CREATE TRIGGER full_disk BEFORE INSERT ON orders EXECUTE FUNCTION full_disk()")
    lines = replace(APPEND, name="lines")
    with pytest.raises(DestinationError, match="the server's disk is full"):
        land(postgresql, rows(lines, {"id": [1]}), rows(APPEND, {"id": [2]}))
    assert tables(postgresql) == ["orders"]


def test_a_table_that_another_session_holds_is_waited_for(postgresql: PostgresqlLake) -> None:
    land(postgresql, rows(APPEND, {"id": [1]}))
    with psycopg.connect(postgresql.target()) as other:
        other.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        destination = opened(postgresql, "?lock_timeout=300ms")
        with pytest.raises(ConnectionFailedError, match="'lock_timeout'"):
            destination.commit(unit(rows(APPEND, {"id": [2]})))
        other.rollback()
        destination.commit(unit(rows(APPEND, {"id": [2]})))
        destination.close()
    assert query(postgresql, "SELECT id FROM orders") == [(1,), (2,)]


def test_no_transaction_is_left_open_between_commits(postgresql: PostgresqlLake) -> None:
    """It would keep others from changing tables, and the server from cleaning up."""
    destination = opened(postgresql)
    destination.load_states("shop")
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    with pytest.raises(DestinationError):
        destination.commit(unit(rows(APPEND, {"": [1]})))
    assert query(postgresql, f"SELECT state {BACKENDS}") == [("idle",)]
    destination.close()


def test_a_connection_lost_between_commits_is_made_again(postgresql: PostgresqlLake) -> None:
    destination = opened(postgresql)
    version = destination.commit(unit(rows(APPEND, {"id": [1]}), state={"n": 1}))
    query(postgresql, f"SELECT pg_terminate_backend(pid) {BACKENDS}")
    destination.commit(unit(rows(APPEND, {"id": [2]}), state={"n": 2}, version=version))
    destination.close()
    assert query(postgresql, "SELECT id FROM orders") == [(1,), (2,)]


class Gate:
    """A way to the server that is cut when the client says COMMIT: before it arrives, or before its answer does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.armed = ""
        self.passing = 0
        """COMMITs to let through once it is armed."""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            lost = threading.Event()
            for one, other, says in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._carry, args=(one, other, says, lost), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, client: bool, lost: threading.Event) -> None:
        try:
            while data := one.recv(65536):
                if self.armed and client and b"COMMIT" in data:
                    self.passing -= 1
                    if self.passing < 0 and self.armed == "before":
                        break
                    if self.passing < 0:
                        lost.set()
                if lost.is_set() and not client and b"COMMIT" in data:
                    self.armed = ""
                    break  # it is done, and nobody hears of it
                other.sendall(data)
        except OSError:
            pass
        if client and self.passing < 0:
            self.armed = ""
        for both in (one, other):
            shut(both)

    def close(self) -> None:
        self._listening.close()


def shut(one: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_lost_in_a_commit_is_told_and_the_state_says_whether_it_happened(
    postgresql: PostgresqlLake, when: str
) -> None:
    """Rows and state are both there or both not: who asks for the state afterwards goes on from the right place."""
    gate = Gate(postgresql.server.port)
    destination = connected(postgresql.target().replace(str(postgresql.server.port), str(gate.port)))
    destination.commit(unit(rows(APPEND, {"id": [0]})))
    gate.armed = when
    with pytest.raises(ConnectionFailedError):
        destination.commit(unit(rows(APPEND, {"id": [1]}), state={"n": 1}))
    stored = destination.load_states("shop")
    assert [one.state for one in stored] == ([{"n": 1}] if when == "after" else [])
    if not stored:
        destination.commit(unit(rows(APPEND, {"id": [1]}), state={"n": 1}))
    destination.close()
    gate.close()
    assert query(postgresql, "SELECT id FROM orders") == [(0,), (1,)]
    assert states(postgresql) == [("", 1, '{"n": 1}')]


@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.heavy
def test_a_run_that_loses_its_connection_in_a_commit_lands_each_row_once(
    postgresql: PostgresqlLake, ticks_installed: Path, when: str, mode: str
) -> None:
    """Whichever commit it is, the run tries again, asks for its state, and goes on from there."""
    for number in range(1, 5):
        gate = Gate(postgresql.server.port)
        target = postgresql.target(f"?schema=run{number}").replace(str(postgresql.server.port), str(gate.port))
        gate.armed, gate.passing = when, number
        run_flows(
            None,
            {
                "sources": {"src": {"name": "ticks", "config": {"states": mode == "append"}}},
                "destinations": {"lake": {"method": "arrow", "target": target}},
                "flows": [{"from": "src", "to": "lake", "batch_rows": 4, "write_mode": mode}],
            },
        )
        assert gate.armed == "", "the connection was not cut"
        gate.close()
        assert_exactly_once(all_rows(), query(postgresql, f"SELECT id, text FROM run{number}.ticks"))


def test_what_is_staged_outlives_a_crash_of_the_server(postgresql: PostgresqlLake) -> None:
    """A table that is not in the write-ahead log would be empty afterwards, and its rows would be missed."""
    destination = opened(postgresql)
    destination.stage(KEY, [rows(APPEND, {"id": [1]})], "run-1")
    postgresql.server.end(signal.SIGQUIT)
    with pytest.raises(ConnectionFailedError):
        destination.load_states("shop")
    with pytest.raises(ConnectionFailedError, match="is unreachable"):
        destination.load_states("shop")
    postgresql.server.start()
    destination.commit(unit(state={"n": 1}))
    destination.close()
    assert query(postgresql, "SELECT id FROM orders") == [(1,)]


@pytest.mark.parametrize("name", ["x" * 64, "é" * 32])
def test_a_name_that_would_be_cut_off_is_refused(postgresql: PostgresqlLake, name: str) -> None:
    """Two that begin alike would be one."""
    said = "the name has 64 bytes, and PostgreSQL allows 63"
    with pytest.raises(DestinationError, match=said):
        land(postgresql, rows(replace(APPEND, name=name), {"id": [1]}))
    with pytest.raises(DestinationError, match=said):
        land(postgresql, rows(APPEND, {name: [1]}))
    destination = opened(postgresql, f"?schema={name}")
    with pytest.raises(DestinationError, match=said):
        destination.commit(unit())
    destination.close()
    land(postgresql, rows(replace(APPEND, name=name[:-1]), {name[:-1]: [1]}))
    assert tables(postgresql) == [name[:-1]]


@pytest.mark.parametrize(
    ("definition", "kind"),
    [
        ("CREATE MATERIALIZED VIEW orders AS SELECT 1 AS id", "materialized view"),
        ("CREATE SEQUENCE orders", "sequence"),
        ("CREATE TYPE orders AS (id integer)", "type"),
    ],
)
def test_rows_land_in_tables_only(postgresql: PostgresqlLake, definition: str, kind: str) -> None:
    query(postgresql, definition)
    with pytest.raises(DestinationError, match=f"'orders' is a {kind}"):
        land(postgresql, rows(APPEND, {"id": [1]}))


def test_rows_land_in_a_partitioned_table(postgresql: PostgresqlLake) -> None:
    query(postgresql, "CREATE TABLE orders (id bigint) PARTITION BY RANGE (id)")
    query(postgresql, "CREATE TABLE low PARTITION OF orders FOR VALUES FROM (0) TO (10)")
    land(postgresql, rows(UPSERT, {"id": [1, 2]}))
    land(postgresql, rows(UPSERT, {"id": [2, 3]}))
    assert query(postgresql, "SELECT id FROM low ORDER BY id") == [(1,), (2,), (3,)]


def test_what_belongs_to_a_table_outlives_a_replace(postgresql: PostgresqlLake) -> None:
    land(postgresql, rows(APPEND, {"id": [1], "gone": [1], "x": [1]}))
    query(postgresql, "COMMENT ON TABLE orders IS 'ours'")
    query(postgresql, "CREATE VIEW seen AS SELECT id FROM orders")
    with user(postgresql, "USAGE ON SCHEMA public", "SELECT ON orders") as target:
        destination = opened(postgresql)
        destination.stage(KEY, [rows(REPLACE, {"id": [7], "x": ["text"], "new": [True]})], "run-1")
        destination.publish(TableSnapshot([REPLACE], [unit()]))
        destination.close()
        with psycopg.connect(target) as clerk:
            assert clerk.execute("SELECT id, x, new, gone FROM orders").fetchall() == [(7, "text", True, None)]
    assert query(postgresql, "SELECT obj_description('orders'::regclass), id FROM seen") == [("ours", 7)]


def test_new_columns_are_added_in_one_statement(postgresql: PostgresqlLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each statement would lock the table and write the catalog once more."""
    destination = opened(postgresql)
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    database = destination._database  # type: ignore[attr-defined]  # of destinations in databases
    execute = database.execute
    statements: list[str] = []

    def counted(sql: str, parameters: Sequence[Any] = ()) -> Any:
        statements.append(sql)
        return execute(sql, parameters)

    monkeypatch.setattr(database, "execute", counted)
    destination.commit(unit(rows(APPEND, {"id": [2], **{f"c{number}": [number] for number in range(50)}})))
    destination.close()
    assert len([sql for sql in statements if sql.startswith("ALTER TABLE")]) == 1
    assert columns(postgresql) == dict.fromkeys(["id", *(f"c{number}" for number in range(50))], "bigint")
    assert query(postgresql, "SELECT id, c0, c49 FROM orders ORDER BY id") == [(1, None, None), (2, 0, 49)]


def test_a_column_that_a_view_needs_cannot_change_and_the_error_says_so(postgresql: PostgresqlLake) -> None:
    land(postgresql, rows(APPEND, {"id": [1]}))
    query(postgresql, "CREATE VIEW seen AS SELECT id FROM orders")
    with pytest.raises(DestinationError, match=r"that a view or a foreign key needs: drop that.*view seen"):
        land(postgresql, rows(APPEND, {"id": ["two"]}))
    assert query(postgresql, "SELECT id FROM seen") == [(1,)]


def test_an_upserts_key_is_found_by_an_index(postgresql: PostgresqlLake) -> None:
    """Otherwise each commit would read the whole table. One that is there already is used."""
    spec = replace(UPSERT, primary_key=("id", "part"))
    for number in range(3):
        land(postgresql, rows(spec, {"part": ["a"], "id": [number]}))
    found = query(postgresql, "SELECT indexdef FROM pg_indexes WHERE tablename = 'orders'")
    assert found == [("CREATE INDEX orders_id_part_idx ON public.orders USING btree (id, part)",)]
    query(postgresql, "CREATE TABLE lines (part text, id bigint, x text, UNIQUE (part, id))")
    land(postgresql, rows(replace(spec, name="lines"), {"part": ["a"], "id": [1]}))
    assert query(postgresql, "SELECT count(*) FROM pg_indexes WHERE tablename = 'lines'") == [(1,)]


@pytest.mark.heavy
def test_rows_wider_than_a_page_are_told_as_that(postgresql: PostgresqlLake) -> None:
    """Of a text that is stored elsewhere 18 bytes stay in the page. No column alone is to blame."""
    with pytest.raises(DestinationError, match="must fit 8 kB"):
        land(postgresql, rows(APPEND, {f"c{number}": [uuid.uuid4().hex * 2] for number in range(500)}))


def test_a_character_the_databases_encoding_does_not_have_is_told(postgresql: PostgresqlLake) -> None:
    query(postgresql, "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        destination = connected(postgresql.server.url("latin"))
        destination.commit(unit(rows(APPEND, {"a": ["é"]})))
        with pytest.raises(DestinationError, match="encoding lacks"):
            destination.commit(unit(rows(APPEND, {"a": ["Ж"]})))
        destination.close()
        assert postgresql.server.query("latin", "SELECT a FROM orders") == [("é",)]
    finally:
        query(postgresql, "DROP DATABASE latin")


@pytest.mark.parametrize("array", [pa.array([10**7], pa.date32()), pa.array([-(10**12)], pa.timestamp("s"))])
def test_a_date_out_of_range_is_told(postgresql: PostgresqlLake, array: pa.Array) -> None:
    land(postgresql, rows(APPEND, {"a": pa.array([0], array.type)}))
    if pa.types.is_date(array.type):
        land(postgresql, rows(APPEND, {"a": array}))
        return
    with pytest.raises(DestinationError, match="a time is before 4713 BC"):
        land(postgresql, rows(APPEND, {"a": array}))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(VALUES, min_size=1, max_size=20))
@pytest.mark.heavy
def test_every_value_is_read_back_as_it_was(postgresql: PostgresqlLake, landed: list[dict[str, Any]]) -> None:
    query(postgresql, "DROP TABLE IF EXISTS orders")
    landed = [{**row, "text": row["text"].replace("\0", "")} for row in landed]
    land(postgresql, rows(APPEND, pa.Table.from_pylist(landed, SCHEMA)))
    found = query(postgresql, "SELECT * FROM orders")
    assert [dict(zip(SCHEMA.names, row, strict=True)) for row in found] == landed


def test_the_session_writes_values_one_way_whatever_the_database_is_set_to(postgresql: PostgresqlLake) -> None:
    for setting in ("DateStyle = 'German'", "TimeZone = 'Europe/Sofia'", "bytea_output = 'escape'"):
        query(postgresql, f"ALTER DATABASE lake SET {setting}")
    try:
        table = pa.table({"z": pa.array([0], pa.timestamp("us", "UTC")), "d": pa.array([0], pa.date32()), "b": [b"\0"]})
        land(postgresql, rows(APPEND, table), rows(APPEND, {name: ["x"] for name in "zdb"}))
        assert query(postgresql, "SELECT z, d, b FROM orders")[0] == ("1970-01-01 00:00:00+00", "1970-01-01", "\\x00")
    finally:
        query(postgresql, "ALTER DATABASE lake RESET ALL")


def test_without_the_driver_the_error_says_what_to_install() -> None:
    script = (
        "import sys; from pathlib import Path; sys.modules['adbc_driver_postgresql'] = None\n"
        "from vdk.plugin.ingest_arrow.targets import arrow_destination\n"
        "arrow_destination('postgresql://me:geheim@host/db', folder=Path())"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=os.environ)
    last = ended.stderr.strip().splitlines()[-1]
    assert "pip install 'vdk-ingest-arrow[postgresql]'" in last
    assert "geheim" not in last


def test_columns_of_a_table_that_was_made_by_others_keep_their_types(postgresql: PostgresqlLake) -> None:
    definition = {"id": "numeric", "note": "character varying(20)", "at": "timestamp(3) without time zone"}
    query(postgresql, f"CREATE TABLE orders ({', '.join(f'{name} {type_}' for name, type_ in definition.items())})")
    land(postgresql, rows(APPEND, {"id": [1], "note": ["short"]}))
    assert columns(postgresql) == definition
    land(postgresql, rows(APPEND, {"id": [2], "note": ["longer than twenty characters"]}))
    assert columns(postgresql)["note"] == "text"
    assert query(postgresql, "SELECT note FROM orders") == [("short",), ("longer than twenty characters",)]
