"""The suite passes for good sources, and each of its checks fails for a source that it is meant for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sources import MadeSource, made, numbered
from vdk.plugin.datasource_cloudquery.testing import CloudQueryConformance
from vdk.plugin.source_sqlite.source import SqliteConfig, SqliteSource


class TestSqlite(CloudQueryConformance):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Callable[[], SqliteSource]:
        path = tmp_path / "shop.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute('CREATE TABLE "Customers" (id INTEGER PRIMARY KEY, name TEXT)')
            connection.execute("""INSERT INTO "Customers" VALUES (1, 'Ann'), (2, 'Bob')""")
        return lambda: SqliteSource(SqliteConfig(database=path))

    @pytest.fixture
    def bad_source(self, tmp_path: Path) -> Callable[[], SqliteSource]:
        return lambda: SqliteSource(SqliteConfig(database=tmp_path / "missing.db"))

    @pytest.fixture
    def expected(self) -> Mapping[str, list[Any]]:
        return {"Customers": [1, 2]}


class TestMade(CloudQueryConformance):
    @pytest.fixture
    def source(self) -> Callable[[], MadeSource]:
        return lambda: made(numbered())


class Fixtures:
    """Stands in for pytest's request."""

    def __init__(self, **values: Any) -> None:
        self._values = values

    def getfixturevalue(self, name: str) -> Any:
        return self._values[name]


def test_a_check_fails_for_a_source_that_breaks_its_rule() -> None:
    """A check that cannot fail checks nothing."""
    suite = CloudQueryConformance()
    good: Any = Fixtures(expected={"numbers": range(5)}, bad_source=lambda: made(numbered()))
    with pytest.raises(AssertionError, match="'numbers' has 6 rows, expected 5"):
        suite.test_every_row_arrives(lambda: made(numbered(count=6)), good)
    with pytest.raises(AssertionError, match="a sync of a source whose data is missing succeeds"):
        suite.test_missing_data_ends_the_sync_with_an_error(good)
    with pytest.raises(AssertionError, match="the source has no table"):
        suite.test_a_sync_announces_the_tables_that_are_listed(made)
