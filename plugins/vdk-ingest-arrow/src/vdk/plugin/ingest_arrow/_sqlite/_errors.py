"""SQLite's errors in words, and as what the runtime acts on (https://www.sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from vdk.plugin.datasource_base.contract import (
    ConnectionFailedError,
    DataSourceError,
    DestinationError,
)

from .._arrow_types import UnfitValueError
from .._sql._errors import constrained, first_bytes, forbidden, something_else

_MAGIC = b"SQLite format 3\0"
"""The first 16 bytes of a database (https://www.sqlite.org/fileformat2.html, section 1.3)."""

_FULL = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""A file that may not grow; the second is the index of a write-ahead log."""


def translated(error: sqlite3.Error, path: Path, lock_timeout: float) -> DataSourceError:
    """An SQLite error as the runtime understands it: try again, or not."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    text = f"{error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ConnectionFailedError(
            f"another process or connection uses {path}, and still does after {lock_timeout:g} s. End it or wait for "
            f"it; how long to wait is set by the target's option 'lock_timeout' ('?lock_timeout=5m'): {text}"
        )
    if code == sqlite3.SQLITE_FULL or getattr(error, "sqlite_errorcode", 0) in _FULL:
        return DestinationError(f"{path}: the disk is full, or the file may not grow: {text}")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return forbidden(path, text)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DestinationError(
            f"{path} is damaged: restore it from a copy, or recover what is readable with the command "
            f"'sqlite3 FILE .recover': {text}"
        )
    unfit = code in (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH) or "malformed JSON" in text
    if unfit or isinstance(error, sqlite3.DataError):
        return UnfitValueError(f"{path}: {text}")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return constrained(str(path), text)
    if code == sqlite3.SQLITE_IOERR:
        return ConnectionFailedError(f"{path}: {text}")
    return DestinationError(f"{path}: {text}")


def check_file(path: Path) -> None:
    """Raises an error for a file that is no SQLite database, unless there is none yet. An empty one is one."""
    if first_bytes(path, len(_MAGIC), "SQLite") not in (None, b"", _MAGIC):
        raise something_else(path, "is no SQLite database")
