"""The suite of all databases, on a real MariaDB server."""

from __future__ import annotations

import signal
from typing import Any

import pymysql
import pytest

from support import make_source
from types_of_mysql import TYPES
from vdk.plugin.datasource_base.testing.mariadb import PASSWORD, Server
from vdk.plugin.datasource_sql.testing import LateCommitConformance, SqlServer, SqlServerConformance
from vdk.plugin.source_mysql.source import MysqlSource


class MariaDatabase(SqlServer):
    """The database ``shop``."""

    time = "datetime(6)"
    now = "now(6)"

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

    def source_at(self, port: int, **options: Any) -> MysqlSource:
        return make_source(port, **options)

    def kill(self) -> None:
        self._server.end(signal.SIGKILL)

    def start(self) -> None:
        self._server.start()

    def connect(self) -> Any:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            password=PASSWORD.encode(),
            database="shop",
            ssl_disabled=True,
        )

    def hide(self, table: str) -> None:
        """The user has a privilege on the whole database, which MariaDB cannot take for one table of it.

        Privileges on tables outlive the tables: those of earlier tests are taken, too.
        """
        self.execute(
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM reader", f"GRANT INSERT ON {self.quoted(table)} TO reader"
        )
        for (other,) in self.rows("SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'"):
            if other != table:
                self.execute(f"GRANT SELECT ON {self.quoted(other)} TO reader")

    def quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def literal(self, value: Any) -> str:
        return super().literal(value.replace("\\", "\\\\") if isinstance(value, str) else value)

    def change_type(self, table: str, column: str, declared: str) -> None:
        self.execute(f"ALTER TABLE {self.quoted(table)} MODIFY {self.quoted(column)} {declared}")


class TestMariaDB(SqlServerConformance, LateCommitConformance):
    """With the lookback that is the default."""

    types = TYPES

    @pytest.fixture
    def database(self, server: Server) -> MariaDatabase:
        return MariaDatabase(server)
