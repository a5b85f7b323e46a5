"""Requests on their way: credentials to the one origin, nothing of them anywhere else.

Every request passes here, whether it was configured, is the next page or a redirect. Its origin is looked
at when it is complete, as it will be sent.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, get_cookie_header
from requests.utils import get_environ_proxies

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError

from .connections import Session, TooMuch
from .types import Request
from .urls import LONGEST, Origin, plain, resolve, shown

_ALWAYS = {
    "User-Agent": "vdk-source-rest",
    "Accept": "application/json, application/x-ndjson, text/csv;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip",
}
_AWAY = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, and what is allowed.

    :param ca_bundle: None: the well-known authorities, or those that ``REQUESTS_CA_BUNDLE`` names.
    """

    connect: float = 10.0
    read: float = 60.0
    total: float = 600.0
    max_bytes: int = 256 * 1024 * 1024
    max_redirects: int = 10
    follow_foreign_links: bool = False
    ca_bundle: Path | None = None
    certificate: str | tuple[str, str] | None = None


class _Cookies(RequestsCookieJar):
    """Cookies, within the number and size that clients keep (RFC 6265, section 6.1): others would fill the memory."""

    MOST, LARGEST = 100, 4096

    def set_cookie(self, cookie: Any, *args: Any, **kwargs: Any) -> None:
        fits = len(cookie.name) + len(cookie.value or "") <= self.LARGEST
        place = (cookie.domain, cookie.path, cookie.name)
        if fits and (len(self) < self.MOST or any(place == (known.domain, known.path, known.name) for known in self)):
            super().set_cookie(cookie, *args, **kwargs)


class Transport:
    """Sends requests for one origin.

    :param origin: where credentials go.
    :param auth: puts them on a request.
    """

    def __init__(self, origin: Origin, auth: AuthBase | None, limits: Limits) -> None:
        self.origin = origin
        self._auth = auth
        self._limits = limits
        self._own = Session(limits.total, limits.max_bytes)
        self._foreign = Session(limits.total, limits.max_bytes)
        self._proxies = get_environ_proxies(str(origin))
        self._cookies = _Cookies()
        self._lock = threading.Lock()
        for session in (self._own, self._foreign):
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            session.headers.clear()
            session.headers.update(_ALWAYS)

    def close(self) -> None:
        self._own.close()
        self._foreign.close()

    def open(self, request: Request) -> requests.Response:
        """The answer after redirects, its body not read yet. The caller closes it.

        :raises ConnectionFailedError: where the server is away.
        :raises ConfigurationError: where the way leads to another origin, or cannot be gone.
        """
        foreign = False
        for _ in range(self._limits.max_redirects + 1):
            foreign = foreign or self._leads_away(request)
            response = self._send(request, foreign=foreign)
            location = response.headers.get("Location")
            if not response.is_redirect or location is None:
                return response
            response.close()
            request = self._redirected(request, response, location)
        raise ConfigurationError(f"{_named(request)}: more than {self._limits.max_redirects} redirects in a row")

    def _leads_away(self, request: Request) -> bool:
        """Whether a request goes to another origin. Raises where that is not allowed."""
        try:
            own = self.origin.has(request.url)
        except ValueError as error:
            raise ConfigurationError(
                f"a link leads to {shown(request.url)!r:.200}, which is not followed: {error}"
            ) from None
        if own:
            return False
        if not self._limits.follow_foreign_links:
            raise ConfigurationError(
                f"a link of {self.origin} leads to {shown(request.url)!r:.200}, and credentials belong to "
                f"{self.origin} only. If this is right, say follow_foreign_links = true, which "
                "follows it without credentials"
            )
        if request.body is not None:
            raise ConfigurationError(
                f"a link of {self.origin} leads to {shown(request.url)!r:.200}: what is posted is not sent there"
            )
        return True

    def _send(self, request: Request, *, foreign: bool) -> requests.Response:
        session = self._foreign if foreign else self._own
        params = _encodable(request.params)
        _check_length(request, params)
        try:
            prepared = session.prepare_request(
                requests.Request(
                    request.method,
                    request.url,
                    params=params,
                    headers=None if foreign else dict(request.headers),
                    json=request.body,
                )
            )
            plain_url = prepared.url or ""
            if not foreign:
                self._log_in(prepared)
            response = session.send(
                prepared,
                stream=True,
                timeout=(self._limits.connect, self._limits.read),
                allow_redirects=False,
                verify=trusted(self._limits),
                cert=None if foreign else self._limits.certificate,
                proxies=get_environ_proxies(plain_url) if foreign else self._proxies,
            )
            if not foreign:
                with self._lock:
                    extract_cookies_to_jar(self._cookies, prepared, response.raw)  # type: ignore[no-untyped-call]  # the stubs
            response.url = plain_url  # without a key in its query: it is shown, joined with links and cached
            return response
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ConfigurationError(
                    f"{_named(request)}: the server's certificate is not trusted ({_cause(error)}); name the "
                    "authority's certificate with ca_bundle"
                ) from None
            raise ConnectionFailedError(f"{_named(request)}: {_cause(error)}") from None
        except TooMuch as error:
            raise ConnectionFailedError(f"{_named(request)}: {error}") from None
        except _AWAY as error:
            raise ConnectionFailedError(f"{_named(request)}: {_cause(error)}") from None
        except (requests.RequestException, UnicodeError) as error:
            raise ConfigurationError(f"{_named(request)} cannot be sent: {type(error).__name__}") from None
        except OSError as error:  # which requests raises for files of certificates
            raise ConfigurationError(f"{_named(request)} cannot be sent: {error}") from None

    def _log_in(self, prepared: requests.PreparedRequest) -> None:
        """Put cookies and credentials on a request to the origin, and look whether it still is one afterwards.

        The jar is ours and not the session's, which threads may not share while cookies come.
        """
        with self._lock:
            cookies = get_cookie_header(self._cookies, prepared)  # type: ignore[no-untyped-call]  # the stubs
        if cookies:
            prepared.headers["Cookie"] = cookies
        if self._auth is not None:
            prepared.prepare_auth(self._auth)
        try:
            same = self.origin.has(prepared.url or "")
        except ValueError:
            same = False
        if not same:
            raise ConfigurationError(
                f"the request would go to {shown(prepared.url or '')!r}, which is not {self.origin}"
            )

    def _redirected(self, request: Request, response: requests.Response, location: str) -> Request:
        """The request that a redirect asks for (RFC 9110, section 15.4)."""
        if request.method != "GET" and response.status_code not in (307, 308):
            raise ConfigurationError(
                f"{_named(request)}: the server redirects ({response.status_code}) and what is posted would be "
                "dropped; name the right base_url and path"
            )
        try:
            # http.client reads headers as Latin-1, and servers write UTF-8 (requests does the same)
            url = resolve(response.url, location.encode("latin-1").decode("utf-8", "replace"))
        except ValueError as error:
            raise ConfigurationError(
                f"{_named(request)}: the server redirects to a place that is not followed: {error}"
            ) from None
        return replace(request, url=url, params={})


def trusted(limits: Limits) -> str | bool:
    """The certificates to check a server's with. There is no way to check none."""
    named = limits.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    return str(named) if named else True


def _encodable(params: Any) -> dict[str, Any]:
    """Truth values as other programs write them."""
    return {
        name: [plain(one) for one in value] if isinstance(value, (list, tuple)) else plain(value)
        for name, value in params.items()
        if value is not None
    }


def _check_length(request: Request, params: Mapping[str, str | list[str]]) -> None:
    """Refuse a URL that no server takes, before it is encoded: a token of some megabytes may be in it."""
    length = len(request.url) + sum(len(name) + sum(map(len, value)) for name, value in params.items())
    if length > LONGEST:
        raise ConfigurationError(
            f"{_named(request)}: the URL with its parameters has {length:,} characters, and a URL has at most "
            f"{LONGEST:,}; a parameter that begins with body. is sent in the body"
        )


def _named(request: Request) -> str:
    return f"{request.method} {shown(request.url)}"


def _cause(error: Exception) -> str:
    """What went wrong, without the URL that ``requests`` and urllib3 put into it."""
    if isinstance(error, requests.ReadTimeout) or "Read timed out" in str(error):
        return "no answer in time"
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    inner: Any = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    text = re.sub(r"^.*? object at 0x[0-9a-f]+>:? ?", "", str(inner))
    text = re.sub(r"^\w+\(.*?(host=.*?)?\): ", "", text)
    return f"{text.partition(' with url')[0]:.200}" or type(error).__name__
