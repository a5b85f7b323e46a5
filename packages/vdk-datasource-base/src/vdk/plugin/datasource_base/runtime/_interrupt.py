"""Ctrl-C, SIGTERM, and how a run ends after them: in order, within a bounded time."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)


@contextmanager
def signals_raise() -> Iterator[None]:
    """In the main thread, the first Ctrl-C or SIGTERM raises, ``KeyboardInterrupt`` or ``SystemExit(143)``, and a
    second one ends the process at once, as it would without us.

    Other threads get no signals, and a program that handles a signal its own way goes on doing so.
    """
    handler = _Handler()
    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    main = threading.current_thread() is threading.main_thread()
    replaced = [one for one, default in usual.items() if main and signal.getsignal(one) is default]
    try:
        for one in replaced:
            signal.signal(one, handler)
        yield
    finally:
        for one in replaced:
            signal.signal(one, usual[one])


class _Handler:
    def __init__(self) -> None:
        self._seen = False

    def __call__(self, number: int, frame: object) -> None:
        if self._seen:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._seen = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)  # what a shell calls the exit of a process that a signal ended


class Interruption:
    """Whether the run was interrupted, and how long what is under way may still take.

    :param stop: is set when it begins: readers end at their next payload.
    :param seconds: for a source or a destination to come back. It must not keep the process for ever.
    """

    def __init__(self, stop: threading.Event, seconds: float) -> None:
        self.seconds = seconds
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
        thread.join(self.left())
