"""Tells a source which states are stored, for whoever watches a queue's lag. Nothing that is read depends on it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ..contract import DataSource, State
from ._error_text import message_of

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
LAST_SECONDS = 5.0
"""How long the last call may take before the source is disconnected all the same."""


class CommittedStates:
    """Calls ``DataSource.committed`` from a thread of its own, at most once a second and once at the end.

    A source that does not override the method costs nothing: no thread is started.

    :param redact: takes secrets out of a text.
    """

    def __init__(self, source: DataSource[Any], redact: Callable[[str], str]) -> None:
        self._source = source
        self._redact = redact
        self._wanted = type(source).committed is not DataSource.committed
        self._newest: dict[str, dict[str, State]] = {}
        self._failed: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def stored(self, stream: str, partition: str, state: State) -> None:
        """A partition's state is durable. Returns at once; called by the thread that writes."""
        if not self._wanted or not state:
            return
        with self._changed:
            self._newest.setdefault(stream, {})[partition] = state
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="committed", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Hand over what is left, within a bounded time. Idempotent; called before the source is disconnected."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)
            if self._thread.is_alive():
                log.warning(
                    "source %r did not take note of what has landed within %.0f s; the next run does not depend on it",
                    self._source.source_name, LAST_SECONDS,
                )  # fmt: skip

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest or self._closed)
                newest, self._newest = self._newest, {}
                last = self._closed
            for stream, states in newest.items():
                self._hand_over(stream, states)
            if last:
                return
            began = time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: self._closed, EVERY_SECONDS - (time.monotonic() - began))

    def _hand_over(self, stream: str, states: dict[str, State]) -> None:
        try:
            self._source.committed(stream, states)
        except Exception as error:
            if stream not in self._failed:
                self._failed.add(stream)
                log.warning(
                    "stream %r: source %r could not take note of what landed; the next run does not depend on it: %s",
                    stream, self._source.source_name, self._redact(message_of(error)),
                )  # fmt: skip
