"""How many partitions are read at once, and how many wait for the destination behind them."""

from __future__ import annotations

import threading

MOST_WAITING = 256
"""Partitions that are read and not landed yet; each has a thread."""


class ReaderSlots:
    """Places for readers. One whose partition is read gives its place to the next while its last unit lands."""

    def __init__(self, reading: int) -> None:
        self._reading = threading.BoundedSemaphore(reading)
        self._open = threading.BoundedSemaphore(reading + MOST_WAITING)

    def acquire(self) -> ReaderSlot:
        """A place; waits until there is one."""
        self._open.acquire()
        self._reading.acquire()
        return ReaderSlot(self._reading, self._open)


class ReaderSlot:
    """One place, used by one thread at a time."""

    def __init__(self, reading: threading.BoundedSemaphore, open_: threading.BoundedSemaphore) -> None:
        self._reading, self._open = reading, open_
        self._holds = True

    def leave(self) -> None:
        """The partition is read to its end: let another be read. Idempotent."""
        if self._holds:
            self._holds = False
            self._reading.release()

    def enter(self) -> None:
        """It is read again: wait for a place."""
        if not self._holds:
            self._reading.acquire()
            self._holds = True

    def release(self) -> None:
        """The partition has landed, or has failed."""
        self.leave()
        self._open.release()
