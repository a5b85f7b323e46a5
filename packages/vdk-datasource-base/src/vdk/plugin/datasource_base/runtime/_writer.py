"""The one thread that a destination is used by."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from ..parts import Destination

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[Destination], T]


class Writer:
    """Carries work out on a destination, in the order of its submission, in a thread of its own.

    What waits is bounded in bytes: ``submit`` stands still above the bound, which is what keeps a
    fast source from filling the memory in front of a slow destination.
    """

    def __init__(self, destination: Destination, *, name: str, max_bytes: int) -> None:
        self.destination = destination
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[Work[Any], Future[Any], int]] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"writer-{name}", daemon=True)
        self._thread.start()

    def submit(self, work: Work[T], size: int = 0) -> Future[T]:
        """Queue work that holds ``size`` bytes; blocks while too many bytes wait. What holds none never does: it is
        how the main thread ends a stream."""
        future: Future[T] = Future()
        with self._changed:
            # what is larger than the bound alone goes in when nothing else waits
            self._changed.wait_for(
                lambda: self._closed or not size or not self._bytes or self._bytes + size <= self._max_bytes
            )
            if self._closed:
                raise RuntimeError("the writer is closed")
            self._waiting.append((work, future, size))
            self._bytes += size
            self._changed.notify_all()
        return future

    def call(self, work: Work[T]) -> T:
        """Carry work out behind everything that waits, and return what it returns."""
        return self.submit(work).result()

    def close(self, timeout: float | None = None) -> bool:
        """Finish what waits, close the destination and end the thread; False: it has not ended in time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                work, future, size = item
                try:
                    future.set_result(work(self.destination))
                except BaseException as error:  # the submitting thread decides what it means
                    future.set_exception(error)
                del work, future, item  # rows are freed before the next wait
                with self._changed:
                    self._bytes -= size
                    self._changed.notify_all()
        finally:
            self._close()

    def _close(self) -> None:
        try:
            self.destination.close()
        except Exception as error:  # what was committed is durable, so the run has not failed
            log.warning("%s could not be closed: %s", self.destination.identity(), type(error).__name__)

    def _next(self) -> tuple[Work[Any], Future[Any], int] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return self._waiting.popleft() if self._waiting else None
