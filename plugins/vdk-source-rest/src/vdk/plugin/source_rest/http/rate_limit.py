"""How fast a server lets itself be asked: what it says in its answers, and what the configuration says."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from vdk.plugin.datasource_base.parts import exact_decimal

_EPOCH_BEGINS = 1e8
"""A reset above this is a time since 1970, as GitHub's; below, it is seconds from now, as in the IETF's drafts."""
_MILLISECONDS_BEGIN = 1e11
_LONGEST = 1e9
"""Seconds: more than any wait that is allowed, and less than what overflows a timer."""
_REMAINING = ("ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining")
_RESET = ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait by ``Retry-After``, a number or a date (RFC 9110, section 10.2.3).

    :param headers: names in lower case.
    :param now: seconds since 1970.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if (seconds := _seconds(text)) is not None:
        return min(seconds, _LONGEST)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - now), _LONGEST)
    except (ValueError, TypeError, OverflowError):
        return None


def until_reset(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until a used up quota is filled again; None where there is some left, or nothing is said.

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
    if seconds > _MILLISECONDS_BEGIN:
        seconds /= 1000
    return min(max(0.0, seconds - now), _LONGEST) if seconds > _EPOCH_BEGINS else seconds


def _combined(value: str) -> tuple[str | None, str | None]:
    """``limit=10, remaining=0, reset=7`` (drafts 3 to 7) or ``"default";r=0;t=7`` (since draft 8)."""
    found = dict(re.findall(r"\b(remaining|reset|r|t)\s*=\s*([\d.]+)", value.lower()))
    return found.get("remaining", found.get("r")), found.get("reset", found.get("t"))


def _seconds(text: str) -> float | None:
    try:
        seconds = float(exact_decimal(text))
    except ValueError:
        return None
    return seconds if 0 <= seconds < math.inf else None


class Pace:
    """When the next request may go, for all threads of a source together.

    :param per_second: requests at most; None: any number.
    """

    def __init__(self, per_second: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = 1 / per_second if per_second is not None else 0.0
        self._clock = clock
        self._next = 0.0
        self._held = 0.0
        self._lock = threading.Lock()

    def take(self) -> float:
        """Take a place in the line; returns the seconds until it is due."""
        with self._lock:
            now = self._clock()
            due = max(now, self._next, self._held)
            self._next = due + self.interval
            return due - now

    def hold(self, seconds: float) -> None:
        """Let no request go for some time: the server said so."""
        with self._lock:
            self._held = max(self._held, self._clock() + seconds)
