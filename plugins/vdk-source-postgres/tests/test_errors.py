"""What a user reads when the database is not there, or refuses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support import reader_url, run, source_of, stream_of
from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DataSourceState,
    StateError,
    decode_config,
)
from vdk.plugin.datasource_base.testing.postgresql import Server
from vdk.plugin.source_postgres.connecting import refused
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
        ({"url": "postgresql://reader:p/ss@127.0.0.1:PORT/shop"}, ConfigurationError, "%2F"),
        ({"url": "postgresql://reader:1/wrong@127.0.0.1:PORT/shop"}, ConfigurationError, "%2F"),
        ({"url": "postgresql://reader:reader@127.0.0.1:99999/shop"}, ConfigurationError, "from 1 to 65535"),
        (
            {"url": "postgresql://reader:reader@127.0.0.1:PORT/shop?sslmode=loose"},
            ConfigurationError,
            "rejects an option",
        ),
        ({"url": "postgresql://reader@127.0.0.1:PORT/shop"}, AuthenticationError, "no password supplied"),
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


SAYS = [
    ('FATAL:  role "x" does not exist', AuthenticationError),
    ('FATAL:  role "x" is not permitted to log in', AuthenticationError),
    ('FATAL:  database "x" is not currently accepting connections', AuthenticationError),
    ('FATAL:  no pg_hba.conf entry for host "h", user "u", database "d", no encryption', ConfigurationError),
    ('FATAL:  no pg_hba.conf entry for host "h", user "u", database "d", SSL encryption', AuthenticationError),
    ("failed to resolve host 'h': [Errno -2] Name or service not known", ConfigurationError),
    ("failed to resolve host 'h': [Errno -3] Temporary failure in name resolution", ConnectionFailedError),
    ("connection failed: SSL error: certificate verify failed", ConfigurationError),
    ('server certificate for "a" does not match host name "b"', ConfigurationError),
    ('root certificate file "/r" does not exist', ConfigurationError),
    ("SSL connection has been closed unexpectedly", ConnectionFailedError),
    ("SSL SYSCALL error: EOF detected", ConnectionFailedError),
    ("FATAL:  the database system is starting up", ConnectionFailedError),
    ("FATAL:  the database system is not accepting connections", ConnectionFailedError),
    ("FATAL:  sorry, too many clients already", ConnectionFailedError),
    ("FATAL:  no such database: x", ConfigurationError),
    ("connection failed: timeout expired", ConnectionFailedError),
]


@pytest.mark.parametrize(("text", "type_"), SAYS)
def test_what_is_tried_again(text: str, type_: type[DataSourceError]) -> None:
    """What another attempt may cure, and nothing that a person has to correct."""
    assert type(refused(psycopg.OperationalError(text), "postgresql://h/d")) is type_


def test_too_many_connections_are_waited_for(server: Server) -> None:
    """The first one works, and the second is refused."""
    server.query("shop", "ALTER ROLE reader CONNECTION LIMIT 1")
    try:
        with psycopg.connect(reader_url(server)), pytest.raises(ConnectionFailedError, match="too many connections"):
            connect(url=reader_url(server))
    finally:
        server.query("shop", "ALTER ROLE reader CONNECTION LIMIT -1")


def test_a_missing_right_to_connect_is_named(server: Server) -> None:
    """With the statement that grants it."""
    server.query("shop", "REVOKE CONNECT ON DATABASE shop FROM PUBLIC")
    try:
        with pytest.raises(AuthenticationError, match="GRANT CONNECT ON DATABASE shop TO reader"):
            connect(url=reader_url(server))
    finally:
        server.query("shop", "GRANT CONNECT ON DATABASE shop TO PUBLIC")


def test_a_server_that_requires_tls_is_named(server: Server) -> None:
    """With the option that turns it on."""
    rules = Path(server.query("shop", "SHOW hba_file")[0][0])
    before = rules.read_text("utf-8")
    rules.write_text("hostssl shop all all scram-sha-256\n" + before.replace("all  ", "postgres"), "utf-8")
    server.query("postgres", "SELECT pg_reload_conf()")
    try:
        with pytest.raises(ConfigurationError, match="sslmode=require"):
            connect(url=reader_url(server))
    finally:
        rules.write_text(before, "utf-8")
        server.query("postgres", "SELECT pg_reload_conf()")


def test_the_database_can_be_named_in_parts(server: Server) -> None:
    """And the password beside a URL without one."""
    with pytest.raises(ConfigurationError, match="port: the port is not a number"):
        connect(host="127.0.0.1", port=0, database="shop")
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
    with pytest.raises(ConfigurationError, match=r"GRANT SELECT ON public\.a TO reader"):
        run(stream_of(server, "a"))
    assert run(stream_of(server, "b")).column("id") == [1]


def test_a_schema_without_privilege_is_named(server: Server) -> None:
    """A table in it cannot be read, whatever the privileges on the table."""
    server.query("shop", "CREATE TABLE a (id int); REVOKE USAGE ON SCHEMA public FROM reader, PUBLIC")
    with pytest.raises(ConfigurationError, match=r"GRANT USAGE ON SCHEMA public TO reader"):
        run(stream_of(server, "a"))


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


IDENTITIES = [
    ({"url": "postgresql://U:p@H:1/D"}, {}, "postgresql://h:1/D"),
    ({"url": "postgresql://b:2,a:1/d"}, {}, "postgresql://a:1,b:2/d"),
    ({"url": "postgresql:///d"}, {}, "postgresql://localhost:5432/d"),
    ({"url": "postgresql:///d"}, {"PGHOST": "There", "PGPORT": "7"}, "postgresql://there:7/d"),
    ({"url": "postgresql:///d"}, {"PGHOSTADDR": "10.0.0.1"}, "postgresql://10.0.0.1:5432/d"),
    ({"url": "postgresql://h/d"}, {"PGHOST": "there", "PGPORT": "7"}, "postgresql://h:7/d"),
    ({"url": "postgresql:///d?host=/Run/Pg"}, {}, "postgresql:///Run/Pg:5432/d"),
    ({"url": "postgresql:///d?service=main"}, {}, "postgresql://service=main/d"),
    ({"url": "postgresql:///d"}, {"PGSERVICE": "main"}, "postgresql://service=main/d"),
]


@pytest.mark.parametrize(("config", "environment", "identity"), IDENTITIES)
def test_identities(
    config: dict[str, str], environment: dict[str, str], identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database as libpq finds it, with libpq's own variables."""
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert PostgresSource(decode_config(config, PostgresConfig, location="config")).identity() == identity


def test_a_database_that_was_replaced_is_noticed(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """It has the same address, and other rows; or the same ones, if the user says so."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz); INSERT INTO t VALUES (1, now())")
    first = run(stream_of(server))
    assert first.state["database"].count("/") == 1
    assert run(stream_of(server), first.state).state["database"] == first.state["database"]
    state = {**first.state, "database": "7/5"}
    with pytest.raises(StateError, match=r"database 7/5, and .*state adopt FLOW --stream"):
        run(stream_of(server), state)
    again = run(stream_of(server, on_source_behind="warn"), state)
    assert again.rows == []
    assert "It is read on" in caplog.text
    assert again.state["database"] == first.state["database"]
    with pytest.raises(StateError, match="damaged"):
        run(stream_of(server), {**first.state, "database": 5})


def test_a_user_who_may_not_know_the_database_reads_it(server: Server) -> None:
    """As with services that reserve the function; the state keeps what it knows."""
    server.query("shop", "CREATE TABLE t (id int PRIMARY KEY, updated_at timestamptz); INSERT INTO t VALUES (1, now())")
    first = run(stream_of(server))
    server.query("shop", "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        again = run(stream_of(server), first.state)
        assert again.rows == []
        assert again.state["database"] == first.state["database"]
        assert "database" not in run(stream_of(server)).state
    finally:
        server.query("shop", "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
