"""Rows set aside: invisible, kept in order, and found again after a killed run."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from lakes import DuckDBLake, Lake, ParquetLake, any_target
from landing import APPEND, KEY, REPLACE, UPSERT, columns, deletes, opened, partition, query, rows, states, tables, unit
from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError
from vdk.plugin.datasource_base.parts import Destination, StateKey, TableSnapshot

ALL = "SELECT * FROM orders ORDER BY id"


def staged(lake: Lake) -> int:
    """How many tables are set aside; the registry names every one of them. Of a folder: how many files."""
    if isinstance(lake, ParquetLake):
        return len([path for path in (lake.path / "_vdk" / "staged").rglob("*") if path.is_file()])
    found = [name for name in tables(lake) if name.startswith("_vdk_staged_")]
    registered = query(lake, "SELECT staged_table FROM _vdk_datasource_staging ORDER BY 1")
    assert [(name,) for name in found] == registered
    return len(found)


@any_target
def test_what_is_staged_can_be_asked_for(destination: Destination) -> None:
    """Until it lands: a publication whose answer was lost is told by this from one that was not done."""
    assert not destination.has_staged(KEY, "run-1")
    destination.stage(KEY, [rows(REPLACE, {"id": [1]})], "run-1")
    assert destination.has_staged(KEY, "run-1")
    assert not destination.has_staged(KEY, "run-2")
    destination.publish(TableSnapshot([REPLACE], [unit()]))
    assert not destination.has_staged(KEY, "run-1")


@any_target
def test_staged_rows_are_invisible_until_their_commit(lake: Lake, destination: Destination) -> None:
    destination.stage(KEY, [rows(APPEND, {"id": [1]})], "run-1")
    destination.stage(KEY, [rows(APPEND, {"id": [2]})], "run-1")
    assert "orders" not in tables(lake)
    assert destination.commit(unit(rows(APPEND, {"id": [3]}), state={"n": 3})) == 1
    assert query(lake, ALL) == [(1,), (2,), (3,)]
    assert tables(lake) == ["orders"]
    assert staged(lake) == 0


def test_staged_slices_keep_their_order(lake: Lake, destination: Destination) -> None:
    destination.commit(unit(rows(UPSERT, {"id": [1, 9], "x": ["old", "old"]})))
    destination.stage(KEY, [rows(UPSERT, {"id": [1, 2], "x": ["a", "b"]}), deletes(UPSERT, {"id": [1, 9]})], "run-1")
    destination.stage(KEY, [deletes(UPSERT, {"id": [2]}), rows(UPSERT, {"id": [2, 3], "x": ["B", "C"]})], "run-1")
    assert staged(lake) == 3
    destination.commit(unit(deletes(UPSERT, {"id": [3]}), rows(UPSERT, {"id": [4], "x": ["D"]})))
    assert query(lake, ALL) == [(2, "B"), (4, "D")]


def test_of_a_key_staged_twice_the_last_row_lands(lake: Lake, destination: Destination) -> None:
    for text in "abc":
        destination.stage(KEY, [rows(UPSERT, {"id": [1, ord(text)], "x": [text, text]})], "run-1")
    destination.commit(unit())
    assert query(lake, ALL) == [(1, "c"), (97, "a"), (98, "b"), (99, "c")]


def test_staged_soft_deletes_mark_rows(lake: Lake, destination: Destination) -> None:
    soft = replace(UPSERT, soft_deletes=True)
    destination.commit(unit(rows(soft, {"id": [1, 2]})))
    destination.stage(KEY, [deletes(soft, {"id": [1]})], "run-1")
    destination.commit(unit())
    assert query(lake, "SELECT id, _vdk_deleted_at IS NULL FROM orders ORDER BY id") == [(1, False), (2, True)]


@any_target
def test_staged_rows_may_change_the_type_of_a_column(lake: Lake, destination: Destination) -> None:
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    destination.stage(KEY, [rows(APPEND, {"id": [2]})], "run-1")
    destination.stage(KEY, [rows(APPEND, {"id": ["x"], "new": [True]})], "run-1")
    destination.commit(unit())
    assert query(lake, ALL) == [("1", None), ("2", None), ("x", True)]


def test_a_frozen_column_is_named_with_its_own_table(lake: Lake, destination: Destination) -> None:
    frozen = replace(APPEND, evolve=False)
    destination.commit(unit(rows(frozen, {"id": [1]})))
    destination.stage(KEY, [rows(frozen, {"id": ["x"]})], "run-1")
    with pytest.raises(DestinationError, match=f"table 'orders', column 'id': the column is {lake.type('BIGINT')}"):
        destination.commit(unit())


@any_target
def test_partitions_are_staged_apart(lake: Lake, destination: Destination) -> None:
    for name in "ab":
        destination.stage(partition(name), [rows(APPEND, {"id": [ord(name)]})], "run-1")
    destination.commit(unit(state={"n": 1}, key=partition("a")))
    assert query(lake, ALL) == [(97,)]
    assert staged(lake) == 1
    destination.commit(unit(state={"n": 1}, key=partition("b")))
    assert query(lake, ALL) == [(97,), (98,)]


@any_target
def test_a_discarded_partition_leaves_nothing(lake: Lake, destination: Destination) -> None:
    for name in "ab":
        destination.stage(partition(name), [rows(APPEND, {"id": [1]})], "run-1")
    destination.discard(partition("a"))
    assert staged(lake) == 1
    destination.commit(unit(key=partition("a")))
    assert "orders" not in tables(lake)


@any_target
def test_all_partitions_of_a_stream_are_discarded_and_only_those(lake: Lake, destination: Destination) -> None:
    other = StateKey("other", "x", "orders", "a", "orders")
    for key in (partition("a"), partition("b"), partition("*b"), other):
        destination.stage(key, [rows(APPEND, {"id": [1]})], "run-1")
    destination.discard(partition("*"))
    assert staged(lake) == 1
    destination.commit(unit(key=other))
    assert query(lake, ALL) == [(1,)]


@any_target
def test_what_a_killed_run_left_is_found_by_another(lake: Lake) -> None:
    killed = opened(lake)
    killed.stage(KEY, [rows(APPEND, {"id": [1]})], "run-1")
    killed.close()
    destination = opened(lake)
    assert staged(lake) == 1
    destination.discard(KEY)
    assert staged(lake) == 0
    destination.commit(unit(rows(APPEND, {"id": [2]}), run_id="run-2"))
    destination.close()
    assert query(lake, ALL) == [(2,)]


@any_target
def test_rows_of_another_run_are_never_published(lake: Lake, destination: Destination) -> None:
    """Even where they were not discarded."""
    destination.stage(KEY, [rows(REPLACE, {"id": [1]})], "run-0")
    destination.stage(KEY, [rows(REPLACE, {"id": [2]})], "run-1")
    destination.discard(KEY)
    destination.stage(KEY, [rows(REPLACE, {"id": [3]})], "run-1")
    other = opened(lake)
    other.stage(KEY, [rows(REPLACE, {"id": [4]})], "run-0")
    other.close()
    destination.publish(TableSnapshot([REPLACE], [unit()]))
    assert query(lake, ALL) == [(3,)]


@any_target
@pytest.mark.parametrize("publish", [False, True], ids=["commit", "publish"])
def test_rows_that_another_run_discarded_are_missed(lake: Lake, destination: Destination, publish: bool) -> None:
    """Committing without them would move the state past rows that never landed."""
    spec = REPLACE if publish else APPEND
    destination.stage(KEY, [rows(spec, {"id": [1]})], "run-1")
    other = opened(lake)
    other.discard(KEY)
    other.close()

    def publish_or_commit() -> None:
        if publish:
            destination.publish(TableSnapshot([spec], [unit(state={"n": 1})]))
        else:
            destination.commit(unit(state={"n": 1}))

    with pytest.raises(ConcurrentRunError, match=r"had staged in .* were dropped by another run"):
        publish_or_commit()
    assert states(lake) == []
    destination.discard(KEY)
    destination.commit(unit(state={"n": 1}))


@any_target
def test_a_commit_that_fails_keeps_what_is_staged(lake: Lake, destination: Destination) -> None:
    destination.stage(KEY, [rows(APPEND, {"id": [1]})], "run-1")
    with pytest.raises(ConcurrentRunError):
        destination.commit(unit(state={"n": 1}, version=5))
    assert staged(lake) == 1
    destination.commit(unit(state={"n": 1}))
    assert query(lake, ALL) == [(1,)]


@any_target
def test_rows_for_a_table_that_is_not_published_are_not_forgotten(destination: Destination) -> None:
    destination.stage(KEY, [rows(replace(REPLACE, name="lines"), {"id": [1]})], "run-1")
    with pytest.raises(DestinationError, match=r"\['lines'\]"):
        destination.publish(TableSnapshot([REPLACE], [unit()]))


def test_a_generation_may_not_change_frozen_columns(lake: Lake, destination: Destination) -> None:
    frozen = replace(REPLACE, evolve=False)
    for values, fits in (([2**40], True), (pa.array([1], pa.int8()), True), (["x"], False)):
        destination.discard(KEY)
        destination.stage(KEY, [rows(frozen, {"id": values})], "run-1")
        if fits:
            destination.publish(TableSnapshot([frozen], [unit()]))
        else:
            types = f"the column is {lake.type('BIGINT')}, the rows bring {lake.type('VARCHAR')}"
            with pytest.raises(DestinationError, match=types):
                destination.publish(TableSnapshot([frozen], [unit()]))
    destination.close()
    assert query(lake, ALL) == [(1,)]
    assert columns(lake) == lake.spelled({"id": "BIGINT"})


@any_target
def test_an_empty_slice_stages_its_declared_columns(lake: Lake, destination: Destination) -> None:
    schema = pa.schema({"id": pa.int64()})
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    destination.stage(KEY, [rows(REPLACE, pa.table({}))], "run-1")
    destination.publish(TableSnapshot([REPLACE], [unit()]))
    assert query(lake, ALL) == []
    declared = replace(REPLACE, schema=schema, name="lines")
    destination.stage(KEY, [rows(declared, schema.empty_table())], "run-1")
    destination.publish(TableSnapshot([declared], [unit()]))
    assert columns(lake, "lines") == lake.spelled({"id": "BIGINT"})


@any_target
@pytest.mark.parametrize("evolve", [True, False])
def test_partitions_of_a_replaced_table_are_staged_and_repeated_one_by_one(
    lake: Lake, destination: Destination, evolve: bool
) -> None:
    """They may share a table: a partition that is read again leaves none of its rows there twice, and one that is
    not published leaves none at all."""
    spec = replace(REPLACE, evolve=evolve)
    destination.stage(KEY, [rows(spec, {"id": [0], "x": ["old"]})], "run-0")
    destination.publish(TableSnapshot([spec], [unit(run_id="run-0")]))
    a, b, c = map(partition, "abc")
    for key, number in ((a, 1), (b, 2), (a, 3), (c, 4), (b, 5)):
        destination.stage(key, [rows(spec, {"id": [number], "x": ["new"]})], "run-1")
    for key, number in ((a, 6), (c, 7), (b, 7), (b, 8)):
        destination.discard(key)
        destination.stage(key, [rows(spec, {"id": [number], "x": ["again"]})], "run-1")
    destination.stage(a, [rows(spec, {"id": [9], "x": [None]})], "run-1")
    if isinstance(lake, DuckDBLake):
        assert len([name for name in tables(lake) if name.startswith("_vdk_staged_")]) == 1
    destination.publish(TableSnapshot([spec], [unit(key=key) for key in (a, b)]))
    assert query(lake, ALL) == [(6, "again"), (8, "again"), (9, None)]
    assert set(columns(lake)) == {"id", "x"}
    destination.discard(partition("*"))
    assert staged(lake) == 0


def test_a_shared_table_of_empty_columns_takes_the_types_of_later_values(lake: Lake, destination: Destination) -> None:
    nothing = pa.table({"id": pa.nulls(2)})
    for name, data in (("a", nothing), ("b", nothing), ("b", {"id": [1]}), ("a", {"id": [2.5]})):
        destination.stage(partition(name), [rows(REPLACE, data)], "run-1")
    destination.publish(TableSnapshot([REPLACE], [unit(key=partition(name)) for name in "ab"]))
    assert query(lake, "SELECT id FROM orders WHERE id IS NOT NULL ORDER BY id") == [(1.0,), (2.5,)]


def test_what_a_killed_run_left_of_a_shared_table_is_dropped(lake: Lake) -> None:
    killed = opened(lake)
    for name in "ab":
        killed.stage(partition(name), [rows(REPLACE, {"id": [1]})], "run-1")
    killed.discard(partition("a"))
    killed.stage(partition("a"), [rows(REPLACE, {"id": [2]})], "run-1")
    killed.close()
    destination = opened(lake)
    destination.discard(partition("*"))
    assert staged(lake) == 0
    destination.stage(partition("b"), [rows(REPLACE, {"id": [3]})], "run-2")
    destination.publish(TableSnapshot([REPLACE], [unit(key=partition("b"), run_id="run-2")]))
    destination.close()
    assert query(lake, ALL) == [(3,)]


def test_a_column_with_the_name_that_staged_rows_need_is_refused(destination: Destination) -> None:
    with pytest.raises(DestinationError, match="_vdk_datasource_part"):
        destination.stage(KEY, [rows(REPLACE, {"_vdk_datasource_part": [1]})], "run-1")
