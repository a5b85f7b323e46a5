"""The one thread that a destination is used by."""

from __future__ import annotations

import ctypes
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from ...parts import Destination
from .commit_groups import MOST_TOGETHER, PendingUnit

log = logging.getLogger(__name__)
T = TypeVar("T")
Work = Callable[[Destination], T]


class Joint(Protocol):
    """What several units of work belong to, and which can carry them out together."""

    def land_together(self, destination: Destination, units: Sequence[PendingUnit]) -> list[BaseException | None]:
        """Carry the units out. Returns the error of each, None for those that landed."""


@dataclass(slots=True)
class _Waiting:
    """Work in the queue. What has the same ``owner`` and ``lane`` keeps its order."""

    work: Work[Any]
    future: Future[Any]
    size: int
    owner: Joint | None = None
    lane: str = ""
    unit: PendingUnit | None = None


class Writer:
    """Carries work out on a destination, in the order of its submission, in a thread of its own.

    What waits is bounded in bytes: ``reserve`` blocks above the bound, which keeps a fast source from filling the
    memory in front of a slow destination.
    """

    def __init__(self, destination: Destination, *, name: str, max_bytes: int) -> None:
        self.destination = destination
        self._max_bytes = max_bytes
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"writer-{name}", daemon=True)
        self._thread.start()

    def submit(
        self,
        work: Work[T],
        size: int = 0,
        *,
        owner: Joint | None = None,
        lane: str = "",
        unit: PendingUnit | None = None,
    ) -> Future[T]:
        """Queue work; never blocks.

        :param size: the bytes that the work holds, which are reserved and are released when it is done.
        :param owner: what the work belongs to. :param lane: work of one owner and lane keeps its order.
        :param unit: what the work lands, where the owner can land it together with units of other lanes.
        """
        future: Future[T] = Future()
        with self._changed:
            self._check_open()
            self._waiting.append(_Waiting(work, future, size, owner, lane, unit))
            self._changed.notify_all()
        return future

    def reserve(self, size: int) -> None:
        """Block until ``size`` bytes more may wait, and count them as waiting. Rows are converted afterwards: before,
        they would be in memory twice while they wait.

        :raises RuntimeError: the writer is closed.
        """
        with self._changed:
            # what is larger than the bound alone goes in when nothing else waits
            self._changed.wait_for(lambda: self._closed or not self._bytes or self._bytes + size <= self._max_bytes)
            self._check_open()
            self._bytes += size

    def wait_until_idle(self) -> None:
        """Block until no bytes wait, or the writer is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._bytes)

    def release(self, size: int) -> None:
        """Give back bytes that were reserved, when their work is done or is not submitted after all."""
        with self._changed:
            self._bytes -= size
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the writer is closed")

    def call(self, work: Work[T]) -> T:
        """Carry work out after everything that waits, and return what it returns."""
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
            while items := self._next():
                self._carry_out(items)
                size = sum(item.size for item in items)
                items.clear()  # rows are freed before others are converted
                if size > self._max_bytes * 9 // 16:  # rows larger than a batch, as a batch is half of what may wait
                    _return_freed_memory()
                self.release(size)
        finally:
            self._close()

    def _carry_out(self, items: Sequence[_Waiting]) -> None:
        first = items[0]
        try:
            if len(items) == 1 or first.owner is None:
                first.future.set_result(first.work(self.destination))
                return
            units = [item.unit for item in items if item.unit is not None]
            errors = first.owner.land_together(self.destination, units)
        except BaseException as error:  # the submitting thread decides what it means
            errors = [error] * len(items)
        for item, failure in zip(items, errors, strict=True):
            if failure is None:
                item.future.set_result(None)
            else:
                item.future.set_exception(failure)

    def _close(self) -> None:
        try:
            self.destination.close()
        except Exception as error:  # what was committed is durable, so the run has not failed
            log.warning("%s could not be closed: %s", self.destination.identity(), type(error).__name__)

    def _next(self) -> list[_Waiting]:
        """What is carried out next: one piece of work, or units of one stream that land together."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            first = self._waiting.popleft()
            if first.unit is None or first.owner is None or not (first.unit.joins and self.destination.groups):
                return [first]
            return [first, *self._companions(first, first.unit)]

    def _companions(self, first: _Waiting, unit: PendingUnit) -> list[_Waiting]:
        """Take the units that may land with the first one out of the queue: one of each other lane, and none that
        has to come after other work of its lane."""
        taken: list[_Waiting] = []
        left: deque[_Waiting] = deque()
        lanes = {first.lane}
        for one in self._waiting:
            mine = one.owner is first.owner
            joins = mine and one.unit is not None and one.unit.joins and one.unit.action == unit.action
            if joins and one.lane not in lanes and len(taken) + 1 < MOST_TOGETHER:
                taken.append(one)
            else:
                left.append(one)
            if mine:
                lanes.add(one.lane)
        self._waiting = left
        return taken


def _return_freed_memory() -> None:
    """Allocators keep freed memory for a while: after large rows several times the size of one."""
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:  # glibc's
        trim(0)
