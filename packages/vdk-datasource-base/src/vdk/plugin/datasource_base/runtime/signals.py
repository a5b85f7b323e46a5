# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM: how a run stops, how long it may take, and how the process ends if something hangs."""

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

log = logging.getLogger(__name__)


class Interruption:
    """Whether the run was interrupted, and how long pending work may still take.

    :param stop: set when the interruption begins: readers end at their next payload.
    :param stop_seconds: the process ends within this time. ``seconds``, 80 % of it, are for sources and destinations
        to return; the rest is for what remains to be done without them.
    """

    def __init__(self, stop: threading.Event, stop_seconds: float) -> None:
        self.seconds = stop_seconds * 0.8
        self._stop = stop
        self._began: float | None = None

    def begin(self) -> None:
        """Stop the readers. Idempotent."""
        if self._began is None:
            self._began = time.monotonic()
            self._stop.set()
            log.warning(
                "interrupted: complete rows land and the rest is dropped, within %g s; a second signal ends the "
                "process at once",
                self.seconds,
            )

    def left(self, share: float = 1.0) -> float | None:
        """Maximum seconds to wait; None, which is without limit, if the run is not interrupted.

        :param share: the share of ``seconds`` that may have passed by then, so that time is left for later steps.
        """
        return None if self._began is None else max(0.0, self._began + self.seconds * share - time.monotonic())

    def within(self, work: Callable[[], Any]) -> None:
        """Do work. Once interrupted, it runs in a thread that is abandoned when the time is over."""
        if self._began is None:
            work()
            return
        thread = threading.Thread(target=work, name="ending", daemon=True)
        thread.start()
        thread.join(self.left(0.9))  # the destinations need time to close, too


@contextmanager
def signals_raise(end_within: float | None = None) -> Iterator[None]:
    """In the main thread, the first Ctrl-C or SIGTERM raises ``KeyboardInterrupt`` or ``SystemExit(143)``; a second
    one ends the process at once, as it does without this context.

    Other threads get no signals. A program that handles a signal itself, or ignores it (``nohup``), continues to do so.

    :param end_within: seconds after the first signal within which the process ends, whatever hangs. None: the program
        continues after the run.
    """
    defaults: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    main = threading.current_thread() is threading.main_thread()
    replaced = [number for number, default in defaults.items() if main and signal.getsignal(number) is default]
    handler = _Handler(replaced, end_within)
    hook = sys.unraisablehook
    try:
        if replaced:
            sys.unraisablehook = handler.unraisable
        for number in replaced:
            handler.handle(number)
        if replaced and hasattr(signal, "siginterrupt"):  # which Windows lacks, where no wait is interrupted
            threading.Thread(target=handler.keep_interrupting, name="signals", daemon=True).start()
        yield
    finally:
        handler.ended.set()
        try:
            handler.wait_until_sent()
        finally:
            for number in replaced:
                signal.signal(number, defaults[number])
            if sys.unraisablehook == handler.unraisable:
                sys.unraisablehook = hook


INTERRUPT_INTERVAL = 0.2
"""Seconds after which signals interrupt the main thread again, if a library has changed that."""
RESEND_DELAY = 0.05
"""Seconds in which the main thread leaves the callback that lost a signal."""


def is_signal(error: BaseException) -> bool:
    """Whether an error is what the handler of ``signals_raise`` raises."""
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, SystemExit) and error.code == 128 + signal.SIGTERM
    )


class _Handler:
    """Handles the first signal, and restores the default action of all for the second."""

    def __init__(self, handled: Sequence[int], end_within: float | None) -> None:
        self._handled = handled
        self._end_within = end_within
        self._number = 0
        self._raised: BaseException | None = None
        self._hook = sys.unraisablehook
        self._sending = _thread.allocate_lock()
        self.ended = threading.Event()

    def keep_interrupting(self) -> None:
        """See that a signal wakes the main thread, where Python runs the handler, until ``ended`` is set.

        A library may have put a handler of its own before Python's, which lets system calls go on (``SA_RESTART``), as
        polars does when it is imported, even by another library. The main thread would wait on, and never stop.
        """
        while not self.ended.wait(INTERRUPT_INTERVAL):
            for number in self._handled:
                signal.siginterrupt(number, True)

    def handle(self, number: int) -> None:
        signal.signal(number, self)
        reset_on_delivery(number)

    def __call__(self, number: int, frame: object) -> None:
        for handled in self._handled:
            signal.signal(handled, signal.SIG_DFL)
        if self._end_within is not None:
            end_process_after(self._end_within, number)
        # 128 + number is a shell's exit code for a process that a signal ended
        self._raised = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
        self._number = number
        raise self._raised

    def unraisable(self, dropped: sys.UnraisableHookArgs) -> None:
        """Send a signal again whose exception Python dropped.

        Python drops what is raised in the callback of a weak reference and in ``__del__``, where a signal may find the
        main thread, too.
        """
        if dropped.exc_value is None or dropped.exc_value is not self._raised:
            self._hook(dropped)
            return
        self._raised = None
        self._sending.acquire()
        self.handle(self._number)
        # not a Thread: the main thread may have the lock that starting one takes
        _thread.start_new_thread(self._send, (threading.get_ident(),))

    def _send(self, thread: int) -> None:
        try:
            time.sleep(RESEND_DELAY)
            signal.pthread_kill(thread, self._number)
        finally:
            self._sending.release()

    def wait_until_sent(self) -> None:
        """Keep the handlers until a signal that is sent again has arrived."""
        with self._sending:
            pass


SA_RESETHAND = 0x80000000  # <bits/sigaction.h>


class _SigAction(ctypes.Structure):
    """``struct sigaction`` of glibc and musl on x86-64 and aarch64; other machines order its members differently."""

    _fields_ = (("handler", c_void_p), ("mask", c_char * 128), ("flags", c_uint), ("restorer", c_void_p))


def reset_on_delivery(number: int) -> bool:
    """Let the system restore a signal's default action once it has delivered the signal to its present handler.

    Python runs handlers in the main thread, between two steps of the interpreter. While a library holds the
    interpreter's lock no handler runs, and no number of signals would end the process. With this flag (POSIX,
    sigaction) the second signal ends it. False: the flag cannot be set here, and Python's handler must restore the
    action itself.
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
"""Extra seconds after which the process ends even if a library holds the interpreter's lock, which stops all threads
of Python."""


def end_process_after(seconds: float, number: int) -> None:
    """End this process after so many seconds, whatever its threads wait for, with the exit code of a signal.

    This is like a kill: what was committed stays, and the next run continues from it. If a library holds the
    interpreter's lock, the exit code is 1, and the tracebacks on standard error show which one.
    """
    with contextlib.suppress(Exception):  # standard error may be closed, or threads exhausted: the other may work
        faulthandler.dump_traceback_later(seconds + LOCK_HELD, exit=True, file=2)
    with contextlib.suppress(Exception):
        timer = threading.Timer(seconds, _end, (seconds, number))
        timer.daemon = True
        timer.start()


def _end(seconds: float, number: int) -> None:
    with contextlib.suppress(OSError):  # not with logging, whose handlers may be what hangs
        os.write(2, f"the process did not end within {seconds:g} s of signal {number}: it is ended now\n".encode())
    os._exit(128 + number)


def is_interactive() -> bool:
    """Whether this is a notebook or a prompt, whose process continues after a signal."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules
