"""The destination in memory keeps Arrow tables, and shows rows of Python values."""

from __future__ import annotations

import copy
from typing import Any

import pyarrow as pa
import pytest

from vdk.plugin.datasource_base.parts import DELETED_AT, CommitUnit, StateKey, TableBatch, TableSpec, WriteMode
from vdk.plugin.datasource_base.parts.destination import BatchKind
from vdk.plugin.datasource_base.testing import MemoryDestination

KEY = StateKey("src", "the data", "t", "", "t")


@pytest.fixture
def memory() -> Any:
    MemoryDestination.clear("of this test")
    yield MemoryDestination("of this test")
    MemoryDestination.clear("of this test")


def unit(
    *rows: dict[str, Any],
    mode: WriteMode = "upsert",
    kind: BatchKind = "rows",
    key: tuple[str, ...] = ("k",),
    soft: bool = False,
) -> CommitUnit:
    spec = TableSpec("t", mode, key if mode == "upsert" else (), soft_deletes=soft)
    return CommitUnit(KEY, [TableBatch(spec, kind, pa.Table.from_pylist(list(rows)))], None, 0, "run")


@pytest.mark.parametrize("key", [("k",), ("k", "j")])
@pytest.mark.parametrize("looks", [False, True], ids=["unseen", "seen"])
def test_each_operation_finds_the_rows_of_a_key(memory: MemoryDestination, key: tuple[str, ...], looks: bool) -> None:
    """Whether they are Arrow still, or rows that somebody has looked at; also with another type of the key."""

    def commit(*rows: dict[str, Any], **others: Any) -> None:
        memory.commit(unit(*rows, key=key, **others))
        if looks:
            assert memory.rows["t"] is not None

    for start in range(0, 300, 3):
        commit(*({"k": number, "j": 0, "v": "a"} for number in range(start, start + 3)))
    commit({"k": 7, "j": 0, "v": "b"}, {"k": 300, "j": 0, "v": "a"})
    commit({"k": 8.0, "j": 0, "v": "c"})
    commit({"k": 9, "j": 0}, kind="deletes")
    rows = {row["k"]: row["v"] for row in memory.rows["t"]}
    assert len(memory.rows["t"]) == 300
    assert (rows[7], rows[8], 9 in rows) == ("b", "c", False)
    commit({"k": 10, "j": 0}, kind="deletes", soft=True)
    assert [row["k"] for row in memory.rows["t"] if row.get(DELETED_AT)] == [10]
    commit(*({"k": number, "j": 0} for number in (1, 2)), kind="keys")
    assert sorted(row["k"] for row in memory.rows["t"]) == [1, 2, 10], "one that was deleted softly is gone already"
    assert memory.rows_swept == 297


def test_rows_that_were_looked_at_stay_as_they_were(memory: MemoryDestination) -> None:
    """A later commit makes another list, and what is changed in the newest one counts."""
    memory.commit(unit({"k": 1}, mode="append"))
    before = memory.rows["t"]
    memory.commit(unit({"k": 2}, mode="append"))
    assert before == [{"k": 1}]
    memory.rows["t"].append({"k": 3})
    memory.commit(unit({"k": 3, "v": 1}, {"k": 4, "v": 1}))
    assert MemoryDestination.tables("of this test") == {"t": [{"k": 1}, {"k": 2}, {"k": 3, "v": 1}, {"k": 4, "v": 1}]}
    assert dict(memory.rows) == {"t": memory.rows["t"]}
    memory.commit(unit({"k": 5, "v": 1}))
    memory.rows["u"] = memory.rows.pop("t")
    assert [row["k"] for row in memory.rows["u"]] == [1, 2, 3, 4, 5]
    memory.rows["t"] = memory.rows.pop("u")[:4]
    copied = copy.deepcopy(memory.rows)
    memory.rows.clear()
    assert memory.rows == {}
    memory.rows.update(copied)
    assert len(memory.rows["t"]) == 4
    memory.rows.clear()
    assert not memory.has_table("t")
