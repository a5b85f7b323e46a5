# SPDX-License-Identifier: Apache-2.0
"""Calls that are abandoned when they do not return within a number of seconds."""

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


class TimedOut(ConnectionFailedError):
    """A call did not return in time. It goes on in its thread, and nobody waits for it."""


def run_with_timeout(call: Callable[[], T], seconds: float, *, what: str) -> T:
    """Make one call in a thread of its own.

    :param what: names the callee in the error.
    :returns: what the call returns; it may also raise what the call raises.
    :raises TimedOut: if the call does not return within so many seconds.
    """
    worker = WorkerThread(seconds)
    try:
        return worker.call(call, what=what)
    finally:
        worker.finish(what=what)


class WorkerThread:
    """Makes calls in one thread of its own, one after the other, and waits a limited time for each.

    A source may keep what belongs to one thread, such as a connection to SQLite, between its calls. The thread is a
    daemon, so a call that hangs does not keep the process alive.

    :param seconds: how long each call may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._queue: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._timed_out = False
        threading.Thread(target=self._run, name="worker", daemon=True).start()

    def call(self, call: Callable[[], T], *, what: str) -> T:
        """Return what the call returns, or raise what it raises; ``TimedOut`` if it does not return in time."""
        future: Future[T] = Future()
        self._queue.put((call, future))
        try:
            return future.result(0 if self._timed_out else self._seconds)
        except TimeoutError:
            if future.done():
                raise  # the call's own
            self._timed_out = True
            raise TimedOut(f"{what} did not answer within {self._seconds:g} s") from None
        except (KeyboardInterrupt, SystemExit):
            self._timed_out |= not future.done()  # nobody waits for it from now on
            raise

    def finish(self, *calls: Callable[[], object], what: str) -> None:
        """Make the last calls and let the thread end. Errors of these calls are logged at DEBUG only."""
        for call in calls:
            try:
                self.call(call, what=what)
            except Exception as error:
                log.debug("%s failed while it was closed: %s", what, type(error).__name__)
        self._queue.put(None)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            call, future = item
            try:
                future.set_result(call())
            except BaseException as error:  # the waiting thread decides what it means
                future.set_exception(error)
