# SPDX-License-Identifier: Apache-2.0
"""A session of a PostgreSQL server: its settings, its transactions, and its errors as the runtime's.

For the SQLSTATE codes see https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pyarrow as pa
from adbc_driver_manager import Error, dbapi
from adbc_driver_postgresql import dbapi as postgresql

from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DestinationError,
)
from vdk.plugin.datasource_base.parts import one_line

from ..sql.database import Database, SerializationConflict, constraint_error
from ..values import RefusedValueError
from .url import PostgresqlUrl

log = logging.getLogger(__name__)
T = TypeVar("T")

_CONFLICTS = frozenset({"40001", "40P01", "55P03", "42P06", "42P07"})
"""Serialization, deadlock, lock timeout, and tables or schemas that another session created at the same moment."""
_UNREACHABLE = re.compile(r"08|57P0[123]|53300")
"""Connection errors, shutdown, crash, start-up, too many connections. A failed connect has no SQLSTATE at all."""
_LOST = re.compile(
    r"server closed the connection|no connection to the server|connection (?:not open|to .* failed)|"
    r"could not (?:receive|send|connect|translate)|SSL (?:SYSCALL|connection)|terminating connection",
    re.IGNORECASE,
)
_SEARCHED = 10_000
"""Characters of an error that are searched: it may quote a value of megabytes."""
_CREDENTIALS = re.compile(
    r"(?:password|authentication|certificate) .*(?:failed|required)|no password supplied|no pg_hba\.conf entry|"
    r"role .* (?:does not exist|is not permitted to log in)",
    re.IGNORECASE,
)
_NO_RIGHT = re.compile(r"permission denied for database|is not currently accepting connections", re.IGNORECASE)
_NO_SUCH_DATABASE = re.compile(r"database .* does not exist|definition of service .* not found", re.IGNORECASE)
_WRONG = re.compile(
    r"invalid (?:URI|percent|port|integer|sslmode|\w+ value|connection option)|unsupported|not support SSL|"
    r"in URI|forbidden value|unexpected spaces|key/value separator",
    re.IGNORECASE,
)
_REMEDIES = {
    "53100": "the server's disk is full: make room on it, and run again",
    "42501": "the user of the target lacks a privilege: grant it, or name another user",
    "25006": "the server is read-only (a standby, or configured so): name the primary",
    "22021": "a text has a character that the database's encoding lacks (NUL is in none): remove it with a transform",
    "22P05": "a text has a character that the database's encoding lacks (NUL is in none): remove it with a transform",
    "54011": "a PostgreSQL table has 1600 columns at most, including dropped ones: split it with a transform",
    "54000": "a row or key is too large: a row without its long texts must fit 8 kB, a key 2.7 kB",
    "0A000": "PostgreSQL cannot change a column that a view or a foreign key needs: drop that, and create it again "
    "after the run",
    "2BP01": "another object depends on the changed one: drop that, and create it again after the run",
    "22008": "a date or time is outside of PostgreSQL's range (4713 BC to 294276): convert it with a transform",
}

_TOO_LARGE = ("54000", "54001")
"""A row or key that is too large, JSON that is nested too deeply."""
_COPIED = re.compile(r"COPY .*, line \d+, column (.+)$")
"""The context of an error in a binary COPY. A COPY of text would add the value to it."""


def is_connection_lost(error: Error) -> bool:
    """Whether the connection is unusable from now on."""
    state = error.sqlstate
    return (state is None and _LOST.search(str(error)[:_SEARCHED]) is not None) or re.match(
        r"08|57P0[123]", state or ""
    ) is not None


def is_conflict(error: Error) -> bool:
    """Whether another writer was faster. 42701 is also the error of a column that is named as a system column."""
    return error.sqlstate in _CONFLICTS or (error.sqlstate == "42701" and "already exists" in str(error))


def translate_error(error: Error, location: str) -> DataSourceError:
    """An error of an open connection as the runtime understands it: try again, or not."""
    state, text = error.sqlstate or "", server_message(error)
    if is_connection_lost(error) or _UNREACHABLE.match(state):
        return ConnectionFailedError(f"{location}: {text}")
    if is_conflict(error):
        return ConnectionFailedError(
            f"{location}: another writer has held a lock for longer than the target's option 'lock_timeout': raise "
            f"it ('?lock_timeout=5m'), or run one job at a time: {text}"
        )
    if state.startswith("23"):
        return constraint_error(location, text)
    remedy = f"{_REMEDIES[state]}. PostgreSQL says: " if state in _REMEDIES else ""
    if state.startswith("22") or state in _TOO_LARGE:
        column = _COPIED.search(text)
        return RefusedValueError(f"{location}: {remedy}{text}", column[1] if column is not None else None)
    if remedy:
        return DestinationError(f"{location}: {remedy}{text}")
    return DestinationError(f"{location}: {text}")


def translate_connect_error(error: Error, location: str) -> DataSourceError:
    """An error of connecting as the runtime understands it. It has no SQLSTATE, so its text decides."""
    text = server_message(error)
    if _CREDENTIALS.search(text):
        return AuthenticationError(f"{location} refuses the user or password of the target: correct them: {text}")
    if _NO_RIGHT.search(text):
        return DestinationError(
            f"{location}: permission denied: grant the user of the target CONNECT on this database: {text}"
        )
    if _NO_SUCH_DATABASE.search(text):
        return ConfigurationError(f"{location}: the database does not exist: create it, or correct the target: {text}")
    if _WRONG.search(text):
        return ConfigurationError(f"{location}: libpq rejects the target's options: correct them: {text}")
    return ConnectionFailedError(f"{location} is unreachable: {text}")


def server_message(error: Error) -> str:
    """PostgreSQL's message, without the statement and the driver's own words around it."""
    text = str(error).partition("\n\nQuery was")[0]
    text = re.sub(r"\.? ?SQLSTATE: \w+\s*$", "", text)
    text = re.sub(r"^.*?(?:ERROR|FATAL|PANIC):\s+|^\w+: (?:\[libpq\] )?Failed to connect: ", "", text, flags=re.DOTALL)
    return one_line(text, longest=600)


# How values are written as text, whatever the settings of the server, database or user.
_SESSION = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "default_transaction_isolation": "read committed",
    "standard_conforming_strings": "on",
}
# Unchanged after a restart, and on a standby that has taken over.
_DATABASE_ID = "SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = current_database()"


class PostgresqlConnection(Database):
    """One session, used by one thread at a time. After it is lost, the next statement opens another."""

    driver_error = Error

    def __init__(self, url: PostgresqlUrl) -> None:
        self._url = url
        self.location = url.location
        self._connection: dbapi.Connection | None = None
        self._cursor: dbapi.Cursor | None = None
        self._database_id: tuple[object, ...] | None = None

    def open(self) -> None:
        """Connect.

        :raises AuthenticationError: the server refuses the user or password.
        :raises ConfigurationError: the database does not exist, or libpq does not know an option.
        :raises ConnectionFailedError: the server is unreachable.
        """
        if self._connection is not None:
            return
        try:
            # Statements begin and end the transactions themselves.
            self._connection = postgresql.connect(self._url.conninfo, autocommit=True)
        except Error as error:
            raise self._safe(translate_connect_error(error, self._url.location)) from None
        try:
            self._cursor = self._connection.cursor()
            # 0 would be no timeout at all.
            settings = {**_SESSION, "lock_timeout": str(max(1, round(self._url.lock_timeout * 1000)))}
            listed = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())
            self._cursor.execute(f"SELECT {listed}")
            self._cursor.fetchall()
            self._check_same_database(self._cursor)
        except Error as error:
            self._disconnect()
            raise self.translated(error) from error
        except DestinationError:
            self._disconnect()
            raise

    def databases(self) -> list[str]:
        """Names of the database that no other one has: its place, and the server's own identifier if the user may know
        it. Servers that are copies of one another have the same identifier."""
        if not self.execute("SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')")[0][0]:
            return [self.location]
        system = self.execute("SELECT system_identifier::text FROM pg_catalog.pg_control_system()")[0][0]
        return [self.location, f"postgresql:{system}/{self.execute(_DATABASE_ID)[0][0]}"]

    def _check_same_database(self, cursor: dbapi.Cursor) -> None:
        """A session stays in its database, so only a new session can be in another one."""
        cursor.execute(_DATABASE_ID)
        database_id = tuple(cursor.fetchall()[0])
        if self._database_id not in (None, database_id):
            raise DestinationError(
                f"{self._url.location} was replaced by another database during the run, and all commits of the run "
                "went into the old one. Run again to continue from the states that exist now"
            )
        self._database_id = database_id

    def close(self) -> None:
        """Idempotent."""
        self._disconnect()
        self._database_id = None

    def _disconnect(self) -> None:
        cursor, self._cursor = self._cursor, None
        connection, self._connection = self._connection, None
        for resource in (cursor, connection):
            if resource is not None:
                with suppress(Error):
                    resource.close()

    def run(self, work: Callable[[dbapi.Cursor], T]) -> T:
        """Call ``work`` with the cursor. A connection that is lost meanwhile is closed.

        :raises Error: the driver's own.
        """
        self.open()
        assert self._cursor is not None
        try:
            return work(self._cursor)
        except Error as error:
            if is_connection_lost(error):
                self._disconnect()
            raise

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        def execute(cursor: dbapi.Cursor) -> list[tuple[Any, ...]]:
            cursor.execute(sql, tuple(parameters) or None)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

        return self.run(execute)

    def rows_affected(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        if parameters:  # with them the driver counts no rows
            return len(self.execute(f"{sql} RETURNING 1", parameters))

        def execute(cursor: dbapi.Cursor) -> int:
            cursor.execute(sql)
            return int(cursor.rowcount)

        return self.run(execute)

    def copy(self, table: str, data: pa.Table, *, schema: str | None) -> None:
        """Append rows to a table of a schema, or to a temporary one, by COPY.

        The driver writes each Arrow type in one binary form, whatever the column's type: they must fit.
        """
        parameters: dict[str, Any] = {"temporary": True} if schema is None else {"db_schema_name": schema}
        self.run(lambda cursor: cursor.adbc_ingest(table, data, mode="append", **parameters))

    def transaction(self, work: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._url.lock_timeout
        while True:
            try:
                return self._attempt(work)
            except (Error, SerializationConflict) as error:
                conflict = isinstance(error, SerializationConflict) or is_conflict(error)
                if not conflict or time.monotonic() >= deadline:
                    raise
                log.debug("another writer was faster, trying again: %s", error)
                time.sleep(random.uniform(0.005, 0.05))

    def translated(self, error: Error) -> DataSourceError:
        return self._safe(translate_error(error, self._url.location))

    def _attempt(self, work: Callable[[], T]) -> T:
        self._begin()
        try:
            result = work()
            self.execute("COMMIT")
        except BaseException:
            if self._connection is not None:
                with suppress(Error):
                    self.execute("ROLLBACK")
            raise
        return result

    def _begin(self) -> None:
        try:
            self.execute("BEGIN")
        except Error:
            if self._connection is not None:
                raise
            self.execute("BEGIN")  # it was lost while idle, so nothing is lost with it

    def _safe(self, error: DataSourceError) -> DataSourceError:
        """The same error, without the secrets in its message."""
        error.args = (self._url.redacted(str(error)),)
        return error
