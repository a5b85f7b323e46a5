"""Credentials that stay as they are: put on each request to the source's own origin."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import requests
from requests.auth import AuthBase

from .options import ApiKeyAuth, BasicAuth, BearerAuth


class Basic(AuthBase):
    """``Authorization: Basic``, in UTF-8 (RFC 7617, section 2.1)."""

    def __init__(self, config: BasicAuth) -> None:
        pair = f"{config.username}:{config.password.reveal()}"
        self._value = f"Basic {b64encode(pair.encode()).decode()}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request

    def secrets(self) -> list[str]:
        return [self._value.removeprefix("Basic ")]


class Bearer(AuthBase):
    """``Authorization: Bearer``."""

    def __init__(self, config: BearerAuth) -> None:
        self._value = f"{config.scheme} {config.token.reveal()}".strip()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


class ApiKey(AuthBase):
    """A key in a header, a parameter or a cookie."""

    def __init__(self, config: ApiKeyAuth) -> None:
        self._name, self._key, self._in = config.name, config.value.reveal(), config.in_

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._in == "header":
            request.headers[self._name] = self._key
        elif self._in == "query":
            request.url = self._with_parameter(request.url or "")
        else:
            cookies = [request.headers.get("Cookie", ""), f"{self._name}={self._key}"]
            request.headers["Cookie"] = "; ".join(filter(None, cookies))
        return request

    def _with_parameter(self, url: str) -> str:
        """A next link may carry the key already, or an empty one."""
        parts = urlsplit(url)
        if not any(name == self._name for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
            own = urlencode({self._name: self._key})
            return urlunsplit(parts._replace(query=f"{parts.query}&{own}" if parts.query else own))
        others = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != self._name]
        return urlunsplit(parts._replace(query=urlencode([*others, (self._name, self._key)])))
