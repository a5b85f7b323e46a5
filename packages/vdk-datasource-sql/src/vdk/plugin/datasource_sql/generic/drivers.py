# SPDX-License-Identifier: Apache-2.0
"""What SQLAlchemy's dialects do not describe: how drivers stream, how long they wait, which package has them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

PACKAGES = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "ibm_db_dbi": "ibm_db",
}
"""Modules of drivers → what to install; otherwise the module's name."""
DIALECTS = {
    "bigquery": "sqlalchemy-bigquery",
    "clickhouse": "clickhouse-sqlalchemy",
    "cockroachdb": "sqlalchemy-cockroachdb",
    "databricks": "databricks-sqlalchemy",
    "db2": "ibm_db_sa",
    "redshift": "sqlalchemy-redshift",
    "snowflake": "snowflake-sqlalchemy",
    "teradatasql": "teradatasqlalchemy",
    "trino": "trino",
    "vertica": "sqlalchemy-vertica-python",
}
"""Dialects that are not part of SQLAlchemy → the package that has them."""
PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521}
_TIMEOUTS = {
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "mysqlconnector": "connection_timeout",
    "mariadbconnector": "connect_timeout",
    "pyodbc": "timeout",
    "pymssql": "login_timeout",
    "oracledb": "tcp_connect_timeout",
}
"""The argument of each driver for the time that connecting may take."""
_UNBUFFERED = {"pymysql": "pymysql.cursors", "mysqldb": "MySQLdb.cursors"}
"""The modules of cursors that do not hold a whole result."""
BEGIN = {
    "sqlite": ("PRAGMA query_only = ON", "BEGIN"),
    **dict.fromkeys(
        ("mysql", "mariadb"),
        # A TIMESTAMP is compared and read in the session's zone, in which an hour of the year comes twice.
        ("SET time_zone = '+00:00'", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"),
    ),
    "oracle": ("SET TRANSACTION READ ONLY",),
    "postgresql": ("SET LOCAL DateStyle = 'ISO'",),  # pg8000 guesses what others mean
}
"""By dialect: the statements that begin a snapshot that cannot be written in. Others begin it with any statement."""


def connect_arguments(driver: str, seconds: float, password: str | None) -> dict[str, Any]:
    """What the driver needs beside the URL."""
    if driver == "pysqlite":
        return {"check_same_thread": False, "isolation_level": None}
    arguments: dict[str, Any] = {_TIMEOUTS[driver]: max(1, round(seconds))} if driver in _TIMEOUTS else {}
    if driver == "pymysql" and password is not None:
        arguments["password"] = password.encode()  # it would encode text as Latin-1
    return arguments


class StreamingCursor:
    """A driver's cursor whose rows are tuples.

    :param unread_on_close: closing the cursor would read all rows that are left, so it is left to the connection.
    """

    def __init__(self, cursor: Any, *, unread_on_close: bool = False) -> None:
        self._cursor, self._unread = cursor, unread_on_close

    def execute(self, sql: str, parameters: Any) -> None:
        self._cursor.execute(sql, parameters)  # none too: SQLAlchemy doubles percent signs for drivers that halve them

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        rows = [tuple(row) for row in self._cursor.fetchmany(size)]
        self._unread = self._unread and len(rows) == size
        return rows

    def close(self) -> None:
        if not self._unread:
            self._cursor.close()


def cursor_of(connection: Any, driver: str, *, streaming: bool) -> StreamingCursor:
    """``streaming``: a cursor of the server's, where the driver has one; others hold all rows of a result in memory."""
    if not streaming:
        return StreamingCursor(connection.cursor())
    if driver in ("psycopg", "psycopg2"):
        return StreamingCursor(connection.cursor(name="vdk"))
    if driver in _UNBUFFERED:
        unbuffered = import_module(_UNBUFFERED[driver]).SSCursor
        return StreamingCursor(connection.cursor(unbuffered), unread_on_close=True)
    if driver == "mariadbconnector":
        return StreamingCursor(connection.cursor(buffered=False), unread_on_close=True)
    return StreamingCursor(connection.cursor())
