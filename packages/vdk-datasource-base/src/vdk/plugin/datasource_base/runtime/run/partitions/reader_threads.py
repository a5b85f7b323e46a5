# SPDX-License-Identifier: Apache-2.0
"""The threads that read partitions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context
from queue import SimpleQueue

END_SECONDS = 1.0
"""Within which a thread ends that has no work."""


class ReaderThreads:
    """Daemon threads, as many as there is work at once, each used again: a new one costs as much as a small request.

    A thread of a ``ThreadPoolExecutor`` that hangs in a source would keep the process alive.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[str, Callable[[], None]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._free = 0  # threads that wait for work, beyond the work that waits for a thread
        self._closed = False

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Do work in a thread of this name, with context variables of its own. After ``close`` nothing is done.

        :raises RuntimeError: if no thread can be started, and there is none.
        """
        with self._lock:
            if self._closed:
                return
            if self._free:
                self._free -= 1
            else:
                self._add_thread(name)
            self._work.put((name, work))

    def close(self) -> None:
        """End the threads once they are free; one that hangs is abandoned."""
        with self._lock:
            self._closed = True
        self._work.put(None)

    def join(self) -> None:
        """After ``close``, when all work is done: wait until the threads have ended."""
        for thread in self._threads:
            thread.join(END_SECONDS)

    def _add_thread(self, name: str) -> None:
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system allows no more
            if not self._threads:
                raise
            return
        self._threads.append(thread)

    def _run(self) -> None:
        thread = threading.current_thread()
        while (named := self._work.get()) is not None:
            thread.name, work = named
            Context().run(work)
            del named, work  # frees the partition
            with self._lock:
                self._free += 1
        self._work.put(None)  # for the next thread: a signal may have come before one was counted
