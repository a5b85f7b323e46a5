# SPDX-License-Identifier: Apache-2.0
"""The retry policy: which errors are retried, how long to wait, when to give up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from ..contract import ConnectionFailedError
from ..parts.backoff import Backoff, waits_limited
from .options import Options
from .report.logs import error_message

log = logging.getLogger(__name__)
T = TypeVar("T")

RETRYABLE_ERRORS = (ConnectionFailedError, ConnectionError, TimeoutError)
"""Errors of a system that is unreachable now. Any other error would be raised again."""
MAX_TOTAL_FAILURES = 20
"""How many times ``attempts`` failures there may be in total, however much progress lies between them: a system
that fails after every page needs a person, not a thousandth attempt. The next run continues from the stored state."""


@dataclass(slots=True)
class Retry:
    """The attempts of one piece of work: waits by ``Backoff``, bounded by attempts and by time.

    ``Retry-After`` is a lower bound of a wait.

    :param attempts: attempts without progress. :param seconds: from the first failure without progress to the start
        of the last attempt. :param delay: the first bound of the wait, see ``Backoff``.
    """

    attempts: int
    seconds: float
    delay: float
    failures: int = 0
    total_failures: int = 0
    first_failure: float = field(default_factory=time.monotonic)  # since the last progress
    exhausted: str = ""
    """The limit that was reached; empty while there is another attempt."""

    @classmethod
    def of(cls, options: Options) -> Retry:
        return cls(options.retry_attempts, options.retry_seconds, options.retry_delay)

    def progressed(self) -> None:
        """The stored state moved: the next failure counts as the first one."""
        self.failures = 0

    def wait_after(self, error: BaseException) -> float | None:
        """Seconds to wait before the next attempt; None: give up."""
        if not self.failures:
            self.first_failure = getattr(error, "failing_since", None) or time.monotonic()
        self.failures += 1
        self.total_failures += 1
        if not isinstance(error, RETRYABLE_ERRORS) or getattr(error, "waited", False):
            return None
        if self.failures >= self.attempts:
            self.exhausted = f"retry_attempts = {self.attempts}"
            return None
        if self.total_failures >= self.attempts * MAX_TOTAL_FAILURES:
            self.exhausted = f"{self.total_failures} failures in one run"
            return None
        retry_after = getattr(error, "retry_after", None) or 0.0
        wait = max(Backoff(self.delay).wait(self.failures), retry_after)
        if time.monotonic() + wait - self.first_failure > self.seconds:
            asked = f", the server asked for {retry_after:g} s" if retry_after == wait else ""
            self.exhausted = f"retry_for = {self.seconds:g} s{asked}"
            return None
        return wait

    def has_time(self, wait: float, failing_since: float) -> bool:
        """Whether a source may wait before it repeats a request that has failed since then."""
        since = min(failing_since, self.first_failure) if self.failures else failing_since
        return time.monotonic() + wait - since <= self.seconds

    def bounded(self, items: Iterator[T]) -> Iterator[T]:
        """The items of a source, which keeps to the time of this policy while it makes them."""
        return _Bounded(items, self)

    def call(self, work: Callable[[], T], *, what: str, stop: threading.Event, redact: Callable[[str], str]) -> T:
        """Return what the work returns, calling it again after each retryable error."""
        while True:
            try:
                with waits_limited(self.has_time):
                    return work()
            except RETRYABLE_ERRORS as error:
                self.pause(error, what=what, stop=stop, redact=redact)

    def pause(self, error: BaseException, *, what: str, stop: threading.Event, redact: Callable[[str], str]) -> None:
        """Wait until the next attempt; raise the error if there is none, or if the run stops.

        :param what: names what failed in the log.
        """
        wait = self.wait_after(error)
        reason = redact(error_message(error))
        if wait is None or stop.is_set():
            if self.exhausted:
                log.warning("%s: attempt %d failed, giving up (%s): %s", what, self.failures, self.exhausted, reason)
            raise error from error.__cause__
        log.warning(
            "%s: attempt %d of %d failed, retrying in %.1f s: %s", what, self.failures, self.attempts, wait, reason
        )
        if stop.wait(min(wait, threading.TIMEOUT_MAX)):
            raise error from error.__cause__


class _Bounded(Iterator[T]):
    """Keeps no item, which may be large: a generator would keep the last one."""

    def __init__(self, items: Iterator[T], retry: Retry) -> None:
        self._items = items
        self._retry = retry

    def __next__(self) -> T:
        with waits_limited(self._retry.has_time):
            return next(self._items)

    def close(self) -> None:
        close = getattr(self._items, "close", None)
        if close is not None:
            close()
