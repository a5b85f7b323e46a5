"""The source ``sql`` against real databases, each by a driver that SQLAlchemy has a dialect for."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import struct
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from support import Database, source_of, stream_of
from vdk.plugin.datasource_base.contract import BoundedPartition, ConfigurationError
from vdk.plugin.datasource_sql.generic.drivers import StreamingCursor
from vdk.plugin.datasource_sql.testing import Landed, run

START = dt.datetime(2026, 1, 1)
ORDERS = """CREATE TABLE orders (
    id INTEGER NOT NULL PRIMARY KEY, customer VARCHAR(40), total NUMERIC(10, 2), updated_at TIMESTAMP(6) NULL)"""


def orders(numbers: range, minute: int) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "customer": f"customer {number} ö'\"%:x",
            "total": Decimal(number) / 4,
            "updated_at": START + dt.timedelta(minutes=minute, microseconds=number % 7),
        }
        for number in numbers
    ]


def insert(database: Database, rows: list[dict[str, Any]]) -> None:
    if database.engine.dialect.name == "sqlite":
        rows = [
            {**row, "total": float(row["total"]), "updated_at": f"{row['updated_at']:%Y-%m-%d %H:%M:%S.%f}"}
            for row in rows
        ]
    database.execute("DELETE FROM orders WHERE id = :id", [{"id": row["id"]} for row in rows])
    database.execute("INSERT INTO orders VALUES (:id, :customer, :total, :updated_at)", rows)


@pytest.mark.parametrize("index", [False, True])
def test_a_table_is_read_incrementally(database: Database, index: bool) -> None:
    """Rows that are added or changed land, ties and late rows included, and no other lands twice."""
    database.execute(ORDERS)
    if index:
        database.execute("CREATE INDEX by_time ON orders (updated_at, id)")
    insert(database, orders(range(50), 10))
    first = run(stream_of(database.url, "orders", page_rows=7))
    assert sorted(first.column("id")) == list(range(50))
    assert first.rows[0] in orders(range(50), 10)
    assert not first.rejected
    insert(database, [*orders(range(3, 5), 30), *orders(range(50, 60), 30), *orders(range(60, 61), 9)])
    second = run(stream_of(database.url, "orders", page_rows=7), first.state)
    assert sorted(second.column("id")) == [3, 4, *range(50, 61)]
    third = run(stream_of(database.url, "orders", page_rows=7), second.state)
    assert third.rows == []
    assert third.state == second.state


@pytest.mark.heavy
@pytest.mark.parametrize("after", range(1, 9))
def test_a_run_that_dies_continues_where_it_was(database: Database, after: int) -> None:
    """After any of its payloads."""
    database.execute(ORDERS)
    insert(database, orders(range(20), 10))
    reading = stream_of(database.url, "orders", page_rows=3).read({})
    seen: list[dict[str, Any]] = []
    state: dict[str, Any] = {}
    for _, payload in zip(range(after), reading, strict=False):
        if payload.state is not None:
            state = dict(payload.state)
            seen += payload.data.to_pylist() if isinstance(payload.data, pa.Table) else []
    reading.close()  # type: ignore[attr-defined]  # a generator
    landed = run(stream_of(database.url, "orders", page_rows=3), state)
    assert sorted([row["id"] for row in seen] + landed.column("id")) == list(range(20))


def test_a_table_without_a_cursor_is_read_whole(database: Database) -> None:
    """In pages, from a copy of the stream too, as another process has it."""
    database.execute("CREATE TABLE t (a INTEGER, b VARCHAR(10))")
    database.execute("INSERT INTO t VALUES (:a, 'x')", [{"a": number} for number in range(100)])
    stream = pickle.loads(pickle.dumps(stream_of(database.url, page_rows=30)))
    assert run(stream).rows == [{"a": number, "b": "x"} for number in range(100)]


def test_values_land_as_their_types(database: Database) -> None:
    """And NULL lands as NULL."""
    is_mysql = database.engine.dialect.name == "mysql"
    columns = {
        "small": ("SMALLINT", "-32768", pa.int64(), -32768),
        "large": ("BIGINT", "9223372036854775807", pa.int64(), 2**63 - 1),
        "whole": ("FLOAT", "16777217", pa.float64(), 16777216.0 if is_mysql else 16777217.0),
        "real": ("DOUBLE PRECISION", "0.1", pa.float64(), 0.1),
        "exact": ("NUMERIC(12, 4)", "12345678.1234", pa.decimal128(12, 4), Decimal("12345678.1234")),
        "text": ("VARCHAR(20)", "'ö%:a'", pa.string(), "ö%:a"),
        "day": ("DATE", "'2026-02-03'", pa.date32(), dt.date(2026, 2, 3)),
        "at": ("TIMESTAMP(6) NULL", "'2026-02-03 04:05:06.789'", None, dt.datetime(2026, 2, 3, 4, 5, 6, 789000)),
        "flag": ("BOOLEAN", "TRUE", None, True),
    }
    declared = ", ".join(f"{name}_ {type_}" for name, (type_, *_) in columns.items())
    database.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {declared})")
    values = ", ".join(value.replace(":", r"\:") for _, value, *_ in columns.values())
    database.execute(f"INSERT INTO t VALUES (1, {values})")
    database.execute("INSERT INTO t (id) VALUES (2)")
    stream = stream_of(database.url)
    landed, schema = run(stream), stream.schema().fields
    assert not landed.rejected
    full, empty = landed.rows
    for name, (_, _, arrow, expected) in columns.items():
        assert full[f"{name}_"] == expected, name
        assert empty[f"{name}_"] is None
        assert arrow is None or schema.field(f"{name}_").type == arrow


def test_a_view_is_read_where_it_is_named(database: Database) -> None:
    """And is no stream otherwise."""
    database.execute("CREATE TABLE t (a INTEGER)")
    database.execute("INSERT INTO t VALUES (1)")
    database.execute("CREATE VIEW v AS SELECT a + 1 AS b FROM t")
    assert [stream.name for stream in source_of(database.url).streams()] == ["empty_", "t"]
    is_typed = database.engine.dialect.name != "sqlite"  # which has no types of computed columns
    assert run(stream_of(database.url, "v", views=["v"])).column("b") == [2 if is_typed else "2"]


def test_a_database_is_never_written_to(database: Database) -> None:
    """Not even by the user's own condition."""
    backend = source_of(database.url).backend
    connection = backend.connect()
    backend.begin(connection)
    cursor = connection.cursor()
    with pytest.raises(backend.dialect.loaded_dbapi.Error):
        cursor.execute("INSERT INTO empty_ VALUES (1)")
    connection.close()


def test_text_is_a_cursor_only_where_the_database_compares_it_by_its_bytes(database: Database) -> None:
    """Elsewhere the error names what is."""
    database.execute("CREATE TABLE t (a VARCHAR(10))")
    database.execute("INSERT INTO t VALUES ('x')")
    stream = stream_of(database.url, options={"cursor": "a"})
    if database.engine.dialect.name == "sqlite":
        assert run(stream).column("a") == ["x"]
    else:
        with pytest.raises(ConfigurationError, match=r"tables\.t\.cursor: 'a' is declared .*a time, a date or"):
            run(stream)


@pytest.mark.heavy
def test_a_read_goes_up_to_its_end_and_no_further(database: Database) -> None:
    """The end is known before; it is the state if nothing is to be read."""
    database.execute(ORDERS)
    insert(database, orders(range(20), 10))
    stream = stream_of(database.url, "orders", page_rows=6)
    assert isinstance(stream, BoundedPartition)
    end = json.loads(json.dumps(stream.end({})))
    insert(database, orders(range(20, 25), 30))
    first = Landed()
    for payload in stream.read({}, end):
        first.add(payload)
    assert sorted(first.column("id")) == list(range(20))
    second = run(stream, first.state)
    assert sorted(second.column("id")) == list(range(20, 25))
    assert json.loads(json.dumps(stream.end(second.state))) == second.state


@pytest.mark.heavy
@pytest.mark.parametrize("index", [False, True])
def test_times_that_the_driver_cuts_are_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch, index: bool
) -> None:
    """The rows after the last one would be the same ones without end."""
    if database.engine.dialect.name == "sqlite":
        pytest.skip("its times are texts")
    database.execute(ORDERS)
    if index:
        database.execute("CREATE INDEX by_time ON orders (updated_at, id)")
    insert(
        database, [{**row, "updated_at": START + dt.timedelta(microseconds=row["id"])} for row in orders(range(9), 1)]
    )
    fetch = StreamingCursor.fetchmany

    def cut(cursor: StreamingCursor, size: int) -> list[tuple[Any, ...]]:
        """As if the driver lost two bits."""
        return [tuple(map(shortened, row)) for row in fetch(cursor, size)]

    def shortened(value: Any) -> Any:
        return value.replace(microsecond=value.microsecond // 4 * 4) if isinstance(value, dt.datetime) else value

    monkeypatch.setattr(StreamingCursor, "fetchmany", cut)
    stream = stream_of(database.url, "orders", page_rows=2, options={"order": "cursor", "primary_key": []})
    if index:
        with pytest.raises(ConfigurationError, match="fewer digits than the database compares"):
            run(stream)
    else:
        run(stream)  # one sorted query


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ("(1, '2026-01-01'), (2, '2026-01-02'), (3, 7)", "2 of type text (from '2026-01-01' to '2026-01-02'), 1 of"),
        ("(1, '2026-01-01'), (2, '1.1.2026')", "2 of type text (from '1.1.2026' to '2026-01-01')"),
    ],
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_mixed_cursors_of_sqlite_are_shown(database: Database, values: str, shown: str) -> None:
    """With what to write instead."""
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TIMESTAMP)")
    database.execute(f"INSERT INTO t VALUES {values}")
    with pytest.raises(ConfigurationError) as error:
        run(stream_of(database.url))
    assert shown in str(error.value)
    assert "tables.t.cursor = false" in str(error.value)


@pytest.mark.parametrize("index", ["", "CREATE INDEX i ON t (updated_at, k)", "CREATE INDEX i ON t (updated_at)"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TEXT PRIMARY KEY", "CASE WHEN n % 2 THEN 'k' || n END"),
        ("TEXT COLLATE NOCASE NOT NULL", "CASE WHEN n % 2 THEN 'k' ELSE 'K' END || (n / 2)"),
    ],
    ids=["that holds NULL", "whose index has another collation"],
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_row_of_a_key_of_sqlite_is_read(database: Database, key: str, value: str, index: str) -> None:
    """Once, whatever a page ends with."""
    database.execute(f"CREATE TABLE t (k {key}, n INTEGER, updated_at TIMESTAMP)")
    database.execute("CREATE UNIQUE INDEX u ON t (k COLLATE BINARY)")
    if index:
        database.execute(index)
    database.execute(
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 60) "
        f"INSERT INTO t SELECT {value}, n, '2026-01-01' FROM s"
    )
    landed = run(stream_of(database.url, page_rows=7))
    assert sorted(landed.column("n")) == list(range(1, 61))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_text_cursor_of_sqlite_is_compared_by_its_bytes(database: Database) -> None:
    """Whatever collation the column has, as Python does."""
    database.execute("CREATE TABLE t (n INTEGER, c TEXT COLLATE NOCASE)")
    database.execute("CREATE INDEX i ON t (c)")
    database.execute("INSERT INTO t VALUES (:n, :c)", [{"n": n, "c": f"{'kK'[n % 2]}{n // 6}"} for n in range(60)])
    landed = run(stream_of(database.url, page_rows=7, options={"cursor": "c"}))
    assert sorted(landed.column("n")) == list(range(60))
    assert run(stream_of(database.url, page_rows=7, options={"cursor": "c"}), landed.state).rows == []


@pytest.mark.heavy
def test_a_cursor_of_single_precision(database: Database) -> None:
    """4.9 is below its single: a row at the end of a pass or page is read, and once."""
    database.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, r {'REAL' if _has_real(database) else 'FLOAT'})")
    database.execute("INSERT INTO t VALUES " + ", ".join(f"({number}, {number / 10})" for number in range(1, 50)))
    stream = stream_of(database.url, page_rows=7, options={"cursor": "r", "order": "cursor"})
    landed = run(stream)
    assert landed.column("id") == list(range(1, 50))
    assert run(stream, landed.state).rows == []


def _has_real(database: Database) -> bool:
    """Whether REAL is single precision; MySQL's is FLOAT."""
    return database.engine.dialect.name == "postgresql"


@pytest.mark.parametrize("database", ["mysql+pymysql"], indirect=True)
def test_times_of_mysql_are_read_in_utc(database: Database, mariadb_server: Any) -> None:
    """In the server's zone, rows would lie in the future, or in an hour that comes twice."""
    mariadb_server.query("shop", "SET GLOBAL time_zone = '+05:00'")
    try:
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at TIMESTAMP)")
        database.execute("INSERT INTO t VALUES (1, NOW())")
        landed = run(stream_of(database.url))
    finally:
        mariadb_server.query("shop", "SET GLOBAL time_zone = 'SYSTEM'")
    assert landed.counters == {}
    (at,) = landed.column("updated_at")
    assert abs(at - dt.datetime.now(dt.UTC).replace(tzinfo=None)) < dt.timedelta(hours=1)


POSTGRESQL = pytest.mark.parametrize("database", ["postgresql+psycopg", "postgresql+pg8000"], indirect=True)
BEYOND = [
    *(("DATE", value) for value in ("infinity", "-infinity", "0044-03-15 BC", "10000-01-01")),
    *(("TIMESTAMP", value) for value in ("infinity", "-infinity", "0044-03-15 00:00:00 BC", "12026-01-01 00:00:00")),
    *(("TIMESTAMPTZ", value) for value in ("infinity", "0044-03-15 00:00:00+00 BC", "12026-01-01 00:00:00+00")),
    ("TIME", "24:00:00"),
]


@POSTGRESQL
def test_times_that_python_does_not_hold_are_bad_records(database: Database) -> None:
    """Each alone, with its column and value; as text they all land."""
    declared = ", ".join(f"c{number} {type_}" for number, (type_, _) in enumerate(BEYOND))
    database.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {declared})")
    with database.engine.begin() as connection:
        for number, (_, value) in enumerate(BEYOND):
            literal = value.replace(":", r"\:")
            connection.execute(sa.text(f"INSERT INTO t (id, c{number}) VALUES ({number}, '{literal}')"))
    database.execute("INSERT INTO t (id, c0, c11) VALUES (99, '2026-02-03', '23\\:59\\:59.5')")
    database.execute("ALTER DATABASE shop SET TimeZone = 'UTC'")
    database.execute("ALTER DATABASE shop SET DateStyle = 'SQL, DMY'")
    try:
        landed, as_text = run(stream_of(database.url)), run(stream_of(database.url, dynamic_types="text"))
    finally:
        database.execute("ALTER DATABASE shop RESET ALL")
    assert [(row["id"], row["c0"], row["c11"]) for row in landed.rows] == [
        (99, dt.date(2026, 2, 3), dt.time(23, 59, 59, 500000))
    ]
    assert [(error.column, error.value) for _, error in landed.rejected] == [
        (f"c{number}", value) for number, (_, value) in enumerate(BEYOND)
    ]
    assert "dynamic_types" in str(landed.rejected[0][1])
    by_id = {row["id"]: row for row in as_text.rows}
    assert [by_id[str(number)][f"c{number}"] for number in range(len(BEYOND))] == [value for _, value in BEYOND]


@pytest.mark.heavy
@POSTGRESQL
@pytest.mark.parametrize("type_", ["DATE", "TIMESTAMP", "TIMESTAMPTZ"])
@pytest.mark.parametrize("index", [False, True])
def test_infinite_times_do_not_count_as_cursors(database: Database, type_: str, index: bool) -> None:
    """The end of a pass is the highest of the others, and no row is left out in silence."""
    database.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, updated_at {type_})")
    if index:
        database.execute("CREATE INDEX i ON t (updated_at, id)")
    values = ["infinity", "-infinity", "12026-01-01", "0044-03-15 BC", *(f"2026-01-0{day}" for day in range(1, 9))]
    database.execute("INSERT INTO t VALUES " + ", ".join(f"({at}, '{value}')" for at, value in enumerate(values)))
    first = run(stream_of(database.url, page_rows=3))
    assert first.column("id") == list(range(4, 12))
    assert sorted(row["id"] for row, _ in first.rejected) == [0, 1, 2, 3]
    assert run(stream_of(database.url, page_rows=3), first.state).rows == []


@POSTGRESQL
def test_a_time_of_day_keeps_its_zone(database: Database) -> None:
    """As text, since Arrow has no such type."""
    database.execute("CREATE TABLE t (a TIMETZ)")
    database.execute("INSERT INTO t VALUES ('04\\:05\\:06+03'), ('24\\:00\\:00+03')")
    assert run(stream_of(database.url)).column("a") == ["04:05:06+03", "24:00:00+03"]


@POSTGRESQL
def test_types_that_sqlalchemy_does_not_know_land_as_text(database: Database, recwarn: pytest.WarningsRecorder) -> None:
    """And no warning of SQLAlchemy's reaches the user."""
    database.execute("CREATE TABLE t (a POINT)")
    database.execute("INSERT INTO t VALUES ('(1,2)')")
    assert run(stream_of(database.url)).column("a") == ["(1,2)"]
    assert not [warning for warning in recwarn if "recognize" in str(warning.message)]


@pytest.mark.parametrize("database", ["mysql+pymysql"], indirect=True)
def test_spatial_values_of_mysql_land_as_wkb(database: Database, recwarn: pytest.WarningsRecorder) -> None:
    """The driver alone hands out the bytes that the server stores, which begin with a number of its own."""
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, g GEOMETRY, p POINT)")
    database.execute("INSERT INTO t VALUES (1, ST_GeomFromText('POINT(1 2)', 4326), POINT(1, 2))")
    database.execute("INSERT INTO t (id) VALUES (2)")
    wkb = struct.pack("<BIdd", 1, 1, 1, 2)
    expected = [{"id": 1, "g": wkb, "p": wkb}, {"id": 2, "g": None, "p": None}]
    assert run(stream_of(database.url)).rows == expected
    assert not [warning for warning in recwarn if "recognize" in str(warning.message)]
