# SPDX-License-Identifier: Apache-2.0
"""Runs all work on a destination in one thread, in order, with a bound on the bytes that wait."""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from ....parts import Destination
from ...options import Options
from ...report.logs import log_fields
from .commit_groups import MAX_UNITS, PendingUnit

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[Destination], T]

AWAIT_SECONDS = 0.1
"""How long the last unit of a partition waits, at most, for those of others: a commit costs as much as many reads."""
ENOUGH_UNITS = 200
"""So many units wait for no other."""


class UnitOwner(Protocol):
    """Owns queued units, and can land several of them together."""

    @property
    def expects_units(self) -> bool:
        """Whether other partitions are being read, whose units may come soon."""

    def land_together(self, destination: Destination, units: Sequence[PendingUnit]) -> list[BaseException | None]:
        """Land the units. Returns the error of each, None for a unit that has landed."""


@dataclass(slots=True)
class _QueuedWork:
    """Work in the queue. Work of the same ``owner`` and ``lane`` keeps its order.

    :param context: that of the submitting thread, so that log records of the work have its fields.
    """

    work: Work[Any]
    future: Future[Any]
    size: int
    owner: UnitOwner | None = None
    lane: str = ""
    unit: PendingUnit | None = None
    context: Context = field(default_factory=copy_context)


class Writer:
    """Runs work on a destination in a thread of its own, in the order of submission.

    ``reserve`` blocks while more than ``queue_bytes`` wait, so that a fast source does not fill the memory while a slow
    destination works.
    """

    def __init__(self, destination: Destination, *, name: str, options: Options) -> None:
        self.destination = destination
        self._max_bytes = options.queue_bytes
        self._large_bytes = options.large_bytes
        self._waiting: deque[_QueuedWork] = deque()
        self._bytes = 0
        self._closed = False
        self._blocked = 0  # threads that wait for the queue to become shorter
        self._awaits_more = False
        self._lock = threading.Lock()
        self._added = threading.Condition(self._lock)
        self._released = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name=f"writer-{name}", daemon=True)
        self._thread.start()

    def submit(
        self,
        work: Work[T],
        size: int = 0,
        *,
        owner: UnitOwner | None = None,
        lane: str = "",
        unit: PendingUnit | None = None,
    ) -> Future[T]:
        """Queue work; never blocks.

        :param size: the reserved bytes of the work, which are released when it is done.
        :param owner: the stream that the work belongs to. :param lane: work of one owner and lane keeps its order.
        :param unit: the unit that the work lands; the owner may land it together with units of other lanes.
        """
        future: Future[T] = Future()
        with self._lock:
            self._check_open()
            self._waiting.append(_QueuedWork(work, future, size, owner, lane, unit))
            if not self._awaits_more:  # it looks by itself then: to wake it each time would cost more than a small unit
                self._added.notify()
        return future

    def reserve(self, size: int) -> None:
        """Block until ``size`` more bytes may wait, and count them as waiting.

        Callers convert rows afterwards: converted earlier, they would be in memory twice while they wait.

        :raises RuntimeError: if the writer is closed.
        """
        with self._lock:
            # work that is larger than the bound is admitted when nothing else waits
            self._wait_until(lambda: not self._bytes or self._bytes + size <= self._max_bytes)
            self._check_open()
            self._bytes += size

    def wait_until_idle(self) -> None:
        """Block until no bytes wait, or the writer is closed."""
        with self._lock:
            self._wait_until(lambda: not self._bytes)

    def _wait_until(self, is_short: Callable[[], bool]) -> None:
        """Wait until the queue is short enough, or the writer is closed."""
        self._blocked += 1
        try:
            self._released.wait_for(lambda: self._closed or is_short())
        finally:
            self._blocked -= 1

    def release(self, size: int) -> None:
        """Release reserved bytes, when their work is done or is not submitted."""
        with self._lock:
            self._bytes -= size
            if self._blocked:
                self._released.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the writer is closed")

    def call(self, work: Work[T]) -> T:
        """Run work after all work that waits, and return its result."""
        return self.submit(work).result()

    def close(self, timeout: float | None = None) -> bool:
        """Finish the work that waits, close the destination and end the thread. Returns whether it ended in time."""
        with self._lock:
            self._closed = True
            self._added.notify()
            self._released.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while items := self._next():
                self._carry_out(items)
                size = sum(item.size for item in items)
                items.clear()  # frees the rows before the next are converted
                if size > self._large_bytes:
                    _return_freed_memory()
                self.release(size)
        finally:
            self._close()

    def _carry_out(self, items: Sequence[_QueuedWork]) -> None:
        first = items[0]
        try:
            if len(items) == 1 or first.owner is None:
                first.future.set_result(first.context.run(first.work, self.destination))
                return
            errors = first.context.run(self._land_together, first.owner, items)
        except BaseException as error:  # the submitting thread handles it
            errors = [error] * len(items)
        for item, failure in zip(items, errors, strict=True):
            if failure is None:
                item.future.set_result(None)
            else:
                item.future.set_exception(failure)

    def _land_together(self, owner: UnitOwner, items: Sequence[_QueuedWork]) -> list[BaseException | None]:
        with log_fields(partition=None):
            return owner.land_together(self.destination, [item.unit for item in items if item.unit is not None])

    def _close(self) -> None:
        try:
            self.destination.close()
        except Exception as error:  # commits are durable, so the run has not failed
            log.warning("%s could not be closed: %s", self.destination.identity(), type(error).__name__)

    def _next(self) -> list[_QueuedWork]:
        """Take the next work out of the queue: one item, or the units of one stream that land together."""
        with self._lock:
            self._added.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            self._await_more()
            first = self._waiting.popleft()
            if first.unit is None or first.owner is None or not (first.unit.joinable and self.destination.groups):
                return [first]
            return [first, *self._take_joinable(first, first.unit)]

    def _await_more(self) -> None:
        """While all that waits are last units of partitions, let others come that may land with them."""
        last = time.monotonic() + AWAIT_SECONDS
        self._awaits_more = True
        while self._may_wait() and time.monotonic() < last:
            self._added.wait(AWAIT_SECONDS / 10)
        self._awaits_more = False

    def _may_wait(self) -> bool:
        first = self._waiting[0]
        return (
            first.owner is not None
            and first.owner.expects_units
            and self.destination.groups
            and not self._closed
            and not self._blocked
            and len(self._waiting) < ENOUGH_UNITS
            and all(item.unit is not None and item.unit.ended and item.unit.joinable for item in self._waiting)
        )

    def _take_joinable(self, first: _QueuedWork, unit: PendingUnit) -> list[_QueuedWork]:
        """Take the units out of the queue that may land with the first: at most one of each other lane.

        A unit stays in the queue if earlier work of its lane does.
        """
        taken: list[_QueuedWork] = []
        left: deque[_QueuedWork] = deque()
        lanes = {first.lane}
        for item in self._waiting:
            same_owner = item.owner is first.owner
            joinable = same_owner and item.unit is not None and item.unit.joinable and item.unit.action == unit.action
            if joinable and item.lane not in lanes and len(taken) + 1 < MAX_UNITS:
                taken.append(item)
            else:
                left.append(item)
            if same_owner:
                lanes.add(item.lane)
        self._waiting = left
        return taken


def _return_freed_memory() -> None:
    """Return freed memory to the system. After large rows, allocators keep several times the size of one row."""
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:  # glibc's
        trim(0)
