# SPDX-License-Identifier: Apache-2.0
"""A connection to an SQLite file: its settings, its transactions, and its errors as the runtime's.

For the error codes see https://www.sqlite.org/rescode.html.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from vdk.plugin.datasource_base.contract import (
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DestinationError,
)

from ..filesystem import FileId, check_same_file, not_a_database, opened_file_id, permission_denied, read_header
from ..sql.database import Database, constraint_error
from ..values import RefusedValueError
from .values import CAST, cast

T = TypeVar("T")
OLDEST = (3, 35)
"""UPDATE … FROM came with 3.33, RETURNING and DROP COLUMN with 3.35 (2021-03-12)."""
_SETTINGS = (
    # A commit that returned survives a power cut.
    "synchronous = FULL",
    # 32 MiB of pages, so that a batch is written once and not in pieces.
    "cache_size = -32768",
    # When a table takes the place of another, the views of that one must not be rewritten.
    "legacy_alter_table = ON",
    "foreign_keys = OFF",
)
# The journal mode belongs to the file and is not changed, so WAL stays WAL. A new file has a rollback journal: it is a
# single file after the run, and works in shared folders, where WAL does not.

_MAGIC = b"SQLite format 3\0"
"""The first 16 bytes of a database (https://www.sqlite.org/fileformat2.html, section 1.3)."""

_FULL = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""A file that may not grow; the second is the index of a write-ahead log."""


def translate_error(error: sqlite3.Error, path: Path, lock_timeout: float) -> DataSourceError:
    """An SQLite error as the runtime understands it: try again, or not."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    text = f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ConnectionFailedError(
            f"another process or connection uses {path}, still after {lock_timeout:g} s. End it, wait for it, or raise "
            f"the target's option 'lock_timeout' ('?lock_timeout=5m'): {text}",
            waited=True,
        )
    if code == sqlite3.SQLITE_FULL or getattr(error, "sqlite_errorcode", 0) in _FULL:
        return DestinationError(f"{path}: the disk is full, or the file may not grow: make room, and run again: {text}")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return permission_denied(path, text)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DestinationError(
            f"{path} is damaged: restore it from a copy, or recover what is readable with the command "
            f"'sqlite3 FILE .recover': {text}"
        )
    unfit = code in (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH) or "malformed JSON" in text
    if unfit or isinstance(error, sqlite3.DataError):
        return RefusedValueError(f"{path}: {text}")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return constraint_error(str(path), text)
    if code == sqlite3.SQLITE_IOERR:
        return ConnectionFailedError(f"{path}: {text}")
    return DestinationError(f"{path}: {text}")


def check_file(path: Path) -> None:
    """Raises ``ConfigurationError`` for a file that is not an SQLite database. An empty one is, and a missing one."""
    if read_header(path, len(_MAGIC), "SQLite") not in (None, b"", _MAGIC):
        raise not_a_database(path, "is not an SQLite database")


class SqliteConnection(Database):
    """One connection to one file, used by one thread at a time."""

    driver_error = sqlite3.Error

    def __init__(self, path: Path, *, lock_timeout: float) -> None:
        self._path = path
        self.location = str(path)
        self._lock_timeout = lock_timeout
        self._connection: sqlite3.Connection | None = None
        self._file: FileId | None = None

    def exists(self) -> bool:
        return self._path.exists()

    def open(self) -> None:
        """Connect.

        :raises ConfigurationError: the folder does not exist, or the file is something else.
        :raises ConnectionFailedError: another process still has it locked after the lock timeout.
        :raises DestinationError: it is damaged, or cannot be read and written.
        """
        if self._connection is not None:
            return
        if sqlite3.sqlite_version_info < OLDEST:
            raise ConfigurationError(
                f"this Python has SQLite {sqlite3.sqlite_version}, and sqlite:// targets need "
                f"{'.'.join(map(str, OLDEST))} or later: use a newer Python or system"
            )
        check_file(self._path)
        try:
            connection = sqlite3.connect(
                self._path, timeout=self._lock_timeout, isolation_level=None, check_same_thread=False
            )
            self._connection = connection
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}")
            connection.create_function(CAST, 3, cast, deterministic=True)
            # Reads the file's first page, and takes the lock that writing takes.
            self.transaction(lambda: None)
            self._file = opened_file_id(self._path)
        except sqlite3.Error as error:
            self.close()
            raise self.translated(error) from error
        except DestinationError:
            self.close()
            raise

    def close(self) -> None:
        """Idempotent."""
        connection, self._connection = self._connection, None
        self._file = None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._opened().execute(sql, tuple(parameters)).fetchall()

    def rows_affected(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        return self._opened().execute(sql, tuple(parameters)).rowcount

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._opened().executemany(sql, rows)

    def transaction(self, work: Callable[[], T]) -> T:
        """See ``Database.transaction``. It is the only one that writes, so no other is faster."""
        connection = self._opened()
        self._check_same_file()  # a moved file is read-only to SQLite
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite has rolled back already where the disk is full
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            self._check_same_file()
            raise
        self._check_same_file()
        return result

    def translated(self, error: sqlite3.Error) -> DataSourceError:
        return translate_error(error, self._path, self._lock_timeout)

    def _check_same_file(self) -> None:
        """Called before a commit, so that nothing is written elsewhere, and after it, to be certain."""
        if self._file is not None:
            check_same_file(self._path, self._file)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self.open()
        assert self._connection is not None
        return self._connection
