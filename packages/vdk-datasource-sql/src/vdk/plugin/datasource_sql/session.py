# SPDX-License-Identifier: Apache-2.0
"""One connection, one snapshot, and pages of the driver's rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Protocol

from sqlalchemy import Dialect

from vdk.plugin.datasource_base.contract import DataSourceError

from .connections import IdleConnections
from .expressions import CompiledStatement, Statement, compile_statement

Row = tuple[Any, ...]
NO_VALUES: Mapping[str, Any] = {}


class Connector(Protocol):
    """How a database is connected to. Picklable: without the connections that ``idle`` holds."""

    idle: IdleConnections | None = None
    """Where connections wait for the next session; None: each session makes its own."""

    @property
    @abstractmethod
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect of the driver, which statements are compiled for."""

    @abstractmethod
    def connect(self) -> Any:
        """A new connection (PEP 249) that cannot write and opens no transaction by itself.

        :raises ConfigurationError: if the database does not exist or refuses this user.
        :raises ConnectionFailedError: if it cannot be reached now.
        """

    @abstractmethod
    def begin(self, connection: Any) -> None:
        """Begin a transaction that reads one snapshot."""

    def cursor(self, connection: Any, *, streaming: bool) -> Any:
        """A cursor; ``streaming``: one that keeps no more than a page of its rows in memory."""
        return connection.cursor()

    @abstractmethod
    def translate(self, error: Exception) -> DataSourceError | None:
        """A driver's error as one of the contract's; None if it is not a driver's error."""

    def is_reusable(self, connection: Any) -> bool:
        """Whether a connection whose session has ended without an error is as good as a new one."""
        return False

    def tolerate(self, connection: Any, error: Exception) -> bool:
        """Whether a read that failed with ``error`` may be repeated, after the connection was changed to accept
        what it could not read. Such values then arrive in a form that does not convert."""
        return False


class SqlSession:
    """One connection, opened when it is first needed, used by one thread at a time, closed or left to the next session
    at the end of the ``with`` block.

    Statements are executed by the driver's own cursor: values go in and come out exactly as the database
    stores them.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._connection: Any = None
        self._holds_snapshot = False
        self._in_transaction = False
        self._statement: Statement | None = None
        self._compiled: CompiledStatement | None = None

    @property
    def connection(self) -> Any:
        """The driver's connection, in a transaction if a snapshot is held. Raises what ``Connector.connect`` raises."""
        connection = self._connected()
        if self._holds_snapshot and not self._in_transaction:
            with self.translated():
                self._connector.begin(connection)
            self._in_transaction = True
        return connection

    def _connected(self) -> Any:
        if self._connection is None:
            idle = self._connector.idle
            left = idle.take(self._connector.is_reusable) if idle is not None else None
            self._connection = self._connector.connect() if left is None else left
        return self._connection

    def __enter__(self) -> SqlSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None and not (kind is None and self._left_to_next()):
            self._connection.close()

    def _left_to_next(self) -> bool:
        idle, connector = self._connector.idle, self._connector
        if idle is None:
            return False
        with suppress(Exception):  # nothing of it is needed any more
            self.end()
            return connector.is_reusable(self._connection) and idle.keep(self._connection)
        return False

    def begin(self) -> None:
        """Hold a snapshot from the next statement on; nothing if one is held already. Connects."""
        self._connected()
        self._holds_snapshot = True

    def end(self) -> None:
        """Release the snapshot, so that writers do not wait."""
        self._holds_snapshot = False
        if self._in_transaction:
            self._in_transaction = False
            with self.translated():
                self._connection.rollback()

    def all(self, statement: Statement, values: Mapping[str, Any] = NO_VALUES) -> list[Row]:
        pages = self._pages(statement, lambda: 10_000, values, streaming=False, release=False)
        return [row for page in pages for row in page]

    def one(self, statement: Statement) -> Row:
        """The first row. Raises ``IndexError`` if there are none."""
        return self.all(statement)[0]

    def stream(self, statement: Statement, size: Callable[[], int], *, release: bool = True) -> Iterator[list[Row]]:
        """Pages of at most ``size()`` rows, none empty; the last is shorter, unless the rows end with a full one.

        ``release``: the snapshot is released as soon as the last row has arrived, before it is handed out.
        A read that was interrupted by a tolerated value is repeated up to the same row, which needs
        the snapshot to be held: see ``begin``.
        """
        return self._pages(statement, size, NO_VALUES, streaming=True, release=release)

    def _pages(
        self,
        statement: Statement,
        size: Callable[[], int],
        values: Mapping[str, Any],
        *,
        streaming: bool,
        release: bool,
    ) -> Iterator[list[Row]]:
        compiled = self._compile(statement)
        done = 0
        while True:
            cursor = self._connector.cursor(self.connection, streaming=streaming)
            try:
                with self.translated():
                    cursor.execute(compiled.sql, compiled.parameters(values))
                    self._skip(cursor, done)
                while rows := self._fetch(cursor, limit := size()):
                    done += len(rows)
                    if is_last := len(rows) < limit:
                        self._finish(cursor, release)
                    yield rows
                    if is_last:
                        return
                self._finish(cursor, release)
                return
            except Exception as error:
                if not self._connector.tolerate(self.connection, _origin(error)):
                    raise
            finally:
                cursor.close()

    def _compile(self, statement: Statement) -> CompiledStatement:
        """The statement compiled; once for all pages that it reads one after the other."""
        if self._compiled is None or statement is not self._statement:
            self._statement, self._compiled = statement, compile_statement(statement, self._connector.dialect)
        return self._compiled

    def _fetch(self, cursor: Any, size: int) -> list[Row]:
        with self.translated():
            rows: list[Row] = cursor.fetchmany(size)
            return rows

    def _finish(self, cursor: Any, release: bool) -> None:
        cursor.close()
        if release:
            self.end()

    def _skip(self, cursor: Any, count: int) -> None:
        while count > 0 and (rows := cursor.fetchmany(min(count, 10_000))):
            count -= len(rows)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise errors of the driver as errors of the contract."""
        try:
            yield
        except Exception as error:
            if (translated := self._connector.translate(error)) is None:
                raise
            raise translated from error


def _origin(error: Exception) -> Exception:
    """The driver's error that one of the contract's was raised from."""
    return error.__cause__ if isinstance(error.__cause__, Exception) else error
