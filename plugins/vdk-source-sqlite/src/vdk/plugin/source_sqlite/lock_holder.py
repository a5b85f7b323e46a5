# SPDX-License-Identifier: Apache-2.0
"""Which process locks a database, as far as the system says."""

from __future__ import annotations

import os
from pathlib import Path

_LOCKS = Path("/proc/locks")
"""The locks of all processes, on Linux: see proc_locks(5)."""


def lock_holder(path: Path, locks: Path = _LOCKS) -> str:
    """The process that writes to a database, as ``process 4711 (python)``; ``another process`` if that is unknown.

    It is whoever has a lock of the kind that keeps readers out, on the file or on what SQLite keeps beside it.
    """
    try:
        files = {_file(name) for name in (path, path.with_name(f"{path.name}-shm")) if name.exists()}
        for line in locks.read_text("ascii").splitlines():
            _, kind, _, mode, pid, file, *_ = line.split()
            if kind == "POSIX" and mode == "WRITE" and file in files and int(pid) != os.getpid():
                return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text('utf-8', 'replace').strip()})"
    except (OSError, ValueError):  # another system, a process that has ended meanwhile, or one of another container
        pass
    return "another process"


def _file(path: Path) -> str:
    """A file as the list of locks names it: ``fe:00:16293972``, the device in hexadecimal and the inode."""
    status = path.stat()
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
