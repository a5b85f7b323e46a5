"""Lists in rows as tables of their own: with their row in one commit, and replaced with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from lakes import Lake, any_target
from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.contract import ConfigurationError, FlowFailedError
from vdk.plugin.datasource_base.runtime import Environment, Options, execute
from vdk.plugin.datasource_base.runtime.scope import RunScope

LINES = "SELECT orders__id, lines__position, sku FROM orders__lines ORDER BY 1, 2"
TAXES = "SELECT orders__id, lines__position, lines__taxes__position, rate FROM orders__lines__taxes ORDER BY 1, 2, 3"
TAGS = "SELECT orders__id, value FROM orders__tags ORDER BY 1, tags__position"


OPTIONS, NEW = Options(), RunScope()


class OrdersConfig(DataSourceConfig):
    key: str | None = "id"
    incremental: bool = True


class Orders(DataSourceStream):
    name = "orders"
    payloads: ClassVar[list[DataSourcePayload]] = []

    def __init__(self, config: OrdersConfig) -> None:
        self.incremental, self._key = config.incremental, config.key

    def schema(self, table: str | None = None) -> StreamSchema:
        return StreamSchema(
            pa.schema([("id", pa.int64())]), (self._key,) if self._key else (), open=True, child_depth=3
        )

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield from self.payloads


@data_source(name="orders", config=OrdersConfig)
class OrdersSource(DataSource[OrdersConfig]):
    def identity(self) -> str:
        return "orders"

    def streams(self) -> list[Orders]:
        return [Orders(self.config)]


def order(id: int, *lines: Any, **more: Any) -> dict[str, Any]:
    return {"id": id, "lines": list(lines), **more}


def rows(*data: Any, state: bool = True, **more: Any) -> DataSourcePayload:
    return DataSourcePayload(list(data), state={"n": data[-1]["id"]} if state else None, **more)


def run(
    lake: Lake,
    *payloads: DataSourcePayload,
    config: Any = None,
    options: Options = OPTIONS,
    scope: RunScope = NEW,
    **flow: Any,
) -> Any:
    Orders.payloads = list(payloads)
    environment = Environment(options=options, scope=scope)
    environment.registry.add("orders", f"{__name__}:OrdersSource")
    found = execute(
        {
            "sources": {"shop": {"name": "orders", "config": config or {}}},
            "destinations": {"lake": {"method": "arrow", "target": lake.target()}},
            "flows": [{"from": "shop", "to": "lake", **flow}],
        },
        environment,
    )
    (stream,) = found.streams
    return stream


A, B = {"sku": "a", "taxes": [{"rate": 7}, {"rate": 20}]}, {"sku": "b"}
FIRST = [order(1, A, B, tags=["x", "y"]), order(2, B, tags=["z"]), order(3)]


@any_target
def test_each_item_is_a_row(lake: Lake) -> None:
    """By the key of its row and its position; an append adds the items of each version, as it adds the row."""
    done = run(lake, rows(*FIRST), write_mode="append")
    assert (done.rows_read, done.rows_landed, done.counters["rows_nested"]) == (3, 3, 8)
    assert lake.query("SELECT * FROM orders ORDER BY id") == [(1,), (2,), (3,)]
    assert lake.query(LINES) == [(1, 0, "a"), (1, 1, "b"), (2, 0, "b")]
    assert lake.query(TAXES) == [(1, 0, 0, 7), (1, 0, 1, 20)]
    assert lake.query(TAGS) == [(1, "x"), (1, "y"), (2, "z")]
    run(lake, rows(order(1, B)), write_mode="append")
    assert sorted(lake.query(LINES)) == [(1, 0, "a"), (1, 0, "b"), (1, 1, "b"), (2, 0, "b")]


@pytest.mark.parametrize("batch_rows", [pytest.param(1, marks=pytest.mark.heavy), 1000])
def test_an_upsert_replaces_the_items_of_a_row(lake: Lake, batch_rows: int) -> None:
    """Also those of lists that it does not have any more, of two versions in one commit, and however it is cut."""
    options = replace(OPTIONS, batch_rows=batch_rows)
    run(lake, rows(*FIRST), options=options)
    again = [order(1, {"sku": "c", "taxes": []}), order(3, A), order(4, B, tags=["q"]), order(3, B)]
    run(lake, *(rows(each, state=False) for each in again[:-1]), rows(again[-1]), options=options)
    assert lake.query(LINES) == [(1, 0, "c"), (2, 0, "b"), (3, 0, "b"), (4, 0, "b")]
    assert lake.query(TAXES) == []
    assert lake.query(TAGS) == [(2, "z"), (4, "q")]
    run(lake, rows({"id": 2}, {"id": 4}, kind="deletes"), options=options)
    assert (lake.query(LINES), lake.query(TAGS)) == ([(1, 0, "c"), (3, 0, "b")], [])
    run(lake, rows({"id": 3}, kind="keys"), options=options)
    assert lake.query(LINES) == [(3, 0, "b")]
    assert lake.query("SELECT id FROM orders") == [(3,)]


@pytest.mark.parametrize("lake", ["duckdb", "sqlite"], indirect=True)
def test_a_full_refresh_begins_again(lake: Lake) -> None:
    """Items of rows, and tables of lists, that are gone at the source go as well; the last version of a row counts."""
    run(lake, rows(*FIRST))
    scope = RunScope(full_refresh=True, confirmed=True)
    run(lake, rows(order(1, A, A), state=False), rows(order(2, B)), rows(order(1, B)), scope=scope)
    assert lake.query(LINES) == [(1, 0, "b"), (2, 0, "b")]
    assert (lake.query(TAXES), lake.query(TAGS)) == ([], [])


def test_soft_deletes_mark_items(lake: Lake) -> None:
    """An item that its row has no longer is marked, and one that comes again is not."""
    run(lake, rows(order(1, A, B)), deletes="soft")
    run(lake, rows(order(1, B)), deletes="soft")
    live = LINES.replace("ORDER", "WHERE _vdk_deleted_at IS NULL ORDER")
    assert (lake.query(live), len(lake.query(LINES))) == ([(1, 0, "b")], 2)
    run(lake, rows(order(1, B, A)), deletes="soft")
    assert (lake.query(live), len(lake.query(LINES))) == ([(1, 0, "b"), (1, 1, "a")], 2)
    run(lake, rows({"id": 1}, kind="deletes"), deletes="soft")
    assert (lake.query(live), len(lake.query(LINES))) == ([], 2)


@any_target
def test_a_snapshot_replaces_all_tables(lake: Lake) -> None:
    """The table of a list that no row has any more is empty."""
    whole: dict[str, Any] = {"config": {"incremental": False}, "write_mode": "replace"}
    run(lake, rows(*FIRST, state=False), **whole)
    run(lake, rows(order(2, B), state=False), **whole)
    assert lake.query(LINES) == [(2, 0, "b")]
    assert lake.query(TAGS) == []


def test_items_have_what_the_framework_adds(lake: Lake) -> None:
    """The run that landed them, and the key as the column policy leaves it; a policy is for items too."""
    items = [order(1, {"sku": "a", "mail": "x@y"}, note={"by": "ann"})]
    columns = {"mail": "mask", "note": "drop"}
    done = run(lake, rows(*items), metadata_columns=["run_id"], columns=columns, write_mode="append")
    assert done.status == "succeeded"
    assert list(lake.columns("orders")) == ["id", "_vdk_run_id"]
    (found,) = lake.query("SELECT sku, mail, _vdk_run_id FROM orders__lines")
    assert found[:2] == ("a", "***")
    assert found[2] == lake.query("SELECT _vdk_run_id FROM orders")[0][0]


@pytest.mark.parametrize("lake", ["duckdb"], indirect=True)
@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (
            {"id": 1, "rejected": [1]},
            "would land in 'orders__rejected', which is the table of rejected rows",
        ),
        ({"id": 1, "lines": [{"orders__id": 2}]}, "a field 'orders__id', which is the name of a column of its key"),
        ({"id": 1, "a": [{"b": [1]}], "a__b": [2]}, "would land in 'orders__a__b', which is the table of other lists"),
    ],
)
def test_names_that_collide_are_refused(lake: Lake, item: Any, problem: str) -> None:
    """Before anything of the row lands."""
    with pytest.raises(FlowFailedError, match=problem):
        run(lake, rows(item))
    assert "orders" not in lake.all_tables()


@pytest.mark.parametrize("lake", ["duckdb"], indirect=True)
def test_what_cannot_have_child_tables_is_refused(lake: Lake) -> None:
    with pytest.raises((ConfigurationError, FlowFailedError), match=r'has none; name it .* primary_key = "id"'):
        run(lake, rows(*FIRST), config={"key": None}, write_mode="append")


@pytest.mark.parametrize("lake", ["duckdb"], indirect=True)
def test_an_item_that_does_not_fit_is_rejected(lake: Lake) -> None:
    """Alone: its row, and its other items, land."""
    bad = {"sku": "\ud800"}
    done = run(lake, rows(order(1, A, bad, B)), on_bad_record="reject", max_rejected=1, write_mode="append")
    assert (done.rows_landed, done.rows_rejected) == (1, 1)
    assert lake.query(LINES) == [(1, 0, "a"), (1, 2, "b")]
    assert len(lake.query("SELECT * FROM orders__lines__rejected")) == 1
