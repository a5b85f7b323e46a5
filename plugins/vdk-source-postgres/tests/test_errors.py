"""What a user reads when the database is not there, or refuses."""

from __future__ import annotations

import time
from typing import Any

import pytest

from support import reader_url, run, source_of, stream_of
from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DataSourceState,
    decode_config,
)
from vdk.plugin.datasource_base.testing.postgresql import Server
from vdk.plugin.source_postgres.source import PostgresConfig, PostgresSource


def connect(**config: Any) -> None:
    PostgresSource(decode_config(config, PostgresConfig, location="config")).connect(DataSourceState())


@pytest.mark.parametrize(
    ("change", "type_", "message"),
    [
        ({"url": "postgresql://reader:wrong@127.0.0.1:PORT/shop"}, AuthenticationError, "refuses the user or password"),
        (
            {"url": "postgresql://nobody:reader@127.0.0.1:PORT/shop"},
            AuthenticationError,
            "refuses the user or password",
        ),
        ({"url": "postgresql://reader:reader@127.0.0.1:PORT/shopp"}, ConfigurationError, "the database does not exist"),
        ({"url": "postgresql://reader:reader@127.0.0.1:1/shop"}, ConnectionFailedError, "is unreachable"),
        ({"url": "postgresql://reader:reader@127.0.0.1:PORT/shop?sslmode=require"}, ConfigurationError, "sslmode"),
        ({"url": "postgresql://reader:p@ss@127.0.0.1:PORT/shop"}, ConfigurationError, "%40"),
        ({"url": "postgresql://reader:reader@127.0.0.1:PORT"}, ConfigurationError, "does not name a database"),
        ({"url": "shop.db"}, ConfigurationError, "not a URL that libpq accepts"),
        ({"url": "postgresql://h/shop", "host": "other"}, ConfigurationError, "together with host"),
        ({}, ConfigurationError, "does not name a database"),
    ],
)
def test_each_mistake_has_an_error_of_its_own(
    server: Server, change: dict[str, str], type_: type[DataSourceError], message: str
) -> None:
    """Within seconds, and without the password."""
    config = {name: value.replace("PORT", str(server.port)) for name, value in change.items()}
    start = time.monotonic()
    with pytest.raises(type_, match=message) as raised:
        connect(**config)
    assert time.monotonic() - start < 10
    assert "wrong" not in str(raised.value)
    assert type(raised.value) is type_


def test_the_database_can_be_named_in_parts(server: Server) -> None:
    """And the password beside a URL without one."""
    parts = {"host": "127.0.0.1", "port": server.port, "database": "shop", "user": "reader", "password": "reader"}
    connect(**parts)
    connect(url=f"postgresql://reader@127.0.0.1:{server.port}/shop", password="reader")


def test_a_schema_that_does_not_exist_is_named(server: Server) -> None:
    with pytest.raises(ConfigurationError, match="schemas: 'nope' does not exist"):
        source_of(server, schemas=["nope"])


def test_a_table_without_privilege_fails_alone(server: Server) -> None:
    """The others are read."""
    server.query("shop", "CREATE TABLE a (id int); CREATE TABLE b (id int); REVOKE SELECT ON a FROM reader")
    server.query("shop", "INSERT INTO b VALUES (1)")
    with pytest.raises(ConfigurationError, match=r'GRANT SELECT ON "public"\."a"'):
        run(stream_of(server, "a"))
    assert run(stream_of(server, "b")).column("id") == [1]


def test_rows_that_a_policy_hides_are_an_error(server: Server) -> None:
    """They would be missing in silence."""
    server.query("shop", "CREATE TABLE t (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    with pytest.raises(ConfigurationError, match="row-level security"):
        run(stream_of(server))


def test_a_statement_that_takes_too_long_is_retried(server: Server) -> None:
    """The error says so, and the runtime tries again."""
    server.query("shop", "CREATE VIEW v AS SELECT 1 AS id, pg_sleep(5)::text AS slept")
    with pytest.raises(ConnectionFailedError, match="statement timeout"):
        run(stream_of(server, "v", views=["v"], statement_timeout="200ms"))


def test_a_connection_that_is_cut_is_retried(server: Server) -> None:
    """As when the server restarts, or an administrator ends the session."""
    server.query("shop", "CREATE TABLE t (id int)")
    server.query("shop", "INSERT INTO t SELECT generate_series(1, 50000)")
    reading = stream_of(server, page_rows=100).read({})
    next(reading)
    server.query("shop", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
    with pytest.raises(ConnectionFailedError):
        list(reading)


def test_a_connection_that_is_cut_between_pages_is_retried(server: Server) -> None:
    """Whichever statement meets it first."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz)")
    server.query("shop", "CREATE INDEX ON t (updated_at, id)")
    server.query("shop", "INSERT INTO t SELECT n, now() FROM generate_series(1, 1000) n")
    reading = stream_of(server, page_rows=100).read({})
    next(reading)
    server.query("shop", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'")
    with pytest.raises(ConnectionFailedError):
        list(reading)


def test_the_identity_has_no_secret(server: Server) -> None:
    """And names host, port and database."""
    assert source_of(server).identity() == f"postgresql://127.0.0.1:{server.port}/shop"
    config = decode_config({"url": reader_url(server)}, PostgresConfig, location="config")
    assert "reader:" not in repr(PostgresSource(config).backend)
