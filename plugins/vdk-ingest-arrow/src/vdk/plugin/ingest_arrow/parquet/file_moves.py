"""Writing files so that they are whole or not there: aside, synced, renamed; and folders exchanged at once."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import sync_folder

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""From Linux's fcntl.h and fs.h; see renameat2(2)."""


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Raises ``DestinationError`` for an ``OSError``, saying what to do about it."""
    try:
        yield
    except OSError as error:
        path = error.filename or where
        if error.errno in _FULL:
            raise DestinationError(
                f"{where}: the disk is full: {error.strerror}. Nothing of this commit was kept: make room, start again"
            ) from error
        if error.errno in _FORBIDDEN:
            raise DestinationError(f"{path} may not be read and written: {error.strerror}") from error
        raise DestinationError(f"{path}: {error.strerror or error}") from error


def exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system or the file system cannot."""
    function = _renameat2()
    if function is None:
        return False
    if function(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


@cache
def _renameat2() -> Any:
    """The C library's function; Python has none for it. None where there is no such function."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


DATA_FILE = re.compile(r"part-\d{10}-[0-9a-f]{12}\.parquet")
"""Our data files, by name; any other file in a table's folder is somebody else's and is let alone."""


@dataclass(frozen=True, slots=True)
class Add:
    """A file that joins its table. Both paths are relative to the folder of the target."""

    source: str
    to: str

    def make(self, root: Path) -> None:
        """Rename it, unless that was done: then it is not where it came from."""
        file, to = root / self.source, root / self.to
        if not file.exists():
            return
        if not to.parent.exists():
            to.parent.mkdir()
            sync_folder(root)
        os.replace(file, to)
        sync_folder(to.parent)


@dataclass(frozen=True, slots=True)
class Swap:
    """A folder that takes the place of a table's.

    :param source: the new one. On the way it may become the old one, so what is new is known by ``marker``.
    :param aside: where the old one goes, where folders cannot be exchanged in one step.
    :param marker: a file of the new folder.
    """

    source: str
    to: str
    aside: str
    marker: str

    def make(self, root: Path) -> None:
        """Put the new folder in place, hand it what is not ours of the old one, and remove that."""
        new, table, aside = root / self.source, root / self.to, root / self.aside
        if (new / self.marker).exists():
            if not (table.exists() and exchange(new, table)):
                if table.exists():
                    _move_away(table, aside)
                os.rename(new, table)
            sync_folder(root)
        for old in (new, aside):
            if old.exists():
                _hand_over(old, table)
                shutil.rmtree(old)


Move = Add | Swap


def _move_away(table: Path, aside: Path) -> None:
    """There may be something there: then this is the second try, and a person has made the table's folder anew."""
    if aside.exists():
        _hand_over(table, aside)
        shutil.rmtree(table)
    else:
        os.rename(table, aside)


def _hand_over(old: Path, new: Path) -> None:
    """Move what is not ours."""
    for entry in sorted(old.iterdir()):
        if not DATA_FILE.fullmatch(entry.name) and not (new / entry.name).exists():
            new.mkdir(exist_ok=True)
            os.rename(entry, new / entry.name)


def encoded(move: Move) -> dict[str, str]:
    return {"kind": type(move).__name__.lower(), **asdict(move)}


def decoded(content: Mapping[str, str]) -> Move:
    """Raises ``KeyError``, ``TypeError`` or ``ValueError`` for what is no move within the target's folder."""
    rest = {name: value for name, value in content.items() if name != "kind"}
    for value in rest.values():
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{value!r} leads out of the folder")
    kinds: dict[str, type[Move]] = {"add": Add, "swap": Swap}
    return kinds[content["kind"]](**rest)
