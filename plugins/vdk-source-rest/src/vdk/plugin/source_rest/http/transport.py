# SPDX-License-Identifier: Apache-2.0
"""The transport: sends each request, with credentials to the one origin and without any to all others.

Every request passes here, whether it was configured, is the next page or a redirect. Its origin is checked
when it is complete, as it will be sent.
"""

from __future__ import annotations

import gzip
import http.client
import io
import logging
import os
import re
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, get_cookie_header
from requests.utils import get_environ_proxies
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError

from .body import MAX_HEAD, LimitedReader, LimitExceeded
from .types import HttpRequest
from .urls import MAX_URL_LENGTH, Origin, mask_url, resolve_link, url_text

POOL_SIZE = 32
"""Connections kept per host; more are made when more threads read, and closed after use."""
_HEADERS = {
    "User-Agent": "vdk-source-rest",
    "Accept": "application/json, application/x-ndjson, text/csv;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip",
}
_CONNECTION_ERRORS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Times in seconds, sizes in bytes, and the certificates to check and to show.

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

    def trusted(self) -> str | bool:
        """The certificates to check a server's with. No option turns the check off."""
        bundle = self.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        return str(bundle) if bundle else True


class Unreachable(ConnectionFailedError):
    """No server that speaks HTTP is at an address.

    :param option: the option with that address.
    """

    def __init__(self, message: str, option: str = "base_url") -> None:
        super().__init__(message)
        self.option = option


class Transport:
    """Sends requests for one origin.

    :param origin: the only place that credentials go to.
    :param auth: puts them on a request.
    """

    def __init__(self, origin: Origin, auth: AuthBase | None, limits: TransportLimits) -> None:
        self.origin = origin
        self._auth = auth
        self._limits = limits
        self._own = LimitedSession(limits.total, limits.max_bytes)
        self._foreign = LimitedSession(limits.total, limits.max_bytes)
        self._proxies = get_environ_proxies(str(origin))
        self._cookies = _BoundedCookies()
        self._lock = threading.Lock()
        for session in (self._own, self._foreign):
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            session.headers.clear()
            session.headers.update(_HEADERS)

    def close(self) -> None:
        self._own.close()
        self._foreign.close()

    def open(self, request: HttpRequest) -> requests.Response:
        """The response after redirects, its body not read yet. The caller closes it.

        :raises ConnectionFailedError: if the server is unreachable.
        :raises ConfigurationError: if a redirect leads to another origin, or cannot be followed.
        """
        foreign = False
        for _ in range(self._limits.max_redirects + 1):
            foreign = foreign or self._is_foreign(request)
            response = self._send(request, foreign=foreign)
            location = response.headers.get("Location")
            if not response.is_redirect or location is None:
                return response
            response.close()
            request = self._redirected(request, response, location)
        raise ConfigurationError(f"{request_line(request)}: more than {self._limits.max_redirects} redirects in a row")

    def _is_foreign(self, request: HttpRequest) -> bool:
        """Whether a request goes to another origin. Raises if that is not allowed."""
        try:
            own = self.origin.has(request.url)
        except ValueError as error:
            raise ConfigurationError(
                f"a link leads to {mask_url(request.url)!r:.200}, which is not followed: {error}"
            ) from None
        if own:
            return False
        if not self._limits.follow_foreign_links:
            raise ConfigurationError(
                f"a link of {self.origin} leads to {mask_url(request.url)!r:.200}, and credentials belong to "
                f"{self.origin} only. To follow such links without credentials, set follow_foreign_links = true"
            )
        if request.body is not None:
            raise ConfigurationError(
                f"a link of {self.origin} leads to {mask_url(request.url)!r:.200}: a body that is posted is not sent "
                "to another origin"
            )
        return True

    def _send(self, request: HttpRequest, *, foreign: bool) -> requests.Response:
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
                    **_content(request),
                )
            )
            if request.compress and prepared.body:
                _compress(prepared)
            plain_url = prepared.url or ""
            if not foreign:
                self._log_in(prepared)
            response = session.send(
                prepared,
                stream=True,
                timeout=(self._limits.connect, self._limits.read),
                allow_redirects=False,
                verify=self._limits.trusted(),
                cert=None if foreign else self._limits.certificate,
                proxies=get_environ_proxies(plain_url) if foreign else self._proxies,
            )
            if not foreign:
                with self._lock:
                    extract_cookies_to_jar(self._cookies, prepared, response.raw)  # type: ignore[no-untyped-call]  # the stubs
            response.url = plain_url  # without a key in its query: it is shown, joined with links and cached
            return response
        except LimitExceeded as error:
            raise ConnectionFailedError(f"{request_line(request)}: {error}") from None
        except _CONNECTION_ERRORS as error:
            if is_untrusted(error):
                raise ConfigurationError(
                    f"{request_line(request)}: the server's certificate is not trusted ({_cause(error)}). Name the "
                    'certificate of its authority: ca_bundle = "authority.pem"'
                ) from None
            failed = Unreachable if is_unreachable(error) else ConnectionFailedError
            raise failed(f"{request_line(request)}: {_cause(error)}") from None
        except (requests.RequestException, UnicodeError) as error:
            raise ConfigurationError(f"{request_line(request)} cannot be sent: {type(error).__name__}") from None
        except OSError as error:  # which requests raises for files of certificates
            raise ConfigurationError(f"{request_line(request)} cannot be sent: {error}") from None

    def _log_in(self, prepared: requests.PreparedRequest) -> None:
        """Put cookies and credentials on a request to the origin, and check that it still goes there afterwards.

        The cookie jar is the transport's and not the session's, which threads may not share while cookies come.
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
                f"the request would go to {mask_url(prepared.url or '')!r}, which is not {self.origin}"
            )

    def _redirected(self, request: HttpRequest, response: requests.Response, location: str) -> HttpRequest:
        """The request that a redirect asks for (RFC 9110, section 15.4)."""
        if request.method != "GET" and response.status_code not in (307, 308):
            raise ConfigurationError(
                f"{request_line(request)}: the server redirects ({response.status_code}), and the posted body would be "
                "dropped. Set base_url and path to the URL that the server redirects to"
            )
        try:
            # http.client reads headers as Latin-1, and servers write UTF-8 (requests does the same)
            url = resolve_link(response.url, location.encode("latin-1").decode("utf-8", "replace"))
        except ValueError as error:
            raise ConfigurationError(
                f"{request_line(request)}: the server redirects to a URL that is not followed: {error}"
            ) from None
        return replace(request, url=url, params={})


def _content(request: HttpRequest) -> dict[str, Any]:
    """The body in its encoding, as an argument of ``requests``."""
    if request.encoding == "json" or request.body is None:
        return {"json": request.body}
    fields = [
        (name, url_text(item))
        for name, value in request.body.items()
        if value is not None
        for item in (value if isinstance(value, list) else [value])
    ]
    if request.encoding == "form":
        return {"data": fields}
    return {"files": [(name, (None, text)) for name, text in fields]}


def _compress(prepared: requests.PreparedRequest) -> None:
    body = prepared.body if isinstance(prepared.body, bytes) else str(prepared.body).encode()
    prepared.body = gzip.compress(body, mtime=0)
    prepared.headers["Content-Encoding"] = "gzip"
    prepared.headers["Content-Length"] = str(len(prepared.body))


def request_line(request: HttpRequest) -> str:
    """Method and URL of a request, for messages."""
    return f"{request.method} {mask_url(request.url)}"


def is_untrusted(error: Exception) -> bool:
    """Whether a server's certificate was refused. Any other failure of TLS is one of the connection."""
    return isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error)


def is_unreachable(error: Exception) -> bool:
    """Whether no connection was made, or what answers does not speak HTTP, or TLS."""
    inner: Any = error.args[0] if error.args else error
    reason = getattr(inner, "reason", inner)
    unreachable = (NewConnectionError, ConnectTimeoutError, ProtocolError)
    return isinstance(reason, unreachable) or isinstance(error, requests.exceptions.SSLError)


def _encodable(params: Any) -> dict[str, Any]:
    return {
        name: [url_text(item) for item in value] if isinstance(value, (list, tuple)) else url_text(value)
        for name, value in params.items()
        if value is not None
    }


def _check_length(request: HttpRequest, params: Mapping[str, str | list[str]]) -> None:
    """Refuse a URL that no server accepts, before it is encoded: a token of some megabytes may be in it."""
    length = len(request.url) + sum(len(name) + sum(map(len, value)) for name, value in params.items())
    if length > MAX_URL_LENGTH:
        raise ConfigurationError(
            f"{request_line(request)}: the URL with its parameters has {length:,} characters, and a URL has at most "
            f"{MAX_URL_LENGTH:,}. A parameter whose name starts with body. is sent in the body"
        )


def _cause(error: Exception) -> str:
    """The reason of an error, without the URL that ``requests`` and urllib3 put into it."""
    if isinstance(error, requests.ReadTimeout) or "Read timed out" in str(error):
        return "no response in time"
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    inner: Any = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    text = re.sub(r"^.*? object at 0x[0-9a-f]+>:? ?", "", str(inner))
    text = re.sub(r"^\w+\(.*?(host=.*?)?\): ", "", text)
    return f"{text.partition(' with url')[0]:.200}" or type(error).__name__


class _BoundedCookies(RequestsCookieJar):
    """Cookies, in the number and size that clients keep (RFC 6265, section 6.1): more would fill the memory."""

    MAX_COUNT, MAX_SIZE = 100, 4096

    def set_cookie(self, cookie: Any, *args: Any, **kwargs: Any) -> None:
        fits = len(cookie.name) + len(cookie.value or "") <= self.MAX_SIZE
        key = (cookie.domain, cookie.path, cookie.name)
        if fits and (
            len(self) < self.MAX_COUNT or any(key == (known.domain, known.path, known.name) for known in self)
        ):
            super().set_cookie(cookie, *args, **kwargs)


class LimitedSession(requests.Session):
    """A session whose responses end in time and within a size; it follows no redirect and reads no ``.netrc``.

    :param seconds: for a whole response.
    :param limit: bytes of its body.
    """

    def __init__(self, seconds: float, limit: int) -> None:
        super().__init__()
        self.trust_env = False
        adapter = _LimitedAdapter(seconds, limit)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        _hide_queries()

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: ``requests`` would read a redirect's body to its end before it decides whether to follow."""
        return None


class _LimitedAdapter(HTTPAdapter):
    """The adapter of ``requests``, over connections whose responses are read through a ``LimitedReader``."""

    def __init__(self, seconds: float, limit: int) -> None:
        self._classes = _pool_classes(seconds, limit)
        super().__init__(pool_connections=4, pool_maxsize=POOL_SIZE)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._classes
        return manager


def _response_class(seconds: float, limit: int) -> type[http.client.HTTPResponse]:
    class LimitedResponse(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            self.limited = LimitedReader(self.fp.detach(), seconds, MAX_HEAD)
            self.fp: Any = io.BufferedReader(self.limited, 65536)

        def begin(self) -> None:
            super().begin()
            self.limited.allow(limit)

    return LimitedResponse


def _pool_classes(seconds: float, limit: int) -> dict[str, Any]:
    response_class = _response_class(seconds, limit)
    plain = type("Connection", (HTTPConnection,), {"response_class": response_class})
    secure = type("SecureConnection", (HTTPSConnection,), {"response_class": response_class})
    return {
        "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


def _without_query(record: logging.LogRecord) -> bool:
    """A filter of log records: removes the queries of requests, which may contain keys."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            f"{arg.partition('?')[0]}?***" if isinstance(arg, str) and "?" in arg else arg for arg in record.args
        )
    return True


def _hide_queries() -> None:
    """urllib3 logs whole request lines at DEBUG."""
    for name in ("urllib3.connectionpool", "urllib3.connection"):
        logging.getLogger(name).addFilter(_without_query)  # which adds a filter once
