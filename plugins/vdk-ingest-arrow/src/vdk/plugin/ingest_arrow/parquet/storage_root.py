"""Table names as folder names: safe on every file system, and readable back.

A table is a folder of its name. What a file system, a glob or a reader of partitioned folders takes for something
else is written as in a URL (RFC 3986, section 2.1): ``a/b`` is the folder ``a%2Fb``, and ``urllib.parse.unquote`` gives
the name back.
"""

from __future__ import annotations

import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError, DestinationError
from vdk.plugin.datasource_base.parts import sync_folder

from ..target_identity import HeldFolder
from .commit_log import Change, Record
from .file_moves import DATA_FILE, Move, disk_errors

LONGEST = 255
"""Bytes in the name of a file: the limit of ext4, XFS, APFS and (in characters) NTFS."""

_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""What Windows keeps for devices, with any suffix (learn.microsoft.com, "Naming Files, Paths, and Namespaces")."""


def folder_name(table: str) -> str:
    """The folder of a table.

    :raises DestinationError: for a name that no folder can have, which is one that is empty, too long or no text.
    """
    if not table or "\0" in table:
        problem = "is empty" if not table else "has a NUL character in it"
        raise DestinationError(f"a table named {table!r} cannot be: the name {problem}")
    try:
        last = len(table) - 1
        name = "".join(
            letter if _is_safe(letter, first=index == 0, last=index == last) else _escaped(letter)
            for index, letter in enumerate(table)
        )
    except UnicodeEncodeError:
        raise DestinationError(f"a table named {table!r} cannot be: the name is no text that UTF-8 can write") from None
    if _DEVICE.fullmatch(name):
        name = _escaped(name[0]) + name[1:]
    if len(name.encode()) > LONGEST:
        raise DestinationError(
            f"table {table!r}: its folder would need a name of {len(name.encode())} bytes, and file systems take "
            f"{LONGEST}: give it a shorter one with destination_table"
        )
    return name


def folded(name: str) -> str:
    """Equal for the folder names that some file system takes for one: it ignores case, or composes accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _escaped(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode())


def _is_safe(letter: str, *, first: bool, last: bool) -> bool:
    """Letters, digits and accents of any script; ``_`` and ``.`` where they do not hide the folder from readers."""
    if letter in "_.":
        return not first and not (last and letter == ".")  # Windows drops a dot at the end
    if letter == " ":
        return not first and not last
    return letter == "-" or unicodedata.category(letter)[0] in "LNM"


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
            if self.root.is_dir() and any(DATA_FILE.fullmatch(path.name) for path in self.root.iterdir()):
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
