# SPDX-License-Identifier: Apache-2.0
"""Ends a tap whose run was killed: SIGKILL lets nobody clean up, and a tap that writes nothing would not notice."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress

_WAIT = 'read _; kill -9 "-$1"'


class Guard:
    """A shell that kills a group of processes once this process is gone, whose end of a pipe it reads.

    Nothing writes into the pipe. It is closed by this process, or by the system for it, and by nobody else: no other
    program inherits it. Where there are no groups of processes, or no shell, there is no guard.
    """

    def __init__(self, group: int) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if not hasattr(os, "killpg"):
            return
        with suppress(OSError):
            # a session of its own: what ends the group of this process does not end the guard
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _WAIT, "sh", str(group)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def end(self) -> None:
        """The group has ended, so its number may be given to others. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
