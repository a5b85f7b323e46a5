"""Answers kept until a run ends, so that a parent stream is asked for once, however many streams hang on it."""

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
from vdk.plugin.datasource_base.parts import Backoff

from .rate_limit import Pace, retry_after, until_reset
from .transport import Transport
from .types import Request, Response
from .urls import shown


class Cache:
    """Responses by request, in files that only their owner can read."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def lock(self, request: Request) -> threading.Lock:
        """Held while a request is made, so that no other thread makes it too."""
        with self._lock:
            return self._locks[_name(request)]

    def get(self, request: Request) -> Response | None:
        path = self._path(request)
        if not path.exists():
            return None
        url, status, headers, content = _FORM.decode(path.read_bytes())
        return Response(request, url, status, headers, content)

    def put(self, response: Response) -> None:
        found = (response.url, response.status, dict(response.headers), response.content)
        path = self._path(response.request)
        draft = path.with_suffix(".draft")  # what is there is whole
        draft.write_bytes(msgspec.msgpack.encode(found))
        draft.replace(path)

    def clear(self) -> None:
        with self._lock:
            if self._folder is not None:
                self._folder.cleanup()
            self._folder = None
            self._locks.clear()

    def _path(self, request: Request) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="vdk-source-rest-")
            return Path(self._folder.name) / _name(request)


def _name(request: Request) -> str:
    return sha256(request.key()).hexdigest()


_FORM = msgspec.msgpack.Decoder(tuple[str, int, dict[str, str], bytes])


log = logging.getLogger(__name__)
T = TypeVar("T")
Steps = Generator[None, None, T]
TICK = 0.5
_LONGEST = 10 * 365 * 86400.0


class Unauthorized(Exception):
    """The server answered 401."""


class RetryLater(ConnectionFailedError):
    """The server asks to come again later."""


class EmptyAnswer(ConnectionFailedError):
    """An answer without content that may have been cut off: asked for again here, and not by the runtime as well."""


class Client:
    """Sends requests through a transport, as often and as fast as it is allowed to.

    :param delay: seconds of the first wait.
    :param max_wait: seconds that a server may ask to wait; more, and the request fails.
    :param redact: takes secrets out of a text.
    """

    def __init__(
        self,
        transport: Transport,
        auth: AuthBase | None,
        pace: Pace,
        *,
        attempts: int,
        delay: float,
        max_wait: float,
        redact: Callable[[str], str],
    ) -> None:
        self._transport = transport
        self._auth = auth
        self.pace = pace
        self._attempts = attempts
        self._backoff = Backoff(delay)
        self._max_wait = max_wait
        self._redact = redact
        self.sleep: Callable[[float], None] = time.sleep
        self.now: Callable[[], float] = time.time

    def close(self) -> None:
        self._transport.close()

    def fetch(self, request: Request, judge: Callable[[requests.Response], T]) -> Steps[T]:
        """What ``judge`` makes of the answer. It raises ``ConnectionFailedError`` for what may be asked again.

        :raises ConnectionFailedError: when it was asked often enough.
        :raises AuthenticationError: when the credentials were refused, again after they were renewed.
        """
        try:
            return (yield from self._fetch(request, judge))
        except DataSourceError as error:
            error.args = (self._redact(str(error)),)
            raise

    def _fetch(self, request: Request, judge: Callable[[requests.Response], T]) -> Steps[T]:
        failures, renewed = 0, False
        while True:
            yield from self._wait_for_turn(request)
            response: requests.Response | None = None
            try:
                response = self._transport.open(request)
                self._note(response)
                return judge(response)
            except Unauthorized:
                assert response is not None
                if renewed or not self._renew(response):
                    raise AuthenticationError(
                        f"{_named(request)}: the server refused the credentials (401); check auth"
                    ) from None
                renewed = True
            except ConnectionFailedError as error:
                failures += 1
                wait = self._wait_after(error, failures, request)
                reason = self._redact(_told(request, error))
                log.info("%s; attempt %d follows in %.1f s", reason, failures + 1, wait)
                yield from self._pause(wait)

    def _renew(self, response: requests.Response) -> bool:
        renew = getattr(self._auth, "renew", None)
        response.close()
        return renew is not None and bool(renew(response.request))

    def _note(self, response: requests.Response) -> None:
        wait = until_reset(lowered(response.headers), self.now())
        if wait:
            self.pace.hold(wait)
        if log.isEnabledFor(logging.DEBUG):
            url = self._redact(shown(response.url))
            log.debug("%s %s: %d", response.request.method, url, response.status_code)

    def _wait_for_turn(self, request: Request) -> Steps[None]:
        wait = self.pace.take()
        if wait > self._max_wait:
            raise ConnectionFailedError(
                f"{_named(request)}: the server's rate limit is used up{self._too_long(wait)}", retry_after=wait
            )
        yield from self._pause(wait)

    def _wait_after(self, error: ConnectionFailedError, failures: int, request: Request) -> float:
        """Seconds until the next attempt. Exponential, spread by chance; the server's word is the least."""
        said = error.retry_after or 0.0
        if failures >= self._attempts or said > self._max_wait:
            often = f" ({failures} attempts)" if failures > 1 else ""
            often += self._too_long(said) if said > self._max_wait else ""
            if isinstance(error, EmptyAnswer):
                raise DataSourceError(f"{_told(request, error)}{often}") from None
            raise ConnectionFailedError(f"{_told(request, error)}{often}", retry_after=error.retry_after) from None
        return said + self._backoff.wait(failures)

    def _too_long(self, wait: float) -> str:
        """Says how long a server asks to wait, and names the option that allows it."""
        if wait > _LONGEST:
            return "; it asks to wait for more than ten years"
        return (
            f"; it asks to wait for {wait:.0f} s, and retry.max_wait is {self._max_wait:.0f} s. To wait as long, set "
            f'retry = {{ max_wait = "{math.ceil(wait)}s" }}'
        )

    def _pause(self, seconds: float) -> Steps[None]:
        while seconds > 0:
            self.sleep(min(seconds, TICK))
            seconds -= TICK
            yield


def retry_later(status: int, headers: Mapping[str, str], now: float) -> RetryLater:
    """The error for a status that says "later", with the time that the server gave."""
    wait = retry_after(headers, now)
    return RetryLater(
        f"the server answered {status}", retry_after=wait if wait is not None else until_reset(headers, now)
    )


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _told(request: Request, error: Exception) -> str:
    """The error, with the request unless it names that itself."""
    named = _named(request)
    return str(error) if named in str(error) else f"{named}: {error}"


def _named(request: Request) -> str:
    return f"{request.method} {shown(request.url)}"
