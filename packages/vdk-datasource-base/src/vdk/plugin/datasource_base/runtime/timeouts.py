"""Work that may never end, waited for no longer than so many seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from ..contract import ConnectionFailedError

log = logging.getLogger(__name__)
T = TypeVar("T")


class Late(ConnectionFailedError):
    """Work has not ended in time; it goes on alone."""


class Patient:
    """Does work in a thread of its own, one piece after the other.

    A source may keep what belongs to one thread, such as a connection to SQLite, between its calls. The thread
    holds up no process that wants to end.

    :param seconds: how long each piece is waited for.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._late = False
        threading.Thread(target=self._run, name="patient", daemon=True).start()

    def call(self, work: Callable[[], T], *, what: str) -> T:
        """What the work returns or raises; ``Late``, naming ``what``, when it does not end in time."""
        future: Future[T] = Future()
        self._waiting.put((work, future))
        try:
            return future.result(0 if self._late else self._seconds)
        except TimeoutError:
            if future.done():
                raise  # the work's own
            self._late = True
            raise Late(f"{what} did not answer within {self._seconds:g} s") from None
        except (KeyboardInterrupt, SystemExit):
            self._late |= not future.done()  # nobody waits any more
            raise

    def end(self, *work: Callable[[], object], what: str) -> None:
        """Do the last pieces, and let the thread end. What they raise changes nothing any more."""
        for one in work:
            try:
                self.call(one, what=what)
            except Exception as error:
                log.debug("%s did not end well: %s", what, type(error).__name__)
        self._waiting.put(None)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            work, future = item
            try:
                future.set_result(work())
            except BaseException as error:  # the waiting thread decides what it means
                future.set_exception(error)
