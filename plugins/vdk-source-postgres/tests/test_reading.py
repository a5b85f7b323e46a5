"""Tables of a real server: what is found, what is read, and what is read again."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

import psycopg
import pytest

from support import run, source_of, stream_of
from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.testing.postgresql import Server

START = "timestamptz '2026-01-01 10:00+00'"


@pytest.fixture
def orders(server: Server) -> Server:
    """A table of 100 orders, one a minute."""
    server.query("shop", "CREATE TABLE t (id bigint PRIMARY KEY, customer text, updated_at timestamptz)")
    server.query("shop", "CREATE INDEX ON t (updated_at, id)")
    server.query(
        "shop", f"INSERT INTO t SELECT n, 'c' || n, {START} + n * interval '1 minute' FROM generate_series(1, 100) n"
    )
    return server


def test_a_table_is_read_whole_once_and_its_changes_afterwards(orders: Server) -> None:
    """In pages, by the index on the cursor."""
    stream = stream_of(orders, page_rows=7)
    first = run(stream)
    assert first.column("id") == list(range(1, 101))
    assert first.rows[0]["updated_at"].isoformat() == "2026-01-01T10:01:00+00:00"
    assert run(stream, first.state).rows == []
    orders.query("shop", f"UPDATE t SET customer = 'x', updated_at = {START} + interval '2 hours' WHERE id = 5")
    again = run(stream, first.state)
    assert [(row["id"], row["customer"]) for row in again.rows] == [(5, "x")]


def test_a_run_that_ends_early_is_continued(orders: Server) -> None:
    """From the state after the last payload that landed."""
    stream = stream_of(orders, page_rows=7)
    for count in (1, 3, 14):
        state: dict[str, Any] = {}
        ids: list[int] = []
        for _, payload in zip(range(count), stream.read({}), strict=False):
            ids += payload.data.column("id").to_pylist()  # type: ignore[union-attr]  # the payloads are batches
            state = dict(payload.state or state)
        assert sorted({*ids, *run(stream, state).column("id")}) == list(range(1, 101))


@pytest.mark.parametrize(
    "index",
    [
        "",
        "CREATE INDEX ON t (updated_at)",
        "CREATE INDEX ON t (updated_at, id)",
        "ALTER TABLE t DROP CONSTRAINT t_pkey",
    ],
)
def test_ties_and_nulls_are_read_once(server: Server, index: str) -> None:
    """Whatever index there is, or key."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamp)")
    server.query(
        "shop",
        "INSERT INTO t SELECT n, CASE WHEN n % 10 > 0 THEN timestamp '2026-01-01' + n / 40 * interval '1 s' END"
        " FROM generate_series(1, 200) n",
    )
    if index:
        server.query("shop", index)
    stream = stream_of(server, page_rows=9)
    first = run(stream)
    assert sorted(first.column("id")) == list(range(1, 201))
    assert first.counters["rows_null_cursor"] == 20
    assert run(stream, first.state).rows == []


def test_a_cursor_that_is_no_finite_time_counts_as_none(server: Server) -> None:
    """Rows with an infinity or a year before Christ are read in every run, and are never the maximum."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz, x int)")
    server.query(
        "shop",
        "INSERT INTO t VALUES (1, 'infinity', 0), (2, '-infinity', 0), (3, '0044-03-15 BC', 0), (4, '2026-01-01', 0)",
    )
    first = run(stream_of(server, dynamic_types="text"))
    assert sorted(first.column("id")) == [1, 2, 3, 4]
    assert first.state["high_watermark"]["cursor"] == "2026-01-01 00:00:00+00"
    assert first.counters["rows_null_cursor"] == 3


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("integer", ["1", "2", "3"]),
        ("double precision", ["1.5", "2.5", "3.25"]),
        ("text", ["'Z'", "'a'", "'é'"]),
        ("uuid", [f"'00000000-0000-7000-8000-00000000000{n}'" for n in range(3)]),
        ("date", ["'2026-01-01'", "'2026-01-02'", "'2026-01-03'"]),
        ("timestamp(0)", ["'2026-01-01'", "'2026-01-02'", "'2026-01-03'"]),
    ],
)
def test_cursors_of_each_type(server: Server, type_: str, values: list[str]) -> None:
    """Each sorts as the database sorts it, text by its code points."""
    server.query("shop", f"CREATE TABLE t (id int PRIMARY KEY, c {type_} NOT NULL)")
    server.query("shop", f"INSERT INTO t VALUES (1, {values[0]}), (2, {values[1]})")
    stream = stream_of(server, options={"cursor": "c"}, page_rows=1)
    first = run(stream)
    assert first.column("id") == [1, 2]
    server.query("shop", f"INSERT INTO t VALUES (3, {values[2]})")
    assert run(stream, first.state).column("id") == [3]


def test_a_cursor_of_a_type_that_does_not_sort_is_refused(server: Server) -> None:
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, c jsonb)")
    with pytest.raises(ConfigurationError, match="'c' is declared jsonb; a cursor is a time, an integer"):
        run(stream_of(server, options={"cursor": "c"}))


def test_deleted_rows_are_found_by_a_sweep(orders: Server) -> None:
    """All keys go to the destination, which deletes the others."""
    stream = stream_of(orders, deletes={"sweep": "1s"})
    first = run(stream)
    orders.query("shop", "DELETE FROM t WHERE id > 3")
    first.state["swept"] = "2026-01-01T00:00:00+00:00"
    assert [row["id"] for row in run(stream, first.state).keys] == [1, 2, 3]


def test_a_condition_of_the_user(orders: Server) -> None:
    """Its values are bound, and a percent sign is a percent sign."""
    where = {"sql": "customer LIKE 'c1%' AND id::text <> :not", "params": {"not": "10"}}
    assert run(stream_of(orders, options={"where": where})).column("id") == [1, *range(11, 20), 100]


def test_partitioned_and_inherited_tables(server: Server) -> None:
    """Partitions are read by their root, and a parent without the rows of its children."""
    server.query("shop", "CREATE TABLE p (id int, part int) PARTITION BY LIST (part)")
    server.query("shop", "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)")
    server.query("shop", "INSERT INTO p VALUES (1, 1), (2, 1)")
    server.query("shop", "CREATE TABLE parent (id int PRIMARY KEY)")
    server.query("shop", "CREATE TABLE child () INHERITS (parent)")
    server.query("shop", "INSERT INTO parent VALUES (1)")
    server.query("shop", "INSERT INTO child VALUES (1)")
    source = source_of(server)
    assert [stream.name for stream in source.streams()] == ["child", "p", "parent"]
    assert [run(stream).column("id") for stream in source.streams()] == [[1], [1, 2], [1]]


def test_several_schemas(server: Server) -> None:
    """Streams are called after the schema and the table."""
    server.query("shop", "CREATE SCHEMA other CREATE TABLE t (id int)")
    server.query("shop", "CREATE TABLE t (id int)")
    server.query("shop", "GRANT USAGE ON SCHEMA other TO reader; GRANT SELECT ON other.t TO reader")
    server.query("shop", "INSERT INTO other.t VALUES (7)")
    streams = source_of(server, schemas=["public", "other"]).streams()
    assert [stream.name for stream in streams] == ["other.t", "public.t"]
    assert run(streams[0]).column("id") == [7]


@pytest.mark.parametrize("type_", ["boolean", "numeric(5,2)", "bytea", "char(3)", "date", "uuid", "real"])
def test_keys_of_each_type(server: Server, type_: str) -> None:
    """A run continues after each of them."""
    values = {
        **{
            "boolean": "n = 1",
            "numeric(5,2)": "n + 0.5",
            "bytea": "int4send(n)",
            "char(3)": "n::text",
            "real": "n + 0.1",
        },
        **{"date": "date '2026-01-01' + n", "uuid": "lpad(n::text, 32, '0')::uuid"},
    }
    server.query("shop", f"CREATE TABLE t (k {type_}, n int, updated_at timestamptz NOT NULL, PRIMARY KEY (k, n))")
    server.query(
        "shop", f"INSERT INTO t SELECT {values[type_]}, n, timestamptz '2026-01-01' FROM generate_series(1, 9) n"
    )
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
    assert run(stream, run(stream, state).state).rows == []


@pytest.mark.parametrize("page_rows", [7, 100])
def test_a_cursor_of_single_precision(server: Server, page_rows: int) -> None:
    """4.9::real is above 4.9::double precision: a row at the end of a pass or page is read, and once."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, r real); CREATE INDEX ON t (r, id)")
    server.query("shop", "INSERT INTO t SELECT n, n * 0.1 FROM generate_series(1, 49) n")
    stream = stream_of(server, options={"cursor": "r"}, page_rows=page_rows)
    landed = run(stream)
    assert landed.column("id") == list(range(1, 50))
    assert run(stream, landed.state).rows == []


def test_the_plugin_entry_is_light() -> None:
    """VDK imports it on every command: it must not bring SQLAlchemy, pyarrow or the driver."""
    code = """
        import sys
        from vdk.plugin.source_postgres.plugin_entry import vdk_datasource_register
        class Registry:
            def add(self, name, path): assert name == "postgres"
        vdk_datasource_register(Registry())
        import vdk.plugin.datasource_sql.plugin_entry
        heavy = {"psycopg", "sqlalchemy", "pyarrow", "msgspec"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


@pytest.mark.parametrize("index", ["", "CREATE INDEX ON t (updated_at, k)", "CREATE INDEX ON t (updated_at)"])
@pytest.mark.parametrize("collation", ["", 'COLLATE "C"'])
def test_keys_of_a_column_that_takes_texts_for_equal(server: Server, collation: str, index: str) -> None:
    """Under "C" both of them may exist, and the column's order does not tell them apart."""
    try:
        server.query(
            "shop", "CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    except psycopg.errors.FeatureNotSupported as error:
        pytest.skip(str(error))
    server.query("shop", "CREATE TABLE t (k text COLLATE folded NOT NULL, n int, updated_at timestamp)")
    server.query("shop", f"CREATE UNIQUE INDEX ON t (k {collation})")
    if index:
        server.query("shop", index)
    folded = "(ARRAY['k', 'K'])[1 + n % 2] || (n / 2)" if collation else "'k' || n"
    server.query("shop", f"INSERT INTO t SELECT {folded}, n, '2026-01-01' FROM generate_series(1, 60) n")
    landed = run(stream_of(server, page_rows=7))
    assert sorted(landed.column("n")) == list(range(1, 61))
    assert (stream_of(server).plan.order_key is None) == bool(collation)


def test_the_catalogue_is_read_once_for_all_tables(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source of 5,000 tables connects once, and asks as often as one of a single table."""
    asked: list[str] = []
    connect, execute = psycopg.connect, psycopg.Connection.execute

    def connecting(*arguments: Any, **options: Any) -> Any:
        asked.append("connect")
        return connect(*arguments, **options)

    def executing(connection: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(str(query)[:40])
        return execute(connection, query, *arguments, **options)

    monkeypatch.setattr(psycopg, "connect", connecting)
    monkeypatch.setattr(psycopg.Connection, "execute", executing)

    def described(tables: int) -> list[str]:
        server.query("shop", f"CREATE TABLE t{tables} (id bigint PRIMARY KEY, updated_at timestamptz)")
        asked.clear()
        schemas = [stream.schema() for stream in source_of(server).streams()]
        assert len(schemas) == tables
        return list(asked)

    first = described(1)
    assert first.count("connect") == 1
    assert [described(number) for number in (2, 3)] == [first, first]


@pytest.mark.parametrize(
    ("options", "columns", "cursor"),
    [
        ({"columns": {"exclude": ["name"]}}, ["id", "Name", "Changed", "changed"], ()),
        ({"columns": {"include": ["Name"]}}, ["id", "Name"], ()),
        ({"cursor_columns": ["changed"]}, ["id", "Name", "name", "Changed", "changed"], ("changed",)),
        ({"cursor_columns": ["Changed"]}, ["id", "Name", "name", "Changed", "changed"], ("Changed",)),
        ({"cursor_columns": ["CHANGED"]}, ["id", "Name", "name", "Changed", "changed"], ()),
    ],
)
def test_columns_that_differ_in_case_only(
    server: Server, options: dict[str, Any], columns: list[str], cursor: tuple[str, ...]
) -> None:
    """An option for all tables means the one that is spelled like it."""
    server.query("shop", 'CREATE TABLE t (id int PRIMARY KEY, "Name" text, name text, "Changed" int, changed int)')
    stream = stream_of(server, **options)
    assert (list(stream.plan.columns), stream.plan.cursor) == (columns, cursor)


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"columns": {"exclude": ["NAME"]}}, "columns"),
        ({"deletes": {"column": "NAME"}}, "deletes.column"),
    ],
)
def test_an_option_that_may_mean_two_columns_is_refused(server: Server, options: dict[str, Any], place: str) -> None:
    server.query("shop", 'CREATE TABLE t (id int PRIMARY KEY, "Name" text, name text)')
    with pytest.raises(ConfigurationError, match=f"{place}: 'NAME' may be 'Name' or 'name' of table 't'; spell it as"):
        stream_of(server, **options)
