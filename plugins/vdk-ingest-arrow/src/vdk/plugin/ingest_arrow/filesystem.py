# SPDX-License-Identifier: Apache-2.0
"""Files and folders: errors with a remedy, and whether a path still leads to the same file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vdk.plugin.datasource_base.contract import ConfigurationError, DestinationError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
FileId = tuple[int, int]
"""Device and inode. An inode is not reused for another file as long as a process has the file open."""
_OPEN_FILES = Path("/proc/self/fd")


@contextmanager
def disk_errors(location: Path) -> Iterator[None]:
    """Raises ``DestinationError``, with a remedy, for an ``OSError``."""
    try:
        yield
    except OSError as error:
        path = error.filename or location
        if error.errno in _FULL:
            raise DestinationError(
                f"{location}: the disk is full: {error.strerror}. Nothing of this commit was kept: make room, and run "
                "again"
            ) from error
        if error.errno in _FORBIDDEN:
            raise DestinationError(
                f"{path}: permission denied ({error.strerror}): allow this user to read and write it, or name another "
                "target"
            ) from error
        raise DestinationError(f"{path}: {error.strerror or error}") from error


# Files that hold a database.


def read_header(path: Path, size: int, database: str) -> bytes | None:
    """The first bytes of a database's file; None where the file does not exist yet.

    :raises ConfigurationError: its folder does not exist, or the path is a folder.
    :raises DestinationError: it cannot be read.
    """
    try:
        if not path.parent.is_dir():
            raise ConfigurationError(f"the folder of {path} does not exist: create it, or correct the target")
        if path.is_dir():
            raise ConfigurationError(f"{path} is a folder: name a file for the {database} database")
        with path.open("rb") as file:
            return file.read(size)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DestinationError(f"{path} cannot be read: {error.strerror or error}") from error


def not_a_database(path: Path, problem: str) -> ConfigurationError:
    """The error of a file that is not a database."""
    return ConfigurationError(f"{path} {problem}: name another file, or remove this one; it was left as it is")


def permission_denied(path: Path, text: str) -> DestinationError:
    """The error of a file, or a folder, that is read-only or another user's; a retry would not change it."""
    return DestinationError(
        f"{path}: permission denied: this user must be able to write the file and, for the database's journal, its "
        f"folder. Grant both, or name another file: {text}"
    )


# Which file a path leads to.


def file_id(path: Path) -> FileId | None:
    """The file that the path leads to; None where it does not exist."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DestinationError(f"{path} cannot be read: {error.strerror or error}") from error
    return status.st_dev, status.st_ino


def opened_file_id(path: Path) -> FileId:
    """The id of a file that this process has just opened.

    :raises DestinationError: the path leads to another file than the open one. DuckDB opens a file once for all
        connections of a process, even if it was deleted since the first of them.
    """
    current = file_id(path)
    if current is None or (_OPEN_FILES.is_dir() and current not in _open_file_ids()):
        raise DestinationError(
            f"{path} is not the file that this process has open by that name: it was moved, deleted or replaced. Close "
            "the old file in this process, and run again"
        )
    return current


def check_same_file(path: Path, opened: FileId) -> None:
    """Raises ``DestinationError`` where the path now leads to another file or folder, or to none."""
    current = file_id(path)
    if current != opened:
        happened = "moved or deleted" if current is None else "replaced"
        raise DestinationError(
            f"{path} was {happened} during the run, and all commits of the run went into the old one. Put the old one "
            "back and run again to continue from its states; or run again without it to continue from the states that "
            "exist now"
        )


class OpenFolder:
    """A folder that is kept open, so that its inode is not reused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._id = file_id(path)
        # Windows opens no folders, and does not reuse an id that soon.
        self._handle = os.open(path, os.O_RDONLY) if os.name == "posix" else None

    def check(self) -> None:
        """Raises ``DestinationError`` where the path now leads elsewhere."""
        if self._id is not None:
            check_same_file(self.path, self._id)

    def close(self) -> None:
        """Idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _open_file_ids() -> set[FileId]:
    """The files that this process has open."""
    ids = set()
    for name in os.listdir(_OPEN_FILES):
        try:
            status = os.stat(_OPEN_FILES / name)
        except OSError:  # closed meanwhile
            continue
        ids.add((status.st_dev, status.st_ino))
    return ids
