"""A target that goes away in mid-run: the stream fails and says so, and no run succeeds whose rows are gone."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from lakes import DuckDBLake, Lake, ParquetLake, PostgresqlLake, SqliteLake, any_target
from landing import APPEND, KEY, REPLACE, UPSERT, opened, query, rows, unit
from vdk.plugin.datasource_base import DataSource, DataSourceConfig, DataSourcePayload, DataSourceStream, data_source
from vdk.plugin.datasource_base.contract import DestinationError, FlowFailedError
from vdk.plugin.datasource_base.parts import Destination, Registry, TableSnapshot, TableSpec
from vdk.plugin.datasource_base.runtime import Environment, execute
from vdk.plugin.ingest_arrow.targets import arrow_destination

pytestmark = pytest.mark.heavy


class Pages(DataSourceStream):
    name = "orders"
    incremental = True

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for number in range(state.get("next", 0), 4):
            yield DataSourcePayload([{"id": number}], state={"next": number + 1})


class Whole(DataSourceStream):
    name = "orders"

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for number in range(4):
            yield DataSourcePayload([{"id": number}])


class PagesConfig(DataSourceConfig):
    whole: bool = False


@data_source(name="pages", config=PagesConfig)
class PagesSource(DataSource[PagesConfig]):
    def streams(self) -> list[DataSourceStream]:
        return [Whole() if self.config.whole else Pages()]


def run(lake: Lake, monkeypatch: pytest.MonkeyPatch, action: Callable[[], None], *, whole: bool = False) -> None:
    """Run a flow of one row a commit; the action comes after the second commit (or staging)."""
    target_class = type(arrow_destination(lake.target(), folder=Path()))
    name = "stage" if whole else "commit"
    real, calls = getattr(target_class, name), []

    def acting(self: Destination, *args: Any) -> Any:
        result = real(self, *args)
        calls.append(name)
        if len(calls) == 2:
            action()
        return result

    monkeypatch.setattr(target_class, name, acting)
    registry = Registry()
    registry.add("pages", f"{__name__}:PagesSource")
    execute(
        {
            "sources": {"shop": {"name": "pages", "config": {"whole": whole}}},
            "destinations": {"lake": {"method": "arrow", "target": lake.target()}},
            "flows": [{"from": "shop", "to": "lake", "batch_rows": 1}],
        },
        Environment(registry=registry),
    )


def lose(lake: Lake) -> None:
    """Delete the whole target."""
    if isinstance(lake, PostgresqlLake):
        lake.server.query("postgres", f"DROP DATABASE {lake.database} WITH (FORCE)")
        lake.server.query("postgres", f"CREATE DATABASE {lake.database}")
    elif isinstance(lake, ParquetLake):
        shutil.rmtree(lake.path)
    else:
        assert isinstance(lake, DuckDBLake | SqliteLake)
        lake.path.unlink()


def drop(lake: Lake, table: str = "orders") -> None:
    """Drop a table, as another connection does it."""
    if isinstance(lake, ParquetLake):
        shutil.rmtree(lake.path / table)
    else:
        lake.query(f'DROP TABLE "{table}"')


@any_target
@pytest.mark.parametrize("whole", [False, True])
def test_a_target_that_is_deleted_in_mid_run_fails_the_stream(
    lake: Lake, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FlowFailedError, match=r"during the run|while this run was at work"):
        run(lake, monkeypatch, lambda: lose(lake), whole=whole)


@any_target
def test_a_table_that_is_dropped_in_mid_run_fails_the_stream(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FlowFailedError, match=r"'orders' .* during the run"):
        run(lake, monkeypatch, lambda: drop(lake))


@any_target
def test_a_dropped_table_whose_state_is_reset_lands_whole_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FlowFailedError):
        run(lake, monkeypatch, lambda: drop(lake))
    monkeypatch.undo()
    destination = opened(lake)
    (stored,) = destination.load_states("shop")
    destination.commit(unit(state={}, version=stored.version, key=stored.key))
    destination.close()
    run(lake, monkeypatch, lambda: None)
    assert sorted(query(lake, "SELECT id FROM orders")) == [(0,), (1,), (2,), (3,)]


@pytest.mark.parametrize("spec", [APPEND, UPSERT], ids=["append", "upsert"])
def test_a_table_that_is_dropped_and_made_again_is_another_one(lake: Lake, spec: TableSpec) -> None:
    destination = opened(lake)
    destination.commit(unit(rows(spec, {"id": [1, 2, 3]})))
    drop(lake)
    lake.query("CREATE TABLE orders (id BIGINT)")
    with pytest.raises(DestinationError, match=r"'orders' .* during the run"):
        destination.commit(unit(rows(spec, {"id": [4]})))
    destination.close()
    assert query(lake, "SELECT * FROM orders") == []


@any_target
def test_states_that_are_dropped_in_mid_run_are_named(lake: Lake) -> None:
    destination = opened(lake)
    version = destination.commit(unit(rows(APPEND, {"id": [1]}), state={"n": 1}))
    drop(lake, "_vdk" if isinstance(lake, ParquetLake) else "_vdk_datasource_state")
    with pytest.raises(DestinationError, match=r"_vdk.* during the run"):
        destination.commit(unit(rows(APPEND, {"id": [2]}), state={"n": 2}, version=version))
    destination.close()


def test_a_table_of_staged_rows_that_is_dropped_is_missed(lake: Lake) -> None:
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    destination.stage(KEY, [rows(REPLACE, {"id": [2]})], "run-1")
    (staged,) = [name for name in lake.all_tables() if name.startswith("_vdk_staged_")]
    drop(lake, staged)
    with pytest.raises(DestinationError, match=r"staged for stream.* during the run"):
        destination.publish(TableSnapshot([REPLACE], [unit()]))
    destination.close()
    assert query(lake, "SELECT * FROM orders") == [(1,)]


# What is not a loss.


def test_truncated_altered_and_indexed_by_others_it_is_the_same_table(lake: Lake) -> None:
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [1, 2]})))
    lake.query("ALTER TABLE orders ADD COLUMN note TEXT")
    lake.query("CREATE INDEX by_id ON orders (id)")
    destination.commit(unit(rows(APPEND, {"id": [3]})))
    lake.query("CREATE TABLE other (id INT)")
    destination.commit(unit(rows(APPEND, {"id": [4]})))
    lake.query("DELETE FROM orders WHERE id = 1" if lake.kind == "sqlite" else "TRUNCATE TABLE orders")
    destination.commit(unit(rows(APPEND, {"id": [5]})))
    destination.close()
    assert (5, None) in query(lake, "SELECT id, note FROM orders")


@any_target
def test_a_run_that_replaces_its_table_goes_on_in_the_new_one(lake: Lake) -> None:
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [1, 2, 3]})))
    destination.stage(KEY, [rows(REPLACE, {"id": [4]})], "run-1")
    destination.publish(TableSnapshot([REPLACE], [unit()]))
    destination.commit(unit(rows(APPEND, {"id": [5]})))
    destination.commit(unit(rows(APPEND, {"id": ["text"]})))  # SQLite makes the table again
    destination.commit(unit(rows(APPEND, {"id": ["more"]})))
    destination.close()
    assert len(query(lake, "SELECT * FROM orders")) == 4


def test_a_vacuum_in_mid_run_leaves_an_upserted_table_the_same(sqlite: SqliteLake) -> None:
    destination = opened(sqlite)
    destination.commit(unit(rows(UPSERT, {"id": [1, 2, 3]})))
    destination.commit(unit(rows(UPSERT, {"id": [1, 2, 3]})))  # leaves gaps in the rowids
    sqlite.query("DELETE FROM orders WHERE id < 3")
    connection = sqlite3.connect(sqlite.path)
    connection.execute("VACUUM")
    connection.close()
    destination.commit(unit(rows(UPSERT, {"id": [4]})))
    destination.close()
    assert sorted(query(sqlite, "SELECT id FROM orders")) == [(3,), (4,)]


# Files.


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_file_that_is_replaced_by_another_of_its_kind_is_not_taken_for_it(kind: str, tmp_path: Path) -> None:
    lake: DuckDBLake | SqliteLake = (
        DuckDBLake(tmp_path / "lake.duckdb") if kind == "duckdb" else SqliteLake(tmp_path / "lake.db")
    )
    other = type(lake)(tmp_path / "other")
    opened(other).close()
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    other.path.replace(lake.path)
    with pytest.raises(DestinationError, match=r"during the run"):
        destination.commit(unit(rows(APPEND, {"id": [2]})))
    destination.close()


def test_a_file_that_this_process_has_open_and_lost_is_not_opened_again_as_a_new_one(tmp_path: Path) -> None:
    """DuckDB gives a second connection to a path the file that the first one opened, wherever that is now."""
    lake = DuckDBLake(tmp_path / "lake.duckdb")
    with duckdb.connect(str(lake.path)):
        lake.path.unlink()
        with pytest.raises(DestinationError, match=r"is not the file that this process has open"):
            opened(lake)


def test_a_file_that_is_moved_and_put_back_is_the_same(tmp_path: Path) -> None:
    lake = SqliteLake(tmp_path / "lake.db")
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    lake.path.rename(tmp_path / "aside")
    with pytest.raises(DestinationError, match=r"during the run"):
        destination.commit(unit(rows(APPEND, {"id": [2]})))
    (tmp_path / "aside").rename(lake.path)
    destination.commit(unit(rows(APPEND, {"id": [2]})))
    destination.close()
    assert query(lake, "SELECT * FROM orders") == [(1,), (2,)]
