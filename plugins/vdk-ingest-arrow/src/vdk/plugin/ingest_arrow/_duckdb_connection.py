"""A connection to a DuckDB file: opening it while others have it, transactions, and errors in words."""

from __future__ import annotations

import logging
import random
import re
import time
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

from ._sql import quoted

log = logging.getLogger(__name__)
T = TypeVar("T")

_MAGIC = b"DUCK"
"""Bytes 8 to 12 of a DuckDB file (https://duckdb.org/docs/stable/internals/storage)."""
_HOLDER = re.compile(r"held in (.*?) ?\(PID (\d+)\)")
_FULL = re.compile(r"No space left|Disk quota exceeded|File too large|disk is full", re.IGNORECASE)


class DuckDBConnection:
    """One connection to one file, used by one thread at a time.

    It connects without a configuration and sets what it needs afterwards: DuckDB refuses a second
    connection of the same process whose configuration differs, and a job's SQL steps connect with none.
    """

    def __init__(self, path: Path, *, lock_timeout: float, memory_limit: str) -> None:
        self.path = path
        self._lock_timeout = lock_timeout
        self._memory_limit = memory_limit
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._registered = 0

    def open(self) -> None:
        """Connect, waiting up to the lock timeout for a process that has the file open.

        :raises ConfigurationError: there is no such folder, or the file is something else.
        :raises ConnectionFailedError: another process still has it.
        :raises DestinationError: it may not be read and written.
        """
        if self._connection is not None:
            return
        _check_file(self.path)
        deadline = time.monotonic() + self._lock_timeout
        waited = False
        while True:
            try:
                connection = duckdb.connect(str(self.path))
                break
            except duckdb.Error as error:
                busy = _who_is_in_the_way(self.path, error)
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
            connection.execute("SET GLOBAL autoinstall_known_extensions = false")
            connection.execute("SET GLOBAL autoload_known_extensions = false")
            connection.execute("SET GLOBAL memory_limit = ?", [self._memory_limit])
        except duckdb.Error as error:
            connection.close()
            raise ConfigurationError(f"the DuckDB settings of {self.path} do not hold: {error}") from error
        self._connection = connection

    def close(self) -> None:
        """Write what is in the write-ahead log into the file, and let go of it. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            with suppress(duckdb.TransactionException):  # others of this process are writing: the last one does it
                connection.execute("CHECKPOINT")
        except duckdb.Error as error:
            # What was committed is safe in the log beside the file; the next one to open it carries it over.
            log.warning("%s keeps its write-ahead log: %s", self.path, error)
        finally:
            with suppress(duckdb.Error):
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
        """
        deadline = time.monotonic() + self._lock_timeout
        while True:
            try:
                return self._attempt(work)
            except duckdb.TransactionException as error:
                if time.monotonic() >= deadline:
                    raise ConnectionFailedError(
                        f"{self.path}: another writer of this process changes the same tables: {error}"
                    ) from error
                log.debug("another writer was faster, trying again: %s", error)
                time.sleep(random.uniform(0.005, 0.05))
            except duckdb.FatalException as error:
                self.close()  # DuckDB refuses everything until the file is opened anew
                raise translated(error, self.path) from error
            except duckdb.Error as error:
                raise translated(error, self.path) from error

    def _attempt(self, work: Callable[[], T]) -> T:
        self.rows("BEGIN TRANSACTION")
        try:
            result = work()
            self.rows("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # a failed COMMIT has rolled back already
                self.rows("ROLLBACK")
            raise
        return result


def translated(error: duckdb.Error, path: Path) -> DataSourceError:
    """A DuckDB error as the runtime understands it: try again, or not."""
    text = str(error).strip().partition("\n\nStack Trace")[0]
    if _FULL.search(text):
        return DestinationError(f"{path}: the disk is full, or the file may not grow: {text}")
    if "Permission denied" in text or "Read-only file system" in text:
        return DestinationError(f"{path} may not be written by this user: {text}")
    if isinstance(error, duckdb.OutOfMemoryException):
        return DestinationError(
            f"{path}: DuckDB's memory limit is too small for this: raise the target's option 'memory_limit' "
            f"('?memory_limit=2GB'). DuckDB says: {text}"
        )
    if isinstance(error, duckdb.ConstraintException):
        return DestinationError(
            f"{path}: a constraint or unique index that is not vdk-ingest-arrow's refuses the rows: {text}. "
            "Drop it, or have the rows fit it"
        )
    if isinstance(error, duckdb.TransactionException) or (
        isinstance(error, duckdb.IOException) and not isinstance(error, duckdb.FatalException)
    ):
        return ConnectionFailedError(f"{path}: {text}")
    return DestinationError(f"{path}: {text}")


def _check_file(path: Path) -> None:
    if not path.parent.is_dir():
        raise ConfigurationError(f"the folder of {path} does not exist: make it, or correct the target")
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder: the target names a DuckDB file")
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DestinationError(f"{path} cannot be read: {error.strerror or error}") from error
    # Looked at here, because DuckDB would go and download an extension for the files of others.
    if head[8:12] != _MAGIC:
        what = "is empty" if not head else "is no DuckDB database"
        raise ConfigurationError(f"{path} {what}: name another file, or remove this one; it was left as it is")


def _who_is_in_the_way(path: Path, error: duckdb.Error) -> str | None:
    """A sentence about who has the file open; None where that is not the error."""
    text = str(error)
    if "Could not set lock" in text or "being used by another process" in text:
        if match := _HOLDER.search(text):
            return f"the process {match[2]} ({match[1]}) has {path} open"
        return f"another process has {path} open"
    if "different configuration" in text:
        return f"this process has {path} open already, read-only or with a configuration of its own"
    return None
