"""What a column declares and what it holds: every value arrives, or its row is rejected by name."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from support import execute, in_bulk, run, stream_of
from vdk.plugin.source_sqlite.declared_types import kind_of

UTC_TIME = pa.timestamp("us", "UTC")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "t.db"


def column(database: Path, declared: str, *values: Any) -> list[Any]:
    """The values of a column declared so, as they land; none is rejected."""
    execute(database, f"CREATE TABLE t (v {declared})", ("INSERT INTO t VALUES (?)", [(value,) for value in values]))
    landed = run(stream_of(database))
    assert landed.rejected == []
    return landed.column("v")


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        *[
            (name, pa.int64())
            for name in ("INT", "INTEGER", "bigint", "INT8", "UNSIGNED BIG INT", "INTEGER(10)", "INT UNSIGNED")
        ],
        *[
            (name, pa.float64())
            for name in ("REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT", "FLOAT(24)", "NUMERIC", "DECIMAL")
        ],
        *[
            (name, pa.string())
            for name in ("TEXT", "VARCHAR(255)", "CHARACTER(20)", "NCHAR(55)", "CLOB", "VARYING CHARACTER (9)")
        ],
        *[(name, pa.null()) for name in ("", "JSON", "UUID", "INTEGER_OR_TEXT", "ANY", "POINT", "TIME")],
        ("DECIMAL(99, 2)", pa.string()),
        *[(name, pa.binary()) for name in ("BLOB", "VARBINARY(16)")],
        *[(name, pa.bool_()) for name in ("BOOLEAN", "bool")],
        ("DECIMAL(10, 2)", pa.decimal128(10, 2)),
        ("numeric( 12 )", pa.decimal128(12, 0)),
        *[(name, pa.null()) for name in ("DATE", "DATETIME", "TIMESTAMP", "timestamp with time zone")],
    ],
)
def test_declared_types(declared: str, kind: pa.DataType) -> None:
    """Where the values decide, a column without any has Arrow's null type: it waits."""
    assert kind_of(declared, []).arrow == kind


@pytest.mark.parametrize(
    ("declared", "sample", "kind"),
    [
        ("DATETIME", ["2026-10-01 10:00:00", "2026-10-01T10:00"], pa.timestamp("us")),
        ("DATETIME", ["2026-10-01"], pa.timestamp("us")),
        ("DATETIME", ["2026-10-01 10:00:00Z"], UTC_TIME),
        ("DATETIME", ["2026-10-01 10:00:00+02:00", "2026-10-01 10:00:00Z"], UTC_TIME),
        ("DATETIME", ["2026-10-01 10:00:00", "2026-10-01 10:00:00Z"], pa.string()),
        ("DATETIME", [1790000000], pa.int64()),
        ("DATETIME", [2461000.5, 2461001], pa.float64()),
        ("DATETIME", ["10-31-2026"], pa.string()),
        ("DATETIME", ["2026-10-01 10:00:00.123456789"], pa.string()),
        ("DATETIME", ["2026-10-01", 5], pa.string()),
        ("DATE", ["2026-10-01"], pa.date32()),
        ("DATE", ["2026-10-01", "2026-10-01 10:00"], pa.timestamp("us")),
        ("", [b"\x00", b"\x01"], pa.binary()),
        ("", [b"\x00", "text"], pa.string()),
    ],
)
def test_types_that_are_seen_from_values(declared: str, sample: list[Any], kind: pa.DataType) -> None:
    assert kind_of(declared, sample).arrow == kind


def test_values_arrive_as_they_are(database: Path) -> None:
    big = 2**63 - 1
    assert column(database, "INTEGER", big, -big - 1, None, 0) == [big, -big - 1, None, 0]


@pytest.mark.parametrize(
    ("declared", "values", "landed"),
    [
        ("REAL", [1, 0.1, -1e308, float("inf"), None], [1.0, 0.1, -1e308, float("inf"), None]),
        ("NUMERIC", [1, 2.5, 2**53, None], [1.0, 2.5, 2.0**53, None]),
        ("TEXT", ["", "ünïcode 🦆", "nul\x00byte", "5", None], ["", "ünïcode 🦆", "nul\x00byte", "5", None]),
        ("BLOB", [b"", b"\x00\xff", None], [b"", b"\x00\xff", None]),
        ("BOOLEAN", [0, 1, None], [False, True, None]),
        ("JSON", ['{"a": 1}', None], ['{"a": 1}', None]),
        ("", [1, 1.0, 1e-7, 2**60, "x", None], ["1", "1.0", "1e-07", str(2**60), "x", None]),
        (
            "DECIMAL(10,2)",
            [1, 1.1, 99999999.99, -0.01, "0.30", None],
            [Decimal("1.00"), Decimal("1.10"), Decimal("99999999.99"), Decimal("-0.01"), Decimal("0.30"), None],
        ),
        ("DATE", ["2026-10-01", "0001-01-01", "9999-12-31"], [dt.date(2026, 10, 1), dt.date.min, dt.date.max]),
        (
            "DATETIME",
            ["2026-10-01 10:00:00.5", "2026-10-01T10:00"],
            [dt.datetime(2026, 10, 1, 10, 0, 0, 500000), dt.datetime(2026, 10, 1, 10)],
        ),
        ("TIMESTAMP", ["2026-10-01T10:00:00+02:00"], [dt.datetime(2026, 10, 1, 8, tzinfo=dt.UTC)]),
    ],
)
def test_values_of_each_type(database: Path, declared: str, values: list[Any], landed: list[Any]) -> None:
    assert column(database, declared, *values) == landed


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        ("INTEGER", 1, 1.5),
        ("INTEGER", 1, "one"),
        ("INTEGER", 1, b"\x01"),
        ("TEXT", "a", b"a"),
        ("BLOB", b"a", "a"),
        ("REAL", 1.5, "x"),
        ("NUMERIC", 1.5, 2**53 + 1),
        ("BOOLEAN", 1, 2),
        ("BOOLEAN", 1, "true"),
        ("DECIMAL(18,4)", 1.25, 5e-324),
        ("DECIMAL(10,2)", 1.25, 1.005),
        ("DECIMAL(10,2)", 1.25, 123456789.5),
        ("DECIMAL(10,2)", 1.25, "abc"),
        ("DATE", "2026-10-01", "2026-02-30"),
        ("DATETIME", "2026-10-01 10:00:00", 5),
        ("DATETIME", "2026-10-01 10:00:00", "2026-10-01 10:00:00Z"),
        ("", "text", b"bytes"),
    ],
)
def test_a_value_that_does_not_fit_rejects_its_row_alone(database: Path, declared: str, good: Any, bad: Any) -> None:
    """The error names stream, column, key and value; the rest of the page lands."""
    execute(
        database,
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared}, updated_at TEXT)",
        ("INSERT INTO t VALUES (?, ?, ?)", [(n, bad if n == 1500 else good, "2026-10-01") for n in range(3000)]),
    )
    landed = run(stream_of(database))
    assert len(landed.rows) == 2999
    [(row, error)] = landed.rejected
    assert row == {"id": 1500, "v": bad, "updated_at": "2026-10-01"}
    assert (error.stream, error.column, error.key, error.value) == ("t", "v", 1500, bad)
    assert landed.state["high_watermark"]["key"] == [2999]
    assert "dynamic_types" in str(error)


def test_text_that_is_no_utf8_rejects_its_row_alone(database: Path) -> None:
    """sqlite3 refuses to read on; the read is repeated from the same row with the bytes kept."""
    execute(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
        ("INSERT INTO t VALUES (?, 'fine')", [(n,) for n in range(3000)]),
        "UPDATE t SET v = CAST(x'ff61' AS TEXT) WHERE id = 2500",
    )
    landed = run(stream_of(database, page_rows=700))
    assert landed.column("id") == [n for n in range(3000) if n != 2500]
    error = landed.rejected[0][1]
    assert error.value == b"\xffa"
    for part in ("not UTF-8", 'tables.t.columns = { v = "latin-1" }', 'tables.t.columns = { v = "binary" }'):
        assert part in str(error)


def test_a_bad_row_of_a_table_without_a_key_is_named_by_its_place(database: Path) -> None:
    execute(database, "CREATE TABLE t (v INTEGER)", "INSERT INTO t VALUES (1), ('x')")
    assert run(stream_of(database)).rejected[0][1].key == "row 2 as read"


def test_a_page_of_bad_rows_only(database: Path) -> None:
    execute(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, updated_at TEXT)",
        "INSERT INTO t VALUES (1, 'x', '2026-10-01'), (2, 'y', '2026-10-01')",
    )
    landed = run(stream_of(database))
    assert (len(landed.rejected), landed.rows, landed.states > 0) == (2, [], True)


class TestDynamicTypes:
    def test_columns_that_do_not_keep_their_type_land_as_text(self, database: Path) -> None:
        """All of a column's values: numbers by their shortest digits, bytes as SQL writes them."""
        execute(
            database,
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c TEXT)",
            "INSERT INTO t VALUES (1, 5, 1, 'x'), (2, 6, 'two', x'00ff')",
        )
        stream = stream_of(database, options={"dynamic_types": "text"})
        assert [str(kind) for kind in stream.schema().fields.types] == ["int64", "int64", "string", "string"]
        assert run(stream).rows == [
            {"id": 1, "a": 5, "b": "1", "c": "x"},
            {"id": 2, "a": 6, "b": "two", "c": "X'00FF'"},
        ]

    def test_a_clean_table_keeps_its_types(self, database: Path) -> None:
        execute(database, "CREATE TABLE t (a INTEGER, b DATETIME)", "INSERT INTO t VALUES (1, '2026-10-01')")
        kinds = stream_of(database, dynamic_types="text").schema().fields.types
        assert kinds == [pa.int64(), pa.timestamp("us")]


class TestColumnsWithoutAValue:
    @pytest.mark.parametrize(
        ("declared", "value", "kind"),
        [
            ("GEOMETRY", b"\x00\xff", pa.binary()),
            ("", b"\x00\xff", pa.binary()),
            ("UUID", b"\x01" * 16, pa.binary()),
            ("UUID", "text", pa.string()),
            ("DATETIME", 1790000000, pa.int64()),
            ("DATETIME", "2026-10-01 10:00:00Z", UTC_TIME),
            ("DATE", "2026-10-01 10:00:00", pa.timestamp("us")),
            ("DATE", "2026-10-01", pa.date32()),
        ],
    )
    @pytest.mark.parametrize("bulk", [False, True])
    def test_the_first_values_settle_the_type(
        self, database: Path, monkeypatch: pytest.MonkeyPatch, declared: str, value: Any, kind: pa.DataType, bulk: bool
    ) -> None:
        """Also those that lie where the sample does not reach: in the middle of a table."""
        if bulk:
            in_bulk(monkeypatch)
        execute(
            database,
            f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared}, updated_at TEXT)",
            "CREATE INDEX i ON t (updated_at)",
            (
                "INSERT INTO t VALUES (?, ?, '2026-10-01')",
                [(n, None if abs(n - 2500) > 50 else value) for n in range(5000)],
            ),
        )
        stream = stream_of(database, page_rows=500)
        assert stream.schema().fields.field("v").type == pa.null()
        tables = [one.data for one in stream.read({}) if isinstance(one.data, pa.Table)]
        types = [one.schema.field("v").type for one in tables]
        assert set(types) == {pa.null(), kind}
        assert types == sorted(types, key=lambda one: one != pa.null())
        values = [one for table in tables for one in table["v"].to_pylist()]
        assert len(values) == 5000
        assert sum(one is not None for one in values) == 101

    def test_an_empty_table_says_so(self, database: Path) -> None:
        execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, v GEOMETRY, w, updated_at DATETIME)")
        assert stream_of(database).schema().fields.types == [pa.int64(), pa.null(), pa.null(), pa.null()]

    def test_dynamic_types_look_at_all_values(self, database: Path) -> None:
        execute(
            database,
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v GEOMETRY, w DATETIME)",
            ("INSERT INTO t VALUES (?, ?, ?)", [(n, b"\0" if n == 2500 else None, None) for n in range(5000)]),
        )
        stream = stream_of(database, dynamic_types="text")
        assert stream.schema().fields.types == [pa.int64(), pa.binary(), pa.null()]
        assert run(stream).rows[2500] == {"id": 2500, "v": b"\0", "w": None}


def test_late_values_decide_too(database: Path) -> None:
    """The newest rows are looked at with the oldest: a column that began with dates may go on with times."""
    rows = [(n, "2026-10-01" if n < 3000 else "2026-10-01 10:00:00") for n in range(4000)]
    execute(database, "CREATE TABLE t (id INTEGER PRIMARY KEY, v DATE)", ("INSERT INTO t VALUES (?, ?)", rows))
    assert stream_of(database).schema().fields.field("v").type == pa.timestamp("us")
