"""Deletes: a field of the record, an endpoint of deleted keys, and a list of all keys, down to the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request

from support import Api, read
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError

Make = Callable[..., Any]
ITEMS: dict[str, Any] = {"name": "items", "primary_key": "id", "cursor": {"field": "at", "type": "integer"}}


def test_a_soft_deleted_record_is_a_delete(source: Make, httpserver: HTTPServer) -> None:
    """In the order of the records: one that is deleted and created again in a page is there."""
    rows = [
        {"id": 1, "at": 1},
        {"id": 2, "at": 2, "deleted_at": "2026"},
        {"id": 2, "at": 3},
        {"id": 3, "at": 4, "deleted_at": ""},
    ]
    api = Api(httpserver, lambda _: rows)
    landed = read(source(api.url, {**ITEMS, "deleted": "deleted_at"}))
    assert [row["id"] for row in landed.rows] == [1, 2, 3]
    assert landed.deleted == [{"id": 2}]
    assert landed.order == ["rows", "deletes", "rows"]


class Shop(Api):
    """Items, those that were deleted, and a cheap list of the ids that are left."""

    def __init__(self, server: HTTPServer) -> None:
        self.items: dict[int, dict[str, Any]] = {
            number: {"id": number, "at": number, "name": f"n{number}"} for number in (1, 2, 3)
        }
        self.deleted: list[dict[str, Any]] = []
        super().__init__(server, self._find)

    def delete(self, number: int, at: int) -> None:
        del self.items[number]
        self.deleted.append({"id": number, "deleted": at, "why": "x"})

    def _find(self, asked: Request) -> Any:
        name, since = asked.path.rpartition("/")[2], int(asked.args.get("since", 0))
        if name == "deleted":
            return [row for row in self.deleted if row["deleted"] >= since]
        if name == "ids":
            return {"ids": list(self.items)}
        return [row for row in self.items.values() if row["at"] >= since]


GONE = {"name": "deleted", "kind": "deletes", "of": "items", "cursor": {"field": "deleted", "type": "integer"}}
IDS = {"name": "ids", "kind": "keys", "of": "items", "records": "ids[].{id: @}"}


@pytest.mark.parametrize("keys", [GONE, IDS], ids=["an endpoint of deletes", "a list of all ids"])
def test_deletes_reach_the_table(httpserver: HTTPServer, tmp_path: Path, keys: dict[str, Any]) -> None:
    """A second run deletes what is gone and keeps the rest; a row that is created again after its delete is there."""
    shop = Shop(httpserver)
    if "cursor" in keys:
        keys = {**keys, "cursor": {**keys["cursor"], "param": "since"}}
    config = {"base_url": shop.url, "streams": [{**ITEMS, "cursor": {**ITEMS["cursor"], "param": "since"}}, keys]}
    flow = {
        "sources": {"api": {"name": "rest", "config": config}},
        "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{tmp_path / 'lake.duckdb'}"}},
        "flows": [{"from": "api", "to": "lake"}],
    }
    run_flows(None, flow)
    shop.delete(2, at=10)
    shop.delete(3, at=11)
    shop.items[3] = {"id": 3, "at": 12, "name": "again"}
    run_flows(None, flow)
    with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as lake:
        live = lake.execute("SELECT id, name FROM items ORDER BY id").fetchall()
        tables = [name for (name,) in lake.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
    assert live == [(1, "n1"), (3, "again")]
    assert keys["name"] not in tables


def test_the_state_of_deletes_is_their_own(source: Make, httpserver: HTTPServer) -> None:
    """A delete may be older than the newest row, since the list of deletes was read before: the next run reads it."""
    shop = Shop(httpserver)
    made = source(shop.url, ITEMS, {**GONE, "cursor": {**GONE["cursor"], "param": "since"}})  # type: ignore[dict-item]  # as in a file
    assert [stream.name for stream in made.streams()] == ["items"]
    first = read(made)
    shop.delete(2, at=1)
    second = read(made, states=first.states)
    assert second.deleted == [{"id": 2}]
    assert read(made, states=second.states).deleted == []


def test_all_keys_are_read_as_often_as_configured(source: Make, httpserver: HTTPServer) -> None:
    """``every`` keeps an expensive list from being read in each run; an empty list deletes nothing."""
    shop = Shop(httpserver)
    made = source(shop.url, ITEMS, {**IDS, "every": "1d"})
    states = read(made).states
    shop.asked.clear()
    read(made, states=states)
    assert shop.urls() == ["items"]
    shop.items.clear()
    with pytest.raises(DataSourceError, match=r"'ids': the list of all keys is empty, and every row of 'items'"):
        read(made)


@pytest.mark.parametrize(
    ("streams", "problem"),
    [
        ([{"name": "items", "deleted": "gone"}], 'deletes need a primary_key, as in primary_key = "id"'),
        ([{**ITEMS, "deleted": "gone["}], r"streams\.items\.deleted: 'gone\[' is not a JMESPath"),
        ([ITEMS, {**GONE, "of": "item"}], "'item' is not a stream of rows; did you mean 'items'"),
        ([ITEMS, {**IDS, "of": None}], "kind and of belong together"),
        ([ITEMS, {**GONE, "every": "1d"}], 'it is for kind = "keys"'),
        ([{**ITEMS, "cursor": None}, GONE], "'items' is read whole in each run, which deletes what is gone"),
        ([{**ITEMS, "path": "{x}", "slices": [{"x": 1}]}, IDS], "are one partition each"),
    ],
)
def test_deletes_that_do_not_fit(source: Make, streams: Any, problem: str) -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match=problem):
        source("http://127.0.0.1:9", *streams)
