"""SQL is built from names that are found in data. They are quoted wherever they stand, and values are bound."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pytest

from lakes import Lake
from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    StreamPartition,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.parts import Registry
from vdk.plugin.datasource_base.runtime import Environment, execute

pytestmark = pytest.mark.heavy

# PostgreSQL cuts names off behind 63 bytes, and these become parts of longer ones, which have them twice.
NAMES = [' a""b"; drop table b; -- ', "a'?%s:a {x} \\ /*ä\n\t`[b]`"]


class HostileConfig(DataSourceConfig):
    name: str
    upto: int


class Part(StreamPartition):
    """Rows, one that is rejected, a delete, and a state; nothing is called what it should be."""

    def __init__(self, config: HostileConfig, id: str) -> None:
        self.id = id
        self.config = config

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        name, start = self.config.name, int(state.get(self.config.name, 0))
        for number in range(start, self.config.upto):
            key = f"{self.id}{number}"
            rows = [{name: key, "v'v": number, f"{name}2": name}, {name: key, "v'v": "no number"}]
            yield DataSourcePayload(rows)
            yield DataSourcePayload({name: key, "v'v": number}, destination_table=f"to {name}")
            yield DataSourcePayload([{name: f"{self.id}0"}], kind="deletes", state={name: number + 1, "said": name})


class Hostile(DataSourceStream):
    incremental = True

    def __init__(self, config: HostileConfig) -> None:
        self.name = config.name
        self.config = config

    def schema(self, table: str | None = None) -> StreamSchema:
        return StreamSchema(pa.schema([(self.config.name, pa.string()), ("v'v", pa.int64())]), (self.config.name,))

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterator[StreamPartition]:
        yield from (Part(self.config, id) for id in ("", self.config.name))


class Whole(DataSourceStream):
    def __init__(self, name: str, column: str) -> None:
        self.name = name
        self.column = column

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload([{self.column: 1}, {self.column: 2}])


@data_source(name="hostile", config=HostileConfig)
class HostileSource(DataSource[HostileConfig]):
    def identity(self) -> str:
        return self.config.name

    def streams(self) -> list[DataSourceStream]:
        name = self.config.name
        return [Hostile(self.config), Whole(f"whole {name}", name), Whole("b", "id")]


def run(lake: Lake, name: str, upto: int) -> None:
    registry = Registry()
    registry.add("hostile", f"{__name__}:HostileSource")
    braced = name.replace("{", "{{").replace("}", "}}")
    entry = {"on_bad_record": "reject", "max_rejected": "100%", "batch_rows": 3, "metadata_columns": ["source"]}
    execute(
        {
            "sources": {name: {"name": "hostile", "config": {"name": name, "upto": upto}}},
            "destinations": {name: {"method": "arrow", "target": lake.target()}},
            "flows": [
                {"from": name, "to": name, "streams": [name], "write_mode": "upsert", **entry},
                {"from": name, "to": name, "streams": [name], "write_mode": "append", **entry}
                | {"destination_table": f"+{{table}}{braced}"},
                {"from": name, "to": name, "streams": ["whole *", "b"], **entry},
            ],
        },
        Environment(registry=registry),
    )


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("name", NAMES)
def test_a_table_column_stream_partition_source_and_state_of_any_name_land_like_others(lake: Lake, name: str) -> None:
    """Over two runs, in every write mode, with rejected and deleted rows; what they would like to drop stays."""
    for upto in (3, 5):
        run(lake, name, upto)
    keys = [f"{part}{number}" for part in ("", name) for number in range(1, 5)]
    column, table = quoted(name), quoted(name)
    assert sorted(key for (key,) in lake.query(f"SELECT {column} FROM {table}")) == sorted(keys)
    assert {one for (one,) in lake.query(f"SELECT {quoted(name + '2')} FROM {table}")} == {name}
    assert {one for (one,) in lake.query(f"SELECT _vdk_source FROM {table}")} == {name}
    assert lake.query(f"SELECT count(*) FROM {quoted(name + '__rejected')}") == [(10,)]
    assert lake.query(f"SELECT count(*) FROM {quoted('to ' + name)}") == [(10,)]
    assert sorted(lake.query(f"SELECT {column} FROM {quoted('whole ' + name)}")) == [(1,), (2,)]
    assert sorted(lake.query("SELECT id FROM b")) == [(1,), (2,)]
    # two partitions of five rows, and one delete with each
    assert lake.query(f"SELECT count(*) FROM {quoted('+' + name + name)}") == [(20,)]
    states = lake.query(
        "SELECT source_id, source_identity, stream, state FROM _vdk_datasource_state WHERE stream <> ''"
    )
    assert {state[:3] for state in states} == {(name, name, name)}
    assert all(json.loads(state[3]) == {name: 5, "said": name} for state in states)
