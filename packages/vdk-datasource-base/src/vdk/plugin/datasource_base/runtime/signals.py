"""What the system does with a signal, below what Python's ``signal`` module can set."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import faulthandler
import logging
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import byref, c_char, c_int, c_uint, c_void_p
from typing import Any

SA_RESETHAND = 0x80000000  # <bits/sigaction.h>


class _SigAction(ctypes.Structure):
    """``struct sigaction`` of glibc and musl on the machines below (others order its members differently)."""

    _fields_ = (("handler", c_void_p), ("mask", c_char * 128), ("flags", c_uint), ("restorer", c_void_p))


def reset_on_delivery(number: int) -> bool:
    """Let the system restore the default action of a signal once it has delivered it to its present handler.

    Python runs handlers in the main thread, between two steps of the interpreter. While a library holds the
    interpreter's lock none runs, and no number of signals would end the process. With this flag (POSIX, sigaction) the
    second one ends it. False: it cannot be set here, and Python's handler has to restore the action itself.
    """
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return False
    try:
        sigaction = ctypes.CDLL(None).sigaction
    except (OSError, AttributeError):
        return False
    sigaction.argtypes, sigaction.restype = (c_int, c_void_p, c_void_p), c_int
    action = _SigAction()
    if sigaction(number, None, byref(action)):
        return False
    action.flags |= SA_RESETHAND
    return not sigaction(number, byref(action), None)


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


log = logging.getLogger(__name__)

SEND_AFTER = 0.05
"""Seconds for the main thread to leave the callback in which a signal was lost."""


@contextmanager
def signals_raise(end_within: float | None = None) -> Iterator[None]:
    """In the main thread, the first Ctrl-C or SIGTERM raises, ``KeyboardInterrupt`` or ``SystemExit(143)``, and a
    second one ends the process at once, as it would without us.

    Other threads get no signals, and a program that handles a signal its own way, or ignores it (``nohup``), goes on
    doing so.

    :param end_within: seconds after the first signal by which the process has ended, whatever hangs. None: the program
        goes on after the run.
    """
    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    main = threading.current_thread() is threading.main_thread()
    replaced = [one for one, default in usual.items() if main and signal.getsignal(one) is default]
    handler = _Handler(replaced, end_within)
    hook = sys.unraisablehook
    try:
        if replaced:
            sys.unraisablehook = handler.unraisable
        for one in replaced:
            handler.handle(one)
        yield
    finally:
        try:
            handler.wait_until_sent()
        finally:
            for one in replaced:
                signal.signal(one, usual[one])
            if sys.unraisablehook == handler.unraisable:
                sys.unraisablehook = hook


class _Handler:
    """Handles the first signal, and restores the default action of all for the second."""

    def __init__(self, handled: Sequence[int], end_within: float | None) -> None:
        self._handled = handled
        self._end_within = end_within
        self._number = 0
        self._raised: BaseException | None = None
        self._hook = sys.unraisablehook
        self._sending = _thread.allocate_lock()

    def handle(self, number: int) -> None:
        signal.signal(number, self)
        reset_on_delivery(number)

    def __call__(self, number: int, frame: object) -> None:
        for one in self._handled:
            signal.signal(one, signal.SIG_DFL)
        if self._end_within is not None:
            end_process_after(self._end_within, number)
        # a shell calls the exit of a process that a signal ended 128 + its number
        self._raised = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
        self._number = number
        raise self._raised

    def unraisable(self, lost: sys.UnraisableHookArgs) -> None:
        """Python drops what is raised in the callback of a weak reference or in ``__del__``, where a signal can find
        the main thread as well: send the signal again, for the run to notice it outside."""
        if lost.exc_value is None or lost.exc_value is not self._raised:
            self._hook(lost)
            return
        self._raised = None
        self._sending.acquire()
        self.handle(self._number)
        # no Thread: the main thread may hold the lock that starting one takes
        _thread.start_new_thread(self._send, (threading.get_ident(),))

    def _send(self, thread: int) -> None:
        try:
            time.sleep(SEND_AFTER)
            signal.pthread_kill(thread, self._number)
        finally:
            self._sending.release()

    def wait_until_sent(self) -> None:
        """A signal that is on its way arrives while this handler is there."""
        with self._sending:
            pass


class Interruption:
    """Whether the run was interrupted, and how long what is under way may still take.

    :param stop: is set when it begins: readers end at their next payload.
    :param stop_seconds: the process ends within. ``seconds``, most of them, are for a source or a destination to come
        back, and the rest for what is to be done without them.
    """

    def __init__(self, stop: threading.Event, stop_seconds: float) -> None:
        self.seconds = stop_seconds * 0.8
        self._stop = stop
        self._began: float | None = None

    def begin(self) -> None:
        """Idempotent."""
        if self._began is None:
            self._began = time.monotonic()
            self._stop.set()
            log.warning(
                "interrupted: what is complete lands and the rest is dropped, within %g s; a second signal ends the "
                "process at once",
                self.seconds,
            )

    def left(self, share: float = 1.0) -> float | None:
        """Seconds to wait for something at most; None: any time, for the run was not interrupted.

        :param share: how much of the whole time may be over by then, so that something is left for what comes next.
        """
        return None if self._began is None else max(0.0, self._began + self.seconds * share - time.monotonic())

    def within(self, work: Callable[[], Any]) -> None:
        """Do work; once interrupted, in a thread that is left alone when the time is over."""
        if self._began is None:
            work()
            return
        thread = threading.Thread(target=work, name="ending", daemon=True)
        thread.start()
        thread.join(self.left(0.9))  # the destinations need time, too, to close
