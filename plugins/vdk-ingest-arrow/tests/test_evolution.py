"""What happens to a column when values of another type come."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landing import APPEND, UPSERT, columns, land, opened, query, rows, unit
from vdk.plugin.datasource_base.contract import JSON_TYPE, DestinationError

FROZEN = replace(APPEND, evolve=False)
JSON_VALUE = pa.ExtensionArray.from_storage(JSON_TYPE, pa.array(['{"a": 1}']))

CHANGES: list[tuple[str, pa.Array, pa.Array, str, list[Any]]] = [
    ("wider integers", pa.array([1], pa.int32()), pa.array([2**40]), "BIGINT", [1, 2**40]),
    ("narrower integers", pa.array([2**40]), pa.array([1], pa.int32()), "BIGINT", [2**40, 1]),
    ("unsigned that fit", pa.array([-1]), pa.array([5], pa.uint64()), "BIGINT", [-1, 5]),
    ("unsigned that do not", pa.array([-1]), pa.array([2**64 - 1], pa.uint64()), "HUGEINT", [-1, 2**64 - 1]),
    ("float to double", pa.array([0.5], pa.float32()), pa.array([0.1]), "DOUBLE", [0.5, 0.1]),
    ("int to double", pa.array([1, None]), pa.array([0.5]), "DOUBLE", [1.0, None, 0.5]),
    ("double, then int", pa.array([0.5]), pa.array([2**53]), "DOUBLE", [0.5, float(2**53)]),
    ("int no double has", pa.array([2**53 + 1]), pa.array([0.5]), "VARCHAR", [str(2**53 + 1), "0.5"]),
    ("double, then int no double has", pa.array([0.5]), pa.array([2**53 + 1]), "VARCHAR", ["0.5", str(2**53 + 1)]),
    ("greatest int", pa.array([2**63 - 1]), pa.array([0.5]), "VARCHAR", [str(2**63 - 1), "0.5"]),
    (
        "wider decimals",
        pa.array([Decimal("1.5")], pa.decimal128(3, 1)),
        pa.array([Decimal("12345.678")], pa.decimal128(8, 3)),
        "DECIMAL(8,3)",
        [Decimal("1.500"), Decimal("12345.678")],
    ),
    (
        "decimals of more than 38 digits together",
        pa.array([Decimal(10**37)], pa.decimal128(38, 0)),
        pa.array([Decimal("0.01")], pa.decimal128(38, 2)),
        "VARCHAR",
        [str(10**37), "0.01"],
    ),
    (
        "int to decimal",
        pa.array([7]),
        pa.array([Decimal("1.5")], pa.decimal128(38, 9)),
        "DECIMAL(38,9)",
        [7, Decimal("1.5")],
    ),
    ("decimal and double", pa.array([Decimal("1.5")], pa.decimal128(3, 1)), pa.array([0.1]), "VARCHAR", ["1.5", "0.1"]),
    ("int to text", pa.array([1, None]), pa.array(["x"]), "VARCHAR", ["1", None, "x"]),
    ("text, then int", pa.array(["x"]), pa.array([1]), "VARCHAR", ["x", "1"]),
    ("bool to int", pa.array([True]), pa.array([1]), "VARCHAR", ["true", "1"]),
    ("bytes to text", pa.array([b"\0\\a"]), pa.array(["x"]), "VARCHAR", ["\\x00\\x5Ca", "x"]),
    (
        "date and timestamp",
        pa.array([dt.date(2026, 1, 2)]),
        pa.array([dt.datetime(2026, 1, 2)]),
        "VARCHAR",
        ["2026-01-02", "2026-01-02 00:00:00"],
    ),
    (
        "naive and zoned",
        pa.array([dt.datetime(2026, 1, 2)]),
        pa.array([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)]),
        "VARCHAR",
        ["2026-01-02 00:00:00", "2026-01-02 00:00:00+00"],
    ),
    (
        "finer timestamps",
        pa.array([1], pa.timestamp("us")),
        pa.array([1], pa.timestamp("ns")),
        "TIMESTAMP_NS",
        [None, None],
    ),
    (
        "finer timestamps that do not reach",
        pa.array([dt.datetime(1066, 10, 14)]),
        pa.array([1], pa.timestamp("ns")),
        "VARCHAR",
        ["1066-10-14 00:00:00", "1970-01-01 00:00:00.000000001"],
    ),
    ("text to JSON", pa.array(["x", None]), JSON_VALUE, "JSON", ["x", None, {"a": 1}]),
    ("JSON, then int", JSON_VALUE, pa.array([2**62]), "JSON", [{"a": 1}, 2**62]),
    ("JSON, then time", JSON_VALUE, pa.array([dt.datetime(2026, 1, 2)]), "JSON", [{"a": 1}, "2026-01-02 00:00:00"]),
]


@pytest.mark.parametrize("at_once", [False, True], ids=["two units", "one unit"])
@pytest.mark.parametrize(
    ("before", "after", "type_", "values"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
def test_a_column_becomes_what_takes_every_value(
    lake: Path, before: pa.Array, after: pa.Array, type_: str, values: list[Any], at_once: bool
) -> None:
    slices = [rows(APPEND, {"a": before}), rows(APPEND, {"a": after})]
    if at_once:
        land(lake, *slices)
    else:
        for one in slices:
            land(lake, one)
    assert columns(lake) == {"a": type_}
    if type_ == "TIMESTAMP_NS":
        assert query(lake, "SELECT epoch_ns(a) FROM orders") == [(1000,), (1,)]
        return
    found = [value for (value,) in query(lake, "SELECT a FROM orders")]
    assert [json.loads(one) if type_ == "JSON" and one is not None else one for one in found] == values


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50))
def test_doubles_rendered_as_text_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    """Once in the database, when the column changes, and once on their way in: the same text, no digit lost."""
    lake = tmp_path_factory.mktemp("floats") / "lake.duckdb"
    doubles = pa.array(values, pa.float64())
    land(lake, rows(APPEND, {"a": doubles}), rows(APPEND, {"a": ["text"]}), rows(APPEND, {"a": doubles}))
    texts = [text for (text,) in query(lake, "SELECT a FROM orders")]
    assert texts[: len(values)] == texts[len(values) + 1 :]
    assert [float(text).hex() for text in texts[: len(values)]] == [value.hex() for value in values]


@pytest.mark.parametrize(
    ("before", "after", "types"),
    [
        (pa.array([1]), pa.array(["x"]), ("BIGINT", "VARCHAR")),
        (pa.array([1]), pa.array([0.5]), ("BIGINT", "DOUBLE")),
        (pa.array(["x"]), pa.array([1]), ("VARCHAR", "BIGINT")),
        (pa.array([1], pa.int32()), pa.array([2**40]), ("INTEGER", "BIGINT")),
    ],
)
def test_a_frozen_column_keeps_its_type(lake: Path, before: pa.Array, after: pa.Array, types: tuple[str, str]) -> None:
    land(lake, rows(FROZEN, {"a": before}))
    with pytest.raises(DestinationError) as caught:
        land(lake, rows(FROZEN, {"a": after}))
    for part in ("'orders'", "'a'", *types, "evolve"):
        assert part in str(caught.value)
    assert query(lake, "SELECT a FROM orders") == [(before[0].as_py(),)]


def test_a_frozen_column_takes_values_that_are_of_its_type(lake: Path) -> None:
    land(lake, rows(FROZEN, {"a": [0.5], "b": [2**40]}))
    land(lake, rows(FROZEN, {"a": [7], "b": pa.array([1], pa.int8())}))
    assert query(lake, "SELECT a, b FROM orders") == [(0.5, 2**40), (7.0, 1)]


def test_a_frozen_table_takes_new_columns(lake: Path) -> None:
    land(lake, rows(FROZEN, {"a": [1]}))
    land(lake, rows(FROZEN, {"a": [2], "b": ["x"]}))
    assert query(lake, "SELECT a, b FROM orders") == [(1, None), (2, "x")]


def test_a_key_that_changes_its_type_still_replaces_its_row(lake: Path) -> None:
    land(lake, rows(UPSERT, {"id": [1, 2], "x": ["a", "b"]}))
    land(lake, rows(UPSERT, {"id": ["2", "three"], "x": ["B", "C"]}))
    assert query(lake, "SELECT id, x FROM orders ORDER BY id") == [("1", "a"), ("2", "B"), ("three", "C")]


def test_a_type_a_person_chose_stays_while_values_fit(lake: Path) -> None:
    query(lake, "CREATE TABLE orders (id UUID, mood ENUM ('good', 'bad'))")
    text = "01010101-0101-0101-0101-010101010101"
    land(lake, rows(APPEND, {"id": [text], "mood": ["bad"]}))
    assert columns(lake) == {"id": "UUID", "mood": "ENUM('good', 'bad')"}
    land(lake, rows(APPEND, {"id": ["no uuid"], "mood": ["ugly"]}))
    assert query(lake, "SELECT id, mood FROM orders") == [(text, "bad"), ("no uuid", "ugly")]


def test_a_column_of_an_indexed_table_can_change_and_the_index_stays(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1], "x": [1]}))
    query(lake, 'CREATE INDEX "by id" ON orders (id)')
    land(lake, rows(APPEND, {"id": [2], "x": ["b"], "new": [1]}))
    assert query(lake, "SELECT id, x, new FROM orders ORDER BY id") == [(1, "1", None), (2, "b", 1)]
    assert query(lake, "SELECT index_name FROM duckdb_indexes() WHERE table_name = 'orders'") == [("by id",)]


def test_an_indexed_column_cannot_change_and_the_error_says_so(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    query(lake, "CREATE INDEX by_id ON orders (id)")
    with pytest.raises(DestinationError, match="drop the index"):
        land(lake, rows(APPEND, {"id": ["two"]}))
    assert query(lake, "SELECT id FROM orders") == [(1,)]


def test_a_change_that_fails_afterwards_is_undone(lake: Path) -> None:
    land(lake, rows(APPEND, {"a": [1]}))
    made = opened(lake)
    with pytest.raises(DestinationError):
        made.commit(unit(rows(APPEND, {"a": ["x"]}), rows(replace(APPEND, name="b"), {"id": [1], "ID": [2]})))
    made.close()
    assert columns(lake) == {"a": "BIGINT"}


NAMES = [
    'a"; drop table b; --',
    "select",
    "with space",
    " ",
    "Ж и é",
    "a.b",
    "rowid",
    "_vdk_arrow_1",
    "x" * 200,
    "'",
    "%s",
    "?",
    "$1",
    "temp",
    "main",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_lands_like_any_other(lake: Path, name: str) -> None:
    spec = replace(UPSERT, name=name, primary_key=(name,))
    land(lake, rows(replace(APPEND, name="b"), {"id": [1]}))
    land(lake, rows(spec, {name: [1], "x": [1]}))
    land(lake, rows(spec, {name: [1], "x": ["text"]}))
    quoted = '"' + name.replace('"', '""') + '"'
    assert query(lake, f"SELECT {quoted}, x FROM main.{quoted}") == [(1, "text")]
    assert query(lake, "SELECT * FROM b") == [(1,)]


def test_columns_that_differ_in_case_only_are_refused_by_name(lake: Path) -> None:
    with pytest.raises(DestinationError, match="'id' and 'ID'"):
        land(lake, rows(APPEND, {"id": [1], "ID": [2]}))
    land(lake, rows(APPEND, {"id": [1]}))
    with pytest.raises(DestinationError, match=r"'orders': the columns 'id' and 'ID'"):
        land(lake, rows(APPEND, {"ID": [2]}))


def test_letters_that_are_not_ascii_have_a_case(lake: Path) -> None:
    land(lake, rows(APPEND, {"é": [1], "É": [2]}))
    assert query(lake, "SELECT * FROM orders") == [(1, 2)]


def test_tables_that_differ_in_case_only_are_refused_by_name(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    with pytest.raises(DestinationError, match="'Orders' and 'orders'"):
        land(lake, rows(replace(APPEND, name="Orders"), {"id": [1]}))


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_a_name_no_database_takes_is_refused(lake: Path, name: str) -> None:
    with pytest.raises(DestinationError, match="cannot be"):
        land(lake, rows(replace(APPEND, name=name), {"id": [1]}))
    with pytest.raises(DestinationError, match="cannot be"):
        land(lake, rows(APPEND, {name: [1]}))


def test_rows_do_not_land_in_a_view(lake: Path) -> None:
    query(lake, "CREATE VIEW orders AS SELECT 1 AS id")
    with pytest.raises(DestinationError, match="'orders' is a view"):
        land(lake, rows(APPEND, {"id": [1]}))
