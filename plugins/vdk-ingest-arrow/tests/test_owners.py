"""The streams that have rows in a table are stored with the rows, in every target."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from lakes import Lake, any_target
from landing import APPEND, KEY, REPLACE, opened, rows, unit
from vdk.plugin.datasource_base.parts import Destination, StateKey, TableOwner, TableSnapshot

WEST = StateKey("west", "the west", "o'rders", "", "orders")


def owners(destination: Destination) -> set[tuple[str, str]]:
    """(table, source) of every owner."""
    return {(owner.table, owner.key.source_id) for owner in destination.load_owners() or ()}


@any_target
def test_commits_add_owners_and_a_replaced_table_has_one(lake: Lake) -> None:
    """Also a table that somebody has dropped. Another process reads the same; a job's rows are no stream's."""
    with closing(opened(lake)) as destination:
        assert destination.load_owners() == []
        destination.commit(unit(rows(APPEND, {"id": [1]})))
        destination.commit(unit(rows(APPEND, {"id": [2]}), key=WEST))
        destination.commit(unit(rows(replace(APPEND, name="jobs"), {"id": [2]}), key=StateKey("", "", "", "", "jobs")))
        destination.stage(WEST, [rows(replace(APPEND, name="lines"), {"id": [3]})], "run-1")
        assert owners(destination) == {("orders", KEY.source_id), ("orders", "west")}
        destination.commit(unit(key=WEST, state={"n": 1}))
    with closing(opened(lake)) as destination:
        loaded = destination.load_owners() or ()
        assert {TableOwner("lines", WEST), TableOwner("orders", replace(KEY, partition=""))} <= set(loaded)
        destination.remove_owner(WEST)
        assert owners(destination) == {("orders", KEY.source_id)}
        destination.stage(WEST, [rows(REPLACE, {"id": [4]})], "run-1")
        destination.publish(TableSnapshot([REPLACE], [unit(key=WEST, version=1)]))
        assert owners(destination) == {("orders", "west")}
        destination.publish(TableSnapshot([replace(REPLACE, name="lines")], key=KEY))
        assert owners(destination) == {("orders", "west"), ("lines", KEY.source_id)}
