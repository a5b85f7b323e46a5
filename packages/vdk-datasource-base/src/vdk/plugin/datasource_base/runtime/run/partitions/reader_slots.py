# SPDX-License-Identifier: Apache-2.0
"""Limits how many partitions are read in parallel, and how many read ones wait for the destination."""

from __future__ import annotations

import threading

MOST_WAITING = 256
"""Partitions that are read and have not landed yet."""


class ReaderSlots:
    """Slots for readers. A reader whose partition is read gives its slot to the next one while its last unit lands."""

    def __init__(self, reading: int) -> None:
        self._reading = threading.BoundedSemaphore(reading)
        self._open = threading.BoundedSemaphore(reading + MOST_WAITING)

    def acquire(self) -> ReaderSlot:
        """A slot; waits until one is free."""
        self._open.acquire()
        self._reading.acquire()
        return ReaderSlot(self._reading, self._open)


class ReaderSlot:
    """The slot of one partition."""

    def __init__(self, reading: threading.BoundedSemaphore, open_: threading.BoundedSemaphore) -> None:
        self._reading, self._open = reading, open_
        self._reads = True

    def leave(self) -> None:
        """The partition is read to its end: another one may be read. Idempotent."""
        if self._reads:
            self._reads = False
            self._reading.release()

    def enter(self) -> None:
        """The partition is read again: wait until it may be."""
        if not self._reads:
            self._reading.acquire()
            self._reads = True

    def release(self) -> None:
        """The partition has landed, or has failed."""
        self.leave()
        self._open.release()
