# SPDX-License-Identifier: Apache-2.0
"""File moves: how committed files join their tables, and how a new folder replaces a table's.

A move may be made again after a kill: it does only what is left to do.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from vdk.plugin.datasource_base.parts import sync_folder

DATA_FILE = re.compile(r"part-\d{10}-[0-9a-f]{12}\.parquet")
"""The names of our data files; any other file in a table's folder is somebody else's and stays as it is."""
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""From Linux's fcntl.h and fs.h; see renameat2(2)."""


@dataclass(frozen=True, slots=True)
class Add:
    """A file that joins its table. Both paths are relative to the target's folder."""

    source: str
    to: str

    def make(self, root: Path) -> None:
        """Rename the file, unless that has been done: then it is not at its source any more."""
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

    :param source: the new folder. After an exchange it is the old one, so the new one is recognized by ``marker``.
    :param aside: where the old folder goes if the two cannot be exchanged in one step.
    :param marker: a file of the new folder.
    """

    source: str
    to: str
    aside: str
    marker: str

    def make(self, root: Path) -> None:
        """Put the new folder in place, move other people's files from the old one into it, and remove the old one."""
        new, table, aside = root / self.source, root / self.to, root / self.aside
        if (new / self.marker).exists():
            if not (table.exists() and exchange(new, table)):
                if table.exists():
                    _move_aside(table, aside)
                os.rename(new, table)
            sync_folder(root)
        for old in (new, aside):
            if old.exists():
                _move_other_files(old, table)
                shutil.rmtree(old)


Move = Add | Swap


def encoded(move: Move) -> dict[str, str]:
    """A move as the commit log stores it."""
    return {"kind": type(move).__name__.lower(), **asdict(move)}


def decoded(content: Mapping[str, str]) -> Move:
    """Raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything but a move within the target's folder."""
    parameters = {name: value for name, value in content.items() if name != "kind"}
    for value in parameters.values():
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{value!r} is outside of the target's folder")
    kinds: dict[str, type[Move]] = {"add": Add, "swap": Swap}
    return kinds[content["kind"]](**parameters)


def exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; False where the system or the file system cannot."""
    function = _renameat2()
    if function is None:
        return False
    if function(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(first), None, str(second))


@cache
def _renameat2() -> Any:
    """The C library's function, which Python does not wrap; None where it does not exist."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def _move_aside(table: Path, aside: Path) -> None:
    """If ``aside`` exists, this is the second try, and somebody has created the table's folder again meanwhile."""
    if aside.exists():
        _move_other_files(table, aside)
        shutil.rmtree(table)
    else:
        os.rename(table, aside)


def _move_other_files(old: Path, new: Path) -> None:
    """Move the files that are not ours."""
    for entry in sorted(old.iterdir()):
        if not DATA_FILE.fullmatch(entry.name) and not (new / entry.name).exists():
            new.mkdir(exist_ok=True)
            os.rename(entry, new / entry.name)
