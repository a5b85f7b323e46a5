"""Tables that are read with ADBC: rows, rejected rows, errors and states are those that the row path has."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest

from support import run, source_of
from test_delivery import deliver
from test_types import TYPES
from vdk.plugin.datasource_base.contract import ConnectionFailedError, FlowFailedError
from vdk.plugin.datasource_base.testing.postgresql import Server
from vdk.plugin.datasource_sql import SqlSession, SqlStream
from vdk.plugin.datasource_sql.testing import Landed
from vdk.plugin.datasource_sql.testing import run as run_to
from vdk.plugin.source_postgres import adbc, bulk, whole_reads
from vdk.plugin.source_postgres.bulk import bulk_version
from vdk.plugin.source_postgres.source import PostgresSource

NASTY: dict[str, list[str]] = {
    "smallint": ["32767", "0"],
    "bigint": ["9223372036854775807", "-1"],
    "oid": ["0", "2147483648"],
    "real": ["'NaN'", "'-Infinity'", "1e-45", "16777217", "3.4028235e38"],
    "double precision": ["'NaN'", "'Infinity'", "5e-324", "'-0'", "0.30000000000000004"],
    "numeric(5,2)": ["'NaN'", "999.99"],
    "numeric(38,10)": ["0", "-0.0000000001"],
    "numeric": ["'NaN'", "'-Infinity'", "1.500", "12345678901234567890123456789012345678901234567890.5"],
    "text": [r"'a\b''c%d?'", "''", "'NULL'", "'\u2028😀'", "repeat('x', 3000)"],
    "char(5)": ["''", "' a'"],
    "bytea": ["''", r"'\x5c'"],
    "date": ["'infinity'", "'0001-01-01'", "'0044-03-15 BC'", "'10000-01-01'", "'1969-12-31'"],
    "timestamp": ["'-infinity'", "'0001-01-01'", "'1969-12-31 23:59:59.9'", "'294276-12-31'", "'2026-01-01'"],
    "timestamptz": ["'infinity'", "'9999-12-31 23:59:59.999999+00'", "'2026-01-01 00:00:00.10+00'"],
    "timestamptz(0)": ["'4713-01-01 00:00+00 BC'"],
    "time": ["'24:00'", "'00:00'", "'10:20:30.5'"],
    "timetz": ["'24:00+00'"],
    "interval": ["'-1 day 00:00:00.000001'"],
    "json": ["'null'", "'1.0'"],
    "jsonb": ["'null'", "'\"\\u20ac\"'"],
    "int[]": ["'{}'", "'[0:1]={1,2}'"],
    "pair": ["ROW(NULL, NULL)", "ROW(NULL, '\"')"],
    "inet": ["'192.168.0.1'", "'::1'"],
    "bit(4)": ["B'1111'"],
    "int4range": ["'empty'", "'(,5)'"],
    "money": ["'-92233720368547758.08'"],
}
"""Values beside those of ``TYPES``, of which Arrow does not hold all."""


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that ADBC runs. Every table is large."""
    monkeypatch.setattr(bulk, "MIN_BULK_ROWS", 1)
    monkeypatch.setattr(whole_reads, "MIN_BULK_ROWS", 1)
    statements: list[str] = []
    fetch = adbc.AdbcConnection.stream

    def spied(self: adbc.AdbcConnection, sql: str, batch_bytes: int | None = None) -> Any:
        if "FROM" in sql and "VALUES" not in sql:
            statements.append(sql)
        return fetch(self, sql, batch_bytes)

    monkeypatch.setattr(adbc.AdbcConnection, "stream", spied)
    return statements


def both_ways(server: Server, state: Any = None, **config: Any) -> tuple[Landed, Landed]:
    """One table, read in bulk and row by row."""
    landed = []
    for is_bulk in (True, False):
        source = source_of(server, bulk=is_bulk, **config)
        landed.append(read(source, state))
    return landed[0], landed[1]


def read(source: PostgresSource, state: Any = None) -> Landed:
    """The first stream of a source, to its end."""
    landed = Landed(state)
    stream = source.streams()[0]
    for part in list(stream.partitions({})):
        for payload in part.read(landed.state):
            landed.add(payload)
    source.disconnect()
    return landed


def read_in_ranges(server: Server, **config: Any) -> Landed:
    """The same, as a cluster reads it."""
    landed = Landed()
    source = source_of(server, **config)
    parts = pickle.loads(pickle.dumps(source.streams()[0].split({}, parts=4, min_rows=20)))
    assert len(parts) >= 4
    for part in parts:
        for payload in part.read({}):
            landed.add(payload)
    source.disconnect()
    return landed


def compare(in_bulk: Landed, by_row: Landed) -> None:
    """NaN and NULL differ, so values are compared as text."""

    def sorted_rows(landed: Landed) -> list[str]:
        return sorted(map(repr, landed.rows))

    def sorted_rejected(landed: Landed) -> list[str]:
        return sorted(f"{row} {error}" for row, error in landed.rejected)

    assert sorted_rows(in_bulk) == sorted_rows(by_row)
    assert sorted_rejected(in_bulk) == sorted_rejected(by_row)
    assert in_bulk.state == by_row.state
    assert in_bulk.counters == by_row.counters


def fill(server: Server, rows: int, seed: int) -> None:
    """A table ``t`` with a column of every type, and values of which a few are nasty."""
    chosen = random.Random(seed)
    server.query("shop", "CREATE TYPE mood AS ENUM ('happy')")
    server.query("shop", "CREATE TYPE pair AS (a int, b text)")
    server.query("shop", "CREATE DOMAIN price AS numeric(10,2)")
    columns = ", ".join(f'"c%{number}" {case.declared}' for number, case in enumerate(TYPES))
    server.query("shop", f"CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz, {columns})")
    with psycopg.connect(server.url("shop"), options="-c TimeZone=UTC -c lc_monetary=C") as connection:
        for row in range(rows):
            cells = []
            for case in TYPES:
                nasty = NASTY.get(case.declared, [])
                usual = [case.literal, "NULL"]
                cells.append(chosen.choice(nasty if nasty and chosen.random() < 0.1 else usual))
            time = f"timestamptz '2026-01-01' + {row // 3} * interval '0.35 s'"
            connection.execute(f"INSERT INTO t VALUES ({row}, {time}, {', '.join(cells)})".encode())


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.libraries)])
@pytest.mark.parametrize("order", ["key", "cursor", "whole"])
@pytest.mark.parametrize("types", ["strict", "text"])
def test_both_ways_read_the_same(server: Server, fetched: list[str], order: str, types: str, seed: int) -> None:
    """Every type, with random values, in passes by key and by cursor and in parts."""
    fill(server, 120, seed)
    config: dict[str, Any] = {"page_rows": 7, "partition_rows": 50, "dynamic_types": types}
    if order == "whole":
        config["cursor_columns"] = []
    else:
        config["lookback"] = "3s"
    if order == "cursor":
        server.query("shop", "CREATE INDEX ON t (updated_at, id)")
    in_bulk, by_row = both_ways(server, **config)
    assert fetched
    compare(in_bulk, by_row)
    assert len(by_row.rows) + len(by_row.rejected) == 120
    fetched.clear()
    in_ranges = read_in_ranges(server, **config)
    assert any("ORDER BY" in statement for statement in fetched)
    in_ranges.state, in_ranges.counters = by_row.state, by_row.counters  # those of ranges are not kept
    compare(in_ranges, by_row)
    assert order != "whole" or len(in_bulk.rows) < 120 or types == "text"
    if order != "whole":  # the rows near the end are recognised, however they were read
        server.query("shop", "UPDATE t SET updated_at = updated_at + interval '1 hour' WHERE id = 5")
        again = both_ways(server, in_bulk.state, **config)
        compare(*again)
        assert again[0].counters["rows_unchanged"] > 0
        assert len(again[0].rows) + len(again[0].rejected) == 1


def test_a_row_that_comes_before_the_end_is_read_once(server: Server, fetched: list[str]) -> None:
    """In bulk too, in one part or in ranges, by key and by cursor."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz)")
    time = "timestamptz '2026-01-01' + least(n / 3, 150) * interval '0.1 s'"
    server.query("shop", f"INSERT INTO t SELECT n, {time} FROM generate_series(1, 500) n")
    (stream,) = source_of(server, page_rows=20).streams()
    end = stream.end({})
    server.query("shop", "INSERT INTO t SELECT 600 + n, max(updated_at) FROM t, generate_series(1, 30) n GROUP BY n")
    for _ in ("by key", "by cursor"):
        assert sorted(run_to(stream, {}, end).column("id")) == list(range(1, 501))
        parts = [run_to(part) for part in stream.split({}, end, parts=3, min_rows=50)]
        assert sorted(row["id"] for part in parts for row in part.rows) == list(range(1, 501))
        assert sorted(run_to(stream, end, stream.end(end)).column("id")) == list(range(601, 631))
        server.query("shop", "CREATE INDEX IF NOT EXISTS by_time ON t (updated_at, id)")
        (stream,) = source_of(server, page_rows=20).streams()
    assert fetched


def test_a_row_path_state_continues_in_bulk(server: Server, fetched: list[str]) -> None:
    """A pass may be begun by one way, and ended by the other."""
    server.query("shop", "CREATE TABLE t (id uuid PRIMARY KEY, updated_at timestamp(3), f float4)")
    server.query(
        "shop",
        "INSERT INTO t SELECT gen_random_uuid(), timestamp '2026-01-01' + n * interval '1 ms', n / 3.0 "
        "FROM generate_series(1, 500) n",
    )
    server.query("shop", "CREATE INDEX ON t (updated_at, id)")
    expected = [row[0] for row in server.query("shop", "SELECT id::text FROM t ORDER BY updated_at, id")]
    for first_way in (True, False):
        (stream,) = source_of(server, bulk=first_way, page_rows=20).streams()
        landed = Landed()
        for payload in stream.read({}):
            landed.add(payload)
            if len(landed.rows) >= 200 and payload.state is not None:
                break
        (stream,) = source_of(server, bulk=not first_way, page_rows=20).streams()
        for payload in stream.read(landed.state):
            landed.add(payload)
        assert landed.column("id") == expected
    assert fetched


def test_a_row_with_a_negative_nan_is_known_by_the_other_way(server: Server, fetched: list[str]) -> None:
    """PostgreSQL stores the sign of a NaN and does not write it."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz, f float8, g float4)")
    server.query("shop", "CREATE INDEX ON t (updated_at, id)")
    server.query(
        "shop",
        "INSERT INTO t SELECT n, '2026-01-01', 'inf'::float8 - 'inf'::float8, 'inf'::float4 - 'inf'::float4 "
        "FROM generate_series(1, 50) n",
    )
    in_bulk, by_row = both_ways(server, page_rows=7)
    assert fetched
    compare(in_bulk, by_row)


def test_values_of_conditions_and_names_are_the_same(server: Server, fetched: list[str]) -> None:
    """They are written into the statement, in which nothing of them is SQL."""
    server.query("shop", """CREATE TABLE "a%s ""b?" (id int PRIMARY KEY, "%" text, f float8, n bigint, b boolean)""")
    server.query(
        "shop", r"""INSERT INTO "a%s ""b?" SELECT n, '\''%s:x?', 'NaN', -n, true FROM generate_series(1, 50) n"""
    )
    where = {
        "sql": '"%" = :text AND f >= :inf AND n > :low AND b = :yes AND "%" LIKE \'%%s\\:x?\' '
        "AND coalesce(:none, id) = id",
        "params": {"text": r"\'%s:x?", "inf": float("inf"), "low": -40, "yes": True, "none": None},
    }
    table = 'a%s "b?'
    in_bulk, by_row = both_ways(server, tables={table: {"where": where}}, partition_rows=10)
    compare(in_bulk, by_row)
    assert len(by_row.rows) == 39
    assert fetched


@pytest.mark.parametrize("relation", ["partitioned", "inherited", "materialized"])
def test_each_kind_of_relation_is_read_once(server: Server, fetched: list[str], relation: str) -> None:
    """A partitioned table has the same blocks in each partition, and a parent not those of its children."""
    if relation == "partitioned":
        server.query("shop", "CREATE TABLE t (id int) PARTITION BY RANGE (id)")
        for start in (0, 1000, 2000):
            server.query("shop", f"CREATE TABLE t{start} PARTITION OF t FOR VALUES FROM ({start}) TO ({start + 1000})")
    else:
        server.query("shop", "CREATE TABLE t (id int)")
    server.query("shop", "INSERT INTO t SELECT generate_series(0, 2999)")
    if relation == "inherited":
        server.query("shop", "CREATE TABLE u () INHERITS (t)")
        server.query("shop", "INSERT INTO u SELECT generate_series(5000, 5999)")
    if relation == "materialized":
        server.query("shop", "CREATE MATERIALIZED VIEW v AS SELECT * FROM t")
        server.query(
            "shop", "DROP TABLE t CASCADE; CREATE MATERIALIZED VIEW v AS SELECT generate_series(0, 2999) AS id"
        )
    server.query("shop", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    source = source_of(server, partition_rows=100, views=["*"] if relation == "materialized" else [])
    landed = read(source)
    assert len(fetched) > 3
    assert sorted(landed.column("id")) == list(range(3000))


@pytest.mark.heavy
@pytest.mark.parametrize("most", [60_000, 5_000])
def test_rows_of_any_width_are_read_in_spans(
    server: Server, fetched: list[str], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """What a statement reads is bounded, even if a single block of a table has more."""
    monkeypatch.setattr(adbc, "SPAN_BYTES", most // 4)
    monkeypatch.setattr(adbc, "_MOST", most)
    monkeypatch.setattr(adbc, "_BATCH_BYTES", 1000)
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz, x text, y text)")
    server.query("shop", "ALTER TABLE t ALTER y SET STORAGE EXTERNAL")
    server.query(
        "shop",
        "INSERT INTO t SELECT n, CASE n WHEN 7 THEN 'infinity' ELSE timestamptz '2026-01-01' END, "
        "repeat('x', n % 200), repeat('y', n * 10) FROM generate_series(1, 300) n",
    )
    compare(*both_ways(server, cursor_columns=[], partition_rows=150))
    compare(*both_ways(server, page_rows=10))
    assert fetched


@pytest.mark.parametrize(
    ("span_bytes", "sizes"), [(1000, [10, 10, 10, 5]), (32, [6, 6, 6, 6, 6, 5])], ids=["narrow", "wide"]
)
def test_pages_are_full_unless_their_rows_are_large(
    span_bytes: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rows of 1 MB a full page would be 20 GB."""
    monkeypatch.setattr(adbc, "SPAN_BYTES", span_bytes)
    pages, rows = whole_reads.FullPages(10), pa.table({"a": pa.array(range(35), pa.int64())})
    cut = [page for start in range(0, 35, 6) for page in pages.add(rows.slice(start, 6))] + pages.rest()
    assert pa.concat_tables(cut).equals(rows)
    assert [page.num_rows for page in cut] == sizes


def test_what_changes_meanwhile_is_not_seen(server: Server, fetched: list[str]) -> None:
    """All parts are read as of the moment in which they were planned."""
    server.query("shop", "CREATE TABLE t (id int)")
    server.query("shop", "INSERT INTO t SELECT generate_series(1, 5000)")
    source = source_of(server, partition_rows=1000)
    (stream,) = source.streams()
    landed = Landed()
    for number, part in enumerate(stream.partitions({})):
        for payload in pickle.loads(pickle.dumps(part)).read({}):
            landed.add(payload)
        server.query("shop", f"UPDATE t SET id = id + 100000 WHERE id % 5 = {number % 5}")
    source.disconnect()
    assert sorted(landed.column("id")) == list(range(1, 5001))
    idle = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state LIKE 'idle in%%'"
    assert server.query("shop", idle) == [(0,)]


def test_the_parts_of_a_table_are_counted_in_their_snapshot(
    server: Server, fetched: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A run that verifies fails if a part lost a row, whatever has changed at the source since."""
    server.query("shop", "CREATE TABLE t (id int)")
    server.query("shop", "INSERT INTO t SELECT generate_series(1, 5000)")
    proof = SqlStream.proof

    def changed(stream: SqlStream, *states: Any, **options: Any) -> Any:
        server.query("shop", "DELETE FROM t WHERE id = 1")
        return proof(stream, *states, **options)

    monkeypatch.setattr(SqlStream, "proof", changed)
    lake = f"duckdb:///{tmp_path / 'lake.duckdb'}"
    summary = deliver(server, lake, flow={"verify": True}, partition_rows=1000)
    assert summary.streams[0].partitions > 1
    assert summary.streams[0].verification.text == (
        "not verified: 1 row changed at the source meanwhile; all 5,000 rows of the snapshot that was read have landed"
    )
    rest = whole_reads.FullPages.rest
    monkeypatch.setattr(whole_reads.FullPages, "rest", lambda self: [table[1:] for table in rest(self)])
    with pytest.raises(FlowFailedError, match=r"the source has 4,999 rows, and 4,9.. of them were read"):
        deliver(server, lake, flow={"verify": True}, partition_rows=1000)


@pytest.mark.parametrize("way", ["unproven", "unreachable", "off"])
def test_without_the_driver_rows_are_read(
    server: Server, fetched: list[str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Nothing depends on it."""

    def refuse(*_: Any) -> None:
        raise adbc.UnprovenError if way == "unproven" else OSError

    monkeypatch.setattr(adbc, "_check", refuse)
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz)")
    server.query("shop", "INSERT INTO t SELECT generate_series(1, 500), '2026-01-01'")
    configs: list[dict[str, Any]] = [{"cursor_columns": []}, {"page_rows": 20}]
    for config in configs:
        source = source_of(server, bulk=way != "off", **config)
        (stream,) = source.streams()
        (only,) = stream.partitions({})
        assert len(run(only).rows) == 500
        source.disconnect()
    assert not fetched


def test_a_changed_driver_is_noticed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads infinity as NULL, or as a time of our years, is not used."""
    for wrong in ("NULL", "timestamp '2026-01-01'"):
        monkeypatch.setattr(adbc, "_PROOF", adbc._PROOF.replace("timestamp '-infinity'", wrong))
        with pytest.raises(adbc.UnprovenError):
            adbc.AdbcConnection(source_of(server).backend.conninfo, {})
        monkeypatch.undo()
    adbc.AdbcConnection(source_of(server).backend.conninfo, {}).close()


def test_poolers_and_databases_without_an_encoding_are_read_row_by_row(server: Server) -> None:
    """A pooler answers as another process than the one that was connected to."""
    assert "ascii" not in {name for (name,) in server.query("postgres", "SELECT datname FROM pg_database")}
    server.query("postgres", "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0")
    try:
        versions: list[int] = []
        for name in ("shop", "ascii"):
            with SqlSession(source_of(server).backend) as session:
                session._connection = psycopg.connect(server.url(name))
                versions.append(bulk_version(session))
                info = session.connection.info
                session._connection = SimpleNamespace(
                    info=SimpleNamespace(
                        parameter_status=info.parameter_status, server_version=180000, backend_pid=info.backend_pid + 1
                    ),
                    cursor=session.connection.cursor,
                    close=session.connection.close,
                )
                assert bulk_version(session) == 0
    finally:
        server.query("postgres", "DROP DATABASE ascii WITH (FORCE)")
    assert [version > 0 for version in versions] == [True, False]


@pytest.mark.heavy
@pytest.mark.parametrize("lost", ["connections", "snapshot"])
def test_a_connection_that_is_cut_costs_no_row(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lost: str
) -> None:
    """A part is read again in the same snapshot; if that is lost, all parts are read as of another moment."""
    monkeypatch.setattr(whole_reads, "MIN_BULK_ROWS", 1)
    server.query("shop", "CREATE TABLE t (id int, v int)")
    server.query("shop", "INSERT INTO t SELECT n, 0 FROM generate_series(1, 5000) n")
    begun: list[str] = []
    stream = adbc.AdbcConnection.stream

    def cut(self: adbc.AdbcConnection, sql: str, *arguments: Any) -> Any:
        if "ctid" in sql:
            begun.append(sql)
            if len(begun) == 3:
                holder = " AND query NOT LIKE '%pg_export_snapshot%'" if lost == "connections" else ""
                ours = f"FROM pg_stat_activity WHERE usename = 'reader'{holder}"
                server.query("shop", f"SELECT pg_terminate_backend(pid, 5000) {ours}")
                server.query("shop", "UPDATE t SET v = 1")
        return stream(self, sql, *arguments)

    monkeypatch.setattr(adbc.AdbcConnection, "stream", cut)
    lake = tmp_path / "lake.duckdb"
    summary = deliver(server, f"duckdb:///{lake}", partition_rows=300)
    assert summary.status == "succeeded"
    assert summary.streams[0].retries > 0
    with duckdb.connect(str(lake), read_only=True) as connection:
        landed = connection.execute("SELECT count(*), count(DISTINCT id), min(v), max(v) FROM t").fetchone()
    assert landed == (5000, 5000, *((0, 0) if lost == "connections" else (1, 1)))


@pytest.mark.heavy
def test_a_connection_that_is_cut_in_a_pass_costs_no_row(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows after it are read one by one."""
    monkeypatch.setattr(bulk, "MIN_BULK_ROWS", 1)
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz)")
    server.query("shop", "INSERT INTO t SELECT n, '2026-01-01' FROM generate_series(1, 5000) n")
    cuts = iter([2, 3])
    stream = adbc.AdbcConnection.stream
    seen: list[str] = []

    def cut(self: adbc.AdbcConnection, sql: str, *arguments: Any) -> Any:
        if "updated_at" in sql:
            seen.append(sql)
            if len(seen) == next(cuts, None):
                self.close()
                raise OSError
        return stream(self, sql, *arguments)

    monkeypatch.setattr(adbc.AdbcConnection, "stream", cut)
    landed = read(source_of(server, page_rows=50))
    assert landed.column("id") == list(range(1, 5001))
    assert len(seen) >= 2


def test_a_whole_read_is_appended_in_one_piece(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Parts would commit one by one: the run after one that failed would land them again."""
    monkeypatch.setattr(whole_reads, "MIN_BULK_ROWS", 1)
    monkeypatch.setattr(whole_reads, "FIRST_BLOCKS", 2)
    server.query("shop", "CREATE TABLE t (id int)")
    server.query("shop", "INSERT INTO t SELECT generate_series(1, 5000)")
    begun: list[str] = []
    stream = adbc.AdbcConnection.stream

    def fail(self: adbc.AdbcConnection, sql: str, *arguments: Any) -> Any:
        if "ctid" in sql:
            begun.append(sql)
            if len(begun) == 3:
                raise RuntimeError("the third statement")
        return stream(self, sql, *arguments)

    monkeypatch.setattr(adbc.AdbcConnection, "stream", fail)
    lake = tmp_path / "lake.duckdb"
    with pytest.raises(FlowFailedError, match="the third statement"):
        deliver(server, f"duckdb:///{lake}", flow={"write_mode": "append"}, partition_rows=300)
    deliver(server, f"duckdb:///{lake}", flow={"write_mode": "append"}, partition_rows=300)
    with duckdb.connect(str(lake), read_only=True) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT id) FROM t").fetchone() == (5000, 5000)


@pytest.mark.parametrize("how", ["statement_timeout", "error"])
@pytest.mark.parametrize("mode", ["pass", "whole"])
def test_a_statement_that_ends_in_the_middle_is_no_page(
    server: Server, monkeypatch: pytest.MonkeyPatch, fetched: list[str], how: str, mode: str
) -> None:
    """Its rows that arrived are dropped: a pass continues row by row, and a part fails."""
    monkeypatch.setattr(adbc, "_BATCH_BYTES", 1000)
    fail = (
        "PERFORM pg_sleep(60)" if how == "statement_timeout" else "RAISE 'a row of this table' USING ERRCODE = '58030'"
    )
    server.query(
        "shop",
        "CREATE FUNCTION shown(id int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN "
        f"IF id = 4000 AND current_query() LIKE 'COPY%%' THEN {fail}; END IF; RETURN true; END $$",
    )
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz)")
    server.query("shop", "INSERT INTO t SELECT n, '2026-01-01' FROM generate_series(1, 5000) n")
    where = {"where": {"sql": "shown(id)"}}
    config: dict[str, Any] = {"statement_timeout": "1s", "tables": {"t": where}, "page_rows": 50}
    if mode == "pass":
        assert read(source_of(server, **config)).column("id") == list(range(1, 5001))
    else:
        source = source_of(server, cursor_columns=[], **config)
        try:
            with pytest.raises(ConnectionFailedError):
                read(source)
        finally:
            source.disconnect()
    assert fetched
