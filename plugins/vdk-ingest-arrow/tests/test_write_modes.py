"""How rows land: append, upsert, deletes, replace."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from lakes import Lake, any_target
from landing import APPEND, KEY, REPLACE, UPSERT, columns, deletes, land, opened, partition, query, rows, tables, unit
from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError
from vdk.plugin.datasource_base.parts import Destination, TableBatch, TableSnapshot, TableSpec

pytestmark = pytest.mark.libraries

SOFT = replace(UPSERT, soft_deletes=True)
ALL = "SELECT * FROM orders ORDER BY id"


@any_target
def test_append_keeps_every_row_in_order(lake: Lake) -> None:
    land(lake, rows(APPEND, {"id": [3, 1, 3]}), rows(APPEND, {"id": [3]}))
    assert query(lake, "SELECT id FROM orders") == [(3,), (1,), (3,), (3,)]


@any_target
def test_columns_come_in_any_order_and_any_subset(lake: Lake) -> None:
    land(lake, rows(APPEND, {"id": [1], "b": ["x"]}))
    land(lake, rows(APPEND, {"c": [True], "id": [2]}))
    assert query(lake, ALL) == [(1, "x", None), (2, None, True)]
    assert columns(lake) == lake.spelled({"id": "BIGINT", "b": "VARCHAR", "c": "BOOLEAN"})


@any_target
def test_a_slice_without_rows_makes_its_table(lake: Lake) -> None:
    schema = pa.schema({"id": pa.int64(), "at": pa.timestamp("us", "UTC"), "what": pa.null()})
    land(lake, TableBatch(replace(APPEND, schema=schema), "rows", schema.empty_table()))
    assert columns(lake) == lake.spelled({"id": "BIGINT", "at": "TIMESTAMP WITH TIME ZONE"})
    land(lake, TableBatch(APPEND, "rows", pa.table({})))
    assert query(lake, ALL) == []


@any_target
def test_rows_without_columns_are_not_dropped_silently(lake: Lake) -> None:
    batch = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))
    table = pa.Table.from_batches([batch])
    assert table.num_rows == 2
    with pytest.raises(DestinationError, match="without any column"):
        land(lake, rows(APPEND, table))


@any_target
def test_a_column_without_a_value_waits_for_one(lake: Lake) -> None:
    land(lake, rows(APPEND, {"id": [1], "seen": pa.nulls(1)}))
    assert columns(lake) == lake.spelled({"id": "BIGINT"})
    land(lake, rows(APPEND, {"id": [2], "seen": [1.5]}))
    land(lake, rows(APPEND, {"id": [3], "seen": pa.nulls(1)}))
    assert query(lake, ALL) == [(1, None), (2, 1.5), (3, None)]


@any_target
def test_rows_whose_every_value_is_missing_are_rows(lake: Lake) -> None:
    land(lake, rows(APPEND, {"a": pa.nulls(2)}))
    assert query(lake, "SELECT * FROM orders") == [(None,), (None,)]


def test_upsert_replaces_whole_rows_by_key(lake: Lake) -> None:
    land(lake, rows(UPSERT, {"id": [1, 2], "x": ["a", "b"], "y": [1, 2]}))
    land(lake, rows(UPSERT, {"id": [2, 3], "x": ["B", "C"]}))
    assert query(lake, ALL) == [(1, "a", 1), (2, "B", None), (3, "C", None)]


def test_upsert_by_several_columns(lake: Lake) -> None:
    spec = TableSpec("orders", "upsert", ("id", "line no"))
    land(lake, rows(spec, {"id": [1, 1], "line no": ["a", "b"], "x": [1, 2]}))
    land(lake, rows(spec, {"line no": ["b", "b"], "x": [9, 8], "id": [1, 2]}))
    assert query(lake, 'SELECT id, "line no", x FROM orders ORDER BY 1, 2') == [(1, "a", 1), (1, "b", 9), (2, "b", 8)]


def test_slices_of_a_unit_land_in_their_order(lake: Lake) -> None:
    land(lake, rows(UPSERT, {"id": [7], "x": ["old"]}))
    land(
        lake,
        rows(UPSERT, {"id": [1, 2], "x": ["a", "b"]}),
        deletes(UPSERT, {"id": [1, 7, 99]}),
        rows(UPSERT, {"id": [1, 2], "x": ["A", "B"]}),
    )
    assert query(lake, ALL) == [(1, "A"), (2, "B")]


def test_deletes_before_any_row_make_the_table(lake: Lake) -> None:
    land(lake, deletes(UPSERT, {"id": [1]}))
    assert columns(lake) == lake.spelled({"id": "BIGINT"})


def test_deletes_find_keys_that_came_as_another_type(lake: Lake) -> None:
    """The column is text, because one key was; the deleted key comes as a number."""
    land(lake, rows(UPSERT, {"id": ["5", "x", "6"]}))
    land(lake, deletes(UPSERT, {"id": [5]}))
    assert query(lake, ALL) == [("6",), ("x",)]
    assert columns(lake) == lake.spelled({"id": "VARCHAR"})


def test_a_deleted_key_that_the_column_cannot_hold_deletes_nothing(lake: Lake) -> None:
    land(lake, rows(UPSERT, {"id": [5, 6]}))
    land(lake, deletes(UPSERT, {"id": ["5.0", "x", "6"]}))
    assert query(lake, ALL) == [(5,)]


def test_a_soft_delete_marks_the_row_and_an_upsert_unmarks_it(lake: Lake) -> None:
    land(lake, rows(SOFT, {"id": [1, 2, 3]}), deletes(SOFT, {"id": [1, 2, 99]}))
    marked = "SELECT id, _vdk_deleted_at IS NOT NULL FROM orders ORDER BY id"
    assert query(lake, marked) == [(1, True), (2, True), (3, False)]
    assert columns(lake)["_vdk_deleted_at"] == lake.type("TIMESTAMP WITH TIME ZONE")
    assert query(lake, f"SELECT {lake.recent('max(_vdk_deleted_at)')} FROM orders") == [(True,)]
    land(lake, rows(SOFT, {"id": [1]}))
    assert query(lake, marked) == [(1, False), (2, True), (3, False)]


def test_a_row_deleted_again_keeps_the_time_it_was_first_deleted(lake: Lake) -> None:
    land(lake, rows(SOFT, {"id": [1]}), deletes(SOFT, {"id": [1]}))
    first = query(lake, "SELECT CAST(_vdk_deleted_at AS VARCHAR) FROM orders")
    land(lake, deletes(SOFT, {"id": [1]}))
    assert query(lake, "SELECT CAST(_vdk_deleted_at AS VARCHAR) FROM orders") == first


def test_deletes_by_key_need_upsert(lake: Lake) -> None:
    with pytest.raises(DestinationError, match="need write_mode"):
        land(lake, deletes(APPEND, {"id": [1]}))


def test_an_upsert_without_its_key_is_refused(lake: Lake) -> None:
    land(lake, rows(UPSERT, {"id": [1]}))
    with pytest.raises(DestinationError, match=r"\['id'\] have no values"):
        land(lake, rows(UPSERT, {"x": [1]}))


@any_target
def test_replace_is_not_committed(lake: Lake) -> None:
    with pytest.raises(DestinationError, match="staged and published"):
        land(lake, rows(REPLACE, {"id": [1]}))


def publish(made: Destination, *specs: TableSpec, partitions: tuple[str, ...] = ("",)) -> list[int]:
    units = [unit(key=partition(name)) for name in partitions]
    return made.publish(TableSnapshot(specs or (REPLACE,), units))


@any_target
def test_a_generation_takes_the_place_of_the_one_before(lake: Lake, destination: Destination) -> None:
    for snapshot in ([1, 2], [3]):
        for one in snapshot:
            destination.stage(KEY, [rows(REPLACE, {"id": [one], "text": [f"{one}"]})], "run-1")
        publish(destination)
    destination.close()
    assert query(lake, ALL) == [(3, "3")]
    assert tables(lake) == ["orders"]


@any_target
def test_until_it_is_published_the_old_generation_is_seen(lake: Lake, destination: Destination) -> None:
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    destination.stage(KEY, [rows(REPLACE, {"id": [2]})], "run-1")
    assert query(lake, ALL) == [(1,)]
    publish(destination)
    assert query(lake, ALL) == [(2,)]


@any_target
def test_the_partitions_of_a_generation_become_visible_together(lake: Lake, destination: Destination) -> None:
    destination.stage(partition("b"), [rows(REPLACE, {"id": [2], "x": ["b"]})], "run-1")
    destination.stage(partition("a"), [rows(REPLACE, {"id": [1], "y": [1.5]})], "run-1")
    publish(destination, partitions=("a", "b", "empty"))
    destination.close()
    assert query(lake, "SELECT id, x, y FROM orders ORDER BY id") == [(1, None, 1.5), (2, "b", None)]
    assert tables(lake) == ["orders"]


@any_target
def test_several_tables_are_replaced_at_once(lake: Lake, destination: Destination) -> None:
    lines = replace(REPLACE, name="lines")
    destination.stage(KEY, [rows(REPLACE, {"id": [1]}), rows(lines, {"id": [10]}), rows(lines, {"id": [11]})], "run-1")
    publish(destination, REPLACE, lines)
    assert query(lake, "SELECT * FROM orders") == [(1,)]
    assert query(lake, "SELECT * FROM lines") == [(10,), (11,)]


@any_target
def test_a_generation_without_rows_is_an_empty_table_of_the_declared_columns(lake: Lake) -> None:
    spec = replace(REPLACE, schema=pa.schema({"id": pa.int64(), "amount": pa.decimal128(10, 2), "later": pa.null()}))
    made = opened(lake)
    made.commit(unit(rows(APPEND, {"id": [1], "was": ["x"]})))
    publish(made, spec)
    made.close()
    assert query(lake, "SELECT * FROM orders") == []
    assert columns(lake) == lake.spelled({"id": "BIGINT", "amount": "DECIMAL(10,2)"})


@any_target
def test_without_declared_columns_an_empty_generation_keeps_those_there_were(
    lake: Lake, destination: Destination
) -> None:
    destination.commit(unit(rows(APPEND, {"id": [1], "x": ["a"]})))
    publish(destination)
    assert query(lake, ALL) == []
    assert columns(lake) == lake.spelled({"id": "BIGINT", "x": "VARCHAR"})


@any_target
def test_an_empty_generation_of_unknown_columns_makes_nothing(lake: Lake, destination: Destination) -> None:
    publish(destination)
    assert tables(lake) == []


@any_target
def test_a_column_whose_values_are_all_missing_this_time_stays(lake: Lake, destination: Destination) -> None:
    for note in (pa.array(["a"]), pa.nulls(1)):
        destination.stage(KEY, [rows(REPLACE, {"id": [1], "note": note})], "run-1")
        publish(destination)
    assert query(lake, ALL) == [(1, None)]


def test_views_and_indexes_survive_a_replace(lake: Lake, destination: Destination) -> None:
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    query(lake, "CREATE VIEW recent AS SELECT id FROM orders")
    query(lake, "CREATE UNIQUE INDEX by_id ON orders (id)")
    destination.stage(KEY, [rows(REPLACE, {"id": [2]})], "run-1")
    publish(destination)
    destination.close()
    assert query(lake, "SELECT * FROM recent") == [(2,)]
    assert lake.indexes() == ["by_id"]


def test_a_users_constraint_that_refuses_rows_is_named(lake: Lake) -> None:
    query(lake, "CREATE TABLE orders (id BIGINT CHECK (id > 0))")
    with pytest.raises(DestinationError, match="constraint or unique index"):
        land(lake, rows(APPEND, {"id": [1, -1]}))
    assert query(lake, ALL) == []


@any_target
def test_a_failed_unit_leaves_nothing(lake: Lake, destination: Destination) -> None:
    """Neither the rows of the batches that were fine, nor their tables and columns, nor the state."""
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    bad = deletes(APPEND, {"id": [1]})
    with pytest.raises(DestinationError):
        destination.commit(
            unit(rows(APPEND, {"id": [2], "new": [1]}), rows(replace(APPEND, name="b"), {"x": [1]}), bad)
        )
    assert query(lake, ALL) == [(1,)]
    assert tables(lake) == ["orders"]
    destination.commit(unit(rows(APPEND, {"id": [2]}), state={"n": 1}))
    assert query(lake, ALL) == [(1,), (2,)]


@any_target
def test_a_generation_that_is_published_again_is_refused(lake: Lake) -> None:
    """Whoever does not know that it was done must not find an empty table for it."""
    destination = opened(lake)
    destination.stage(partition("a"), [rows(REPLACE, {"id": [1]})], "run-1")
    snapshot = TableSnapshot([REPLACE], [unit(key=partition("a"), run_id="run-1")])
    destination.publish(snapshot)
    with pytest.raises(ConcurrentRunError):
        destination.publish(snapshot)
    destination.close()
    assert query(lake, "SELECT id FROM orders") == [(1,)]


def test_a_column_that_is_no_longer_delivered_is_null_after_an_upsert_and_stays(lake: Lake) -> None:
    destination = opened(lake)
    destination.commit(unit(rows(UPSERT, {"id": [1, 2], "name": ["a", "b"], "note": ["x", "y"]})))
    destination.commit(unit(rows(UPSERT, {"id": [1], "name": ["c"]})))
    destination.close()
    assert query(lake, "SELECT id, name, note FROM orders ORDER BY id") == [(1, "c", None), (2, "b", "y")]


def test_a_column_that_is_renamed_is_null_under_its_old_name_in_staged_rows_too(lake: Lake) -> None:
    destination = opened(lake)
    destination.commit(unit(rows(UPSERT, {"id": [1, 2], "name": ["a", "b"]})))
    destination.stage(KEY, [rows(UPSERT, {"id": [1], "name": ["c"]})], "run-1")
    destination.stage(KEY, [rows(UPSERT, {"id": [1], "title": ["d"]})], "run-1")
    destination.commit(unit())
    destination.close()
    assert query(lake, "SELECT id, name, title FROM orders ORDER BY id") == [(1, None, "d"), (2, "b", None)]


def test_columns_of_one_unit_that_differ_are_those_of_each_row(lake: Lake) -> None:
    destination = opened(lake)
    destination.commit(unit(rows(UPSERT, {"id": [1], "a": [1], "b": [1]})))
    destination.commit(unit(rows(UPSERT, {"id": [1], "a": [2]}), rows(UPSERT, {"id": [1], "b": [3]})))
    destination.close()
    assert query(lake, "SELECT id, a, b FROM orders") == [(1, None, 3)]
