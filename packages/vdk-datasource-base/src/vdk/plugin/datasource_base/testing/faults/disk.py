"""Disks that are full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file that this process writes may grow over ``size`` bytes meanwhile: a write says EFBIG.

    It is what a full disk is to a program, and works for everybody on every POSIX system (setrlimit(2),
    RLIMIT_FSIZE). It holds for the whole process, so use it in a child.
    """
    import resource  # of POSIX systems only

    # Python itself ignores SIGXFSZ, which would end the process instead.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of its own in ``folder``, of ``size`` bytes, that really is full (ENOSPC) at its end.

    :raises OSError: this user may not mount one (Linux, and the capability CAP_SYS_ADMIN); the message is a reason
        to skip a test.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise OSError(f"a small file system cannot be mounted here: {said.strip()}") from error
    try:
        yield folder
    finally:
        # lazily: a process that was killed may not have let go of it yet
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
