"""Values arrive as what they are."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from lakes import Lake
from landing import APPEND, columns, land, query, rows, tables
from vdk.plugin.datasource_base.contract import JSON_TYPE, DestinationError
from vdk.plugin.datasource_base.parts.columns.types import normalized_type

UTC = dt.UTC
NOON = dt.datetime(2026, 11, 21, 12, 0, 0, 123456)


def extension(type_: pa.DataType, values: list[Any]) -> pa.Array:
    return pa.ExtensionArray.from_storage(type_, pa.array(values, type_.storage_type))


CASES: list[tuple[str, pa.Array, str, list[Any]]] = [
    ("int8", pa.array([-128, 127], pa.int8()), "TINYINT", [-128, 127]),
    ("int16", pa.array([-(2**15)], pa.int16()), "SMALLINT", [-(2**15)]),
    ("int32", pa.array([2**31 - 1], pa.int32()), "INTEGER", [2**31 - 1]),
    ("int64", pa.array([2**63 - 1, -(2**63), None]), "BIGINT", [2**63 - 1, -(2**63), None]),
    ("uint8", pa.array([255], pa.uint8()), "UTINYINT", [255]),
    ("uint16", pa.array([2**16 - 1], pa.uint16()), "USMALLINT", [2**16 - 1]),
    ("uint32", pa.array([2**32 - 1], pa.uint32()), "UINTEGER", [2**32 - 1]),
    ("uint64", pa.array([2**64 - 1], pa.uint64()), "UBIGINT", [2**64 - 1]),
    ("half", pa.array([1.5], pa.float32()).cast(pa.float16()), "FLOAT", [1.5]),
    ("float", pa.array([0.5], pa.float32()), "FLOAT", [0.5]),
    ("double", pa.array([0.1, 5e-324, float("inf")]), "DOUBLE", [0.1, 5e-324, float("inf")]),
    ("bool", pa.array([True, False, None]), "BOOLEAN", [True, False, None]),
    ("bool8", extension(pa.bool8(), [1, 0]), "TINYINT", [1, 0]),
    ("decimal", pa.array([Decimal("1.10")], pa.decimal128(38, 9)), "DECIMAL(38,9)", [Decimal("1.100000000")]),
    ("decimal32", pa.array([Decimal("1.10")], pa.decimal32(5, 2)), "DECIMAL(5,2)", [Decimal("1.10")]),
    ("decimal of hundreds", pa.array([Decimal(1200)], pa.decimal128(4, -2)), "DECIMAL(6,0)", [Decimal(1200)]),
    ("decimal256", pa.array([Decimal("1.5")], pa.decimal256(38, 2)), "DECIMAL(38,2)", [Decimal("1.50")]),
    ("huge decimal", pa.array([Decimal(10**50 + 1)], pa.decimal256(60, 0)), "VARCHAR", [str(10**50 + 1)]),
    ("text", pa.array(["", "Ж", None]), "VARCHAR", ["", "Ж", None]),
    ("large text", pa.array(["a"], pa.large_string()), "VARCHAR", ["a"]),
    ("text view", pa.array(["a" * 20], pa.string_view()), "VARCHAR", ["a" * 20]),
    ("dictionary", pa.array(["a", None, "a"]).dictionary_encode(), "VARCHAR", ["a", None, "a"]),
    ("number dictionary", pa.array([7, 7]).dictionary_encode(), "BIGINT", [7, 7]),
    ("run ends", pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]), "VARCHAR", ["a", "a", "b"]),
    ("bytes", pa.array([b"\0\xff"]), "BLOB", [b"\0\xff"]),
    ("large bytes", pa.array([b"a"], pa.large_binary()), "BLOB", [b"a"]),
    ("fixed bytes", pa.array([b"ab"], pa.binary(2)), "BLOB", [b"ab"]),
    ("byte view", pa.array([b"ab"], pa.binary_view()), "BLOB", [b"ab"]),
    ("date", pa.array([dt.date(1, 1, 1)]), "DATE", [dt.date(1, 1, 1)]),
    ("date64", pa.array([dt.date(2026, 1, 2)], pa.date64()), "DATE", [dt.date(2026, 1, 2)]),
    ("time", pa.array([dt.time(23, 59, 59, 999999)]), "TIME", [dt.time(23, 59, 59, 999999)]),
    ("time in seconds", pa.array([dt.time(1, 2, 3)], pa.time32("s")), "TIME", [dt.time(1, 2, 3)]),
    ("timestamp", pa.array([NOON]), "TIMESTAMP", [NOON]),
    ("timestamp s", pa.array([1], pa.timestamp("s")), "TIMESTAMP", [dt.datetime(1970, 1, 1, 0, 0, 1)]),
    ("duration", pa.array([dt.timedelta(days=-1, microseconds=1)]), "INTERVAL", [dt.timedelta(-1, 0, 1)]),
    ("duration ns", pa.array([5000], pa.duration("ns")), "INTERVAL", [dt.timedelta(microseconds=5)]),
]


def as_stored(value: Any, type_: str) -> Any:
    """How SQLite has a value that it has no type of its own for."""
    if isinstance(value, Decimal) or type_ == "UBIGINT":
        return str(value)
    if isinstance(value, dt.datetime):
        return value.isoformat(" ", "microseconds")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dt.time):
        return value.isoformat("microseconds")
    if isinstance(value, dt.timedelta):
        return value // dt.timedelta(microseconds=1)
    return value


@pytest.mark.parametrize(("array", "type_", "values"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_column_lands_with_its_type_and_its_values(
    lake: Lake, array: pa.Array, type_: str, values: list[Any]
) -> None:
    land(lake, rows(APPEND, {"a": array}))
    assert columns(lake) == lake.spelled({"a": type_})
    expected = [as_stored(value, type_) for value in values] if lake.kind == "sqlite" else values
    assert [value for (value,) in query(lake, "SELECT a FROM orders")] == expected


@pytest.mark.parametrize(("array", "type_"), [case[1:3] for case in CASES], ids=[case[0] for case in CASES])
def test_a_declared_column_has_the_type_its_values_would_have(lake: Lake, array: pa.Array, type_: str) -> None:
    spec = replace(APPEND, schema=pa.schema({"a": normalized_type(array.type)}))
    land(lake, rows(spec, pa.table({"a": array}).slice(0, 0)))
    assert columns(lake) == lake.spelled({"a": type_})


def test_text_has_nul_characters_where_the_database_keeps_them(lake: Lake) -> None:
    text = rows(APPEND, {"id": [1], "note": ["a\0b"]})
    if lake.kind == "postgresql":
        with pytest.raises(DestinationError, match=r"NUL is in none.*column note"):
            land(lake, text)
        return
    land(lake, text)
    assert query(lake, "SELECT note FROM orders") == [("a\0b",)]


def test_nan_lands_or_is_refused_but_is_never_made_null(lake: Lake) -> None:
    values = rows(APPEND, {"a": [0.5, float("nan")]})
    if lake.kind == "sqlite":
        with pytest.raises(DestinationError, match="column 'a': SQLite stores NaN as NULL"):
            land(lake, values)
        return
    land(lake, values)
    assert str(query(lake, "SELECT a FROM orders")) == "[(0.5,), (nan,)]"


TIMES = [
    ("UTC", pa.array([NOON.replace(tzinfo=UTC)]), "TIMESTAMP WITH TIME ZONE", "2026-11-21 12:00:00.123456+00"),
    (
        "another zone",
        pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("us", "Europe/Sofia")),
        "TIMESTAMP WITH TIME ZONE",
        "2026-11-21 12:00:00.123456+00",
    ),
    (
        "whole UTC ns",
        pa.array([1000], pa.timestamp("ns", "UTC")),
        "TIMESTAMP WITH TIME ZONE",
        "1970-01-01 00:00:00.000001+00",
    ),
    ("ns", pa.array([1], pa.timestamp("ns")), "TIMESTAMP_NS", "1970-01-01 00:00:00.000000001"),
    ("UTC ns", pa.array([1], pa.timestamp("ns", "UTC")), "TIMESTAMPTZ_NS", "1970-01-01 00:00:00.000000001+00"),
    ("time ns", pa.array([1], pa.time64("ns")), "TIME_NS", "00:00:00.000000001"),
]


@pytest.mark.parametrize(("array", "type_", "text"), [case[1:] for case in TIMES], ids=[case[0] for case in TIMES])
def test_times_keep_zone_and_fraction(lake: Lake, array: pa.Array, type_: str, text: str) -> None:
    if lake.kind == "postgresql" and type_.endswith("_NS"):
        with pytest.raises(DestinationError, match=r"column 'a': a time is not a whole number of microseconds"):
            land(lake, rows(APPEND, {"a": array}))
        return
    land(lake, rows(APPEND, {"a": array}))
    assert columns(lake) == lake.spelled({"a": type_})
    zone = ":00" if lake.kind == "sqlite" and text.endswith("+00") else ""
    assert query(lake, "SELECT CAST(a AS VARCHAR) FROM orders") == [(text + zone,)]


@pytest.mark.parametrize(
    "array", [pa.array([1], pa.duration("ns")), pa.array([(1, 2, 3)], pa.month_day_nano_interval())]
)
def test_a_duration_finer_than_microseconds_is_refused_not_rounded(lake: Lake, array: pa.Array) -> None:
    with pytest.raises(DestinationError, match=r"table 'orders', column 'took': .*microseconds"):
        land(lake, rows(APPEND, {"took": array}))


def test_months_are_kept_or_refused(lake: Lake) -> None:
    took = rows(APPEND, {"took": pa.array([(1, 2, 3000)], pa.month_day_nano_interval())})
    if lake.kind == "sqlite":
        with pytest.raises(DestinationError, match="cannot land in SQLite"):
            land(lake, took)
        return
    land(lake, took)
    assert columns(lake) == lake.spelled({"took": "INTERVAL"})


@pytest.mark.parametrize(
    ("array", "value"),
    [
        (pa.array([{"a": 1, "b": [None, 2.5]}]), {"a": 1, "b": [None, 2.5]}),
        (pa.array([[1, 2**63 - 1]]), [1, 2**63 - 1]),
        (pa.array([[1]], pa.list_view(pa.int64())), [1]),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), [["k", 1]]),
        (extension(JSON_TYPE, ['{"a": [1, "é"]}']), {"a": [1, "é"]}),
        (extension(pa.json_(pa.large_string()), ["17"]), 17),
        (extension(JSON_TYPE, ["null"]), None),
        (extension(JSON_TYPE, ["12345678901234567890.5"]), Decimal("12345678901234567890.5")),
    ],
)
def test_nested_values_are_json(lake: Lake, array: pa.Array, value: Any) -> None:
    land(lake, rows(APPEND, {"a": array}))
    assert columns(lake) == lake.spelled({"a": "JSON"})
    ((text,),) = query(lake, "SELECT CAST(a AS VARCHAR) FROM orders")
    assert json.loads(text, parse_float=Decimal) == value


def test_a_missing_nested_value_is_null(lake: Lake) -> None:
    land(lake, rows(APPEND, {"a": pa.array([None], JSON_TYPE), "b": pa.array([None], pa.list_(pa.int64()))}))
    assert query(lake, "SELECT a IS NULL, b IS NULL FROM orders") == [(True, True)]


def test_text_that_is_no_json_does_not_become_json(lake: Lake) -> None:
    with pytest.raises(DestinationError, match=r"(?i)(malformed|invalid input syntax for type) JSON"):
        land(lake, rows(APPEND, {"a": extension(JSON_TYPE, ["{nonsense"])}))


def test_a_uuid_is_text(lake: Lake) -> None:
    land(lake, rows(APPEND, {"a": extension(pa.uuid(), [b"\1" * 16])}))
    assert columns(lake) == lake.spelled({"a": "VARCHAR"})
    assert query(lake, "SELECT CAST(a AS VARCHAR) FROM orders") == [("01010101-0101-0101-0101-010101010101",)]


def test_many_columns(lake: Lake) -> None:
    land(lake, rows(APPEND, {f"c{i}": [i] for i in range(300)}))
    assert len(columns(lake)) == 300
    assert query(lake, "SELECT * FROM orders") == [tuple(range(300))]


@pytest.mark.parametrize("already", [False, True], ids=["at once", "later"])
def test_more_columns_than_a_table_takes_are_an_error(lake: Lake, already: bool) -> None:
    most = {"duckdb": 0, "sqlite": 2000, "postgresql": 1600}[lake.kind]
    if not most:
        pytest.skip("DuckDB has no limit of its own")
    if already:
        land(lake, rows(APPEND, {f"c{i}": pa.array([i], pa.int16()) for i in range(most)}))
    with pytest.raises(DestinationError, match=r"too many columns|1600 columns at most"):
        land(lake, rows(APPEND, {f"c{i}": pa.array([i], pa.int16()) for i in range(most + 1)}))
    assert tables(lake) == (["orders"] if already else [])
