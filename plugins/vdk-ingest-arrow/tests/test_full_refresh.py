"""A full refresh: rows and deletes are staged as the flow lands them, and replace the table together."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakes import Lake, any_target
from vdk.plugin.datasource_base.parts import CommitUnit, StateKey, TableBatch, TableSnapshot, TableSpec

PARTS = [StateKey("shop", "here", "orders", partition, "orders") for partition in ("a", "b")]


def batch(spec: TableSpec, kind: str, **columns: list[object]) -> TableBatch:
    return TableBatch(spec, kind, pa.table(columns))  # type: ignore[arg-type]  # the kind is a text here


@any_target
@pytest.mark.parametrize("soft", [False, True])
def test_the_last_operation_of_each_key_is_published(lake: Lake, soft: bool) -> None:
    """Of rows that were staged one after the other, in two partitions; a Parquet target appends. Later rows find it."""
    destination = lake.opened()
    upserts = "upsert" in destination.write_modes
    spec = TableSpec("orders", "upsert", ("id",), soft_deletes=soft) if upserts else TableSpec("orders", "append")
    destination.commit(CommitUnit(PARTS[0], [batch(spec, "rows", id=[1, 99], v=["old", "old"])], {"n": 1}, 0, "first"))
    assert destination.count_rows("orders") == 2
    if upserts:
        destination.stage(PARTS[0], [batch(spec, "deletes", id=[7])], "second")
    destination.stage(PARTS[0], [batch(spec, "rows", id=[1, 2], v=["a", "b"])], "second")
    if upserts:
        destination.stage(PARTS[0], [batch(spec, "rows", id=[2], v=["c"]), batch(spec, "deletes", id=[1])], "second")
    destination.stage(PARTS[1], [batch(spec, "rows", id=[3], v=["d"])], "second")
    snapshot = TableSnapshot(
        [TableSpec("orders", "replace")],
        [CommitUnit(PARTS[0], (), {"n": 2}, 1, "second"), CommitUnit(PARTS[1], (), {"n": 3}, 0, "second")],
    )
    destination.publish(snapshot)
    assert destination.count_rows("orders") == (2 if upserts else 3)
    assert {state.key.partition: state.state for state in destination.load_states("shop")} == {
        "a": {"n": 2},
        "b": {"n": 3},
    }
    destination.commit(CommitUnit(PARTS[1], [batch(spec, "rows", id=[3, 4], v=["e", "f"])], {"n": 4}, 1, "third"))
    assert destination.count_rows("orders") == (3 if upserts else 5)
    destination.close()
    if upserts:
        kept = " WHERE _vdk_deleted_at IS NULL" if soft else ""
        assert lake.query(f"SELECT id, v FROM orders{kept} ORDER BY id") == [(2, "c"), (3, "e"), (4, "f")]
