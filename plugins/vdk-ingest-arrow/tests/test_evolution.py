"""What happens to a column when values of another type come."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakes import Lake
from landing import APPEND, UPSERT, columns, land, opened, query, rows, unit
from vdk.plugin.datasource_base.contract import JSON_TYPE, DestinationError

FROZEN = replace(APPEND, evolve=False)
JSON_VALUE = pa.ExtensionArray.from_storage(JSON_TYPE, pa.array(['{"a": 1}']))


class Change(NamedTuple):
    """Values before and after, and what is there then: in DuckDB, and where that is something else, in others."""

    before: pa.Array
    after: pa.Array
    type: str
    values: list[Any]
    others: Mapping[str, tuple[str, list[Any]]] = {}

    def expected(self, lake: Lake) -> tuple[str, list[Any]]:
        return self.others.get(lake.kind) or (lake.type(self.type), self.values)


CHANGES: dict[str, Change] = {
    "wider integers": Change(pa.array([1], pa.int32()), pa.array([2**40]), "BIGINT", [1, 2**40]),
    "narrower integers": Change(pa.array([2**40]), pa.array([1], pa.int32()), "BIGINT", [2**40, 1]),
    "unsigned that fit": Change(
        pa.array([-1]),
        pa.array([5], pa.uint64()),
        "BIGINT",
        [-1, 5],
        {"sqlite": ("DECIMAL_TEXT(20,0)", ["-1", "5"]), "postgresql": ("numeric(20,0)", [-1, 5])},
    ),
    "unsigned that do not": Change(
        pa.array([-1]),
        pa.array([2**64 - 1], pa.uint64()),
        "HUGEINT",
        [-1, 2**64 - 1],
        {"sqlite": ("DECIMAL_TEXT(20,0)", ["-1", str(2**64 - 1)])},
    ),
    "float to double": Change(pa.array([0.5], pa.float32()), pa.array([0.1]), "DOUBLE", [0.5, 0.1]),
    "int to double": Change(pa.array([1, None]), pa.array([0.5]), "DOUBLE", [1.0, None, 0.5]),
    "double, then int": Change(pa.array([0.5]), pa.array([2**53]), "DOUBLE", [0.5, float(2**53)]),
    "int no double has": Change(pa.array([2**53 + 1]), pa.array([0.5]), "VARCHAR", [str(2**53 + 1), "0.5"]),
    "double, then int no double has": Change(
        pa.array([0.5]), pa.array([2**53 + 1]), "VARCHAR", ["0.5", str(2**53 + 1)]
    ),
    "greatest int": Change(pa.array([2**63 - 1]), pa.array([0.5]), "VARCHAR", [str(2**63 - 1), "0.5"]),
    "wider decimals": Change(
        pa.array([Decimal("1.5")], pa.decimal128(3, 1)),
        pa.array([Decimal("12345.678")], pa.decimal128(8, 3)),
        "DECIMAL(8,3)",
        [Decimal("1.500"), Decimal("12345.678")],
        {"sqlite": ("DECIMAL_TEXT(8,3)", ["1.500", "12345.678"])},
    ),
    "decimals of more than 38 digits together": Change(
        pa.array([Decimal(10**37)], pa.decimal128(38, 0)),
        pa.array([Decimal("0.01")], pa.decimal128(38, 2)),
        "VARCHAR",
        [str(10**37), "0.01"],
        {
            "sqlite": ("DECIMAL_TEXT(40,2)", [f"{10**37}.00", "0.01"]),
            "postgresql": ("numeric(40,2)", [Decimal(10**37), Decimal("0.01")]),
        },
    ),
    "int to decimal": Change(
        pa.array([7]),
        pa.array([Decimal("1.5")], pa.decimal128(38, 9)),
        "DECIMAL(38,9)",
        [7, Decimal("1.5")],
        {"sqlite": ("DECIMAL_TEXT(38,9)", ["7.000000000", "1.500000000"])},
    ),
    "decimal and double": Change(
        pa.array([Decimal("1.5")], pa.decimal128(3, 1)), pa.array([0.1]), "VARCHAR", ["1.5", "0.1"]
    ),
    "int to text": Change(pa.array([1, None]), pa.array(["x"]), "VARCHAR", ["1", None, "x"]),
    "text, then int": Change(pa.array(["x"]), pa.array([1]), "VARCHAR", ["x", "1"]),
    "bool to int": Change(pa.array([True]), pa.array([1]), "VARCHAR", ["true", "1"]),
    "bytes to text": Change(
        pa.array([b"\0\\a"]),
        pa.array(["x"]),
        "VARCHAR",
        ["\\x00\\x5Ca", "x"],
        {"sqlite": ("TEXT", ["\\x005c61", "x"]), "postgresql": ("text", ["\\x005c61", "x"])},
    ),
    "date and timestamp": Change(
        pa.array([dt.date(2026, 1, 2), dt.date.min, dt.date.max]),
        pa.array([dt.datetime(2026, 1, 2, 3)]),
        "TIMESTAMP",
        [dt.datetime(2026, 1, 2), dt.datetime.min, dt.datetime(9999, 12, 31), dt.datetime(2026, 1, 2, 3)],
        {
            "sqlite": (
                "TIMESTAMP",
                [f"{day} 00:00:00.000000" for day in ("2026-01-02", "0001-01-01", "9999-12-31")]
                + ["2026-01-02 03:00:00.000000"],
            )
        },
    ),
    "timestamp, then date": Change(
        pa.array([dt.datetime(2026, 1, 2, 3)]),
        pa.array([dt.date(2026, 1, 2)]),
        "TIMESTAMP",
        [dt.datetime(2026, 1, 2, 3), dt.datetime(2026, 1, 2)],
        {"sqlite": ("TIMESTAMP", ["2026-01-02 03:00:00.000000", "2026-01-02 00:00:00.000000"])},
    ),
    "timestamps of seconds, then of microseconds": Change(
        pa.array([dt.datetime(2026, 1, 2, 3)], pa.timestamp("s")),
        pa.array([dt.datetime(2026, 1, 2, 3, 0, 0, 1)]),
        "TIMESTAMP",
        [dt.datetime(2026, 1, 2, 3), dt.datetime(2026, 1, 2, 3, 0, 0, 1)],
        {"sqlite": ("TIMESTAMP", ["2026-01-02 03:00:00.000000", "2026-01-02 03:00:00.000001"])},
    ),
    "date and zoned timestamp": Change(
        pa.array([dt.date(2026, 1, 2)]),
        pa.array([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)]),
        "VARCHAR",
        ["2026-01-02", "2026-01-02 00:00:00+00"],
        {"sqlite": ("TEXT", ["2026-01-02", "2026-01-02 00:00:00.000000+00:00"])},
    ),
    "naive and zoned": Change(
        pa.array([dt.datetime(2026, 1, 2)]),
        pa.array([dt.datetime(2026, 1, 2, tzinfo=dt.UTC)]),
        "VARCHAR",
        ["2026-01-02 00:00:00", "2026-01-02 00:00:00+00"],
        {"sqlite": ("TEXT", ["2026-01-02 00:00:00.000000", "2026-01-02 00:00:00.000000+00:00"])},
    ),
    "text to JSON": Change(pa.array(["x", None]), JSON_VALUE, "JSON", ["x", None, {"a": 1}]),
    "JSON, then int": Change(JSON_VALUE, pa.array([2**62]), "JSON", [{"a": 1}, 2**62]),
    "JSON, then time": Change(
        JSON_VALUE,
        pa.array([dt.datetime(2026, 1, 2)]),
        "JSON",
        [{"a": 1}, "2026-01-02 00:00:00"],
        {
            "sqlite": ("JSON_TEXT", [{"a": 1}, "2026-01-02 00:00:00.000000"]),
            "postgresql": ("jsonb", [{"a": 1}, "2026-01-02T00:00:00"]),
        },
    ),
}


@pytest.mark.parametrize("at_once", [False, True], ids=["two units", "one unit"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_column_becomes_what_takes_every_value(lake: Lake, change: Change, at_once: bool) -> None:
    batches = [rows(APPEND, {"a": change.before}), rows(APPEND, {"a": change.after})]
    if at_once:
        land(lake, *batches)
    else:
        for batch in batches:
            land(lake, batch)
    type_, values = change.expected(lake)
    assert columns(lake) == {"a": type_}
    json_ = type_ == lake.type("JSON")
    found = [value for (value,) in query(lake, f"SELECT {'CAST(a AS VARCHAR)' if json_ else 'a'} FROM orders")]
    assert [json.loads(one) if json_ and one is not None else one for one in found] == values


NANOSECONDS = {
    "duckdb": {
        "TIMESTAMP_NS": ["1970-01-01 00:00:00.000001", "1970-01-01 00:00:00.000000001"],
        "VARCHAR": ["1066-10-14 00:00:00", "1970-01-01 00:00:00.000000001"],
    },
    # Here they are text, which reaches as far as any.
    "sqlite": {
        "TIMESTAMP_NS": ["1970-01-01 00:00:00.000001000", "1970-01-01 00:00:00.000000001"],
        "VARCHAR": ["1066-10-14 00:00:00.000000000", "1970-01-01 00:00:00.000000001"],
    },
}


@pytest.mark.parametrize(
    ("before", "type_"),
    [(dt.datetime(1970, 1, 1, 0, 0, 0, 1), "TIMESTAMP_NS"), (dt.datetime(1066, 10, 14), "VARCHAR")],
)
def test_a_column_becomes_one_of_nanoseconds_where_all_its_times_reach(
    lake: Lake, before: dt.datetime, type_: str
) -> None:
    land(lake, rows(APPEND, {"a": [before]}))
    finer = rows(APPEND, {"a": pa.array([1], pa.timestamp("ns"))})
    if lake.kind == "postgresql":
        with pytest.raises(DestinationError, match=r"column 'a': .*whole number of microseconds"):
            land(lake, finer)
        return
    land(lake, finer)
    assert columns(lake) == {"a": lake.type("TIMESTAMP_NS" if lake.kind == "sqlite" else type_)}
    found = query(lake, "SELECT CAST(a AS VARCHAR) FROM orders")
    assert [value for (value,) in found] == NANOSECONDS[lake.kind][type_]


@pytest.mark.heavy
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50))
def test_doubles_rendered_as_text_read_back_the_same(lake: Lake, values: list[float]) -> None:
    """Once in the database, when the column changes, and once on their way in: the same text, no digit lost."""
    query(lake, "DROP TABLE IF EXISTS orders")
    doubles = pa.array(values, pa.float64())
    land(lake, rows(APPEND, {"a": doubles}), rows(APPEND, {"a": ["text"]}), rows(APPEND, {"a": doubles}))
    texts = [text for (text,) in query(lake, "SELECT a FROM orders")]
    assert texts[: len(values)] == texts[len(values) + 1 :]
    if lake.kind == "sqlite":
        values = [value + 0.0 for value in values]  # it keeps -0.0 as 0.0
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
def test_a_frozen_column_keeps_its_type(lake: Lake, before: pa.Array, after: pa.Array, types: tuple[str, str]) -> None:
    land(lake, rows(FROZEN, {"a": before}))
    if lake.type(types[0]) == lake.type(types[1]):
        land(lake, rows(FROZEN, {"a": after}))
        return
    with pytest.raises(DestinationError) as caught:
        land(lake, rows(FROZEN, {"a": after}))
    for part in ("'orders'", "'a'", *map(lake.type, types), "evolve"):
        assert part in str(caught.value)
    assert query(lake, "SELECT a FROM orders") == [(before[0].as_py(),)]


def test_a_frozen_date_takes_no_time_of_day(lake: Lake) -> None:
    land(lake, rows(FROZEN, {"a": [dt.date(2026, 1, 2)]}))
    with pytest.raises(DestinationError, match="'a'"):
        land(lake, rows(FROZEN, {"a": [dt.datetime(2026, 1, 2, 3)]}))
    land(lake, rows(FROZEN, {"a": [dt.datetime(2026, 1, 3)]}))
    assert [str(value) for (value,) in query(lake, "SELECT a FROM orders")] == ["2026-01-02", "2026-01-03"]


def test_a_frozen_column_takes_values_that_are_of_its_type(lake: Lake) -> None:
    land(lake, rows(FROZEN, {"a": [0.5], "b": [2**40]}))
    land(lake, rows(FROZEN, {"a": [7], "b": pa.array([1], pa.int8())}))
    assert query(lake, "SELECT a, b FROM orders") == [(0.5, 2**40), (7.0, 1)]


def test_a_frozen_table_takes_new_columns(lake: Lake) -> None:
    land(lake, rows(FROZEN, {"a": [1]}))
    land(lake, rows(FROZEN, {"a": [2], "b": ["x"]}))
    assert query(lake, "SELECT a, b FROM orders") == [(1, None), (2, "x")]


def test_a_key_that_changes_its_type_still_replaces_its_row(lake: Lake) -> None:
    land(lake, rows(UPSERT, {"id": [1, 2], "x": ["a", "b"]}))
    land(lake, rows(UPSERT, {"id": ["2", "three"], "x": ["B", "C"]}))
    assert query(lake, "SELECT id, x FROM orders ORDER BY id") == [("1", "a"), ("2", "B"), ("three", "C")]


def test_a_type_a_person_chose_stays_while_values_fit(lake: Lake) -> None:
    moods = "mood VARCHAR(4)"
    if lake.kind != "sqlite":
        query(lake, "CREATE TYPE mood AS ENUM ('good', 'bad')")
        moods = "mood mood"
    query(lake, f"CREATE TABLE orders (id UUID, {moods})")
    before = columns(lake)
    text = "01010101-0101-0101-0101-010101010101"
    land(lake, rows(APPEND, {"id": [text], "mood": ["bad"]}))
    assert columns(lake) == before
    land(lake, rows(APPEND, {"id": ["no uuid"], "mood": ["ugly"]}))
    assert query(lake, "SELECT CAST(id AS VARCHAR), mood FROM orders") == [(text, "bad"), ("no uuid", "ugly")]


def test_a_column_of_an_indexed_table_can_change_and_the_index_stays(lake: Lake) -> None:
    land(lake, rows(APPEND, {"id": [1], "x": [1]}))
    query(lake, 'CREATE INDEX "by id" ON orders (id)')
    land(lake, rows(APPEND, {"id": [2], "x": ["b"], "new": [1]}))
    assert query(lake, "SELECT id, x, new FROM orders ORDER BY id") == [(1, "1", None), (2, "b", 1)]
    assert lake.indexes() == ["by id"]


def test_an_indexed_column_changes_or_the_error_says_what_to_do(lake: Lake) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    query(lake, "CREATE INDEX by_id ON orders (id)")
    if lake.kind == "duckdb":
        with pytest.raises(DestinationError, match="drop the index"):
            land(lake, rows(APPEND, {"id": ["two"]}))
        assert query(lake, "SELECT id FROM orders") == [(1,)]
    else:
        land(lake, rows(APPEND, {"id": ["two"]}))
        assert query(lake, "SELECT id FROM orders") == [("1",), ("two",)]
    assert lake.indexes() == ["by_id"]


def test_a_change_that_fails_afterwards_is_undone(lake: Lake) -> None:
    land(lake, rows(APPEND, {"a": [1]}))
    made = opened(lake)
    with pytest.raises(DestinationError):
        made.commit(unit(rows(APPEND, {"a": ["x"]}), rows(replace(APPEND, name="b"), {"": [1]})))
    made.close()
    assert columns(lake) == lake.spelled({"a": "BIGINT"})


NAMES = [
    'a"; drop table b; --',
    "select",
    "with space",
    " ",
    "Ж и é",
    "a.b",
    "rowid",
    "_vdk_arrow_1",
    "x" * 63,
    "'",
    "%s",
    "?",
    "$1",
    "temp",
    "main",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_lands_like_any_other(lake: Lake, name: str) -> None:
    spec = replace(UPSERT, name=name, primary_key=(name,))
    land(lake, rows(replace(APPEND, name="b"), {"id": [1]}))
    land(lake, rows(spec, {name: [1], "x": [1]}))
    land(lake, rows(spec, {name: [1], "x": ["text"]}))
    quoted = '"' + name.replace('"', '""') + '"'
    assert query(lake, f"SELECT {quoted}, x FROM {lake.schema}.{quoted}") == [(1, "text")]
    assert query(lake, "SELECT * FROM b") == [(1,)]


def test_columns_that_differ_in_case_only_are_two_or_refused_by_name(lake: Lake) -> None:
    if lake.kind == "postgresql":
        land(lake, rows(APPEND, {"id": [1], "ID": [2]}))
        land(lake, rows(APPEND, {"ID": [3]}))
        assert query(lake, 'SELECT id, "ID" FROM orders') == [(1, 2), (None, 3)]
        return
    with pytest.raises(DestinationError, match="'id' and 'ID'"):
        land(lake, rows(APPEND, {"id": [1], "ID": [2]}))
    land(lake, rows(APPEND, {"id": [1]}))
    with pytest.raises(DestinationError, match=r"'orders': the columns 'id' and 'ID'"):
        land(lake, rows(APPEND, {"ID": [2]}))


def test_letters_that_are_not_ascii_have_a_case(lake: Lake) -> None:
    land(lake, rows(APPEND, {"é": [1], "É": [2]}))
    assert query(lake, "SELECT * FROM orders") == [(1, 2)]


def test_tables_that_differ_in_case_only_are_two_or_refused_by_name(lake: Lake) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    if lake.kind == "postgresql":
        land(lake, rows(replace(APPEND, name="Orders"), {"id": [2]}))
        assert query(lake, 'SELECT (SELECT id FROM orders), (SELECT id FROM "Orders")') == [(1, 2)]
        return
    with pytest.raises(DestinationError, match="'Orders' and 'orders'"):
        land(lake, rows(replace(APPEND, name="Orders"), {"id": [1]}))


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_a_name_no_database_takes_is_refused(lake: Lake, name: str) -> None:
    with pytest.raises(DestinationError, match="is not possible"):
        land(lake, rows(replace(APPEND, name=name), {"id": [1]}))
    with pytest.raises(DestinationError, match="is not possible"):
        land(lake, rows(APPEND, {name: [1]}))


def test_rows_do_not_land_in_a_view(lake: Lake) -> None:
    query(lake, "CREATE VIEW orders AS SELECT 1 AS id")
    with pytest.raises(DestinationError, match="'orders' is a view"):
        land(lake, rows(APPEND, {"id": [1]}))
