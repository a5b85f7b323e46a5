"""Rows, deletes and sweeps of a stream, in any order and any batches: the table is what a dict would be."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakes import DuckDBLake, Lake, PostgresqlLake, SqliteLake
from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.runtime import Environment, Options, execute

pytestmark = pytest.mark.heavy

if TYPE_CHECKING:
    from vdk.plugin.datasource_base.testing.postgresql import Server

KEYS = st.integers(0, 5)
TABLES = st.sampled_from(["ops", "other"])
PUT = st.tuples(st.just("put"), TABLES, st.lists(st.tuples(KEYS, st.integers(0, 99)), min_size=1, max_size=3))
DELETE = st.tuples(st.just("delete"), TABLES, st.lists(KEYS, min_size=1, max_size=3))
SWEEP = st.tuples(st.just("sweep"), TABLES, st.lists(KEYS, max_size=4, unique=True))
Operation = tuple[str, str, list[Any]]
STATE: st.SearchStrategy[Operation] = st.tuples(st.just("state"), st.just("ops"), st.just([]))
OPERATIONS = st.lists(st.one_of(PUT, PUT, PUT, DELETE, DELETE, SWEEP, STATE), max_size=25)


class OpsConfig(DataSourceConfig):
    """Nothing to say."""


class Ops(DataSourceStream):
    """Yields what the test put into ``payloads``."""

    name = "ops"
    payloads: ClassVar[list[DataSourcePayload]] = []

    def schema(self, table: str | None = None) -> StreamSchema:
        return StreamSchema(pa.schema([("id", pa.int64()), ("v", pa.int64())]), ("id",), "v")

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield from self.payloads


@data_source(name="ops", config=OpsConfig)
class OpsSource(DataSource[OpsConfig]):
    def streams(self) -> Sequence[DataSourceStream]:
        return [Ops()]


def payloads(operations: Sequence[Operation], batches: bool) -> Iterator[DataSourcePayload]:
    for number, (kind, table, data) in enumerate(operations):
        state = {"n": number}
        if kind == "put":
            rows = [{"id": key, "v": value} for key, value in data]
            yield DataSourcePayload(pa.Table.from_pylist(rows) if batches else rows, destination_table=table)
        elif kind == "delete":
            yield DataSourcePayload([{"id": key} for key in data], kind="deletes", destination_table=table)
        elif kind == "sweep":
            keys = pa.table({"id": pa.array(data, pa.int64())})
            yield DataSourcePayload(keys, kind="keys", state=state, destination_table=table)
        else:
            yield DataSourcePayload(None, state=state)
    yield DataSourcePayload(None, state={"n": "end"})


def replayed(operations: Sequence[Operation], soft: bool) -> dict[str, dict[int, tuple[int, bool]]]:
    """Table → key → value, and whether it is marked as deleted."""
    tables: dict[str, dict[int, tuple[int, bool]]] = {"ops": {}, "other": {}}
    for kind, name, data in operations:
        table = tables[name]
        if kind == "put":
            table.update({key: (value, False) for key, value in data})
        gone = {"delete": data, "sweep": [key for key in table if key not in data]}.get(kind, [])
        for key in gone:
            if key in table and soft:
                table[key] = (table[key][0], True)
            else:
                table.pop(key, None)
    return tables


def landed(lake: Lake, table: str) -> dict[int, tuple[int, bool]]:
    if table not in lake.all_tables():
        return {}
    columns = lake.columns(table)
    marked = '"_vdk_deleted_at" IS NOT NULL' if "_vdk_deleted_at" in columns else "1 = 0"
    value = "v" if "v" in columns else "NULL"  # only keys have come so far
    rows = lake.query(f'SELECT id, {value}, {marked} FROM "{table}"')
    assert len({row[0] for row in rows}) == len(rows), "a key is there twice"
    return {key: (value, bool(mark)) for key, value, mark in rows}


def run(lake: Lake, made: Sequence[DataSourcePayload], *, soft: bool, batch_rows: int) -> None:
    Ops.payloads = list(made)
    environment = Environment(options=Options(batch_rows=batch_rows))
    environment.registry.add("ops", f"{__name__}:OpsSource")
    flow = {
        "sources": {"s": {"name": "ops"}},
        "destinations": {"lake": {"method": "arrow", "target": lake.target()}},
        "flows": [
            {"from": "s", "to": "lake", "destination_table": "{table}", "deletes": "soft" if soft else "hard"},
        ],
    }
    execute(flow, environment)


Make = Callable[[], Any]


@pytest.fixture(params=["duckdb", "sqlite", "postgresql"])
def new_lake(request: pytest.FixtureRequest) -> Make:
    """Makes an empty lake of a kind, for each example."""

    @contextmanager
    def make() -> Iterator[Lake]:
        with tempfile.TemporaryDirectory() as folder:
            if request.param == "duckdb":
                yield DuckDBLake(Path(folder) / "lake.duckdb")
            elif request.param == "sqlite":
                yield SqliteLake(Path(folder) / "lake.db")
            else:
                server: Server = request.getfixturevalue("postgresql_server")
                server.clear("lake")
                yield PostgresqlLake(server, "lake", Path(folder))

    return make


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS, st.booleans(), st.booleans(), st.sampled_from([1, 3, 1000]))
def test_a_table_is_what_a_dict_would_be(
    new_lake: Make, operations: list[Operation], soft: bool, batches: bool, batch_rows: int
) -> None:
    """Rows, deletes and sweeps of two tables, landed in two runs, in batches that end anywhere."""
    with new_lake() as lake:
        run(lake, list(payloads(operations[:5], batches)), soft=soft, batch_rows=batch_rows)
        run(lake, list(payloads(operations[5:], batches)), soft=soft, batch_rows=batch_rows)
        for table, rows in replayed(operations, soft).items():
            assert landed(lake, table) == rows
