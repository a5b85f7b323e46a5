# SPDX-License-Identifier: Apache-2.0
"""The API of a help desk, over HTTP. TODO: your API, and where it is documented."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Self

import msgspec
import requests
from requests.auth import AuthBase

from vdk.plugin import datasource_base as base


class Page(msgspec.Struct):
    """TODO: how the API writes a page. Items stay encoded, so that a bad one does not fail the others."""

    items: list[msgspec.Raw]
    next: str | None = None


class BearerToken(AuthBase):
    """Sends the token with each request. A plain header would be replaced by a login from ~/.netrc."""

    def __init__(self, token: base.Secret) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request


class Client:
    """A session with the API. It connects on the first request, and `with` closes it."""

    def __init__(self, url: str, token: base.Secret, timeout: base.Duration) -> None:
        self._url, self._timeout = url.rstrip("/"), timeout.total_seconds()
        self._session = requests.Session()
        self._session.auth = BearerToken(token)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    def pages(self, path: str, **query: str | int) -> Iterator[Page]:
        """The pages of a list, each requested when it is needed. TODO: how a page refers to the next one."""
        while True:
            page = self.page(path, **query)
            yield page
            if page.next is None:
                return
            query["cursor"] = page.next

    def page(self, path: str, **query: str | int) -> Page:
        """One page. There is no retry here: after a ConnectionFailedError the runtime reads on from the last state."""
        url = f"{self._url}/{path}"
        try:
            response = self._session.get(url, params=query, timeout=self._timeout)
        except requests.RequestException as error:
            raise base.ConnectionFailedError(f"{url} is unreachable: {error}") from error
        check_status(response, url)
        try:
            return msgspec.json.decode(response.content, type=Page)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise base.ConnectionFailedError(f"{url} does not answer with a page ({error}): check `url`") from error


def check_status(response: requests.Response, url: str) -> None:
    """Raise the error that says what to do next. TODO: the statuses that mean something else in your API."""
    status = response.status_code
    if status in (401, 403):
        raise base.AuthenticationError(f"{url} refuses the token ({status}): create a new one and set it as `token`")
    if status == 429 or status >= 500:
        delay = retry_after(response.headers.get("Retry-After", ""))
        raise base.ConnectionFailedError(f"{url} is not available now ({status})", retry_after=delay)
    if status != 200:
        raise base.ConfigurationError(f"{url} answers {status} {response.reason}, expected 200: check `url`")


def retry_after(header: str) -> float | None:
    """Seconds until the next attempt: the header is a number or a date (RFC 9110, section 10.2.3)."""
    if header.isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (date.astimezone(dt.UTC) - dt.datetime.now(dt.UTC)).total_seconds())
