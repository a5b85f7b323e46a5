# SPDX-License-Identifier: Apache-2.0
"""How much of a stream is read, for progress in percent."""

from __future__ import annotations

import threading


class ReadShare:
    """The mean of the shares of a stream's partitions. Readers set them, the progress display gets the mean."""

    def __init__(self) -> None:
        self._running: dict[str, float | None] = {}
        self._ended = 0
        self._lock = threading.Lock()
        self.partitions: int | None = None
        """How many partitions the stream has in this run; None: not known yet."""

    def set(self, partition: str, share: float | None) -> None:
        """:param share: from 0 to 1; None: the partition does not know its end."""
        with self._lock:
            self._running[partition] = share

    def end(self, partition: str) -> None:
        """The partition is read to its end, and has landed."""
        with self._lock:
            self._running.pop(partition, None)
            self._ended += 1

    def start_over(self) -> None:
        """The stream is read again from its beginning."""
        with self._lock:
            self._running, self._ended, self.partitions = {}, 0, None

    def get(self) -> float | None:
        """From 0 to 1; None: a partition does not know its end, or it is not known how many follow."""
        with self._lock:
            shares, ended = list(self._running.values()), self._ended
        known = [share for share in shares if share is not None]
        if not self.partitions or len(known) < len(shares):
            return None
        return (sum(known) + ended) / max(self.partitions, len(shares) + ended)
