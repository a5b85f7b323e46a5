# SPDX-License-Identifier: Apache-2.0
"""The client: sends a request until it succeeds or may not be retried, no faster than allowed, and caches responses."""

from __future__ import annotations

import logging
import math
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec
import requests
from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import AuthenticationError, ConnectionFailedError, DataSourceError
from vdk.plugin.datasource_base.parts import Backoff, may_wait

from .rate_limit import RateLimiter, until_reset
from .transport import Transport, Unreachable, request_line
from .types import HttpRequest, HttpResponse
from .urls import mask_url

log = logging.getLogger(__name__)
T = TypeVar("T")
Waiting = Generator[None, None, T]
"""Yields None again and again while it waits, so that its caller may stop; returns a ``T``."""
TICK = 0.5
_FIRST_ATTEMPTS = 3
"""Attempts to reach a server that has never answered: its address may be wrong."""
_TEN_YEARS = 10 * 365 * 86400.0


class Unauthorized(Exception):
    """The server answered 401."""


class RetriedHere(ConnectionFailedError):
    """Retried by the client only: when its attempts are used up, the run does not multiply them by its own."""


class Client:
    """Sends requests through a transport, as often and as fast as it is allowed to.

    :param per_second: requests at most; None: any number.
    :param delay: seconds of the first wait.
    :param max_wait: seconds that a server may ask to wait; more, and the request fails.
    :param redact: masks the secrets in a text.
    :param answered: whether the server has answered a request before.
    """

    def __init__(
        self,
        transport: Transport,
        auth: AuthBase | None,
        *,
        per_second: float | None,
        attempts: int,
        delay: float,
        max_wait: float,
        redact: Callable[[str], str],
        answered: bool = False,
    ) -> None:
        self._transport = transport
        self._auth = auth
        self.limiter = RateLimiter(per_second)
        self._attempts = attempts
        self._first_attempts = min(attempts, _FIRST_ATTEMPTS)
        self.answered = answered
        self._backoff = Backoff(delay)
        self._max_wait = max_wait
        self._redact = redact
        self.sleep: Callable[[float], None] = time.sleep
        self.now: Callable[[], float] = time.time

    def close(self) -> None:
        self._transport.close()

    def fetch(self, request: HttpRequest, handle: Callable[[requests.Response], T]) -> Waiting[T]:
        """The value that ``handle`` makes of the response. It raises ``ConnectionFailedError`` to have it retried.

        :raises ConnectionFailedError: when all attempts failed.
        :raises AuthenticationError: when the credentials were refused, again after they were renewed.
        """
        try:
            return (yield from self._fetch(request, handle))
        except DataSourceError as error:
            error.args = (self._redact(str(error)),)
            raise

    def _fetch(self, request: HttpRequest, handle: Callable[[requests.Response], T]) -> Waiting[T]:
        failures, renewed = 0, False
        since: float | None = None
        while True:
            yield from self._wait_for_turn(request)
            response: requests.Response | None = None
            try:
                response = self._transport.open(request)
                self.answered = True
                self._note(response)
                return handle(response)
            except Unauthorized:
                assert response is not None
                if renewed or not self._renew(response):
                    raise AuthenticationError(
                        f"{request_line(request)}: the server refused the credentials (401); check auth"
                    ) from None
                renewed = True
            except ConnectionFailedError as error:
                failures += 1
                since = since or time.monotonic()
                if error.retry_after:  # what the server asks for is bounded by max_wait
                    since = None
                wait = self._wait_after(error, failures, request, since)
                reason = self._redact(_with_request(request, error))
                log.info("%s; attempt %d follows in %.1f s", reason, failures + 1, wait)
                yield from self.pause(wait)

    def _renew(self, response: requests.Response) -> bool:
        renew = getattr(self._auth, "renew", None)
        response.close()
        return renew is not None and bool(renew(response.request))

    def _note(self, response: requests.Response) -> None:
        wait = until_reset(lower_names(response.headers), self.now())
        if wait:
            self.limiter.pause(wait)
        if log.isEnabledFor(logging.DEBUG):
            url = self._redact(mask_url(response.url))
            log.debug("%s %s: %d", response.request.method, url, response.status_code)

    def _wait_for_turn(self, request: HttpRequest) -> Waiting[None]:
        wait = self.limiter.reserve()
        if wait > self._max_wait:
            line = request_line(request)
            if not self.limiter.interval or self.limiter.server_wait() > self._max_wait:
                problem = f"{line}: the server's rate limit is used up; {self._too_long('the server asks', wait)}"
            else:
                rate = f"requests_per_second = {1 / self.limiter.interval:g}"
                problem = f"{line}: too many requests are due; {self._too_long(f'{rate} asks', wait)}"
            raise ConnectionFailedError(problem, retry_after=wait)
        yield from self.pause(wait)

    def _wait_after(
        self, error: ConnectionFailedError, failures: int, request: HttpRequest, since: float | None
    ) -> float:
        """Seconds until the next attempt: exponential, with jitter, on top of the time that the server asks for.

        :param since: when the request failed first; None: the server asks to wait.
        """
        asked = error.retry_after or 0.0
        text = _with_request(request, error) + (f" ({failures} attempts)" if failures > 1 else "")
        if asked > self._max_wait:
            problem = f"{text}; {self._too_long('the server asks', asked)}"
            raise ConnectionFailedError(problem, retry_after=asked) from None
        if isinstance(error, Unreachable) and not self.answered and failures >= self._first_attempts:
            self._first_attempts = 1
            raise ConnectionFailedError(
                f"{text}. The server has not answered any request yet: check the scheme, the host and the port of "
                f"{error.option}, and that the server runs",
                waited=True,
            ) from None
        wait = asked + self._backoff.wait(failures)
        out_of_time = since is not None and not may_wait(wait, since)
        if failures >= self._attempts or out_of_time:
            if isinstance(error, RetriedHere):
                more = "a longer retry_for" if out_of_time else f"retry = {{ attempts = {2 * self._attempts} }}"
                raise DataSourceError(f"{text}. For more attempts, set {more}") from None
            raise ConnectionFailedError(text, retry_after=error.retry_after, failing_since=since) from None
        return wait

    def _too_long(self, asking: str, wait: float) -> str:
        """How long to wait, and the option that allows it."""
        if wait > _TEN_YEARS:
            return f'{asking} to wait for more than 10 years, and retry.max_wait = "{self._max_wait:.0f}s" bounds waits'
        return (
            f"{asking} to wait for {wait:.0f} s, and retry.max_wait is {self._max_wait:.0f} s. To wait as long, set "
            f'retry = {{ max_wait = "{math.ceil(wait)}s" }}'
        )

    def pause(self, seconds: float) -> Waiting[None]:
        """Wait, and let the caller stop meanwhile."""
        while seconds > 0:
            self.sleep(min(seconds, TICK))
            seconds -= TICK
            yield


def lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _with_request(request: HttpRequest, error: Exception) -> str:
    """The error, with the request unless its text names that already."""
    line = request_line(request)
    return str(error) if line in str(error) else f"{line}: {error}"


class ResponseCache:
    """Responses by request, in files that only their owner can read.

    A parent stream with ``cache = true`` is then requested once, however many child streams it has.
    """

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def lock(self, request: HttpRequest) -> threading.Lock:
        """Held while a request is made, so that no other thread makes it too."""
        with self._lock:
            return self._locks[_file_name(request)]

    def get(self, request: HttpRequest) -> HttpResponse | None:
        path = self._path(request)
        if not path.exists():
            return None
        url, status, headers, content = _CACHED.decode(path.read_bytes())
        return HttpResponse(request, url, status, headers, content)

    def put(self, response: HttpResponse) -> None:
        cached = (response.url, response.status, dict(response.headers), response.content)
        path = self._path(response.request)
        draft = path.with_suffix(".draft")  # a file with the final name is whole
        draft.write_bytes(msgspec.msgpack.encode(cached))
        draft.replace(path)

    def clear(self) -> None:
        with self._lock:
            if self._folder is not None:
                self._folder.cleanup()
            self._folder = None
            self._locks.clear()

    def _path(self, request: HttpRequest) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="vdk-source-rest-")
            return Path(self._folder.name) / _file_name(request)


def _file_name(request: HttpRequest) -> str:
    return sha256(request.key()).hexdigest()


_CACHED = msgspec.msgpack.Decoder(tuple[str, int, dict[str, str], bytes])
