"""Trying again: what is worth it, how long to wait, when to give up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..contract import ConnectionFailedError
from ..parts.backoff import Backoff
from .report.logs import message_of

log = logging.getLogger(__name__)

RETRYABLE_ERRORS = (ConnectionFailedError, ConnectionError, TimeoutError)
"""Errors that say a system is away now; every other error would come again."""
MAX_TOTAL_FAILURES = 20
"""How many times ``attempts`` failures there may be in all, however much progress lies between them: a system
that fails behind every page wants a person, not a thousandth attempt. The next run goes on from the stored state."""


@dataclass(slots=True)
class Retry:
    """The attempts of one piece of work: waits by ``Backoff``, bounded by attempts and by time.

    ``Retry-After`` is a lower bound of a wait.

    :param attempts: tries without progress. :param seconds: from the first failure without progress to the begin
        of the last try. :param delay: the first bound of the wait, see ``Backoff``.
    """

    attempts: int
    seconds: float
    delay: float
    failures: int = 0
    in_all: int = 0
    since: float = field(default_factory=time.monotonic)  # the first failure without progress
    over: str = ""
    """Why there is no further attempt."""

    def progressed(self) -> None:
        """The stored state moved: the next failure is a first one."""
        self.failures = 0

    def wait_after(self, error: BaseException) -> float | None:
        """Seconds to wait before the next attempt; None: give up."""
        if not self.failures:
            self.since = time.monotonic()
        self.failures += 1
        self.in_all += 1
        if not isinstance(error, RETRYABLE_ERRORS):
            return None
        if self.failures >= self.attempts:
            self.over = f"retry_attempts = {self.attempts}"
            return None
        if self.in_all >= self.attempts * MAX_TOTAL_FAILURES:
            self.over = f"{self.in_all} failures in one run"
            return None
        asked = getattr(error, "retry_after", None) or 0.0
        wait = max(Backoff(self.delay).wait(self.failures), asked)
        if time.monotonic() + wait - self.since > self.seconds:
            self.over = f"retry_for = {self.seconds:g} s" + (f", {asked:g} s were asked for" if asked == wait else "")
            return None
        return wait

    def pause(self, error: BaseException, *, what: str, stop: threading.Event, redact: Callable[[str], str]) -> None:
        """Wait until the next attempt, or raise the error where there is none or the run is to stop.

        :param what: whose attempt it is, for the log.
        """
        wait = self.wait_after(error)
        reason = redact(message_of(error))
        if wait is None or stop.is_set():
            if self.over:
                log.warning("%s: attempt %d failed, the last one (%s): %s", what, self.failures, self.over, reason)
            raise error from error.__cause__
        log.warning(
            "%s: attempt %d of %d failed, the next one in %.1f s: %s", what, self.failures, self.attempts, wait, reason
        )
        if stop.wait(min(wait, threading.TIMEOUT_MAX)):
            raise error from error.__cause__
