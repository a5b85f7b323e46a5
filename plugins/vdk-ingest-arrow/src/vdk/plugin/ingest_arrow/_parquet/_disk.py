"""Writing files so that they are whole or not there: aside, synced, renamed; and folders exchanged at once."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from vdk.plugin.datasource_base.contract import DestinationError

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


def write_synced(path: Path, content: bytes) -> None:
    """Write a file so that it is on the disk when this returns."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make what was renamed in a folder durable; the systems that cannot sync a folder need not."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
