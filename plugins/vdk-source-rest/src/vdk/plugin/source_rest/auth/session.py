# SPDX-License-Identifier: Apache-2.0
"""Sessions: a login by POST, whose token or cookie goes on every request until it is refused or too old."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
import requests
from msgspec import Meta
from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceConfig,
    Duration,
    Secret,
)

from ..http.urls import Origin
from ..responses.extract import search
from .token_server import Post

_MAX_REMEMBERED = 100


class SessionAuth(DataSourceConfig, tag_field="type", tag="session"):
    """A login that returns a token or a cookie."""

    url: Annotated[str, Meta(min_length=1, description="the whole URL of the login; secrets go there only")]
    body: Annotated[dict[str, Secret], Meta(min_length=1, description="what is posted, such as user and password")]
    encoding: Annotated[Literal["json", "form"], Meta(description="how the body is sent")] = "json"
    token_path: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="the path of the token in the response (JMESPath). Default: the login sets cookies"),
    ] = None
    header: Annotated[str, Meta(min_length=1, description="the header for the token")] = "Authorization"
    scheme: Annotated[str, Meta(description="the word before the token, if any")] = "Bearer"
    renew_after: Annotated[
        Duration | None, Meta(description="log in again after this time. Default: when a request is refused with 401")
    ] = None


class Session(AuthBase):
    """Logs in when it is first needed, and again when the session is too old or refused. Threads share it."""

    def __init__(self, config: SessionAuth, post: Post) -> None:
        self._config = config
        self._post = post
        self._lock = threading.Lock()
        self._value: str | None = None
        self._issued_at = 0.0
        self._issued: deque[str] = deque(maxlen=_MAX_REMEMBERED)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        value = self._current()
        if self._config.token_path is not None:
            request.headers[self._config.header] = f"{self._config.scheme} {value}".strip()
        else:
            cookies = [request.headers.get("Cookie", ""), value]
            request.headers["Cookie"] = "; ".join(filter(None, cookies))
        return request

    def renew(self, request: requests.PreparedRequest) -> bool:
        """Forget the session that ``request`` was refused with. Another thread may have logged in already."""
        name = self._config.header if self._config.token_path is not None else "Cookie"
        with self._lock:
            if self._value is not None and str(request.headers.get(name, "")).endswith(self._value):
                self._value = None
        return True

    def secrets(self) -> list[str]:
        return list(self._issued)

    def _current(self) -> str:
        after = self._config.renew_after
        with self._lock:
            is_old = after is not None and time.monotonic() - self._issued_at >= after.total_seconds()
            if self._value is None or is_old:
                self._value, self._issued_at = self._log_in(), time.monotonic()
            return self._value

    def _log_in(self) -> str:
        config = self._config
        fields = {name: value.reveal() for name, value in config.body.items()}
        is_json = config.encoding == "json"
        content = json.dumps(fields) if is_json else urlencode(fields)
        type_ = "application/json" if is_json else "application/x-www-form-urlencoded"
        reply = self._post(config.url, content, type_, None)
        origin = Origin.of(config.url)
        if reply.status == 429 or reply.status >= 500:
            raise ConnectionFailedError(f"the login at {origin} was answered with {reply.status}")
        if reply.status >= 400:
            raise AuthenticationError(f"the login at {origin} was refused ({reply.status}); check auth.body")
        if config.token_path is None:
            return self._remembered("; ".join(f"{name}={value}" for name, value in reply.cookies.items()), "a cookie")
        try:
            token: Any = search(config.token_path, msgspec.json.decode(reply.body))
        except msgspec.DecodeError:
            token = None
        return self._remembered(token, f"a token at {config.token_path!r}")

    def _remembered(self, value: Any, expected: str) -> str:
        if not isinstance(value, (str, int)) or value == "":
            raise ConfigurationError(
                f"the response of the login at {Origin.of(self._config.url)} lacks {expected}; set auth.token_path to "
                "the path of the token, or remove it if the login sets cookies"
            )
        self._issued.extend([str(value), *str(value).split("; ")] if self._config.token_path is None else [str(value)])
        return str(value)
