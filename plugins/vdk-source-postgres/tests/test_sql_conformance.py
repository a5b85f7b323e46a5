"""The suite of all databases, on a real PostgreSQL server."""

from __future__ import annotations

import signal
from typing import Any

import psycopg
import pytest

from support import make_source
from test_types import SETUP, TYPES
from vdk.plugin.datasource_base.testing.postgresql import Server
from vdk.plugin.datasource_sql.testing import LateCommitConformance, SqlServer, SqlServerConformance
from vdk.plugin.source_postgres.source import PostgresSource


class PostgresDatabase(SqlServer):
    """The database ``shop``."""

    time = "timestamptz"

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def port(self) -> int:
        return self._server.port

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self._server.query("shop", statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._server.query("shop", query)

    def source_at(self, port: int, **options: Any) -> PostgresSource:
        return make_source(port, **options)

    def kill(self) -> None:
        self._server.end(signal.SIGQUIT)

    def start(self) -> None:
        self._server.start()

    def connect(self) -> Any:
        return psycopg.connect(self._server.url("shop"))

    def hide(self, table: str) -> None:
        self.execute(f"REVOKE SELECT ON {self.quoted(table)} FROM reader")


class TestPostgres(SqlServerConformance, LateCommitConformance):
    """With waiting for open transactions, instead of a lookback."""

    types = TYPES
    lookback = "0s"

    @pytest.fixture
    def database(self, server: Server) -> PostgresDatabase:
        for statement in SETUP:
            server.query("shop", statement)
        return PostgresDatabase(server)
