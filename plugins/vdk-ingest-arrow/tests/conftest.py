from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakes import ON_A_SERVER, DuckDBLake, Lake, ParquetLake, PostgresqlLake, SqliteLake
from ticks import install
from vdk.plugin.datasource_base.parts import Destination

if TYPE_CHECKING:
    from vdk.plugin.datasource_base.testing.postgresql import Server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """One for all tests; they are skipped where the packages for it are not installed (see requirements.txt)."""
    for package in ("adbc_driver_postgresql", "psycopg"):
        pytest.importorskip(package)
    from vdk.plugin.datasource_base.testing.postgresql import running

    try:
        with running() as server:
            server.query("postgres", "CREATE DATABASE lake")
            yield server
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture
def ticks_installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tests' own source, to be found by flows here, in children, and where this folder is on the path."""
    site = install(tmp_path_factory.mktemp("site"))
    monkeypatch.syspath_prepend(site)
    return site


@pytest.fixture
def postgresql(postgresql_server: Server, tmp_path: Path) -> PostgresqlLake:
    """An empty database, on the one server of all tests."""
    postgresql_server.clear("lake")
    return PostgresqlLake(postgresql_server, "lake", tmp_path)


@pytest.fixture
def sqlite(tmp_path: Path) -> SqliteLake:
    return SqliteLake(tmp_path / "lake.db")


@pytest.fixture(params=["duckdb", "sqlite", ON_A_SERVER])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """A database of each kind that SQL targets land in; under ``any_target`` a folder of files, too."""
    if request.param == "duckdb":
        return DuckDBLake(tmp_path / "lake.duckdb")
    if request.param == "parquet":
        return ParquetLake(tmp_path / "lake")
    made: Lake = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def destination(lake: Lake) -> Iterator[Destination]:
    made = lake.opened()
    yield made
    made.close()


_EXAMPLES = ("test_evolution", "test_parquet_types", "test_refused_values", "test_state", "test_types")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test's examples one for each target is enough on each Python: what they try are libraries' types and SQL."""
    seen: set[tuple[str, str, str]] = set()
    for item in items:
        if not isinstance(item, pytest.Function) or item.module.__name__ not in _EXAMPLES:
            continue
        examples = getattr(item, "callspec", None)
        target = str(examples.params.get("lake")) if examples else ""
        key = (item.module.__name__, item.originalname, target)
        if key in seen:
            item.add_marker(pytest.mark.libraries)
        seen.add(key)
