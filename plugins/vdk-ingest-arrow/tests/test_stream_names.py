"""Names of tables and columns, compared as the target compares them; one stream's trouble stays its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pytest

from lakes import Lake, PostgresqlLake, any_target
from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.contract import FlowFailedError
from vdk.plugin.datasource_base.parts import Registry
from vdk.plugin.datasource_base.runtime import Environment, execute
from vdk.plugin.datasource_base.runtime.inspect.check import check_flow

pytestmark = pytest.mark.libraries


class NamedConfig(DataSourceConfig):
    streams: dict[str, list[str]]
    """Stream → its columns."""
    declared: bool = True


class Named(DataSourceStream):
    def __init__(self, name: str, columns: list[str], declared: bool) -> None:
        self.name, self.columns, self.declared = name, columns, declared

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return StreamSchema(pa.schema([(name, pa.int64()) for name in self.columns])) if self.declared else None

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload([dict.fromkeys(self.columns, 1)])


@data_source(name="named", config=NamedConfig)
class NamedSource(DataSource[NamedConfig]):
    def streams(self) -> list[DataSourceStream]:
        return [Named(name, columns, self.config.declared) for name, columns in self.config.streams.items()]


def flow(lake: Lake, streams: Mapping[str, list[str]], *, declared: bool = True, **entry: Any) -> dict[str, Any]:
    return {
        "sources": {"shop": {"name": "named", "config": {"streams": dict(streams), "declared": declared}}},
        "destinations": {"lake": {"method": "arrow", "target": lake.target()}},
        "flows": [{"from": "shop", "to": "lake", **entry}],
    }


def environment() -> Environment:
    registry = Registry()
    registry.add("named", f"{__name__}:NamedSource")
    return Environment(registry=registry)


def landed(lake: Lake) -> set[str]:
    return {name for name in lake.all_tables() if not name.startswith("_vdk_")}


@any_target
def test_letters_that_no_target_folds_are_two_tables(lake: Lake) -> None:
    execute(flow(lake, {"É": ["id"], "é": ["id"]}), environment())
    assert landed(lake) == {"É", "é"}


@any_target
def test_of_tables_that_are_one_to_the_target_the_second_is_refused_alone(lake: Lake) -> None:
    streams = {"Orders": ["id"], "orders": ["id"], "lines": ["id"]}
    if lake.kind in ("postgresql", "parquet"):
        execute(flow(lake, streams), environment())
        assert landed(lake) == {"Orders", "orders", "lines"}
        return
    refused = "another stream in 'Orders'"
    with pytest.raises(FlowFailedError, match=rf"^1 of 3 streams failed: shop\.orders: .*'orders'.*{refused}"):
        execute(flow(lake, streams), environment())
    assert landed(lake) == {"Orders", "lines"}
    assert any(refused in result.message for result in check_flow(flow(lake, streams), environment()))


@any_target
@pytest.mark.parametrize("declared", [False, True])
def test_columns_that_are_one_to_the_target_fail_their_stream_alone(lake: Lake, declared: bool) -> None:
    whole = flow(lake, {"a": ["id", "ID"], "b": ["É", "é"]}, declared=declared)
    if lake.kind == "postgresql":
        execute(whole, environment())
        assert landed(lake) == {"a", "b"}
        return
    with pytest.raises(FlowFailedError, match=r"^1 of 2 streams failed: shop\.a: .*'id' and 'ID'"):
        execute(whole, environment())
    assert landed(lake) == {"b"}


@any_target
def test_a_stream_with_a_name_of_the_frameworks_is_refused_alone(lake: Lake) -> None:
    with pytest.raises(FlowFailedError, match=r"^1 of 2 streams failed: shop\._vdk_datasource_state: .*framework"):
        execute(flow(lake, {"_vdk_datasource_state": ["id"], "orders": ["id"]}), environment())
    assert landed(lake) == {"orders"}


@pytest.mark.parametrize("column", ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"])
@pytest.mark.parametrize("declared", [False, True])
def test_a_system_column_of_postgresql_is_refused_at_once(
    postgresql: PostgresqlLake, column: str, declared: bool
) -> None:
    whole = flow(postgresql, {"a": ["id", column], "b": ["id"]}, declared=declared)
    with pytest.raises(FlowFailedError, match=rf"^1 of 2 streams failed: shop\.a: .*'{column}'.*system column"):
        execute(whole, environment())
    assert landed(postgresql) == {"b"}
    assert not declared or f"{column!r} is not possible" in str(check_flow(whole, environment()))


@any_target
def test_names_of_row_ids_are_columns_like_others(lake: Lake) -> None:
    names = ["rowid", "_rowid_", "oid"]
    for _ in range(2):
        execute(flow(lake, {"a": names}, write_mode="append"), environment())
    assert lake.query("SELECT rowid, _rowid_, oid FROM a") == [(1, 1, 1)] * 2


@any_target
def test_a_long_name_lands_where_rejections_would_have_a_name_that_is_too_long(lake: Lake) -> None:
    name = "x" * 60
    execute(flow(lake, {name: ["id"]}, on_bad_record="reject"), environment())
    assert landed(lake) == {name}


@any_target
def test_a_stream_named_as_rejections_are_has_none_of_its_own_made_up(lake: Lake) -> None:
    for _ in range(2):
        execute(flow(lake, {"x": ["id"], "y__rejected": ["id"]}, on_bad_record="reject"), environment())
    assert landed(lake) == {"x", "y__rejected"}
