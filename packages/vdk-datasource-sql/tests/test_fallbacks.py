"""Dialects that do not describe tables: each step is taken where the one before it fails."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from support import source_of, stream_of
from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.testing import postgresql
from vdk.plugin.datasource_sql.testing import run


def fails(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError("this dialect is not finished")


class NotAtOnce(SQLiteDialect_pysqlite):
    """It has no ``get_multi_…``."""

    get_multi_columns = fails
    supports_statement_cache = True


class NoKeys(NotAtOnce):
    """It describes columns only."""

    get_pk_constraint = get_unique_constraints = get_indexes = get_view_names = fails
    supports_statement_cache = True


class Nothing(NotAtOnce):
    """It describes nothing."""

    get_table_names = fails
    supports_statement_cache = True


class OneBroken(NotAtOnce):
    """It does not describe one table."""

    supports_statement_cache = True

    def get_columns(self, connection: Any, table_name: str, schema: str | None = None, **options: Any) -> Any:
        if table_name == "broken":
            raise KeyError("a type of this table")
        # type ignored: SQLAlchemy has no types there
        return super().get_columns(connection, table_name, schema, **options)  # type: ignore[no-untyped-call]


class NoCatalog(PGDialect_psycopg):
    """PostgreSQL without what SQLAlchemy knows of its catalog."""

    get_multi_columns = get_table_names = fails
    supports_statement_cache = True


for dialect in (NotAtOnce, NoKeys, Nothing, OneBroken, NoCatalog):
    registry.register(f"test_{dialect.__name__.lower()}", __name__, dialect.__name__)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, updated_at INTEGER)")
        connection.executemany("INSERT INTO t VALUES (?, 'x', ?)", [(number, number) for number in range(5)])
        connection.execute("CREATE TABLE broken (a INTEGER)")
        connection.commit()
    return path


@pytest.fixture
def server() -> Any:
    try:
        with postgresql.running() as server:
            yield server
    except LookupError as error:
        pytest.skip(str(error))


def test_tables_are_described_one_by_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where not all at once, with a warning that says why."""
    with caplog.at_level(logging.WARNING):
        stream = stream_of(f"test_notatonce:///{path}", identity="shop")
    assert "this dialect is not finished" in caplog.text
    assert stream.plan.primary_key == ("id",)
    assert run(stream).column("id") == list(range(5))


def test_a_table_that_is_not_described_fails_alone(path: Path) -> None:
    """With the reason."""
    url = f"test_onebroken:///{path}"
    assert run(stream_of(url, identity="shop")).column("id") == list(range(5))
    with pytest.raises(ConfigurationError, match="a type of this table"):
        run(stream_of(url, "broken", identity="shop"))


def test_keys_that_are_not_described_can_be_named(path: Path) -> None:
    """And the table is read without them otherwise."""
    url = f"test_nokeys:///{path}"
    assert run(stream_of(url, identity="shop")).column("id") == list(range(5))
    stream = stream_of(url, identity="shop", options={"primary_key": "id"})
    assert stream.plan.primary_key == ("id",)
    first = run(stream)
    assert run(stream_of(url, identity="shop", options={"primary_key": "id"}), first.state).rows == []


def test_columns_come_from_an_empty_result_at_last(path: Path) -> None:
    """For the tables that the configuration names, with the key and the cursor that it names."""
    url, options = f"test_nothing:///{path}", {"primary_key": "id", "cursor": "updated_at"}
    stream = stream_of(url, identity="shop", options=options)
    first = run(stream)
    assert first.rows == [{"id": str(number), "name": "x", "updated_at": str(number)} for number in range(5)]
    assert run(stream_of(url, identity="shop", options=options), first.state).rows == []
    remedy = r"does not describe the tables .*: tables = \{ orders = \{ primary_key = \"id\", cursor"
    with pytest.raises(ConfigurationError, match=remedy):  # nothing is named
        source_of(url, identity="shop")
    with pytest.raises(ConfigurationError, match="no such table: gone"):
        source_of(url, identity="shop", tables={"gone": {}})


@pytest.mark.heavy
def test_columns_come_from_information_schema(server: Any) -> None:
    """With types and primary keys."""
    server.query("postgres", "CREATE DATABASE shop")
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, name text, total numeric(10, 2), updated_at timestamptz)")
    server.query("shop", "INSERT INTO t VALUES (1, 'x', 1.25, '2026-01-01 00:00:00+00')")
    server.query("shop", "CREATE VIEW v AS SELECT * FROM t")
    url = server.url("shop").replace("postgresql://", "test_nocatalog://")
    stream = stream_of(url)
    assert stream.plan.primary_key == ("id",)
    assert [str(type_) for type_ in stream.schema().fields.types] == [
        "int64", "string", "decimal128(10, 2)", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    first = run(stream)
    assert first.column("id") == [1]
    assert run(stream_of(url), first.state).rows == []
    assert run(stream_of(url, "v", views=["v"])).column("id") == [1]
