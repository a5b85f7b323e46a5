"""The folder of a target: its lock, its commit record, and the steps that make a commit one.

::

    lake/
        orders/part-….parquet     a table: what readers read, and nothing that is not committed
        _vdk/record.json          the states, and the moves of the last commit; renamed into place, which commits
        _vdk/record.json.….log    where the record is large: a line for each commit since; the record names it
        _vdk/lock                 held by the process that is committing; the system lets go of it when that dies
        _vdk/landing/             files that a commit is about to move; whatever is left there by a kill is removed
        _vdk/staged/              rows set aside until their state comes, a folder for each stream and partition
"""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError, DestinationError

from .._opened import HeldFolder
from ._disk import disk_errors, sync_folder
from ._moves import DATA_FILE, Move
from ._names import folded
from ._record import Change, Record

CONTROL = "_vdk"
"""Spark, pyarrow and others take no folder for data that begins with an underscore."""


class Lake:
    """A folder of tables.

    :param lock_timeout: seconds to wait for another process that is committing.
    """

    def __init__(self, root: Path, *, lock_timeout: float) -> None:
        self.root = root
        self.control = root / CONTROL
        self.landing = self.control / "landing"
        self.staged = self.control / "staged"
        self._record = Record(self.control / "record.json", self.landing / "record.json")
        self._lock_timeout = lock_timeout
        self._lock = FileLock(self.control / "lock", timeout=lock_timeout)
        self._held: list[HeldFolder] = []

    def open(self) -> None:
        """Make the folder where it is missing, and finish what a kill has interrupted.

        :raises ConfigurationError: the folder is a file, or the folder of a table.
        :raises DestinationError: it may not be written.
        """
        if self.root.exists() and not self.root.is_dir():
            raise ConfigurationError(f"{self.root} is a file, and a Parquet target is a folder: name another one")
        with disk_errors(self.root):
            if self.root.is_dir() and any(DATA_FILE.fullmatch(one.name) for one in self.root.iterdir()):
                raise ConfigurationError(
                    f"{self.root} is the folder of a table: a Parquet target is a folder of tables, name the one above"
                )
        with self.locked():
            self._held = self._held or [HeldFolder(self.root), HeldFolder(self.control)]

    def close(self) -> None:
        """Let go of the folder. Idempotent."""
        held, self._held = self._held, []
        for folder in held:
            folder.close()

    def check_place(self) -> None:
        """Raises ``DestinationError`` where the folder is not the one that was opened."""
        for folder in self._held:
            folder.check()

    def fold(self, folder: str) -> str:
        """Equal for the names of folders that are one to the file system, once the target is open."""
        ignores_case = (self.root / CONTROL.upper()).exists()
        if ignores_case:
            return folded(folder)
        return unicodedata.normalize("NFC", folder) if sys.platform == "darwin" else folder

    def record(self) -> Record:
        """What is committed. A commit is there whole or not at all, so no lock is needed to look."""
        self._record.refresh()
        return self._record

    @contextmanager
    def locked(self) -> Iterator[Record]:
        """Alone with the folder, every commit finished, and the landing place empty.

        :raises ConnectionFailedError: another process is committing and does not come to an end.
        :raises DestinationError: the folder is not the one that was opened, or may not be written.
        """
        with disk_errors(self.root):
            self.check_place()
            if not self.control.exists():
                self.control.mkdir(parents=True, exist_ok=True)
                sync_folder(self.root.parent)
                sync_folder(self.root)
            try:
                self._lock.acquire()
            except Timeout:
                raise ConnectionFailedError(
                    f"{self.root}: another process is committing, and still is after {self._lock_timeout:g} s; how "
                    "long to wait is set by the target's option 'lock_timeout' ('?lock_timeout=5m')"
                ) from None
            except NotImplementedError as error:
                raise DestinationError(
                    f"{self.root}: its file system has no locks, by which commits take turns: name a folder on another"
                ) from error
            try:
                if self._record.refresh() and self._record.moves:
                    self._record.synced()
                self._make(self._record.moves)
                self._clear()
                yield self._record
            finally:
                self._lock.release()

    def commit(self, change: Change, moves: Sequence[Move]) -> None:
        """Make the commit, then its moves. The files that move are synced by now; their folders are here.

        :raises OSError: before the commit: nothing has happened.
        :raises DestinationError: after it: the next to open the folder makes the moves that are left.
        """
        for folder in {folder for move in moves for folder in self._folders(move)}:
            sync_folder(folder)
        self._record.commit(change, moves)
        try:
            self._make(moves)
        except OSError as error:
            raise DestinationError(
                f"{error.filename or self.root}: {error.strerror or error}. Rows and state are committed, but not all "
                "files could be put in their place: start again, and the run begins by doing that"
            ) from error
        self.check_place()

    def _folders(self, move: Move) -> list[Path]:
        """What must be durable for the move to find its file after the power failed."""
        source = self.root / move.source
        inside = [source] if source.is_dir() else []
        return [*inside, *(folder for folder in source.parents if self.control in folder.parents)]

    def relative(self, path: Path) -> str:
        """A path as moves have it."""
        return path.relative_to(self.root).as_posix()

    def _make(self, moves: Sequence[Move]) -> None:
        for move in moves:
            move.make(self.root)

    def _clear(self) -> None:
        """Empty the landing place: what is there after the moves was written for a commit that never was."""
        self.landing.mkdir(exist_ok=True)
        for entry in self.landing.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
