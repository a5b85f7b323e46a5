# SPDX-License-Identifier: Apache-2.0
"""Opening a SQLite database read-only, and what SQLite does its own way."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import pysqlite

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError, DataSourceError
from vdk.plugin.datasource_base.parts import closest
from vdk.plugin.datasource_sql import (
    Backend,
    BulkReader,
    CursorInfo,
    Expression,
    SqlSession,
    TableInfo,
    TablePlan,
    TableQuery,
    bound,
)
from vdk.plugin.datasource_sql.cursors import CursorFormat
from vdk.plugin.datasource_sql.kinds import Kind, is_undecodable

from .bulk import bulk_reader
from .cursors import cursor_expression, cursor_info, is_of_format, past_format
from .declared_types import kind_of
from .lock_holder import lock_holder
from .mixed_formats import mixed_formats
from .reflection import reflect
from .repairs import decimals_of, misfit_remedy
from .sampling import check_keys, column_kinds

log = logging.getLogger(__name__)

_DIALECT = pysqlite.dialect()
SMALLEST = 512
"""Bytes of the smallest page."""
_LOCKED = ("locked", "busy")
_LOCK_SLICE = 1.0
"""Seconds that the library waits for a lock at a time, in which nothing else can happen."""
_NO_DATABASE = ("not a database", "malformed", "unsupported file format", "encrypted")
_NOT_READABLE = ("unable to open", "readonly", "disk i/o error", "authorization", "access permission")


def _is_locked(error: sqlite3.Error) -> bool:
    return any(sign in str(error).lower() for sign in _LOCKED)


def _is_database(path: Path) -> bool:
    """By its first bytes, which every SQLite file has."""
    try:
        if not path.is_file():  # opening a pipe waits for whoever writes to it
            return False
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


@dataclass(frozen=True)
class SqliteBackend(Backend):
    """One database file.

    :param path: absolute.
    :param lock_seconds: how long to wait for a writer.
    """

    reads_kinds: ClassVar[bool] = True
    path: Path
    lock_seconds: float = 30.0

    def identity(self) -> str:
        return f"sqlite:///{quote(os.fsencode(self.path), safe=' +/')}"

    def is_blank(self) -> bool:
        """Whether the file has no byte, as one that was made and never written to.

        An empty file is not opened: SQLite treats what lies beside an empty file as a remnant, and deletes it
        (``pagerOpenWalIfPresent`` in its pager.c), also where it may only read.

        :raises ConfigurationError: if the file is empty and a log beside it is not.
        """
        if not self.path.is_file() or (size := self.path.stat().st_size) >= SMALLEST:
            return False
        if size:
            raise ConfigurationError(
                f"{str(self.path)!r} is not a SQLite database: it has {size} bytes, and the smallest has {SMALLEST}. "
                "Check that database names the right file, and that it was copied whole"
            )
        for suffix in ("-wal", "-journal"):
            log = self.path.with_name(f"{self.path.name}{suffix}")
            if log.is_file() and log.stat().st_size:
                raise ConfigurationError(
                    f"the SQLite database {str(self.path)!r} has 0 bytes, and {log.name!r} beside it has "
                    f"{log.stat().st_size}: the database was emptied while its changes were still in there. Put the "
                    "database back from a copy; do not open it before, since SQLite deletes that file then"
                )
        return True

    @property
    def dialect(self) -> sa.Dialect:
        return _DIALECT

    def begin(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")

    def connect(self) -> sqlite3.Connection:
        if self.is_blank():
            raise ConfigurationError(f"the SQLite database {str(self.path)!r} has 0 bytes")
        if not self.path.is_file():
            raise ConfigurationError(f"database: {str(self.path)!r} {self._why_no_file()}")
        try:
            return self._opened()
        except Exception as error:
            if (translated := self.translate(error)) is not None:
                raise translated from error
            raise

    def _why_no_file(self) -> str:
        """And what to write instead: a database beside it with a similar name."""
        folder = self.path if self.path.is_dir() else self.path.parent
        names = [] if not folder.is_dir() else sorted(path.name for path in folder.iterdir() if _is_database(path))
        near = closest(self.path.name, names, limit=1) or names[:1]
        write = f'; write database = "{(folder / near[0]).as_posix()}"' if near else ""
        if self.path.is_dir():
            return f"is a folder, not an SQLite database{write or '; name the file in it'}"
        return (
            "does not exist (a relative path starts at the flow file's folder, or without one at the working "
            f"directory){write}"
        )

    @property
    def _uri(self) -> str:
        return f"file:{quote(os.fsencode(self.path))}?mode=ro"

    def _opened(self) -> sqlite3.Connection:
        # mode=ro neither creates nor writes. isolation_level None: a transaction begins at BEGIN and nowhere else.
        # A stream's iterator may be closed by another thread than read it; two never use it at once.
        connection = sqlite3.connect(
            self._uri, uri=True, timeout=_LOCK_SLICE, isolation_level=None, check_same_thread=False
        )
        try:
            self._wait_for_writers(connection)
            connection.execute(f"PRAGMA busy_timeout = {round(self.lock_seconds * 1000)}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _wait_for_writers(self, connection: sqlite3.Connection) -> None:
        """Read something once no process has the file locked. It waits in slices, so that a run can stop meanwhile."""
        deadline = time.monotonic() + self.lock_seconds
        waiting = False
        while True:
            remaining = max(deadline - time.monotonic(), 0)
            connection.execute(f"PRAGMA busy_timeout = {round(min(_LOCK_SLICE, remaining) * 1000)}")
            try:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                return
            except sqlite3.OperationalError as error:
                if not _is_locked(error) or time.monotonic() >= deadline:
                    raise
            if not waiting:
                waiting = True
                log.warning(
                    "the SQLite database %r is locked by %s: waiting up to %g s",
                    str(self.path), lock_holder(self.path), self.lock_seconds,
                )  # fmt: skip

    def tables(self, session: SqlSession) -> Sequence[TableInfo]:
        tables = reflect(session)
        self._check_whole(session)
        return tables

    def _check_whole(self, session: SqlSession) -> None:
        """Raises ``ConfigurationError`` for a file that ends within a page: SQLite reads zeros for what is missing."""
        ((page,),) = session.connection.execute("PRAGMA page_size")
        size = self.path.stat().st_size
        if size % page:
            raise ConfigurationError(
                f"the SQLite database {str(self.path)!r} is cut off: its {size} bytes are not whole pages "
                f"of {page}. Put it back from a whole copy"
            )

    def translate(self, error: Exception) -> DataSourceError | None:
        if not isinstance(error, sqlite3.Error):
            return None
        text = str(error)
        database = f"the SQLite database {str(self.path)!r}"
        if _is_locked(error):
            return ConnectionFailedError(
                f"{database} is locked by {lock_holder(self.path)}, still after {self.lock_seconds:g} s. End it, wait "
                'for it, or raise the source\'s option lock_timeout, as in lock_timeout = "5m"',
                waited=True,
            )
        if any(sign in text.lower() for sign in _NO_DATABASE):
            return ConfigurationError(
                f"{str(self.path)!r} is not a SQLite database, or is damaged or encrypted ({text})"
            )
        if "readonly" in text.lower() and self.path.with_name(f"{self.path.name}-journal").exists():
            return ConfigurationError(
                f"{database} was left in the middle of a change by a program that was killed ({text}). Open it once "
                "with a program that may write, which takes the change back; this source only reads"
            )
        if any(sign in text.lower() for sign in _NOT_READABLE):
            return ConfigurationError(
                f"{database} cannot be read ({text}). Check the permissions of the file; of a database in WAL mode "
                "also those of its folder and of the files that end in -wal and -shm"
            )
        return ConfigurationError(f"{database}: {text}")

    def tolerate(self, connection: sqlite3.Connection, error: Exception) -> bool:
        if connection.text_factory is not str or "decode to utf-8" not in str(error).lower():
            return False
        connection.text_factory = _undecodable
        return True

    def kinds(self, session: SqlSession, query: TableQuery) -> dict[str, Kind]:
        return column_kinds(session, query)

    def kind(self, declared: str, sample: Sequence[Any]) -> Kind:
        return kind_of(declared, sample)

    def check_plan(self, plan: TablePlan) -> None:
        decimals_of(plan)

    def misfit(self, plan: TablePlan, name: str, kind: Kind, value: Any) -> str:
        return misfit_remedy(plan, name, kind, value) or super().misfit(plan, name, kind, value)

    def cursor_expression(self, column: Expression, declared: str, cursor_format: str) -> Expression:
        return cursor_expression(column, cursor_format)

    def bulk_reader(self, query: TableQuery, kinds: Mapping[str, Kind]) -> BulkReader | None:
        return bulk_reader(query, kinds, self._uri, self.lock_seconds)

    def check_keys(self, session: SqlSession, query: TableQuery, kinds: Mapping[str, Kind]) -> None:
        check_keys(session, query, kinds)

    def bound(self, value: Any) -> Expression:
        if is_undecodable(value):  # the driver cannot bind it as text
            return sa.cast(bound(value.encode("utf-8", "surrogateescape")), sa.Text)
        return bound(value)

    def exact(self, column: Expression) -> Expression:
        return column.collate("BINARY")

    def collated(self, column: Expression, collation: str | None) -> Expression:
        return column if collation is None else column.collate(collation)

    def cursor_info(self, session: SqlSession, query: TableQuery, known: str | None) -> CursorInfo:
        return cursor_info(session, query, known)

    def known_format(self, session: SqlSession, query: TableQuery, known: str) -> CursorFormat | None:
        return cursor_info(session, query, known).format

    def past_format(self, query: TableQuery, tag: str | None) -> CursorFormat | None:
        return past_format(tag or "", query.plan.zone if query.plan.cursor_format == "auto" else "UTC")

    def is_of_format(self, query: TableQuery, cursor_format: CursorFormat) -> Expression:
        return is_of_format(query.cursor, cursor_format)

    def cursor_error(self, session: SqlSession, query: TableQuery) -> ConfigurationError:
        return mixed_formats(session, query)


def _undecodable(data: bytes) -> str:
    """Text that is not UTF-8 keeps its bytes as lone surrogates: no column accepts it, and the error shows it."""
    return data.decode("utf-8", "surrogateescape")
