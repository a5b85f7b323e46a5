"""Comparing rows with a table: what lands is found again, whatever its type, and a difference is a difference."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from lakes import Lake, any_target
from landing import APPEND, land, opened, rows
from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import HASH, ComparisonResult, ComparisonSpec, TableSpec, row_hashes
from vdk.plugin.datasource_base.parts.columns.types import normalize_types

UTC = dt.UTC
TIME = dt.datetime(2026, 3, 4, 5, 6, 7, 890123)
COLUMNS: dict[str, pa.Array] = {
    "double": pa.array([1.5, -0.0, None, 1e300]),
    "single": pa.array([0.1, 3.4e38, None, -0.0], pa.float32()),
    "unsigned": pa.array([2**64 - 1, 0, None, 2**63], pa.uint64()),
    "decimal": pa.array([Decimal("1.10"), Decimal("-0.01"), None, Decimal("99999999.99")], pa.decimal128(10, 2)),
    "instant": pa.array([TIME, TIME.replace(microsecond=0), None, dt.datetime(1969, 1, 1)], pa.timestamp("us", "UTC")),
    "zoned": pa.array([TIME, None, None, TIME], pa.timestamp("us", "Europe/Berlin")),
    "naive": pa.array([TIME, TIME.replace(microsecond=100000), None, dt.datetime(9999, 1, 1)], pa.timestamp("us")),
    "date": pa.array([dt.date(2026, 1, 1), dt.date(1, 1, 1), None, dt.date(9999, 1, 1)]),
    "time": pa.array([dt.time(1, 2, 3, 4), dt.time(0), None, dt.time(23, 59, 59, 999999)], pa.time64("us")),
    "flag": pa.array([True, False, None, True]),
    "bytes": pa.array([b"a\0", b"", None, b"\x1f\xff"]),
    "text": pa.array(["\u00e9", "e\u0301", None, "A \x1f"]),
    "nested": pa.array([{"a": [1, 2]}, {"a": []}, None, {"a": None}]),
    "nothing": pa.nulls(4),
}
KEYS = pa.array([1, 2, 3, 4])


def compared(lake: Lake, spec: ComparisonSpec, *parts: tuple[Any, bool]) -> ComparisonResult:
    destination = opened(lake)
    try:
        comparison = destination.compare(spec)
        assert comparison is not None
        for data, claimed in parts:
            table = normalize_types(data if isinstance(data, pa.Table) else pa.table(data))
            comparison.add(table.append_column(HASH, pa.array(row_hashes(table), pa.int64())), claimed=claimed)
        result = comparison.result(5)
        comparison.close()
        comparison.close()
        return result
    finally:
        destination.close()


@any_target
def test_every_type_is_found_as_it_landed_and_a_changed_value_is_not(lake: Lake) -> None:
    table = pa.table({"id": KEYS, **COLUMNS})
    land(lake, rows(APPEND, table))
    names = tuple(table.schema.names)
    spec = ComparisonSpec("orders", names, ("id",), whole=True)
    result = compared(lake, spec, (table.slice(0, 3), True), (table.slice(3), True))
    assert (result.rows, result.missing, result.different, result.extra, result.repeated) == (4, 0, 0, 0, 0)
    for name in COLUMNS.keys() - {"nothing"}:  # the first two values of each column, exchanged
        values = pa.chunked_array([COLUMNS[name]]).take(pa.array([1, 0, 2, 3]))
        other = table.set_column(names.index(name), name, values)
        result = compared(lake, ComparisonSpec("orders", ("id", name), ("id",)), (other.select(["id", name]), True))
        assert (name, result.missing, result.different) == (name, 0, 2)
        assert result.named == [("1",), ("2",)]


@any_target
@pytest.mark.parametrize("key", [("id",), ()], ids=["keyed", "keyless"])
def test_rows_are_missing_different_repeated_or_not_at_the_source(lake: Lake, key: tuple[str, ...]) -> None:
    landed = {"id": [1, 2, 2, 4, 5, None], "v": ["a", "b", "b", "old", "e", "n"]}
    land(lake, rows(APPEND, landed))
    source = {"id": [1, 2, 3, 4, None], "v": ["a", "b", "c", "new", "n"]}
    spec = ComparisonSpec("orders", ("id", "v"), key, whole=True)
    result = compared(lake, spec, (source, True), ({"id": [6], "v": ["f"]}, False))
    keyed = bool(key)
    assert (result.rows, result.missing, result.different) == (5, 1 if keyed else 2, 1 if keyed else 0)
    assert (result.repeated, result.extra) == (1, 1 if keyed else 2)
    assert len(result.hashes) >= 2
    versions = ComparisonSpec("orders", ("id", "v"), key, versions=True)
    assert compared(lake, versions, (source, True)).repeated == 0


@any_target
def test_values_that_the_table_does_not_hold_are_missing(lake: Lake) -> None:
    """Text where the table has numbers, and a decimal of another scale that is the same number."""
    land(lake, rows(APPEND, {"id": [1, 2], "v": pa.array([Decimal("1.1"), Decimal("2.0")], pa.decimal128(5, 1))}))
    scaled = {"id": [1, 2], "v": pa.array([Decimal("1.10"), Decimal("2.00")], pa.decimal128(6, 2))}
    assert compared(lake, ComparisonSpec("orders", ("id", "v"), ("id",)), (scaled, True)).different == 0
    finer = {"id": [1, 2], "v": pa.array([Decimal("1.11"), Decimal("2.00")], pa.decimal128(6, 2))}
    assert compared(lake, ComparisonSpec("orders", ("id", "v"), ("id",)), (finer, True)).different == 1
    text = {"id": [1, 2], "v": ["x", "y"]}
    assert compared(lake, ComparisonSpec("orders", ("id", "v"), ("id",)), (text, True)).different == 2


@any_target
def test_a_table_or_a_key_that_does_not_exist_is_an_error(lake: Lake) -> None:
    land(lake, rows(APPEND, {"ID": [1], "v": ["a"]}))
    with pytest.raises(DestinationError, match="table 'nowhere' does not exist"):
        compared(lake, ComparisonSpec("nowhere", ("id",), ("id",)))
    with pytest.raises(DestinationError, match=r"table 'orders' lacks the columns \['key'\]"):
        compared(lake, ComparisonSpec("orders", ("key",), ("key",)))
    result = compared(lake, ComparisonSpec("orders", ("v", "other")), ({"v": ["a"], "other": [1]}, True))
    assert (result.missing, list(result.uncompared)) == (0, ["other"])
    assert compared(lake, ComparisonSpec("orders", ("v",), ("v",))).extra == 1


@any_target
def test_rows_that_are_marked_as_deleted_do_not_count(lake: Lake) -> None:
    spec = TableSpec("orders", "append")
    gone = pa.array([None, dt.datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    land(lake, rows(spec, {"id": [1, 2], "_vdk_deleted_at": gone}))
    result = compared(lake, ComparisonSpec("orders", ("id",), ("id",), whole=True), ({"id": [1]}, True))
    assert (result.rows, result.missing, result.extra) == (1, 0, 0)
