# SPDX-License-Identifier: Apache-2.0
"""DuckDB's errors as the runtime's, and files that are not DuckDB's."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from vdk.plugin.datasource_base.contract import ConnectionFailedError, DataSourceError, DestinationError

from ..filesystem import not_a_database, permission_denied, read_header
from ..sql.database import constraint_error
from ..values import RefusedValueError

_MAGIC = b"DUCK"
"""Bytes 8 to 12 of a DuckDB file (https://duckdb.org/docs/stable/internals/storage)."""
_HOLDER = re.compile(r"held in (.*?) ?\(PID (\d+)\)")
_REFUSED = re.compile(r"Permission denied|Operation not permitted|Read-only file system")
"""The system's messages for EACCES, EPERM and EROFS: a retry would not change them."""
_DISK = re.compile(r"Cannot open file|Could not (?:open|read|write|sync|truncate|remove|move)|fsync failed")
"""DuckDB wraps what the disk refuses within a COMMIT in the error of a lost race between transactions."""
_MEMORY = re.compile(r"failed to (?:pin|allocate) |could not allocate ")
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


def is_conflict(error: duckdb.Error) -> bool:
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


def is_durable(error: duckdb.FatalException) -> bool:
    """Whether a COMMIT has succeeded, and the checkpoint after it has failed."""
    return "COMMIT succeeded and is durable" in str(error)
