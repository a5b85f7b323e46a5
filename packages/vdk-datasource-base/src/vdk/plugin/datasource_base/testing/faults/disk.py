# SPDX-License-Identifier: Apache-2.0
"""Full disks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Inside the block no file that this process writes may grow over ``size`` bytes: a write raises EFBIG.

    To a program it looks like a full disk, and every user of a POSIX system may set it (setrlimit(2), RLIMIT_FSIZE).
    The limit applies to the whole process, so use it in a child process.
    """
    import resource  # exists on POSIX systems only

    # Python ignores SIGXFSZ, which would otherwise end the process.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of ``size`` bytes in ``folder``, which becomes full (ENOSPC).

    :raises OSError: permission to mount a file system is denied (it needs Linux and the capability CAP_SYS_ADMIN). Use
    the
        message as the reason to skip a test.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        message = getattr(error, "stderr", "") or str(error)
        raise OSError(f"a small file system cannot be mounted: {message.strip()}") from error
    try:
        yield folder
    finally:
        # Lazily: a killed process may not have released it yet.
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
