"""A connection to a PostgreSQL server: statements, and transactions that are tried again where others were faster."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import pyarrow as pa
from adbc_driver_manager import Error, dbapi
from adbc_driver_postgresql import dbapi as postgresql

from vdk.plugin.datasource_base.contract import DataSourceError, DestinationError

from .._sql._database import Overtaken
from ._errors import is_lost, is_overtaken, refused, translated
from ._url import PostgresqlUrl

log = logging.getLogger(__name__)
T = TypeVar("T")

# How values are written as text, whatever the server, database or user is set to.
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
# The same after a restart, and on a standby that has taken over.
_DATABASE = "SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = current_database()"


class PostgresqlConnection:
    """One session, used by one thread at a time. After it was lost, the next statement makes another."""

    def __init__(self, url: PostgresqlUrl) -> None:
        self._url = url
        self._connection: dbapi.Connection | None = None
        self._cursor: dbapi.Cursor | None = None
        self._database: tuple[object, ...] | None = None

    def open(self) -> None:
        """Connect.

        :raises AuthenticationError: the server refuses the user or password.
        :raises ConfigurationError: there is no such database, or an option is none of libpq's.
        :raises ConnectionFailedError: the server is away.
        """
        if self._connection is not None:
            return
        try:
            # Statements begin and end the transactions themselves.
            self._connection = postgresql.connect(self._url.conninfo, autocommit=True)
        except Error as error:
            raise self._safe(refused(error, self._url.place)) from None
        try:
            self._cursor = self._connection.cursor()
            # 0 would be no timeout at all.
            settings = {**_SESSION, "lock_timeout": str(max(1, round(self._url.lock_timeout * 1000)))}
            listed = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in settings.items())
            self._cursor.execute(f"SELECT {listed}")
            self._cursor.fetchall()
            self._check_place(self._cursor)
        except Error as error:
            self._disconnect()
            raise self.safe(error) from error
        except DestinationError:
            self._disconnect()
            raise

    def _check_place(self, cursor: dbapi.Cursor) -> None:
        """A session stays in its database, so another can only come with another session."""
        cursor.execute(_DATABASE)
        found = tuple(cursor.fetchall()[0])
        if self._database not in (None, found):
            raise DestinationError(
                f"{self._url.place} was replaced by another one while the run was at work: what the run "
                "has committed went with the old one. Run again: it goes on from the states that are found there"
            )
        self._database = found

    def close(self) -> None:
        """Let go of the server. Idempotent."""
        self._disconnect()
        self._database = None

    def _disconnect(self) -> None:
        cursor, self._cursor = self._cursor, None
        connection, self._connection = self._connection, None
        for one in (cursor, connection):
            if one is not None:
                with suppress(Error):
                    one.close()

    def run(self, work: Callable[[dbapi.Cursor], T]) -> T:
        """Have ``work`` use the cursor. Afterwards a connection that was lost is closed.

        :raises Error: the driver's own.
        """
        self.open()
        assert self._cursor is not None
        try:
            return work(self._cursor)
        except Error as error:
            if is_lost(error):
                self._disconnect()
            raise

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""

        def execute(cursor: dbapi.Cursor) -> list[tuple[Any, ...]]:
            cursor.execute(sql, tuple(parameters) or None)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

        return self.run(execute)

    def changed(self, sql: str) -> int:
        """Run a statement without parameters and return how many rows it was for."""

        def execute(cursor: dbapi.Cursor) -> int:
            cursor.execute(sql)
            return int(cursor.rowcount)

        return self.run(execute)

    def copy(self, table: str, data: pa.Table, *, schema: str | None) -> None:
        """Append rows to a table of a schema, or to a temporary one, by COPY.

        The driver writes each Arrow type in one binary form and does not look at the column's type: they must fit.
        """
        place: dict[str, Any] = {"temporary": True} if schema is None else {"db_schema_name": schema}
        self.run(lambda cursor: cursor.adbc_ingest(table, data, mode="append", **place))

    def transaction(self, work: Callable[[], T]) -> T:
        """Run ``work`` in one transaction, again from its start where another was faster."""
        deadline = time.monotonic() + self._url.lock_timeout
        while True:
            try:
                return self._attempt(work)
            except (Error, Overtaken) as error:
                overtaken = isinstance(error, Overtaken) or is_overtaken(error)
                if not overtaken or time.monotonic() >= deadline:
                    raise
                log.debug("another writer was faster, trying again: %s", error)
                time.sleep(random.uniform(0.005, 0.05))

    def safe(self, error: Error) -> DataSourceError:
        """A driver's error as the runtime understands it, without secrets."""
        return self._safe(translated(error, self._url.place))

    def _attempt(self, work: Callable[[], T]) -> T:
        self._begin()
        try:
            result = work()
            self.rows("COMMIT")
        except BaseException:
            if self._connection is not None:
                with suppress(Error):
                    self.rows("ROLLBACK")
            raise
        return result

    def _begin(self) -> None:
        try:
            self.rows("BEGIN")
        except Error:
            if self._connection is not None:
                raise
            self.rows("BEGIN")  # it was lost while nobody used it, so nothing is lost with it

    def _safe(self, error: DataSourceError) -> DataSourceError:
        return type(error)(self._url.redacted(str(error)))
