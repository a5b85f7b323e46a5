"""A connection to an SQLite file: settings, locks and transactions.

It is Python's own ``sqlite3``, though ADBC's driver loads rows in less time (measured: 1.7 s against 2.9 s for a
million rows of ten columns). That driver brings a second copy of SQLite into the process, and on POSIX two copies
break each other's locks: when one closes a file, the other's locks on it are gone, and a third may write into its
transaction (https://www.sqlite.org/howtocorrupt.html, section 2.2.1). A job's SQL steps, and a source that reads the
same file, use Python's copy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError, DestinationError

from .._opened import FileId, check_same, opened_id
from ._errors import check_file, translated
from ._types import CAST
from ._values import cast

T = TypeVar("T")
OLDEST = (3, 35)
"""UPDATE … FROM is of 3.33, RETURNING and DROP COLUMN of 3.35 (2021-03-12)."""
_SETTINGS = (
    # A commit that returned survives a power cut.
    "synchronous = FULL",
    # 32 MiB of pages, so that a batch is written once and not in pieces.
    "cache_size = -32768",
    # A table is renamed into the place of another: the views of that one are to stay as they are meanwhile.
    "legacy_alter_table = ON",
    "foreign_keys = OFF",
)
# The journal's mode is the file's own, and stays as it is: a person who has set it to WAL keeps that. A new file has
# a rollback journal: afterwards it is one file, and it works in shared folders, where WAL does not.


class SqliteConnection:
    """One connection to one file, used by one thread at a time."""

    def __init__(self, path: Path, *, lock_timeout: float) -> None:
        self._path = path
        self._lock_timeout = lock_timeout
        self._connection: sqlite3.Connection | None = None
        self._file: FileId | None = None

    def open(self) -> None:
        """Connect.

        :raises ConfigurationError: there is no such folder, or the file is something else.
        :raises ConnectionFailedError: another process still has it after the lock timeout.
        :raises DestinationError: it is damaged, or may not be read and written.
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
            self._file = opened_id(self._path)
        except sqlite3.Error as error:
            self.close()
            raise self.translated(error) from error
        except DestinationError:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        connection, self._connection = self._connection, None
        self._file = None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._opened().execute(sql, tuple(parameters))

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._opened().executemany(sql, rows)

    def transaction(self, work: Callable[[], T]) -> T:
        """Run ``work`` in one transaction, which is the only one that writes.

        :raises DestinationError: the file is not the one that was opened.
        """
        connection = self._opened()
        self._check_place()  # SQLite takes a file that was moved for one that may not be written
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite has undone it already where a disk is full
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            self._check_place()
            raise
        self._check_place()
        return result

    def translated(self, error: sqlite3.Error) -> DataSourceError:
        return translated(error, self._path, self._lock_timeout)

    def _check_place(self) -> None:
        """Before a commit, so that nothing is written elsewhere; and after it, so that it is certain."""
        if self._file is not None:
            check_same(self._path, self._file)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self.open()
        assert self._connection is not None
        return self._connection
