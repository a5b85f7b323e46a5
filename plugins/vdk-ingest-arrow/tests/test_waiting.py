"""A column whose type depends on its values, and that has none yet, waits; and a type that changes is reported."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from lakes import Lake, any_target
from landing import APPEND, KEY, REPLACE, columns, land, opened, query, rows, unit
from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import TableSnapshot, TableSpec

pytestmark = pytest.mark.heavy

WAITING = pa.schema([("id", pa.int64()), ("seen", pa.null())])
VALUES = {
    "bytes": ([b"\0\xff"], "BLOB"),
    "integers": ([1764331200], "BIGINT"),
    "dates": ([dt.date(2026, 1, 2)], "DATE"),
    "timestamps": ([dt.datetime(2026, 1, 2, 3)], "TIMESTAMP"),
    "booleans": ([True], "BOOLEAN"),
}


def waiting(spec: TableSpec = APPEND) -> TableSpec:
    return replace(spec, schema=WAITING)


@any_target
@pytest.mark.parametrize(("values", "type_"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("evolve", [True, False])
def test_a_column_that_is_declared_without_a_type_waits_for_a_value(
    lake: Lake, values: list[Any], type_: str, evolve: bool
) -> None:
    spec = replace(waiting(), evolve=evolve)
    land(lake, rows(spec, WAITING.empty_table()))
    land(lake, rows(spec, {"id": [1], "seen": pa.nulls(1)}))
    assert columns(lake) == lake.spelled({"id": "BIGINT"})
    land(lake, rows(spec, {"id": [2], "seen": values}))
    land(lake, rows(spec, {"id": [3], "seen": pa.nulls(1)}))
    assert columns(lake) == lake.spelled({"id": "BIGINT", "seen": type_})
    assert query(lake, "SELECT id FROM orders WHERE seen IS NOT NULL") == [(2,)]


@any_target
def test_a_table_of_which_every_column_waits_is_made_with_the_first_rows(lake: Lake) -> None:
    spec = replace(APPEND, schema=pa.schema([("seen", pa.null())]))
    land(lake, rows(spec, {"seen": pa.nulls(0)}))
    destination = opened(lake)
    destination.stage(KEY, [rows(spec, {"seen": pa.nulls(0)})], "run-1")
    destination.commit(unit(rows(spec, {"seen": pa.nulls(0)})))
    assert destination.has_table("orders") is False
    destination.close()
    land(lake, rows(spec, {"seen": pa.nulls(2)}))
    land(lake, rows(spec, {"seen": [b"\0"]}))
    assert columns(lake) == lake.spelled({"seen": "BLOB"})
    assert query(lake, "SELECT count(*), count(seen) FROM orders") == [(3, 1)]


@any_target
def test_a_replaced_table_keeps_a_column_that_has_no_value_this_time(lake: Lake) -> None:
    spec = waiting(REPLACE)
    for seen in ([b"\0"], pa.nulls(1)):
        destination = opened(lake)
        destination.stage(KEY, [rows(spec, {"id": [1], "seen": seen})], "run-1")
        destination.publish(TableSnapshot([spec], [unit()]))
        destination.close()
    assert columns(lake) == lake.spelled({"id": "BIGINT", "seen": "BLOB"})
    assert query(lake, "SELECT id, seen FROM orders") == [(1, None)]


@any_target
def test_a_type_that_changes_is_reported_by_the_commit_that_changes_it(lake: Lake) -> None:
    destination = opened(lake)
    changes = []
    for value in (1, 2, 0.5, "x", "y"):
        destination.commit(unit(rows(APPEND, {"a": [value]})))
        changes.append(
            [(change.table, change.column, change.before, change.after) for change in destination.schema_changes]
        )
    destination.close()
    names = {"parquet": ("int64", "double", "string")}
    whole, real, text = names.get(lake.kind) or [lake.type(one) for one in ("BIGINT", "DOUBLE", "VARCHAR")]
    assert changes == [[], [], [("orders", "a", whole, real)], [("orders", "a", real, text)], []]


@any_target
def test_a_type_that_a_replaced_table_changes_is_reported(lake: Lake) -> None:
    destination = opened(lake)
    changes = []
    for run, value in enumerate((1, 2, "x")):
        destination.stage(KEY, [rows(REPLACE, {"a": [value]})], f"run-{run}")
        destination.publish(TableSnapshot([REPLACE], [unit(run_id=f"run-{run}")]))
        changes.append([(change.table, change.column) for change in destination.schema_changes])
    destination.close()
    assert changes == [[], [], [("orders", "a")]]


@any_target
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pa.array([dt.date(2026, 1, 2)]), pa.array([dt.datetime(2026, 1, 2, 3)])),
        (pa.array([0.5], pa.float32()), pa.array([0.1])),
    ],
)
def test_a_frozen_column_loses_nothing_of_a_value(lake: Lake, before: pa.Array, after: pa.Array) -> None:
    """Arrow's casts drop the time of day, and round doubles, without an error."""
    frozen = replace(APPEND, evolve=False)
    land(lake, rows(frozen, {"a": before}))
    if lake.kind == "sqlite" and pa.types.is_floating(after.type):
        land(lake, rows(frozen, {"a": after}))  # both are REAL
        assert query(lake, "SELECT a FROM orders") == [(0.5,), (0.1,)]
        return
    with pytest.raises(DestinationError, match="'a'"):
        land(lake, rows(frozen, {"a": after}))
