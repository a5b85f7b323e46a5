# SPDX-License-Identifier: Apache-2.0
"""A connection to a DuckDB file: its lock, its memory, its transactions, and its errors as the runtime's."""

from __future__ import annotations

import logging
import os
import random
import re
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

from ..filesystem import (
    FileId,
    check_same_file,
    disk_errors,
    not_a_database,
    opened_file_id,
    permission_denied,
    read_header,
)
from ..sql.database import Database, constraint_error
from ..values import RefusedValueError

log = logging.getLogger(__name__)
T = TypeVar("T")

MIB = 1 << 20
_MAGIC = b"DUCK"
"""Bytes 8 to 12 of a DuckDB file (https://duckdb.org/docs/stable/internals/storage)."""
_HOLDER = re.compile(r"held in (.*?) ?\(PID (\d+)\)")
_REFUSED = re.compile(r"Permission denied|Operation not permitted|Read-only file system")
"""The system's messages for EACCES, EPERM and EROFS: a retry would not change them."""
_DISK = re.compile(r"Cannot open file|Could not (?:open|read|write|sync|truncate|remove|move)|fsync failed")
"""DuckDB wraps what the disk refuses within a COMMIT in the error of a lost race between transactions."""
_MEMORY = re.compile(r"failed to (?:pin|allocate) |could not allocate ")
_DURABLE = "COMMIT succeeded and is durable"
"""DuckDB's fatal error where the checkpoint after a COMMIT fails."""
_FULL = re.compile(r"No space left|Disk quota exceeded|File too large|disk is full", re.IGNORECASE)


def translate_error(error: duckdb.Error, path: Path) -> DataSourceError:
    """A DuckDB error as the runtime understands it: try again, or not."""
    text = str(error).strip().partition("\n\nStack Trace")[0]
    if is_full(error):
        return DestinationError(f"{path}: the disk is full, or the file may not grow: make room, and run again: {text}")
    if _REFUSED.search(text):
        return permission_denied(path, text)
    if is_out_of_memory(error):
        return DestinationError(
            f"{path}: DuckDB's memory limit is too small for this: raise the target's option 'memory_limit' "
            f"('?memory_limit=2GB'). DuckDB says: {text}"
        )
    if isinstance(error, duckdb.ConstraintException):
        return constraint_error(str(path), text)
    if isinstance(error, (duckdb.DataError, duckdb.InvalidInputException)):
        return RefusedValueError(f"{path}: {text}")
    if "an index depends on it" in text:
        return DestinationError(
            f"{path}: a column that has to change its type has an index, and DuckDB cannot change an indexed "
            f"column: drop the index, and create it again after the run. DuckDB says: {text}"
        )
    if isinstance(error, duckdb.TransactionException) or (
        isinstance(error, duckdb.IOException) and not isinstance(error, duckdb.FatalException)
    ):
        return ConnectionFailedError(f"{path}: {text}")
    return DestinationError(f"{path}: {text}")


def is_conflict(error: duckdb.TransactionException) -> bool:
    """Whether another writer was faster, so that a retry may succeed at once."""
    text = str(error)
    return not any(pattern.search(text) for pattern in (_REFUSED, _FULL, _DISK))


def is_out_of_memory(error: duckdb.Error) -> bool:
    """Whether the memory limit is too low; in a COMMIT or a checkpoint only the text says so."""
    return isinstance(error, duckdb.OutOfMemoryException) or _MEMORY.search(str(error)) is not None


def is_full(error: duckdb.Error) -> bool:
    """Whether nothing more can be written."""
    return _FULL.search(str(error)) is not None


def check_file(path: Path) -> None:
    """Raises ``ConfigurationError`` for a file that is not a DuckDB database; one that does not exist yet is fine."""
    head = read_header(path, 12, "DuckDB")
    # Checked here, because DuckDB would download an extension for files of other formats.
    if head is not None and head[8:12] != _MAGIC:
        raise not_a_database(path, "is not a DuckDB database" if head else "is empty")


def lock_holder(path: Path, error: duckdb.Error) -> str | None:
    """Who has the file open, as a clause; None where the error is another one."""
    text = str(error)
    if _REFUSED.search(text):
        return None
    if "Could not set lock" in text or "being used by another process" in text:
        if match := _HOLDER.search(text):
            return f"the process {match[2]} ({match[1]}) has {path} open"
        return f"another process has {path} open"
    if "different configuration" in text:
        return f"this process already has {path} open, read-only or with another configuration"
    return None


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


FIRST_LIMIT = 128
"""MiB that DuckDB may use to begin with. It fills what it is given with pages it may need again, so this is what
keeps memory flat however large the table. Hundreds of columns need more (256 KiB for each of a row group's
columns, at least), and get it when DuckDB says so. Large rows get it before: to write one row of a vector, in a commit
or a checkpoint, DuckDB pins the vector's other rows, and a checkpoint that fails invalidates the database."""
_LARGE_ROW = 16 * 1024
"""Bytes of a row above which a vector of them exceeds a quarter of ``FIRST_LIMIT``."""
_VECTOR = 2048
"""Rows of a vector (``STANDARD_VECTOR_SIZE``)."""
_SPARE = 32 * MIB
_NO_CHECKPOINTS = "SET GLOBAL checkpoint_threshold = '1TB'"
_LOG_SIZE = 16 * MIB
"""Bytes of the write-ahead log after which DuckDB checkpoints."""


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
        self._may_grow = memory_limit is None
        self._mebibytes = FIRST_LIMIT
        self._memory_limit = memory_limit or f"{FIRST_LIMIT}MiB"
        self._pinned = 0  # bytes of the large rows that one vector may hold
        self._largest = 0  # bytes of the largest batch of such rows
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._file: FileId | None = None
        self._locks = _locks_of(path)
        self._registered = 0

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
                        "option 'lock_timeout' ('?lock_timeout=5m')"
                    ) from error
            if not waited:
                log.info("%s: waiting up to %g s", holder, self._lock_timeout)
                waited = True
            time.sleep(random.uniform(0.05, 0.25))
        try:
            # The session's zone decides how zoned times are rendered. Extensions are never downloaded: those that are
            # needed are part of the library.
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")  # it is drawn on the standard output after 2 s
            connection.execute("SET GLOBAL autoinstall_known_extensions = false")
            connection.execute("SET GLOBAL autoload_known_extensions = false")
            connection.execute("SET GLOBAL memory_limit = ?", [self._memory_limit])
            if self._pinned:
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
        self._pinned = self._largest = 0

    def _disconnect(self) -> None:
        if self._connection is None:
            return
        try:
            self._checkpoint(self._connection)
            if self._pinned:
                self._connection.execute("RESET GLOBAL checkpoint_threshold")
        except duckdb.Error as error:
            self._close()
            if not (is_out_of_memory(error) and self._may_grow and self._carried_over()):
                # What was committed is safe in the log beside the file; the next one to open it carries it over.
                log.warning("%s keeps its write-ahead log: %s", self.path, error)
        finally:
            self._close()

    def _checkpoint(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._make_room(self._largest)
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
                    connection.register(names[-1], table)
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
            except duckdb.TransactionException as error:
                if is_out_of_memory(error):
                    if not self._grown():
                        raise translate_error(error, self.path) from error
                    continue
                if not is_conflict(error):  # the write-ahead log could not be written
                    self._disconnect()
                    raise translate_error(error, self.path) from error
                if time.monotonic() >= deadline:
                    raise ConnectionFailedError(
                        f"{self.path}: another writer of this process changes the same tables: raise the target's "
                        f"option 'lock_timeout', or run one job at a time: {error}"
                    ) from error
                log.debug("another writer was faster, trying again: %s", error)
                time.sleep(random.uniform(0.005, 0.05))
            except duckdb.OutOfMemoryException as error:
                if not self._grown():
                    raise translate_error(error, self.path) from error
            except duckdb.FatalException as error:
                self._disconnect()  # DuckDB refuses everything until the file is opened again
                raise translate_error(error, self.path) from error
            except duckdb.Error as error:
                raise translate_error(error, self.path) from error

    def _check_same_file(self) -> None:
        """Called before a commit, so that nothing is written elsewhere, and after it, to be certain."""
        if self._file is not None:
            check_same_file(self.path, self._file)

    def _commit(self) -> None:
        try:
            self.execute("COMMIT")
        except duckdb.FatalException as error:
            if _DURABLE not in str(error):
                raise
            self._recover(error)

    def _expect(self, tables: Sequence[pa.Table]) -> None:
        """Make room for the large rows of tables. With them, checkpoints are made here, between transactions: one
        within a COMMIT would hold a batch in memory twice."""
        for table in tables:
            row = table.nbytes // max(table.num_rows, 1)
            if row > _LARGE_ROW:
                if not self._pinned:
                    self.execute(_NO_CHECKPOINTS)
                self._largest = max(self._largest, table.nbytes)
                self._pinned = max(self._pinned, min(self._pinned + table.nbytes, row * _VECTOR))
        self._make_room()

    def _make_room(self, more: int = 0) -> None:
        """Raise the memory limit to what the vector of the large rows takes."""
        needed = (self._pinned + more + _SPARE) // MIB if self._pinned else 0
        if self._may_grow and needed > self._mebibytes:
            self._set_limit(min(needed, max(_half_of_memory(), self._mebibytes)))

    def _checkpoint_if_due(self) -> None:
        if not self._pinned or self._connection is None:
            return
        try:
            size = self.path.with_name(f"{self.path.name}.wal").stat().st_size
            if size >= max(_LOG_SIZE, self._largest * 3 // 2):
                self._checkpoint(self._connection)
        except OSError:  # no log
            return
        except duckdb.Error as error:
            self._recover(error)

    def _recover(self, error: duckdb.Error) -> None:
        """After a checkpoint that failed, DuckDB takes nothing until the file is opened again; the log has it all."""
        self._close()
        log.warning("%s is opened again, since its checkpoint failed: %s", self.path, translate_error(error, self.path))
        if self._may_grow and self._mebibytes * 2 <= _half_of_memory():
            self._mebibytes *= 2
            self._memory_limit = f"{self._mebibytes}MiB"

    def _grown(self) -> bool:
        """Allow DuckDB twice the memory, unless the user has set the limit or half of the machine's is used."""
        if not self._may_grow or self._mebibytes * 2 > _half_of_memory():
            return False
        self._set_limit(self._mebibytes * 2)
        log.info("%s: DuckDB needs more memory for this table: its limit is now %s", self.path, self._memory_limit)
        return True

    def _set_limit(self, mebibytes: int) -> None:
        self._mebibytes = mebibytes
        self._memory_limit = f"{mebibytes}MiB"
        self.execute("SET GLOBAL memory_limit = ?", [self._memory_limit])

    def _attempt(self, work: Callable[[], T]) -> T:
        if not self._locks.writing.acquire(timeout=self._lock_timeout):
            raise ConnectionFailedError(
                f"{self.path}: another writer of this process has been writing for {self._lock_timeout:g} s: raise the "
                "target's option 'lock_timeout' ('?lock_timeout=5m')"
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


def _half_of_memory() -> int:
    """MiB; 1024 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**21
    except (AttributeError, ValueError, OSError):
        return 1024
