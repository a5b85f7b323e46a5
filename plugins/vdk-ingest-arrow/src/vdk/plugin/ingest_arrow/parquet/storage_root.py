# SPDX-License-Identifier: Apache-2.0
"""The root folder of a Parquet target: its lock, its commits, and the folders for files that are not committed yet."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError, DestinationError
from vdk.plugin.datasource_base.parts import sync_folder

from ..filesystem import OpenFolder, disk_errors
from ..names import fold_folder_name
from .commit_log import Change, CommitLog
from .file_moves import DATA_FILE, Move

CONTROL = "_vdk"
"""Spark, pyarrow and others ignore folders that begin with an underscore."""


class StorageRoot:
    """A folder of tables, and the folder ``_vdk`` in it.

    :param lock_timeout: seconds to wait for another process that is committing.
    """

    def __init__(self, root: Path, *, lock_timeout: float) -> None:
        self.root = root
        self.control = root / CONTROL
        self.landing = self.control / "landing"
        self.staged = self.control / "staged"
        self._log = CommitLog(self.control / "commits.json", self.landing / "commits.json")
        self._lock_timeout = lock_timeout
        self._lock = FileLock(self.control / "lock", timeout=lock_timeout)
        self._open_folders: list[OpenFolder] = []

    def open(self) -> None:
        """Create the folder where it is missing, and finish what a kill has interrupted.

        :raises ConfigurationError: the folder is a file, or the folder of a table.
        :raises DestinationError: it cannot be written.
        """
        if self.root.exists() and not self.root.is_dir():
            raise ConfigurationError(f"{self.root} is a file, and a Parquet target is a folder: name a folder")
        with disk_errors(self.root):
            if self.root.is_dir() and any(DATA_FILE.fullmatch(path.name) for path in self.root.iterdir()):
                raise ConfigurationError(
                    f"{self.root} is the folder of one table, and a Parquet target contains tables: name its parent"
                )
        with self.locked():
            self._open_folders = self._open_folders or [OpenFolder(self.root), OpenFolder(self.control)]

    def close(self) -> None:
        """Idempotent."""
        folders, self._open_folders = self._open_folders, []
        for folder in folders:
            folder.close()

    def check_same(self) -> None:
        """Raises ``DestinationError`` where the folder is not the one that was opened."""
        for folder in self._open_folders:
            folder.check()

    def fold(self, folder: str) -> str:
        """Equal for folder names that the file system treats as one, once the target is open."""
        ignores_case = (self.root / CONTROL.upper()).exists()
        if ignores_case:
            return fold_folder_name(folder)
        return unicodedata.normalize("NFC", folder) if sys.platform == "darwin" else folder

    def commits(self) -> CommitLog:
        """What is committed. A commit is complete or does not exist, so reading needs no lock."""
        self._log.refresh()
        return self._log

    @contextmanager
    def locked(self) -> Iterator[CommitLog]:
        """Hold the lock: every earlier commit is finished, and the landing folder is empty.

        :raises ConnectionFailedError: another process holds the lock for longer than the lock timeout.
        :raises DestinationError: the folder is not the one that was opened, or cannot be written.
        """
        with disk_errors(self.root):
            self.check_same()
            if not self.control.exists():
                self.control.mkdir(parents=True, exist_ok=True)
                sync_folder(self.root.parent)
                sync_folder(self.root)
            try:
                self._lock.acquire()
            except Timeout:
                raise ConnectionFailedError(
                    f"{self.root}: another process has been committing for {self._lock_timeout:g} s. Wait for it, or "
                    "raise the target's option 'lock_timeout' ('?lock_timeout=5m')",
                    waited=True,
                ) from None
            except NotImplementedError as error:  # as filelock says it
                raise DestinationError(
                    f"{self.root}: its file system has no locks, which commits need: name a folder on another one"
                ) from error
            try:
                if self._log.refresh() and self._log.moves:
                    self._log.sync()
                self._make(self._log.moves)
                self._clear()
                yield self._log
            finally:
                self._lock.release()

    def commit(self, change: Change, moves: Sequence[Move]) -> None:
        """Write the commit, then make its moves. The moved files are synced already; their folders are synced here.

        :raises OSError: before the commit: nothing has changed.
        :raises DestinationError: after it: whoever opens the folder next makes the moves that are left.
        """
        for folder in {folder for move in moves for folder in self._folders(move)}:
            sync_folder(folder)
        self._log.commit(change, moves)
        try:
            self._make(moves)
        except OSError as error:
            raise DestinationError(
                f"{error.filename or self.root}: {error.strerror or error}. Rows and state are committed, but not all "
                "files are in their table yet: run again, which first moves the rest"
            ) from error
        self.check_same()

    def _folders(self, move: Move) -> list[Path]:
        """The folders that must be durable for the move to find its file after a power failure."""
        source = self.root / move.source
        inside = [source] if source.is_dir() else []
        return [*inside, *(folder for folder in source.parents if self.control in folder.parents)]

    def relative(self, path: Path) -> str:
        """A path, relative as in moves."""
        return path.relative_to(self.root).as_posix()

    def _make(self, moves: Sequence[Move]) -> None:
        for move in moves:
            move.make(self.root)

    def _clear(self) -> None:
        """Empty the landing folder: after the moves it holds only files of commits that were never written."""
        self.landing.mkdir(exist_ok=True)
        for entry in self.landing.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
