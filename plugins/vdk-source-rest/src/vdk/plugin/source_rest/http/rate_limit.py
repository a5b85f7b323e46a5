# SPDX-License-Identifier: Apache-2.0
"""Rate limits: the ones that a server states in its headers, and the configured one."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from vdk.plugin.datasource_base.parts import exact_decimal

_MIN_EPOCH = 1e8
"""A reset above this is a time since 1970, as GitHub sends it; below, it is seconds from now, as in IETF drafts."""
_MIN_EPOCH_MS = 1e11
_MAX_WAIT = 1e9
"""Seconds: more than any wait that is allowed, and less than what overflows a timer."""
_REMAINING = ("ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining")
_RESET = ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset")


def retry_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the headers of a refusal ask to wait; None if they name none."""
    wait = retry_after(headers, now)
    return wait if wait is not None else until_reset(headers, now)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait by ``Retry-After``, a number or a date (RFC 9110, section 10.2.3).

    :param headers: names in lower case.
    :param now: seconds since 1970.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if (seconds := _seconds(text)) is not None:
        return min(seconds, _MAX_WAIT)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - now), _MAX_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None


def until_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until a used-up quota is refilled; None while some of it remains, or without such headers.

    Reads ``RateLimit-Remaining`` and ``-Reset`` and their ``X-`` forms, and the one ``RateLimit`` header of
    the later drafts (draft-ietf-httpapi-ratelimit-headers).
    """
    remaining = next((headers[name] for name in _REMAINING if name in headers), None)
    reset = next((headers[name] for name in _RESET if name in headers), None)
    if remaining is None and "ratelimit" in headers:
        remaining, reset = _combined(headers["ratelimit"])
    if remaining is None or reset is None or _seconds(remaining) != 0:
        return None
    seconds = _seconds(reset)
    if seconds is None:
        return None
    if seconds > _MIN_EPOCH_MS:
        seconds /= 1000
    return min(max(0.0, seconds - now), _MAX_WAIT) if seconds > _MIN_EPOCH else seconds


def _combined(value: str) -> tuple[str | None, str | None]:
    """``limit=10, remaining=0, reset=7`` (drafts 3 to 7) or ``"default";r=0;t=7`` (since draft 8)."""
    fields = dict(re.findall(r"\b(remaining|reset|r|t)\s*=\s*([\d.]+)", value.lower()))
    return fields.get("remaining", fields.get("r")), fields.get("reset", fields.get("t"))


def _seconds(text: str) -> float | None:
    try:
        seconds = float(exact_decimal(text))
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None


class RateLimiter:
    """When the next request may be sent, for all threads of a source together.

    :param per_second: requests at most; None: any number.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = 1 / per_second if per_second is not None else 0.0
        self._clock = clock
        self._next = 0.0
        self._resumes = 0.0
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Reserve the next turn; returns the seconds until it comes."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next, self._resumes)
            self._next = turn + self.interval
            return turn - now

    def pause(self, seconds: float) -> None:
        """Send nothing for some time: the server asks for it."""
        with self._lock:
            self._resumes = max(self._resumes, self._clock() + seconds)

    def server_wait(self) -> float:
        """Seconds that the server still asks to wait; the rest of a wait is that of ``per_second``."""
        with self._lock:
            return max(0.0, self._resumes - self._clock())
