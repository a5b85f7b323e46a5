"""Which file or folder a path leads to, so that a run notices when it comes to lead to another one."""

from __future__ import annotations

import os
from pathlib import Path

from vdk.plugin.datasource_base.contract import DestinationError

FileId = tuple[int, int]
"""Device and inode. An inode is not given to another file as long as somebody has the file open."""
_OWN_FILES = Path("/proc/self/fd")


def file_id(path: Path) -> FileId | None:
    """What the path leads to; None: to nothing."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DestinationError(f"{path} cannot be looked at: {error.strerror or error}") from error
    return status.st_dev, status.st_ino


def opened_id(path: Path) -> FileId:
    """The id of a file that this process has just opened.

    :raises DestinationError: the path leads to another file than the open one. DuckDB opens a file once for all
        connections of a process, also where it was deleted since the first of them.
    """
    found = file_id(path)
    if found is None or (_OWN_FILES.is_dir() and found not in _own_files()):
        raise DestinationError(
            f"{path} is not the file that this process has open by that name: it was moved, deleted or replaced. Close "
            "what has the old file open in this process, and run again"
        )
    return found


def check_same(path: Path, opened: FileId) -> None:
    """Raises ``DestinationError`` where the path has come to lead to another file or folder, or to none."""
    found = file_id(path)
    if found != opened:
        happened = "moved or deleted" if found is None else "replaced"
        raise DestinationError(
            f"{path} was {happened} while the run was at work: what the run has committed is in the old one. Put that "
            "back and run again, which goes on from its states; or run again without it, which goes on from the "
            "states that are found"
        )


class HeldFolder:
    """A folder that is held open, so that no other gets its inode."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._id = file_id(path)
        # Windows opens no folders; there an id is not given twice so soon.
        self._handle = os.open(path, os.O_RDONLY) if os.name == "posix" else None

    def check(self) -> None:
        """Raises ``DestinationError`` where the path has come to lead elsewhere."""
        if self._id is not None:
            check_same(self.path, self._id)

    def close(self) -> None:
        """Let go of it. Idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _own_files() -> set[FileId]:
    """The files that this process has open."""
    ids = set()
    for name in os.listdir(_OWN_FILES):
        try:
            status = os.stat(_OWN_FILES / name)
        except OSError:  # closed by now
            continue
        ids.add((status.st_dev, status.st_ino))
    return ids
