"""Trying again: what is worth it, how long to wait, when to give up."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from ..contract import ConnectionFailedError

MAX_DELAY = 60.0
AWAY = (ConnectionFailedError, ConnectionError, TimeoutError)
"""Errors that say a system is away now; every other error would come again."""


@dataclass(slots=True)
class Retry:
    """Exponential backoff with full jitter, bounded by attempts and by time.

    A random wait between nothing and the bound spreads clients out best (M. Brooker, "Exponential
    backoff and jitter", AWS Architecture Blog, 2015). ``Retry-After`` is a lower bound.
    """

    attempts: int
    seconds: float
    delay: float
    failures: int = 0
    since: float = field(default_factory=time.monotonic)  # the first failure without progress

    def progressed(self) -> None:
        """The stored state moved: the next failure is a first one."""
        self.failures = 0

    def wait_after(self, error: BaseException) -> float | None:
        """Seconds to wait before the next attempt; None: give up."""
        if not self.failures:
            self.since = time.monotonic()
        self.failures += 1
        if not isinstance(error, AWAY) or self.failures >= self.attempts:
            return None
        bound = min(MAX_DELAY, self.delay * 2 ** (self.failures - 1))
        wait = random.uniform(0, bound)
        wait = max(wait, getattr(error, "retry_after", None) or 0.0)
        return wait if time.monotonic() + wait - self.since <= self.seconds else None
