"""What a user reads when the database is not there, or refuses."""

from __future__ import annotations

import logging
import socket
import time
from typing import Any

import pymysql
import pytest

from support import make_source, reader_url, run, source_of, stream_of
from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DataSourceState,
    decode_config,
)
from vdk.plugin.datasource_base.testing.mariadb import Server
from vdk.plugin.source_mysql.source import MysqlConfig, MysqlSource


def connect(**config: Any) -> None:
    MysqlSource(decode_config(config, MysqlConfig, location="config")).connect(DataSourceState())


@pytest.mark.parametrize(
    ("change", "type_", "message"),
    [
        ({"url": "mysql://reader:wrong@127.0.0.1:PORT/shop"}, AuthenticationError, "refuses the user or password"),
        ({"url": "mysql://nobody:reader@127.0.0.1:PORT/shop"}, AuthenticationError, "refuses the user or password"),
        ({"url": "mysql://reader:reader@127.0.0.1:PORT/mysql"}, AuthenticationError, "GRANT SELECT ON `mysql`"),
        ({"url": "mysql://root:sesam%3A%C3%B6ffne%2Fdich@127.0.0.1:PORT/nope"}, ConfigurationError, "does not exist"),
        ({"url": "mysql://reader:reader@127.0.0.1:1/shop"}, ConnectionFailedError, "is unreachable"),
        ({"url": "mysql://reader:reader@nowhere.invalid/shop"}, ConnectionFailedError, "is unreachable"),
        (
            {"url": "mysql://reader:reader@127.0.0.1:PORT/shop", "ssl_mode": "required"},
            ConfigurationError,
            'set ssl_mode = "preferred"',
        ),
        (
            {"url": "mysql://reader:reader@127.0.0.1:PORT/shop", "ssl_mode": "verify_ca", "ssl_ca": "no.pem"},
            ConfigurationError,
            "ssl_ca, ssl_cert, ssl_key: one of the files",
        ),
        ({"url": "mysql://reader:p@ss@127.0.0.1:PORT/shop"}, ConfigurationError, "'@' as %40"),
        ({"url": "mysql://reader:p/ss@127.0.0.1:PORT/shop"}, ConfigurationError, "'/' as %2F"),
        ({"url": "mysql://reader:p#ss@127.0.0.1:PORT/shop"}, ConfigurationError, "'#' as %23"),
        ({"url": "mysql://reader:reader@127.0.0.1:wrong/shop"}, ConfigurationError, "host or port"),
        ({"url": "mysql://reader:reader@127.0.0.1:PORT"}, ConfigurationError, "does not name a database"),
        ({"url": "mysql://127.0.0.1:PORT/shop"}, ConfigurationError, "does not name a user"),
        ({"url": "mysql://r:r@127.0.0.1:PORT/shop?ssl=1"}, ConfigurationError, 'ssl_mode = "required"'),
        ({"url": "postgresql://r:r@127.0.0.1:PORT/shop"}, ConfigurationError, "does not begin with mysql://"),
        ({"url": "mysql://u@h/shop", "host": "other"}, ConfigurationError, "together with host"),
        ({"host": "127.0.0.1", "database": "shop", "user": "u", "port": 70000}, ConfigurationError, "1 to 65535"),
        ({}, ConfigurationError, "does not name a database"),
    ],
)
def test_each_mistake_has_an_error_of_its_own(
    server: Server, change: dict[str, str], type_: type[DataSourceError], message: str
) -> None:
    """And none has the password."""
    config = {
        name: value.replace("PORT", str(server.port)) if isinstance(value, str) else value
        for name, value in change.items()
    }
    with pytest.raises(type_, match=message) as raised:
        connect(**config)
    assert "wrong" not in str(raised.value).replace("wrong/shop", "")
    assert type(raised.value) is type_


def test_the_database_can_be_named_in_parts(server: Server) -> None:
    """And the password beside a URL without one."""
    parts = {"host": "127.0.0.1", "port": server.port, "database": "shop", "user": "reader", "password": "reader"}
    connect(**parts)
    connect(url=f"mariadb://reader@127.0.0.1:{server.port}/shop", password="reader")
    connect(url=server.url("shop"))  # a password with characters beyond Latin-1 rules


def test_a_server_that_never_greets_is_unreachable() -> None:
    """The timeout of the connection covers the handshake."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ConnectionFailedError):
        connect(url=f"mysql://u:p@127.0.0.1:{silent.getsockname()[1]}/shop", connect_timeout="200ms")


def test_an_account_that_requires_tls_says_so(server: Server) -> None:
    """The server's own error is that of a wrong password."""
    server.query("mysql", "ALTER USER reader REQUIRE SSL")
    try:
        with pytest.raises(AuthenticationError, match='set ssl_mode = "required"'):
            connect(url=reader_url(server), ssl_mode="disabled")
    finally:
        server.query("mysql", "ALTER USER reader REQUIRE NONE")


def test_too_many_connections_are_retried(server: Server) -> None:
    """The error says what to do."""
    server.query("mysql", "ALTER USER reader WITH MAX_USER_CONNECTIONS 1")
    try:
        address: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "user": "reader", "password": "reader"}
        with pymysql.connect(**address), pytest.raises(ConnectionFailedError, match="max_user_connections"):
            source_of(server)
    finally:
        server.query("mysql", "ALTER USER reader WITH MAX_USER_CONNECTIONS 0")


def test_a_schema_that_does_not_exist_is_named(server: Server) -> None:
    with pytest.raises(ConfigurationError, match="schemas: 'nope' does not exist"):
        source_of(server, schemas=["nope"])


def test_a_table_without_privilege_fails_alone(server: Server) -> None:
    """The others are read; of a table that the user may only write to, the error has the GRANT."""
    server.query("mysql", "REVOKE SELECT ON shop.* FROM reader")
    server.query("shop", "CREATE TABLE a (id int, secret int)")
    server.query("shop", "CREATE TABLE b (id int, secret int)")
    server.query("shop", "CREATE TABLE c (id int) AS SELECT 1 AS id")
    server.query("mysql", "GRANT INSERT ON shop.a TO reader")
    server.query("mysql", "GRANT SELECT (id) ON shop.b TO reader")
    server.query("mysql", "GRANT SELECT ON shop.c TO reader")
    with pytest.raises(ConfigurationError, match=r"GRANT SELECT ON `shop`\.`a`"):
        run(stream_of(server, "a"))
    server.query("mysql", "GRANT UPDATE (secret) ON shop.b TO reader")
    with pytest.raises(ConfigurationError, match="leave it out with columns"):
        run(stream_of(server, "b"))
    assert run(stream_of(server, "b", columns={"include": ["id"]})).rows == []
    assert run(stream_of(server, "c")).column("id") == [1]


def test_a_statement_that_takes_too_long_is_retried(server: Server) -> None:
    """The error says so, and the runtime tries again."""
    server.query("shop", "CREATE VIEW v AS SELECT 1 AS id, SLEEP(5) AS slept")
    with pytest.raises(ConnectionFailedError, match="raise statement_timeout"):
        run(stream_of(server, "v", views=["v"], statement_timeout="200ms"))


@pytest.mark.parametrize("index", ["", ", KEY (updated_at, id)"])
def test_a_connection_that_is_cut_is_retried(server: Server, index: str) -> None:
    """In the middle of one query, and between pages."""
    server.query("shop", f"CREATE TABLE t (id int PRIMARY KEY, updated_at datetime{index})")
    server.query("shop", "INSERT INTO t SELECT seq, NOW() FROM seq_1_to_100000")
    reading = stream_of(server, page_rows=1000).read({})
    next(reading)
    for (process,) in server.query("mysql", "SELECT id FROM information_schema.processlist WHERE user = 'reader'"):
        server.query("mysql", f"KILL {process}")
    with pytest.raises(ConnectionFailedError):
        list(reading)


def test_reading_that_is_abandoned_does_not_read_the_rest(server: Server) -> None:
    """The driver's own cursor would, before it closes: nothing could be stopped in a large table."""
    server.query("shop", "CREATE TABLE t (id int, text varchar(200))")
    server.query("shop", "INSERT INTO t SELECT seq, REPEAT('x', 200) FROM seq_1_to_100000")
    sent = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'BYTES_SENT'"
    before = int(server.query("mysql", sent)[0][0])
    reading = stream_of(server, page_rows=10).read({})
    next(reading)
    reading.close()  # type: ignore[attr-defined]  # it is a generator
    assert int(server.query("mysql", sent)[0][0]) - before < 15_000_000


def test_the_identity_has_no_secret(server: Server) -> None:
    """And names host, port and database."""
    source = source_of(server)
    assert source.identity() == f"mysql://127.0.0.1:{server.port}/shop"
    assert "reader'" not in repr(source.backend.address).replace("user='reader'", "")


def test_check_names_what_no_snapshot_covers(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Tables of MyISAM, and transactions that the user may not see. To list the streams asks for neither."""
    server.query("shop", "CREATE TABLE t (id int) ENGINE = MyISAM")
    server.query("shop", "CREATE TABLE u (id int)")
    source = make_source(server.port)
    with caplog.at_level(logging.WARNING):
        assert len(source.streams()) == 2
        assert caplog.text == ""
        source.check()
    assert "t (MyISAM)" in caplog.text
    assert "u (" not in caplog.text
    assert "GRANT PROCESS" in caplog.text


def test_a_transaction_that_is_open_longer_than_lookback_is_named(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the user may see it."""
    server.query("mysql", "GRANT PROCESS ON *.* TO reader")
    server.query("shop", "CREATE TABLE t (id int, updated_at datetime)")
    try:
        with server.connect("shop") as writer, caplog.at_level(logging.WARNING):
            cursor = writer.cursor()
            cursor.execute("START TRANSACTION")
            cursor.execute("INSERT INTO t SELECT CONNECTION_ID(), NOW()")
            cursor.execute("SELECT id FROM t")
            ((process,),) = cursor.fetchall()
            source_of(server, lookback="1h")
            assert not caplog.text
            deadline = time.monotonic() + 30
            while not caplog.text and time.monotonic() < deadline:
                time.sleep(0.2)
                source_of(server, lookback="1s")
            assert f"process {process} for" in caplog.text
    finally:
        server.query("mysql", "REVOKE PROCESS ON *.* FROM reader")
