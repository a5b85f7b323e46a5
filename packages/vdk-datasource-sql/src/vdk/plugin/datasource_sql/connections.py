# SPDX-License-Identifier: Apache-2.0
"""Connections that the streams of a source use one after the other.

To make one takes longer than to read a small table.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MOST_IDLE = 8
IDLE_SECONDS = 5.0
"""A connection that was idle for longer may have been closed by the server, or by something in between."""


class IdleConnections:
    """The connections of one source that nobody uses now. None are kept before ``open`` and after ``close``.

    Picklable, without the connections.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[float, Any]] = []
        self._is_open = False

    def open(self) -> None:
        self._is_open = True

    def take(self, is_reusable: Callable[[Any], bool]) -> Any:
        """The connection that was used last; None: there is none that can be used."""
        with self._lock:
            since, connection = self._idle.pop() if self._idle else (0.0, None)
        if connection is None:
            return None
        with suppress(Exception):
            if time.monotonic() - since <= IDLE_SECONDS and is_reusable(connection):
                return connection
        self._close([connection, *self._emptied()])  # those below were idle for longer
        return None

    def keep(self, connection: Any) -> bool:
        """Keep a connection that holds no transaction; False: it is the caller's to close."""
        with self._lock:
            if not self._is_open or len(self._idle) >= MOST_IDLE:
                return False
            self._idle.append((time.monotonic(), connection))
            return True

    def close(self) -> None:
        """Idempotent."""
        self._is_open = False
        self._close(self._emptied())

    def __del__(self) -> None:  # of a source that nobody has disconnected
        self.close()

    def _emptied(self) -> list[Any]:
        with self._lock:
            idle, self._idle = self._idle, []
        return [connection for _, connection in idle]

    @staticmethod
    def _close(connections: list[Any]) -> None:
        for connection in connections:
            with suppress(Exception):  # it may be lost
                connection.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return IdleConnections, ()


def is_silent(socket: Any) -> bool:
    """Whether nothing has arrived: what a server says to a connection that asks nothing is that it ends.

    :param socket: a socket, or its number.
    """
    readable, _, _ = select.select([socket], [], [], 0)
    return not readable
