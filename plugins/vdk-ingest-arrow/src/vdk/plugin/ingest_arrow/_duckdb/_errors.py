"""DuckDB's errors in words, and as what the runtime acts on."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from vdk.plugin.datasource_base.contract import (
    ConnectionFailedError,
    DataSourceError,
    DestinationError,
)

from .._arrow_types import UnfitValueError
from .._sql._errors import constrained, first_bytes, forbidden, something_else

_MAGIC = b"DUCK"
"""Bytes 8 to 12 of a DuckDB file (https://duckdb.org/docs/stable/internals/storage)."""
_HOLDER = re.compile(r"held in (.*?) ?\(PID (\d+)\)")
_REFUSED = re.compile(r"Permission denied|Operation not permitted|Read-only file system")
"""What the system says for EACCES, EPERM and EROFS: waiting for an hour would not change it."""
_DISK = re.compile(r"Cannot open file|Could not (?:open|read|write|sync|truncate|remove|move)|fsync failed")
"""DuckDB wraps what the disk refuses within a COMMIT in the error of a lost race between transactions."""
_FULL = re.compile(r"No space left|Disk quota exceeded|File too large|disk is full", re.IGNORECASE)


def translated(error: duckdb.Error, path: Path) -> DataSourceError:
    """A DuckDB error as the runtime understands it: try again, or not."""
    text = str(error).strip().partition("\n\nStack Trace")[0]
    if is_full(error):
        return DestinationError(f"{path}: the disk is full, or the file may not grow: {text}")
    if _REFUSED.search(text):
        return forbidden(path, text)
    if isinstance(error, duckdb.OutOfMemoryException):
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
    return not any(one.search(text) for one in (_REFUSED, _FULL, _DISK))


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
