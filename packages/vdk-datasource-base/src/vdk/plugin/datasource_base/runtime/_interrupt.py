"""Ctrl-C, SIGTERM, and how a run ends after them: in order, within a bounded time."""

from __future__ import annotations

import _thread
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ._forced_end import end_process_after
from ._signal_action import reset_on_delivery

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
