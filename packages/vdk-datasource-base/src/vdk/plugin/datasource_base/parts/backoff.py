# SPDX-License-Identifier: Apache-2.0
"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_LIMIT: ContextVar[Callable[[float, float], bool] | None] = ContextVar("limit of waits", default=None)


def may_wait(seconds: float, failing_since: float) -> bool:
    """Whether a source that repeats its own requests may wait so long and try again, by the ``retry_for`` of the run.

    :param failing_since: when the request failed first (``time.monotonic``).
    """
    limit = _LIMIT.get()
    return limit is None or limit(seconds, failing_since)


@contextmanager
def waits_limited(limit: Callable[[float, float], bool]) -> Iterator[None]:
    """What this thread calls meanwhile asks ``limit`` before it waits."""
    token = _LIMIT.set(limit)
    try:
        yield
    finally:
        _LIMIT.reset(token)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter.

    A random wait between zero and a bound that doubles spreads clients out best (M. Brooker, "Exponential backoff and
    jitter", AWS Architecture Blog, 2015).

    :param delay: seconds, the bound of the first wait. :param longest: seconds, the highest bound.
    """

    delay: float
    longest: float = 60.0

    def wait(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, at least one."""
        return random.uniform(0, min(self.longest, self.delay * 2 ** min(failures - 1, 30)))
