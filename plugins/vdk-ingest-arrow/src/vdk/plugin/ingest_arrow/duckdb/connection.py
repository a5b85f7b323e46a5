# SPDX-License-Identifier: Apache-2.0
"""A connection to a DuckDB file: its locks, its checkpoints and its transactions."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from vdk.plugin.datasource_base.contract import (
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
    DestinationError,
)
from vdk.plugin.datasource_base.parts import quoted

from ..filesystem import FileId, check_same_file, disk_errors, opened_file_id
from ..sql.database import Database
from .errors import check_file, is_conflict, is_durable, is_out_of_memory, lock_holder, translate_error
from .memory import MIB, MemoryLimit

log = logging.getLogger(__name__)
T = TypeVar("T")


class FileLockPair:
    """The two locks that the connections of this process share for one file.

    :ivar writing: held by a transaction.
    :ivar opening: held while a connection opens or closes: two at once would be two databases in one file to DuckDB.
    """

    def __init__(self) -> None:
        self.writing = threading.Lock()
        self.opening = threading.Lock()


# Shared by all destinations of a process. DuckDB promises that connections may write concurrently, but eight that add
# and change columns of one table fail in about one of ten runs of DuckDB 2.0.0 with "Corrupted in-memory column … has
# misaligned count".
_FILE_LOCKS: weakref.WeakValueDictionary[str, FileLockPair] = weakref.WeakValueDictionary()
_FILE_LOCKS_GUARD = threading.Lock()


def _create_file(path: Path) -> None:
    """Create the file where it is missing, under another name that it is then renamed from.

    DuckDB creates it in steps: another process, or the next one after a kill, would find half a database.
    """
    if path.exists():
        return
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        duckdb.connect(str(aside)).close()
        with suppress(FileExistsError):  # another process was faster: its file is used
            os.link(aside, path)
    except OSError:
        # no hard links here: another process may create the file just before the rename, and lose an empty one
        if not path.exists():
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _locks_of(path: Path) -> FileLockPair:
    with _FILE_LOCKS_GUARD:
        return _FILE_LOCKS.setdefault(os.path.realpath(path), FileLockPair())


_NO_CHECKPOINTS = "SET GLOBAL checkpoint_threshold = '1TB'"
_LOG_SIZE = 16 * MIB
"""Bytes of the write-ahead log after which DuckDB checkpoints."""


_LARGE_BATCH = 64 * MIB


def _in_one_piece(table: pa.Table) -> pa.Table:
    """The table in one chunk, unless a copy of it would need much memory.

    DuckDB's threads share the chunks of a table among them, so that none has a whole row group: then all rows go
    through the write-ahead log, and are compressed by the checkpoint, at twice the processor time.
    """
    is_cut = any(column.num_chunks > 1 for column in table.columns)
    return table.combine_chunks() if is_cut and table.nbytes <= _LARGE_BATCH else table


class DuckDBConnection(Database):
    """One connection to one file, used by one thread at a time.

    It connects without a configuration and sets what it needs afterwards: DuckDB refuses a second
    connection of the same process whose configuration differs, and a job's SQL steps connect with none.
    """

    driver_error = duckdb.Error

    def __init__(self, path: Path, *, lock_timeout: float, memory_limit: str | None = None) -> None:
        self.path = path
        self.location = str(path)
        self._lock_timeout = lock_timeout
        self._memory = MemoryLimit(memory_limit)
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._file: FileId | None = None
        self._locks = _locks_of(path)
        self._registered = 0

    def exists(self) -> bool:
        return self.path.exists()

    def open(self) -> None:
        """Connect, after waiting up to the lock timeout for a process that has the file open.

        :raises ConfigurationError: the folder does not exist, or the file is something else.
        :raises ConnectionFailedError: another process still has it open.
        :raises DestinationError: it cannot be read and written.
        """
        if self._connection is not None:
            return
        if self._file is not None:  # after a fatal error, and before a new file is created
            check_same_file(self.path, self._file)
        check_file(self.path)
        deadline = time.monotonic() + self._lock_timeout
        waited = False
        while True:
            try:
                with self._locks.opening, disk_errors(self.path):
                    _create_file(self.path)
                    connection = duckdb.connect(str(self.path))
                break
            except duckdb.Error as error:
                holder = lock_holder(self.path, error)
                if holder is None:
                    raise translate_error(error, self.path) from error
                if time.monotonic() >= deadline:
                    raise ConnectionFailedError(
                        f"{holder}, still after {self._lock_timeout:g} s. End it, wait for it, or raise the target's "
                        "option 'lock_timeout' ('?lock_timeout=5m')",
                        waited=True,
                    ) from error
            if not waited:
                log.warning("%s: waiting up to %g s", holder, self._lock_timeout)
                waited = True
            time.sleep(random.uniform(0.05, 0.25))
        try:
            # The session's zone decides how zoned times are rendered. Extensions are never downloaded: those that are
            # needed are part of the library.
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")  # it is drawn on the standard output after 2 s
            connection.execute("SET GLOBAL autoinstall_known_extensions = false")
            connection.execute("SET GLOBAL autoload_known_extensions = false")
            connection.execute("SET GLOBAL memory_limit = ?", [str(self._memory)])
            if self._memory.has_large_rows:
                connection.execute(_NO_CHECKPOINTS)
            self._file = opened_file_id(self.path)
        except duckdb.Error as error:
            connection.close()
            raise ConfigurationError(f"DuckDB rejects the settings of {self.path}: {error}") from error
        except DestinationError:
            connection.close()
            raise
        self._connection = connection

    def close(self) -> None:
        """Write what is in the write-ahead log into the file, and close it. Idempotent."""
        self._disconnect()
        self._file = None
        self._memory.forget_rows()

    def _disconnect(self) -> None:
        if self._connection is None:
            return
        try:
            self._checkpoint(self._connection)
            if self._memory.has_large_rows:
                self._connection.execute("RESET GLOBAL checkpoint_threshold")
        except duckdb.Error as error:
            self._close()
            if not (is_out_of_memory(error) and self._memory.may_grow and self._carried_over()):
                # What was committed is safe in the log beside the file; the next one to open it carries it over.
                log.warning("%s keeps its write-ahead log: %s", self.path, error)
        finally:
            self._close()

    def _checkpoint(self, connection: duckdb.DuckDBPyConnection) -> None:
        if self._memory.make_room(self._memory.largest_batch):
            self._set_memory_limit()
        # Others of this process may be in a transaction of their own: then the last one to close does it.
        with self._locks.writing, suppress(duckdb.TransactionException):
            connection.execute("CHECKPOINT")

    def _carried_over(self) -> bool:
        """Whether DuckDB can carry the log over with as much memory as it takes by default."""
        try:
            with self._locks.opening:
                duckdb.connect(str(self.path)).close()
        except duckdb.Error:
            return False
        return True

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with self._locks.opening, suppress(duckdb.Error):
                connection.close()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self.open()
        assert self._connection is not None
        return self._connection.execute(sql, list(parameters)).fetchall()

    def rows_affected(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        return int(self.execute(sql, parameters)[0][0])

    def translated(self, error: duckdb.Error) -> DataSourceError:
        return translate_error(error, self.path)

    @contextmanager
    def arrow_views(self, tables: Sequence[pa.Table]) -> Iterator[list[str]]:
        """Arrow tables as relations to select from, by quoted name. Entered before the transaction."""
        if self._connection is None:
            self.open()
        assert self._connection is not None
        connection = self._connection
        self._expect(tables)
        names = []
        try:
            for table in tables:
                self._registered += 1
                names.append(f"_vdk_arrow_{self._registered}")
                try:
                    connection.register(names[-1], _in_one_piece(table))
                except duckdb.Error as error:
                    raise translate_error(error, self.path) from error
            yield [f"temp.main.{quoted(name)}" for name in names]
        finally:
            for name in names:
                with suppress(duckdb.Error):
                    connection.unregister(name)

    def transaction(self, work: Callable[[], T]) -> T:
        """See ``Database.transaction``. It also starts again with more memory, where DuckDB needs it."""
        deadline = time.monotonic() + self._lock_timeout
        while True:
            try:
                result = self._attempt(work)
                self._check_same_file()
                self._checkpoint_if_due()
                return result
            except duckdb.Error as error:
                if not self._can_start_again(error, deadline):
                    raise translate_error(error, self.path) from error

    def _can_start_again(self, error: duckdb.Error, deadline: float) -> bool:
        """Whether a failed transaction may succeed now: with more memory, or after a writer that was faster."""
        lost_race = isinstance(error, duckdb.TransactionException)
        if isinstance(error, duckdb.OutOfMemoryException) or (lost_race and is_out_of_memory(error)):
            return self._grow()
        # DuckDB refuses everything until the file is opened again, or its write-ahead log could not be written.
        if isinstance(error, duckdb.FatalException) or (lost_race and not is_conflict(error)):
            self._disconnect()
            return False
        if lost_race and time.monotonic() >= deadline:
            raise ConnectionFailedError(
                f"{self.path}: another writer of this process changes the same tables: raise the target's "
                f"option 'lock_timeout', or run one job at a time: {error}",
                waited=True,
            ) from error
        if lost_race:
            log.debug("another writer was faster, trying again: %s", error)
            time.sleep(random.uniform(0.005, 0.05))
        return lost_race

    def _check_same_file(self) -> None:
        """Called before a commit, so that nothing is written elsewhere, and after it, to be certain."""
        if self._file is not None:
            check_same_file(self.path, self._file)

    def _commit(self) -> None:
        try:
            self.execute("COMMIT")
        except duckdb.FatalException as error:
            if not is_durable(error):
                raise
            self._recover(error)

    def _expect(self, tables: Sequence[pa.Table]) -> None:
        """Make room for the large rows of tables. With them, checkpoints are made here, between transactions: one
        within a COMMIT would hold a batch in memory twice."""
        had_large_rows = self._memory.has_large_rows
        risen = self._memory.expect(tables)
        if self._memory.has_large_rows and not had_large_rows:
            self.execute(_NO_CHECKPOINTS)
        if risen:
            self._set_memory_limit()

    def _checkpoint_if_due(self) -> None:
        if not self._memory.has_large_rows or self._connection is None:
            return
        try:
            size = self.path.with_name(f"{self.path.name}.wal").stat().st_size
            if size >= max(_LOG_SIZE, self._memory.largest_batch * 3 // 2):
                self._checkpoint(self._connection)
        except OSError:  # no log
            return
        except duckdb.Error as error:
            self._recover(error)

    def _recover(self, error: duckdb.Error) -> None:
        """After a checkpoint that failed, DuckDB takes nothing until the file is opened again; the log has it all."""
        self._close()
        log.warning("%s is opened again, since its checkpoint failed: %s", self.path, translate_error(error, self.path))
        self._memory.double()

    def _grow(self) -> bool:
        """Allow DuckDB twice the memory. Returns whether it has more now."""
        if not self._memory.double():
            return False
        self._set_memory_limit()
        log.info("%s: DuckDB needs more memory for this table: its limit is now %s", self.path, self._memory)
        return True

    def _set_memory_limit(self) -> None:
        self.execute("SET GLOBAL memory_limit = ?", [str(self._memory)])

    def _attempt(self, work: Callable[[], T]) -> T:
        if not self._locks.writing.acquire(timeout=self._lock_timeout):
            raise ConnectionFailedError(
                f"{self.path}: another writer of this process has been writing for {self._lock_timeout:g} s: raise the "
                "target's option 'lock_timeout' ('?lock_timeout=5m')",
                waited=True,
            )
        try:
            self.execute("BEGIN TRANSACTION")
            try:
                self._check_same_file()
                result = work()
                self._commit()
            except BaseException:
                with suppress(duckdb.Error):  # a failed COMMIT has rolled back already
                    self.execute("ROLLBACK")
                raise
            return result
        finally:
            self._locks.writing.release()
