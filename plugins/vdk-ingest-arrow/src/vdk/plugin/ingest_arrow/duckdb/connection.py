"""DuckDB's errors in words, and as what the runtime acts on."""

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

from ..parquet.file_moves import disk_errors
from ..sql.database import constrained, first_bytes, forbidden, something_else
from ..sql.names import quoted
from ..target_identity import FileId, check_same, opened_id
from ..values import UnfitValueError

MIB = 1 << 20
_MAGIC = b"DUCK"
"""Bytes 8 to 12 of a DuckDB file (https://duckdb.org/docs/stable/internals/storage)."""
_HOLDER = re.compile(r"held in (.*?) ?\(PID (\d+)\)")
_REFUSED = re.compile(r"Permission denied|Operation not permitted|Read-only file system")
"""What the system says for EACCES, EPERM and EROFS: waiting for an hour would not change it."""
_DISK = re.compile(r"Cannot open file|Could not (?:open|read|write|sync|truncate|remove|move)|fsync failed")
"""DuckDB wraps what the disk refuses within a COMMIT in the error of a lost race between transactions."""
_MEMORY = re.compile(r"failed to (?:pin|allocate) |could not allocate ")
_DURABLE = "COMMIT succeeded and is durable"
"""DuckDB's fatal error where the checkpoint after a COMMIT fails."""
_FULL = re.compile(r"No space left|Disk quota exceeded|File too large|disk is full", re.IGNORECASE)


def translated(error: duckdb.Error, path: Path) -> DataSourceError:
    """A DuckDB error as the runtime understands it: try again, or not."""
    text = str(error).strip().partition("\n\nStack Trace")[0]
    if is_full(error):
        return DestinationError(f"{path}: the disk is full, or the file may not grow: {text}")
    if _REFUSED.search(text):
        return forbidden(path, text)
    if is_out_of_memory(error):
        return DestinationError(
            f"{path}: DuckDB's memory limit is too small for this: raise the target's option 'memory_limit' "
            f"('?memory_limit=2GB'). DuckDB says: {text}"
        )
    if isinstance(error, duckdb.ConstraintException):
        return constrained(str(path), text)
    if isinstance(error, (duckdb.DataError, duckdb.InvalidInputException)):
        return UnfitValueError(f"{path}: {text}")
    if "an index depends on it" in text:
        return DestinationError(
            f"{path}: a column that has to change its type has an index that is not vdk-ingest-arrow's, and DuckDB "
            f"changes no indexed column: drop the index, and make it again after the run. DuckDB says: {text}"
        )
    if isinstance(error, duckdb.TransactionException) or (
        isinstance(error, duckdb.IOException) and not isinstance(error, duckdb.FatalException)
    ):
        return ConnectionFailedError(f"{path}: {text}")
    return DestinationError(f"{path}: {text}")


def is_conflict(error: duckdb.TransactionException) -> bool:
    """Whether another writer was faster, so that trying again at once is worth it."""
    text = str(error)
    return not any(pattern.search(text) for pattern in (_REFUSED, _FULL, _DISK))


def is_out_of_memory(error: duckdb.Error) -> bool:
    """Whether the memory limit is too low; in a COMMIT or a checkpoint only the text says so."""
    return isinstance(error, duckdb.OutOfMemoryException) or _MEMORY.search(str(error)) is not None


def is_full(error: duckdb.Error) -> bool:
    """Whether nothing more can be written."""
    return _FULL.search(str(error)) is not None


def check_file(path: Path) -> None:
    """Raises an error for a file that DuckDB cannot open, unless there is none yet, or others have it open."""
    head = first_bytes(path, 12, "DuckDB")
    # Looked at here, because DuckDB would go and download an extension for the files of others.
    if head is not None and head[8:12] != _MAGIC:
        raise something_else(path, "is no DuckDB database" if head else "is empty")


def who_is_in_the_way(path: Path, error: duckdb.Error) -> str | None:
    """A sentence about who has the file open; None where that is not the error."""
    text = str(error)
    if _REFUSED.search(text):
        return None
    if "Could not set lock" in text or "being used by another process" in text:
        if match := _HOLDER.search(text):
            return f"the process {match[2]} ({match[1]}) has {path} open"
        return f"another process has {path} open"
    if "different configuration" in text:
        return f"this process has {path} open already, read-only or with a configuration of its own"
    return None


log = logging.getLogger(__name__)
T = TypeVar("T")


class _Turn:
    """Whose turn it is to write one file, among the connections of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # Held while one of them connects or lets go: at the same time DuckDB takes them for two databases in one file.
        self.opening = threading.Lock()


# The one thing shared by all destinations of a process. DuckDB promises that its connections may write at once, and
# mostly it is so; but eight that add and change columns of one table end, once in some ten runs of DuckDB 2.0.0, with
# "Corrupted in-memory column … has misaligned count".
_TURNS: weakref.WeakValueDictionary[str, _Turn] = weakref.WeakValueDictionary()
_TURNS_LOCK = threading.Lock()


def _make(path: Path) -> None:
    """Make the file where there is none, aside and then at once.

    DuckDB makes it in steps. Whoever looks in between, or after a kill, finds a file that is no database.
    """
    if path.exists():
        return
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        duckdb.connect(str(aside)).close()
        with suppress(FileExistsError):  # another was faster: that one is used
            os.link(aside, path)
    except OSError:
        # no hard links here: between the look and the rename another may come first, and lose nothing but an empty file
        if not path.exists():
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _turn_at(path: Path) -> _Turn:
    with _TURNS_LOCK:
        return _TURNS.setdefault(os.path.realpath(path), _Turn())


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


class DuckDBConnection:
    """One connection to one file, used by one thread at a time.

    It connects without a configuration and sets what it needs afterwards: DuckDB refuses a second
    connection of the same process whose configuration differs, and a job's SQL steps connect with none.
    """

    def __init__(self, path: Path, *, lock_timeout: float, memory_limit: str | None = None) -> None:
        self.path = path
        self._lock_timeout = lock_timeout
        self._may_grow = memory_limit is None
        self._mebibytes = FIRST_LIMIT
        self._memory_limit = memory_limit or f"{FIRST_LIMIT}MiB"
        self._pinned = 0  # bytes of the large rows that one vector may hold
        self._largest = 0  # bytes of the largest batch of such rows
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._file: FileId | None = None
        self._turn = _turn_at(path)
        self._registered = 0

    def open(self) -> None:
        """Connect, waiting up to the lock timeout for a process that has the file open.

        :raises ConfigurationError: there is no such folder, or the file is something else.
        :raises ConnectionFailedError: another process still has it.
        :raises DestinationError: it may not be read and written.
        """
        if self._connection is not None:
            return
        if self._file is not None:  # after a fatal error, and before a new file is made
            check_same(self.path, self._file)
        check_file(self.path)
        deadline = time.monotonic() + self._lock_timeout
        waited = False
        while True:
            try:
                with self._turn.opening, disk_errors(self.path):
                    _make(self.path)
                    connection = duckdb.connect(str(self.path))
                break
            except duckdb.Error as error:
                busy = who_is_in_the_way(self.path, error)
                if busy is None:
                    raise translated(error, self.path) from error
                if time.monotonic() >= deadline:
                    raise ConnectionFailedError(
                        f"{busy}, and still has it after {self._lock_timeout:g} s. End it or wait for it; how long to "
                        "wait is set by the target's option 'lock_timeout' ('?lock_timeout=5m')"
                    ) from error
            if not waited:
                log.info("%s: waiting up to %g s", busy, self._lock_timeout)
                waited = True
            time.sleep(random.uniform(0.05, 0.25))
        try:
            # The session's zone decides how zoned times are rendered. Extensions are never fetched: what is
            # needed here is part of the library.
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")  # it is drawn on the standard output after 2 s
            connection.execute("SET GLOBAL autoinstall_known_extensions = false")
            connection.execute("SET GLOBAL autoload_known_extensions = false")
            connection.execute("SET GLOBAL memory_limit = ?", [self._memory_limit])
            if self._pinned:
                connection.execute(_NO_CHECKPOINTS)
            self._file = opened_id(self.path)
        except duckdb.Error as error:
            connection.close()
            raise ConfigurationError(f"the DuckDB settings of {self.path} do not hold: {error}") from error
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
        with self._turn.lock, suppress(duckdb.TransactionException):
            connection.execute("CHECKPOINT")

    def _carried_over(self) -> bool:
        """Whether DuckDB can carry the log over with as much memory as it takes by default."""
        try:
            with self._turn.opening:
                duckdb.connect(str(self.path)).close()
        except duckdb.Error:
            return False
        return True

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with self._turn.opening, suppress(duckdb.Error):
                connection.close()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""
        if self._connection is None:
            self.open()
        assert self._connection is not None
        return self._connection.execute(sql, list(parameters)).fetchall()

    @contextmanager
    def arrow_views(self, tables: Sequence[pa.Table]) -> Iterator[list[str]]:
        """Arrow tables as relations to select from, by quoted name. Enter it before the transaction."""
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
                    raise translated(error, self.path) from error
            yield [f"temp.main.{quoted(name)}" for name in names]
        finally:
            for name in names:
                with suppress(duckdb.Error):
                    connection.unregister(name)

    def transaction(self, work: Callable[[], T]) -> T:
        """Run ``work`` in one transaction, again from its start where DuckDB says that another was faster.

        Everything ``work`` does must be in the database: what it keeps elsewhere is not undone.

        :raises ConnectionFailedError: still in conflict after the lock timeout.
        :raises DestinationError: the file is not the one that was opened, or DuckDB refuses the work.
        """
        deadline = time.monotonic() + self._lock_timeout
        while True:
            try:
                result = self._attempt(work, self._lock_timeout)
                self._check_place()
                self._checkpoint_if_due()
                return result
            except duckdb.TransactionException as error:
                if is_out_of_memory(error):
                    if not self._grown():
                        raise translated(error, self.path) from error
                    continue
                if not is_conflict(error):  # the write-ahead log could not be written
                    self._disconnect()
                    raise translated(error, self.path) from error
                if time.monotonic() >= deadline:
                    raise ConnectionFailedError(
                        f"{self.path}: another writer of this process changes the same tables: {error}"
                    ) from error
                log.debug("another writer was faster, trying again: %s", error)
                time.sleep(random.uniform(0.005, 0.05))
            except duckdb.OutOfMemoryException as error:
                if not self._grown():
                    raise translated(error, self.path) from error
            except duckdb.FatalException as error:
                self._disconnect()  # DuckDB refuses everything until the file is opened anew
                raise translated(error, self.path) from error
            except duckdb.Error as error:
                raise translated(error, self.path) from error

    def _check_place(self) -> None:
        """Before a commit, so that nothing is written elsewhere; and after it, so that it is certain."""
        if self._file is not None:
            check_same(self.path, self._file)

    def _commit(self) -> None:
        try:
            self.rows("COMMIT")
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
                    self.rows(_NO_CHECKPOINTS)
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
        log.warning("%s is opened again, since its checkpoint failed: %s", self.path, translated(error, self.path))
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
        self.rows("SET GLOBAL memory_limit = ?", [self._memory_limit])

    def _attempt(self, work: Callable[[], T], patience: float) -> T:
        if not self._turn.lock.acquire(timeout=patience):
            raise ConnectionFailedError(f"{self.path}: another writer of this process does not come to an end")
        try:
            self.rows("BEGIN TRANSACTION")
            try:
                self._check_place()
                result = work()
                self._commit()
            except BaseException:
                with suppress(duckdb.Error):  # a failed COMMIT has rolled back already
                    self.rows("ROLLBACK")
                raise
            return result
        finally:
            self._turn.lock.release()


def _half_of_memory() -> int:
    """MiB; 1024 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**21
    except (AttributeError, ValueError, OSError):
        return 1024
