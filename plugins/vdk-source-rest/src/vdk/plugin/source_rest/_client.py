"""One request, asked until it is answered: waiting, repeating, logging in again.

What waits yields ``None`` now and then, so that whoever reads can be stopped and can land what it has.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Mapping
from typing import TypeVar

import requests
from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import AuthenticationError, ConnectionFailedError

from ._limits import Pace, retry_after, until_reset
from ._messages import Request
from ._transport import Transport
from ._urls import shown

log = logging.getLogger(__name__)
T = TypeVar("T")
Steps = Generator[None, None, T]
TICK = 0.5


class Unauthorized(Exception):
    """The server answered 401."""


class NotNow(ConnectionFailedError):
    """The server asks to come again later."""


class Client:
    """Sends requests through a transport, as often and as fast as it is allowed to.

    :param delay: seconds of the first wait.
    :param max_wait: seconds that a server may ask to wait; more, and the request fails.
    """

    def __init__(
        self, transport: Transport, auth: AuthBase | None, pace: Pace, *, attempts: int, delay: float, max_wait: float
    ) -> None:
        self._transport = transport
        self._auth = auth
        self.pace = pace
        self._attempts = attempts
        self._delay = delay
        self._max_wait = max_wait
        self.sleep: Callable[[float], None] = time.sleep
        self.now: Callable[[], float] = time.time

    def close(self) -> None:
        self._transport.close()

    def fetch(self, request: Request, judge: Callable[[requests.Response], T]) -> Steps[T]:
        """What ``judge`` makes of the answer. It raises ``ConnectionFailedError`` for what may be asked again.

        :raises ConnectionFailedError: when it was asked often enough.
        :raises AuthenticationError: when the credentials were refused, again after they were renewed.
        """
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
                log.info("%s; attempt %d follows in %.1f s", _told(request, error), failures + 1, wait)
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
            log.debug("%s %s: %d", response.request.method, shown(response.url), response.status_code)

    def _wait_for_turn(self, request: Request) -> Steps[None]:
        wait = self.pace.take()
        if wait > self._max_wait:
            raise ConnectionFailedError(
                f"{_named(request)}: the server's rate limit is used up for {wait:.0f} s, and retry.max_wait is "
                f"{self._max_wait:.0f} s",
                retry_after=wait,
            )
        yield from self._pause(wait)

    def _wait_after(self, error: ConnectionFailedError, failures: int, request: Request) -> float:
        """Seconds until the next attempt. Exponential, spread by chance; the server's word is the least."""
        said = error.retry_after or 0.0
        if failures >= self._attempts or said > self._max_wait:
            often = f" ({failures} attempts)" if failures > 1 else ""
            raise ConnectionFailedError(f"{_told(request, error)}{often}", retry_after=error.retry_after) from None
        wait: float = random.uniform(0, min(60.0, self._delay * 2 ** min(failures - 1, 30)))
        return said + wait

    def _pause(self, seconds: float) -> Steps[None]:
        while seconds > 0:
            self.sleep(min(seconds, TICK))
            seconds -= TICK
            yield


def not_now(status: int, headers: Mapping[str, str], now: float) -> NotNow:
    """The error for a status that says "later", with the time that the server gave."""
    wait = retry_after(headers, now)
    return NotNow(f"the server answered {status}", retry_after=wait if wait is not None else until_reset(headers, now))


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _told(request: Request, error: Exception) -> str:
    """The error, with the request unless it names that itself."""
    named = _named(request)
    return str(error) if named in str(error) else f"{named}: {error}"


def _named(request: Request) -> str:
    return f"{request.method} {shown(request.url)}"
