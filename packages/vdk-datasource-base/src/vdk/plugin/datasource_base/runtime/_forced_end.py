"""The end of a process that a signal has not ended in time."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading

LOCK_HELD = 0.5
"""Seconds that are added where the interpreter's lock is held, and no thread of Python's can end the process."""


def end_process_after(seconds: float, number: int) -> None:
    """End this process after so many seconds, whatever its threads wait for, with the exit code of a signal.

    It is one more kill: what was committed is there, and the next run goes on from it. Where a library holds the
    interpreter's lock, the exit code is 1, and the tracebacks on standard error show where.
    """
    with contextlib.suppress(Exception):  # a closed standard error, a system that is out of threads: the other may work
        faulthandler.dump_traceback_later(seconds + LOCK_HELD, exit=True, file=2)
    with contextlib.suppress(Exception):
        timer = threading.Timer(seconds, _end, (seconds, number))
        timer.daemon = True
        timer.start()


def _end(seconds: float, number: int) -> None:
    with contextlib.suppress(OSError):  # not by logging, whose handlers may be what hangs
        os.write(2, f"the process did not end within {seconds:g} s of signal {number}: it is ended now\n".encode())
    os._exit(128 + number)


def is_interactive() -> bool:
    """Whether a person works in this process (a notebook, a prompt), so that it goes on after a signal."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules
