# SPDX-License-Identifier: Apache-2.0
"""Messages between the thread that makes them and the one that takes them, in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from ...contract import DestinationError


class Outbox:
    """A bounded queue of messages. ``put`` blocks while it is full.

    :param size: how many messages wait at most. :param cancelled: the error of ``put`` once nobody takes messages.
    """

    def __init__(self, size: int, *, cancelled: str) -> None:
        self._size = size
        self._error = cancelled
        self._messages: deque[Any] = deque()
        self._changed = threading.Condition()
        self._finished = self._cancelled = self._taken = False

    def put(self, message: Any) -> None:
        """Queue a message. Raises ``DestinationError`` once nobody takes messages any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or len(self._messages) < self._size)
            if self._cancelled:
                raise DestinationError(self._error)
            self._messages.append(message)
            self._changed.notify_all()

    def wait_until_sent(self) -> bool:
        """Wait until every message was taken and sent. False if nobody takes messages any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or not (self._messages or self._taken))
            return not self._cancelled

    def finish(self) -> None:
        """No message follows."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Nobody takes messages any more."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def messages(self) -> Iterator[Any]:
        """The messages, until ``finish``. A message counts as sent when the next one is asked for."""
        while True:
            with self._changed:
                self._taken = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._messages or self._finished or self._cancelled)
                if not self._messages or self._cancelled:
                    return
                message = self._messages.popleft()
                self._taken = True
                self._changed.notify_all()
            yield message
