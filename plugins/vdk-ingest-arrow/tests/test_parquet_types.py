"""Values in Parquet files are what they were, for Arrow readers and for others; and columns change as they must."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landing import APPEND, KEY, REPLACE, rows, unit
from parquet_landing import dataset, files, ids, land, left_over, opened, query
from vdk.plugin.datasource_base.contract import JSON_TYPE, DestinationError
from vdk.plugin.datasource_base.parts import TableSnapshot

FROZEN = replace(APPEND, evolve=False)
NOON = dt.datetime(2026, 11, 21, 12, 0, 0, 123456)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def extension(type_: pa.DataType, values: list[Any]) -> pa.Array:
    return pa.ExtensionArray.from_storage(type_, pa.array(values, type_.storage_type))


def duckdb_type(lake: Path, column: str = "a") -> str:
    described = query(lake, f"SELECT data_type FROM duckdb_columns() WHERE column_name = '{column}'")
    return str(described[0][0])


SAME: list[tuple[str, pa.Array, str]] = [
    ("int8", pa.array([-128, None, 127], pa.int8()), "TINYINT"),
    ("int16", pa.array([-(2**15)], pa.int16()), "SMALLINT"),
    ("int32", pa.array([2**31 - 1], pa.int32()), "INTEGER"),
    ("int64", pa.array([2**63 - 1, -(2**63), None]), "BIGINT"),
    ("uint8", pa.array([255], pa.uint8()), "UTINYINT"),
    ("uint16", pa.array([2**16 - 1], pa.uint16()), "USMALLINT"),
    ("uint32", pa.array([2**32 - 1], pa.uint32()), "UINTEGER"),
    ("uint64", pa.array([2**64 - 1], pa.uint64()), "UBIGINT"),
    ("float", pa.array([0.5, float("-inf")], pa.float32()), "FLOAT"),
    ("double", pa.array([0.1, 5e-324, -0.0, float("inf")]), "DOUBLE"),
    ("bool", pa.array([True, False, None]), "BOOLEAN"),
    ("decimal", pa.array([Decimal("1.10"), Decimal(10**28)], pa.decimal128(38, 9)), "DECIMAL(38,9)"),
    ("text", pa.array(["", "a\0b", "Ж", None]), "VARCHAR"),
    ("bytes", pa.array([b"\0\xff", b""]), "BLOB"),
    ("date", pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)]), "DATE"),
    ("time ms", pa.array([dt.time(1, 2, 3)], pa.time32("ms")), "TIME"),
    ("time", pa.array([dt.time(23, 59, 59, 999999)]), "TIME"),
    ("time ns", pa.array([1], pa.time64("ns")), "TIME_NS"),
    ("timestamp ms", pa.array([1], pa.timestamp("ms")), "TIMESTAMP"),
    ("timestamp", pa.array([NOON, dt.datetime(1, 1, 1)]), "TIMESTAMP"),
    ("timestamp ns", pa.array([1], pa.timestamp("ns")), "TIMESTAMP_NS"),
    ("UTC", pa.array([NOON], pa.timestamp("us", "UTC")), "TIMESTAMP WITH TIME ZONE"),
    ("another zone", pa.array([NOON], pa.timestamp("us", "Europe/Sofia")), "TIMESTAMP WITH TIME ZONE"),
    ("UTC ns", pa.array([1], pa.timestamp("ns", "UTC")), "TIMESTAMPTZ_NS"),
    ("duration s", pa.array([7], pa.duration("s")), "BIGINT"),
    ("duration", pa.array([dt.timedelta(days=-1, microseconds=1)]), "BIGINT"),
    ("duration ns", pa.array([1], pa.duration("ns")), "BIGINT"),
    ("JSON", extension(JSON_TYPE, ['{"a": [1, "é"]}', None]), "JSON"),
]


@pytest.mark.parametrize(("array", "type_"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_a_column_keeps_its_type_and_its_values(lake: Path, array: pa.Array, type_: str) -> None:
    """A second commit finds the type unchanged, so that no file is written anew."""
    for _ in range(2):
        land(lake, rows(APPEND, {"a": array}))
    assert dataset(lake) == pa.concat_tables([pa.table({"a": array})] * 2)
    assert duckdb_type(lake) == type_
    assert [name[5:15] for name in files(lake)] == ["9999999998", "9999999999"]


@pytest.mark.parametrize(("array", "type_"), [case[1:] for case in SAME], ids=[case[0] for case in SAME])
def test_a_declared_column_has_the_type_its_values_would_have(lake: Path, array: pa.Array, type_: str) -> None:
    spec = replace(APPEND, schema=pa.schema([pa.field("a", array.type, nullable=False, metadata={"x": "y"})]))
    land(lake, rows(spec, pa.table({"a": array}).slice(0, 0)))
    assert dataset(lake).schema == pa.schema({"a": array.type})
    assert duckdb_type(lake) == type_


PLAIN: list[tuple[str, pa.Array, pa.Array]] = [
    ("half", pa.array([1.5], pa.float32()).cast(pa.float16()), pa.array([1.5], pa.float32())),
    ("bool8", extension(pa.bool8(), [1, 0]), pa.array([1, 0], pa.int8())),
    ("uuid", extension(pa.uuid(), [b"\1" * 16]), pa.array(["01010101-0101-0101-0101-010101010101"])),
    ("decimal256", pa.array([Decimal("1.5")], pa.decimal256(38, 2)), pa.array([Decimal("1.50")], pa.decimal128(38, 2))),
    ("huge decimal", pa.array([Decimal(10**50 + 1)], pa.decimal256(60, 0)), pa.array([str(10**50 + 1)])),
    ("large text", pa.array(["a"], pa.large_string()), pa.array(["a"])),
    ("dictionary", pa.array(["a", None, "a"]).dictionary_encode(), pa.array(["a", None, "a"])),
    ("run ends", pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"]), pa.array(["a", "a", "b"])),
    ("fixed bytes", pa.array([b"ab"], pa.binary(2)), pa.array([b"ab"])),
    ("date64", pa.array([dt.date(2026, 1, 2)], pa.date64()), pa.array([dt.date(2026, 1, 2)])),
    ("time in seconds", pa.array([dt.time(1, 2, 3)], pa.time32("s")), pa.array([dt.time(1, 2, 3)], pa.time32("ms"))),
    ("seconds", pa.array([1], pa.timestamp("s", "UTC")), pa.array([1000], pa.timestamp("ms", "UTC"))),
    ("nested", pa.array([{"a": [None, 2.5]}]), extension(JSON_TYPE, ['{"a":[null,2.5]}'])),
]


@pytest.mark.parametrize(("array", "plain"), [case[1:] for case in PLAIN], ids=[case[0] for case in PLAIN])
def test_types_without_a_form_in_files_keep_their_values(lake: Path, array: pa.Array, plain: pa.Array) -> None:
    for _ in range(2):
        land(lake, rows(APPEND, {"a": array}))
    assert dataset(lake) == pa.concat_tables([pa.table({"a": plain})] * 2)
    assert len(files(lake)) == 2


def test_an_interval_of_months_is_refused(lake: Path) -> None:
    with pytest.raises(DestinationError, match=r"table 'orders', column 'took': .* no type for intervals"):
        land(lake, rows(APPEND, {"took": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}))


def test_files_say_json_to_readers_that_know_it(lake: Path) -> None:
    land(lake, rows(APPEND, {"a": extension(JSON_TYPE, ['{"b": 1}'])}))
    assert query(lake, "SELECT a->>'b' FROM orders") == [("1",)]
    (name,) = files(lake)
    assert pq.ParquetFile(lake / "orders" / name).schema.column(0).logical_type.type == "JSON"


CHANGES: list[tuple[str, pa.Array, pa.Array, pa.DataType, list[Any]]] = [
    ("wider integers", pa.array([1], pa.int32()), pa.array([2**40]), pa.int64(), [1, 2**40]),
    ("integers that fit", pa.array([1], pa.int32()), pa.array([2]), pa.int32(), [1, 2]),
    ("narrower integers", pa.array([2**40]), pa.array([1], pa.int32()), pa.int64(), [2**40, 1]),
    ("unsigned that fit", pa.array([-1]), pa.array([5], pa.uint64()), pa.int64(), [-1, 5]),
    ("unsigned, then a sign", pa.array([2**32 - 1], pa.uint32()), pa.array([-1]), pa.int64(), [2**32 - 1, -1]),
    (
        "unsigned that do not fit",
        pa.array([-1]),
        pa.array([2**64 - 1], pa.uint64()),
        pa.decimal128(20, 0),
        [Decimal(-1), Decimal(2**64 - 1)],
    ),
    ("float to double", pa.array([0.5], pa.float32()), pa.array([0.1]), pa.float64(), [0.5, 0.1]),
    ("int to double", pa.array([1, None]), pa.array([0.5]), pa.float64(), [1.0, None, 0.5]),
    ("double, then int", pa.array([0.5]), pa.array([2**53]), pa.float64(), [0.5, float(2**53)]),
    ("int no double has", pa.array([2**53 + 1]), pa.array([0.5]), pa.string(), [str(2**53 + 1), "0.5"]),
    ("double, then int no double has", pa.array([0.5]), pa.array([2**53 + 1]), pa.string(), ["0.5", str(2**53 + 1)]),
    (
        "wider decimals",
        pa.array([Decimal("1.5")], pa.decimal128(3, 1)),
        pa.array([Decimal("12345.678")], pa.decimal128(8, 3)),
        pa.decimal128(8, 3),
        [Decimal("1.500"), Decimal("12345.678")],
    ),
    (
        "decimals that fit",
        pa.array([Decimal("1.5")], pa.decimal128(38, 1)),
        pa.array([Decimal("2.500")], pa.decimal128(38, 3)),
        pa.decimal128(38, 1),
        [Decimal("1.5"), Decimal("2.5")],
    ),
    (
        "decimals of more than 38 digits together",
        pa.array([Decimal(10**37)], pa.decimal128(38, 0)),
        pa.array([Decimal("0.01")], pa.decimal128(38, 2)),
        pa.string(),
        [str(10**37), "0.01"],
    ),
    (
        "int to decimal",
        pa.array([7]),
        pa.array([Decimal("1.5")], pa.decimal128(38, 9)),
        pa.decimal128(38, 9),
        [Decimal(7), Decimal("1.5")],
    ),
    (
        "decimal and double",
        pa.array([Decimal("1.5")], pa.decimal128(3, 1)),
        pa.array([0.1]),
        pa.string(),
        ["1.5", "0.1"],
    ),
    ("int to text", pa.array([1, None]), pa.array(["x"]), pa.string(), ["1", None, "x"]),
    ("text, then int", pa.array(["x"]), pa.array([1]), pa.string(), ["x", "1"]),
    ("bool to int", pa.array([True]), pa.array([1]), pa.string(), ["true", "1"]),
    ("bytes to text", pa.array([b"\0\\a"]), pa.array(["x"]), pa.string(), ["\\x005c61", "x"]),
    ("duration to text", pa.array([5], pa.duration("s")), pa.array(["x"]), pa.string(), ["5", "x"]),
    (
        "date and timestamp",
        pa.array([dt.date(2026, 1, 2)]),
        pa.array([dt.datetime(2026, 1, 2, 3)]),
        pa.timestamp("us"),
        [dt.datetime(2026, 1, 2), dt.datetime(2026, 1, 2, 3)],
    ),
    (
        "naive and zoned",
        pa.array([dt.datetime(2026, 1, 2)]),
        pa.array([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)]),
        pa.string(),
        ["2026-01-02 00:00:00.000000", "2026-01-02 00:00:00.000000Z"],
    ),
    ("another zone", pa.array([0], pa.timestamp("us", "UTC")), pa.array([0], pa.timestamp("us", "Asia/Tokyo")),
     pa.timestamp("us", "UTC"), [dt.datetime(1970, 1, 1, tzinfo=dt.UTC)] * 2),
    ("finer time", pa.array([dt.time(1)], pa.time32("ms")), pa.array([dt.time(1, 0, 0, 1)]), pa.time64("us"),
     [dt.time(1), dt.time(1, 0, 0, 1)]),
    ("finer timestamps", pa.array([1], pa.timestamp("ms")), pa.array([1], pa.timestamp("us")), pa.timestamp("us"),
     [dt.datetime(1970, 1, 1, 0, 0, 0, 1000), dt.datetime(1970, 1, 1, 0, 0, 0, 1)]),
    ("finer timestamps that fit", pa.array([NOON]), pa.array([1000], pa.timestamp("ns")), pa.timestamp("us"),
     [NOON, dt.datetime(1970, 1, 1, 0, 0, 0, 1)]),
    (
        "finer timestamps that do not reach",
        pa.array([dt.datetime(1066, 10, 14)]),
        pa.array([1], pa.timestamp("ns")),
        pa.string(),
        ["1066-10-14 00:00:00.000000", "1970-01-01 00:00:00.000000001"],
    ),
    ("text to JSON", pa.array(["x", None]), extension(JSON_TYPE, ['{"a":1}']), JSON_TYPE, ['"x"', None, '{"a":1}']),
    ("JSON, then int", extension(JSON_TYPE, ['{"a": 1}']), pa.array([2**62]), JSON_TYPE, ['{"a": 1}', str(2**62)]),
    ("JSON, then time", extension(JSON_TYPE, ["1"]), pa.array([dt.date(2026, 1, 2)]), JSON_TYPE, ["1", '"2026-01-02"']),
]  # fmt: skip


@pytest.mark.parametrize("how", ["commits", "one commit", "staged", "replaced"])
@pytest.mark.parametrize(
    ("first", "then", "type_", "values"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
def test_a_column_becomes_what_all_its_values_fit(
    lake: Path, first: pa.Array, then: pa.Array, type_: pa.DataType, values: list[Any], how: str
) -> None:
    """Each value once, in one type, in every file, however the rows came."""
    one, other = ({"id": [number] * len(array), "a": array} for number, array in enumerate((first, then)))
    if how == "commits":
        land(lake, rows(APPEND, one))
        land(lake, rows(APPEND, other))
    elif how == "one commit":
        land(lake, rows(APPEND, one), rows(APPEND, other))
    else:
        spec = APPEND if how == "staged" else REPLACE
        destination = opened(lake)
        destination.stage(KEY, [rows(spec, one), rows(spec, other)], "run-1")
        if how == "staged":
            destination.commit(unit())
        else:
            destination.publish(TableSnapshot([REPLACE], [unit()]))
    landed = dataset(lake).sort_by("id").column("a")
    assert landed.type == type_
    assert landed.to_pylist() == values
    assert {pq.read_schema(lake / "orders" / name).field("a").type for name in files(lake)} == {type_}
    assert left_over(lake) == []


def test_only_files_with_the_column_are_written_anew(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    land(lake, rows(APPEND, {"id": [2], "a": [1]}))
    before = {name: (lake / "orders" / name).stat().st_ino for name in files(lake)}
    land(lake, rows(APPEND, {"id": [3], "a": [0.5]}))
    after = {name: (lake / "orders" / name).stat().st_ino for name in files(lake)}
    _, changed, oldest = sorted(after)
    assert (changed, oldest) == tuple(sorted(before))
    assert after[oldest] == before[oldest]
    assert after[changed] != before[changed]
    assert query(lake, "SELECT id, a FROM orders ORDER BY id") == [(1, None), (2, 1.0), (3, 0.5)]


def test_without_links_files_are_copied(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    test_a_later_column_is_known_to_readers_that_look_at_one_file(lake)
    land(lake, rows(APPEND, {"id": [9], "b": [1]}))
    assert ids(lake) == [1, 2, 3, 9]


@pytest.mark.parametrize(
    ("first", "then"), [(pa.array([1]), pa.array([0.5])), (pa.array([1], pa.int32()), pa.array([2**40]))]
)
def test_frozen_columns_refuse_another_type_and_keep_what_is_there(lake: Path, first: pa.Array, then: pa.Array) -> None:
    land(lake, rows(FROZEN, {"a": first}))
    with pytest.raises(
        DestinationError,
        match=r"'orders', column 'a': .* 'freeze' does not allow .* = 'evolve'",
    ):
        land(lake, rows(FROZEN, {"a": then}))
    land(lake, rows(FROZEN, {"a": first.cast(pa.int16()), "new": [1]}))
    assert dataset(lake).to_pylist() == [{"a": 1, "new": 1}, {"a": 1, "new": None}]


def test_a_later_column_is_known_to_readers_that_look_at_one_file(lake: Path) -> None:
    """The newest file sorts first and has all columns, those that its own rows do not have too."""
    land(lake, rows(APPEND, {"id": [1]}))
    land(lake, rows(APPEND, {"id": [2], "b": ["x"]}))
    land(lake, rows(APPEND, {"id": [3]}))
    assert ds.dataset(lake / "orders").schema == pa.schema({"id": pa.int64(), "b": pa.string()})
    assert pq.read_table(lake / "orders").num_columns == 2
    with duckdb.connect() as connection, pytest.raises(duckdb.InvalidInputException, match="union_by_name"):
        connection.execute(f"SELECT * FROM read_parquet('{lake}/orders/*.parquet')").fetchall()
    assert query(lake, "SELECT id, b FROM orders ORDER BY id") == [(1, None), (2, "x"), (3, None)]


def test_rows_set_aside_without_some_columns_do_not_hide_them(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1], "b": ["x"]}))
    destination = opened(lake)
    destination.stage(KEY, [rows(APPEND, {"id": [2]})], "run-1")
    destination.commit(unit())
    assert ds.dataset(lake / "orders").schema.names == ["id", "b"]
    assert ids(lake) == [1, 2]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))  # half a surrogate pair is no text that UTF-8 can write
VALUE = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS | st.dates()


@pytest.mark.heavy
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(VALUE, min_size=1, max_size=3), min_size=1, max_size=5))
def test_whatever_comes_no_row_is_lost_and_the_folder_stays_one_dataset(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Any]]
) -> None:
    lake = tmp_path_factory.mktemp("lake") / "lake"
    destination = opened(lake)
    count = 0
    for values in batches:
        for value in values:
            destination.commit(unit(rows(APPEND, {"id": [count], "a": [value]})))
            count += 1
    there = {row["id"]: row.get("a") for row in dataset(lake).to_pylist()}
    flat = [value for values in batches for value in values]
    assert list(range(count)) == sorted(there)
    for number, value in enumerate(flat):
        assert (there[number] is None) == (value is None)
