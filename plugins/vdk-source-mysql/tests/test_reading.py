"""Tables of a real server: what is found, what is read, and what is read again."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import sqlalchemy as sa

from support import run, source_of, stream_of
from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.testing.mariadb import Server
from vdk.plugin.datasource_sql import SqlSession
from vdk.plugin.datasource_sql.testing import Landed


@pytest.fixture
def orders(server: Server) -> Server:
    """A table of 100 orders, one a minute."""
    server.query(
        "shop", "CREATE TABLE t (id bigint unsigned PRIMARY KEY, customer text, updated_at datetime, KEY (updated_at))"
    )
    server.query(
        "shop", "INSERT INTO t SELECT seq, CONCAT('c', seq), '2026-01-01 10:00' + INTERVAL seq MINUTE FROM seq_1_to_100"
    )
    return server


def test_a_table_is_read_whole_once_and_its_changes_afterwards(orders: Server) -> None:
    """In pages, by the index on the cursor."""
    stream = stream_of(orders, page_rows=7)
    first = run(stream)
    assert first.column("id") == list(range(1, 101))
    assert first.rows[0]["updated_at"].isoformat() == "2026-01-01T10:01:00"
    assert run(stream, first.state).rows == []
    orders.query("shop", "UPDATE t SET customer = 'x', updated_at = '2026-01-01 12:00' WHERE id = 5")
    again = run(stream, first.state)
    assert [(row["id"], row["customer"]) for row in again.rows] == [(5, "x")]


def test_a_late_commit_within_lookback_is_read(orders: Server) -> None:
    """Lookback is five minutes unless it is set: the database does not show what is open."""
    stream = stream_of(orders)
    first = run(stream)
    orders.query("shop", "INSERT INTO t VALUES (200, '', '2026-01-01 11:36'), (201, '', '2026-01-01 11:34')")
    assert run(stream, first.state).column("id") == [200]


@pytest.mark.parametrize(
    "keys", ["", ", KEY (updated_at)", ", KEY (updated_at, id)", ", KEY (updated_at, id DESC)", "without a key"]
)
def test_ties_and_nulls_are_read_once(server: Server, keys: str) -> None:
    """Whatever index there is, or key."""
    columns = f"id int PRIMARY KEY, updated_at datetime{keys}"
    if keys == "without a key":
        columns = "id int, updated_at datetime"
    server.query("shop", f"CREATE TABLE t ({columns})")
    server.query(
        "shop",
        "INSERT INTO t SELECT seq, IF(seq %% 10 > 0, '2026-01-01' + INTERVAL (seq DIV 40) SECOND, NULL) "
        "FROM seq_1_to_200".replace("%%", "%"),
    )
    stream = stream_of(server, page_rows=9)
    first = run(stream)
    assert sorted(first.column("id")) == list(range(1, 201))
    assert first.counters["rows_null_cursor"] == 20
    assert run(stream, first.state).rows == []


def test_texts_with_a_long_common_beginning_have_an_order(server: Server) -> None:
    """A server compares no more than the first 1024 bytes, unless it is set to. A run that dies shows the order."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c varchar(2000))")
    server.query("shop", "INSERT INTO t SELECT seq, CONCAT(REPEAT('x', 1500), MOD(seq * 7919, 1000)) FROM seq_1_to_60")
    stream = stream_of(server, options={"cursor": "c", "order": "cursor"}, page_rows=7)
    landed = Landed()
    for _, payload in zip(range(3), stream.read({}), strict=False):
        landed.add(payload)
    assert sorted([*landed.column("id"), *run(stream, landed.state).column("id")]) == list(range(1, 61))


@pytest.mark.parametrize("null_cursor", ["include", "exclude"])
def test_a_partial_date_between_two_cursors_is_none(server: Server, null_cursor: str) -> None:
    """It is read with the rows without a cursor alone."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at datetime, KEY (updated_at, id))")
    server.query("shop", "INSERT INTO t VALUES (1, '2025-12-31 23:59:59')")
    stream = stream_of(server, null_cursor=null_cursor, out_of_range_times="null")
    first = run(stream)
    server.query("shop", "SET STATEMENT sql_mode = '' FOR INSERT INTO t VALUES (2, '2026-00-10'), (3, '2026-02-01')")
    assert run(stream, first.state).column("id") == ([2, 3] if null_cursor == "include" else [3])


def test_dates_that_do_not_exist(server: Server) -> None:
    """Zero and partial dates are bad records, NULL or text; they do not count as cursors, and are never the maximum."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at datetime, d date, KEY (updated_at, id))")
    server.query(
        "shop",
        "SET STATEMENT sql_mode = '' FOR INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00'), "
        "(2, '2026-00-10', '2026-00-10'), (3, '2030-01-00', NULL), (4, '2026-01-01', '2026-01-02')",
    )
    texts = run(stream_of(server, out_of_range_times="text"))
    assert [(row["updated_at"], row["d"]) for row in texts.rows] == [
        ("0000-00-00 00:00:00", "0000-00-00"),
        ("2026-00-10 00:00:00", "2026-00-10"),
        ("2030-01-00 00:00:00", None),
        ("2026-01-01 00:00:00", "2026-01-02"),
    ]
    assert texts.state["high_watermark"]["cursor"] == "2026-01-01 00:00:00"
    assert texts.counters["rows_null_cursor"] == 3
    nulls = run(stream_of(server, options={"out_of_range_times": "null"}))
    assert [row["d"] and row["d"].isoformat() for row in nulls.rows] == [None, None, None, "2026-01-02"]
    failed = run(stream_of(server))
    assert failed.column("id") == [4]
    assert [row["id"] for row, _ in failed.rejected] == [1, 2, 3]
    assert 'out_of_range_times = "null"' in str(failed.rejected[0][1])


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("int", ["1", "2", "3"]),
        ("bigint unsigned", ["1", "2", "9223372036854775807"]),
        ("bigint unsigned", ["1", "9223372036854775808", "18446744073709551615"]),
        ("double", ["1.5", "2.5", "3.25"]),
        ("float", ["0.1", "0.2", "16777217"]),
        ("varchar(9)", ["'Z'", "'a'", "'é'"]),
        ("varchar(9) CHARACTER SET latin1", ["'Z'", "'a'", "'é'"]),
        ("date", ["'2026-01-01'", "'2026-01-02'", "'2026-01-03'"]),
        ("datetime(6)", ["'2026-01-01'", "'2026-01-01 00:00:00.000001'", "'2026-01-01 00:00:01'"]),
        ("timestamp(3)", ["'1970-01-01 00:00:01'", "'2026-01-02'", "'2026-01-03'"]),
    ],
)
@pytest.mark.parametrize("lookback", ["0s", None])
def test_cursors_of_each_type(server: Server, type_: str, values: list[str], lookback: str | None) -> None:
    """Each sorts as the database sorts it, text by its code points."""
    server.query("shop", f"CREATE TABLE t (id int PRIMARY KEY, c {type_} NOT NULL, KEY (c, id))")
    server.query("shop", f"INSERT INTO t VALUES (1, {values[0]}), (2, {values[1]})")
    stream = stream_of(server, options={"cursor": "c"}, page_rows=1, **({"lookback": lookback} if lookback else {}))
    first = run(stream)
    assert first.column("id") == [1, 2]
    server.query("shop", f"INSERT INTO t VALUES (3, {values[2]})")
    second = run(stream, first.state)
    assert second.column("id") == [3]
    assert run(stream, second.state).rows == []


def test_a_cursor_of_a_type_that_does_not_sort_is_refused(server: Server) -> None:
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c enum('b', 'a'))")
    with pytest.raises(ConfigurationError, match=r"'c' is declared enum.*; a cursor is a DATETIME"):
        run(stream_of(server, options={"cursor": "c"}))


KEYS = [
    ("int unsigned", "seq"),
    ("bigint unsigned", "18446744073709551606 + seq"),
    ("varchar(20)", "CONCAT(CHAR(96 + seq USING utf8mb4), 'Ä')"),  # under a collation in which a = A
    ("varchar(20) CHARACTER SET latin1 COLLATE latin1_german2_ci", "ELT(seq,'ß','sa','ä','B','a b','ü','u','v','Z')"),
    ("varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "ELT(seq,'a','B','b','A','\\\\','%','''','é','Z')"),
    ("char(3)", "LPAD(seq, 3, ' ')"),
    ("binary(4)", "UNHEX(LPAD(HEX(seq * 27), 8, '0'))"),
    ("varbinary(4)", "UNHEX(ELT(seq,'','00','0000','27','5c','80','ff','ff00','ffff'))"),
    ("date", "'2026-01-01' + INTERVAL seq DAY"),
    ("datetime(6)", "'2026-01-01' + INTERVAL seq MICROSECOND"),
    ("uuid", "CONCAT(LPAD(10 - seq, 8, '0'), '-0000-1000-8000-00000000000', seq)"),
    ("decimal(20,2)", "seq + 12345678901234567.01"),
    ("enum('z','y','x','m','n','o','a','b','c')", "seq"),
    ("float", "seq + 0.1"),
    ("time", "SEC_TO_TIME(seq)"),
]


@pytest.mark.parametrize(("type_", "value"), KEYS)
@pytest.mark.parametrize("index", [True, pytest.param(False, marks=pytest.mark.libraries)])
def test_keys_of_each_type(server: Server, type_: str, value: str, index: bool) -> None:
    """A run continues after each of them, whatever their order is."""
    rest = ", KEY (updated_at, k, n)" if index else ""
    server.query("shop", f"CREATE TABLE t (k {type_}, n int, updated_at datetime NOT NULL, PRIMARY KEY (k, n){rest})")
    server.query("shop", f"INSERT INTO t SELECT {value}, seq, '2026-01-01' FROM seq_1_to_9")
    stream = stream_of(server, page_rows=2)
    numbers: list[int] = []
    state: dict[str, Any] = {}
    for _ in range(20):
        payload = next(iter(stream.read(state)), None)  # one page of a run that is then ended
        if payload is None:
            break
        # type ignored: the payloads are batches
        numbers += payload.data.column("n").to_pylist() if payload.data is not None else []  # type: ignore[union-attr]
        state = json.loads(json.dumps(payload.state or state))
    assert sorted({*numbers, *run(stream, state).column("n")}) == list(range(1, 10))
    assert sorted(run(stream).column("n")) == list(range(1, 10))
    assert run(stream, run(stream, state).state).rows == []


def test_deleted_rows_are_found_by_a_sweep(orders: Server) -> None:
    """All keys go to the destination, which deletes the others."""
    stream = stream_of(orders, deletes={"sweep": "1s"})
    first = run(stream)
    orders.query("shop", "DELETE FROM t WHERE id > 3")
    first.state["swept"] = "2026-01-01T00:00:00+00:00"
    assert [row["id"] for row in run(stream, first.state).keys] == [1, 2, 3]


def test_names_with_every_character(server: Server) -> None:
    """Quotes, percent signs, colons and blanks are parts of names."""
    name = "a \"b\" `c` 100% :x \\ 'd'"
    quoted = "`" + name.replace("`", "``") + "`"
    server.query("shop", f"CREATE TABLE {quoted} ({quoted} int PRIMARY KEY, updated_at datetime, KEY (updated_at))")
    server.query("shop", f"INSERT INTO {quoted} VALUES (1, '2026-01-01'), (2, '2026-01-02')")
    stream = stream_of(server, name, page_rows=1)
    assert run(stream).column(name) == [1, 2]


def test_a_condition_of_the_user(orders: Server) -> None:
    """Its values are bound, and a percent sign is a percent sign."""
    where = {"sql": "customer LIKE 'c1%' AND id <> :not", "params": {"not": 10}}
    assert run(stream_of(orders, options={"where": where})).column("id") == [1, *range(11, 20), 100]


def test_views_and_several_databases(server: Server) -> None:
    """Streams are called after the database and the table."""
    server.clear("other")
    server.query("mysql", "GRANT SELECT ON other.* TO reader")
    server.query("shop", "CREATE TABLE t (id int)")
    server.query("other", "CREATE TABLE t (id int)")
    server.query("other", "CREATE VIEW v AS SELECT id + 1 AS id FROM t")
    server.query("other", "CREATE SEQUENCE s")
    server.query("other", "INSERT INTO t VALUES (7)")
    streams = source_of(server, schemas=["shop", "other"], views=["other.v"]).streams()
    assert [(stream.name, run(stream).column("id")) for stream in streams] == [
        ("other.t", [7]),
        ("other.v", [8]),
        ("shop.t", []),
    ]


def test_tinyint1_as_bool(server: Server) -> None:
    """A number that is neither 0 nor 1 is a bad record then."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, b boolean)")
    server.query("shop", "INSERT INTO t VALUES (1, 0), (2, 1), (3, NULL), (4, 2)")
    landed = run(stream_of(server, tinyint1="bool"))
    assert landed.column("b") == [False, True, None]
    assert [row["id"] for row, _ in landed.rejected] == [4]


def test_settings_of_the_server_change_nothing(server: Server) -> None:
    """Neither how times are written, nor how many rows a statement has."""
    server.query("shop", "CREATE TABLE t (id int, at timestamp)")
    server.query("shop", "INSERT INTO t VALUES (1, '2026-01-01 10:00'), (2, '2026-01-01 10:00')")
    settings = {"time_zone": "'+05:00'", "sql_select_limit": "1", "sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"}
    before = {name: server.query("mysql", f"SELECT @@global.{name}")[0][0] for name in settings}
    try:
        for name, value in settings.items():
            server.query("mysql", f"SET GLOBAL {name} = {value}")
        landed = run(stream_of(server))
    finally:
        for name, old in before.items():
            server.query("mysql", f"SET GLOBAL {name} = %s", [old])
    assert [row["at"].isoformat() for row in landed.rows] == ["2026-01-01T10:00:00+00:00"] * 2


def test_a_whole_read_is_one_snapshot(server: Server) -> None:
    """Rows that change meanwhile are read as they were."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, n int)")
    server.query("shop", "INSERT INTO t SELECT seq, 0 FROM seq_1_to_20000")
    reading = stream_of(server, page_rows=100).read({})
    first = next(reading)
    server.query("shop", "UPDATE t SET n = 1")
    # type ignored: the payloads are batches
    rest = [row for payload in (first, *reading) for row in payload.data.column("n").to_pylist()]  # type: ignore[union-attr]
    assert rest == [0] * 20000


def test_statements_of_a_session_share_a_snapshot(orders: Server) -> None:
    """The maximum, the number of NULLs and the first page belong together."""
    backend = source_of(orders).backend
    count = sa.select(sa.func.count()).select_from(sa.table("t", schema="shop"))
    with SqlSession(backend) as session:
        session.begin()
        orders.query("shop", "DELETE FROM t WHERE id = 1")  # before the first statement
        assert session.one(count) == (99,)
        orders.query("shop", "DELETE FROM t WHERE id = 2")
        assert session.one(count) == (99,)
        session.end()
        session.begin()
        assert session.one(count) == (98,)


def test_the_source_cannot_write(server: Server) -> None:
    """Not even with the privileges of an administrator."""
    server.query("shop", "CREATE TABLE t (id int)")
    server.query("shop", "CREATE SEQUENCE s")
    server.query("shop", "INSERT INTO t VALUES (1)")
    with pytest.raises(ConfigurationError, match="READ ONLY"):
        run(stream_of(server, url=server.url("shop"), options={"where": {"sql": "NEXTVAL(s) > 0"}}))


def test_the_plugin_entry_is_light() -> None:
    """VDK imports it on every command: it must not bring SQLAlchemy, pyarrow or the driver."""
    code = """
        import sys
        from vdk.plugin.source_mysql.plugin_entry import vdk_datasource_register
        class Registry:
            def add(self, name, path): assert name == "mysql"
        vdk_datasource_register(Registry())
        import vdk.plugin.datasource_sql.plugin_entry
        heavy = {"pymysql", "sqlalchemy", "pyarrow", "msgspec"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
