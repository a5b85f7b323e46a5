"""Slices of all keys: what else the table holds goes, in the transaction that stores the state."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakes import Lake
from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import CommitUnit, Destination, StateKey, TableBatch, TableSpec

KEY = StateKey("s", "here", "items", "", "items")


def spec(*, soft: bool = False) -> TableSpec:
    return TableSpec("items", "upsert", ("id", "part"), soft_deletes=soft)


def rows(*ids: int) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64()), "part": ["a"] * len(ids), "n": [0.5] * len(ids)})


def keys(*ids: int) -> pa.Table:
    return rows(*ids).select(["id", "part"])


@pytest.fixture
def landing(destination: Destination) -> Destination:
    """A destination that four rows have landed in."""
    destination.commit(CommitUnit(KEY, [TableBatch(spec(), "rows", rows(1, 2, 3, 4))], {"n": 1}, 0, "run"))
    return destination


def landed(lake: Lake, what: str = "id") -> list[tuple[object, ...]]:
    return lake.query(f"SELECT {what} FROM items ORDER BY id")


def test_rows_without_a_key_go(lake: Lake, landing: Destination) -> None:
    """Keys that were staged in pieces are one list, and rows behind them land in the same commit."""
    landing.stage(KEY, [TableBatch(spec(), "keys", keys(1))], "run")
    landing.stage(KEY, [TableBatch(spec(), "keys", keys(4, 7))], "run")
    assert landing.commit(CommitUnit(KEY, [TableBatch(spec(), "rows", rows(9))], {"n": 2}, 1, "run")) == 2
    assert landing.rows_swept == 2
    landing.close()
    assert landed(lake) == [(1,), (4,), (9,)]


def test_soft_deletes_mark_them_once(lake: Lake, landing: Destination) -> None:
    """With soft deletes the rows stay, and a second sweep leaves those alone that are marked."""
    for version, swept in ((1, 3), (2, 0)):
        landing.stage(KEY, [TableBatch(spec(soft=True), "keys", keys(1))], "run")
        landing.commit(CommitUnit(KEY, [], {"n": version + 1}, version, "run"))
        assert landing.rows_swept == swept
    landing.close()
    assert landed(lake, "id, _vdk_deleted_at IS NULL") == [(1, True), (2, False), (3, False), (4, False)]


def test_a_table_of_two_streams_is_not_swept(lake: Lake, landing: Destination) -> None:
    """Rows of another stream in the same table cannot be told from deleted ones: refused, and nothing is deleted."""
    other = StateKey("t", "there", "items", "", "items")
    landing.commit(CommitUnit(other, [TableBatch(spec(), "rows", rows(8))], {"n": 1}, 0, "run"))
    landing.stage(KEY, [TableBatch(spec(), "keys", keys(1))], "run")
    with pytest.raises(DestinationError, match="its own destination_table"):
        landing.commit(CommitUnit(KEY, [], {"n": 2}, 1, "run"))
    landing.close()
    assert landed(lake) == [(1,), (2,), (3,), (4,), (8,)]


def test_a_table_that_is_not_there_has_nothing_to_delete(destination: Destination) -> None:
    """Keys for a table that nobody made are no error."""
    destination.stage(KEY, [TableBatch(spec(), "keys", keys(1))], "run")
    assert destination.commit(CommitUnit(KEY, [], {"n": 1}, 0, "run")) == 1
    assert destination.rows_swept == 0
