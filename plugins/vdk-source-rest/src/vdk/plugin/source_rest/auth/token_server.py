# SPDX-License-Identifier: Apache-2.0
"""The server that secrets are posted to: it issues a token or opens a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import requests
from requests.auth import AuthBase
from requests.utils import get_environ_proxies

from vdk.plugin.datasource_base.contract import ConfigurationError, ConnectionFailedError

from ..http.body import LimitExceeded, UnacceptableBody, read_body
from ..http.transport import LimitedSession, TransportLimits, Unreachable, is_unreachable, is_untrusted
from ..http.urls import Origin

MAX_RESPONSE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to a post. Its cookies are those that it sets."""

    status: int
    body: bytes
    cookies: Mapping[str, str] = field(default_factory=dict)


class Post(Protocol):
    """Posts a body of a content type; raises ``ConnectionFailedError`` if that fails."""

    def __call__(self, url: str, body: str, content_type: str, auth: AuthBase | None) -> Reply: ...


class TokenServer:
    """Posts secrets to a token server. A redirect is an error: they do not follow it."""

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits

    def post(self, url: str, body: str, content_type: str, auth: AuthBase | None) -> Reply:
        origin = Origin.of(url)
        try:
            with (
                LimitedSession(self._limits.total, MAX_RESPONSE) as session,
                session.post(
                    url,
                    data=body,
                    auth=auth,
                    headers={"Content-Type": content_type, "Accept": "application/json"},
                    stream=True,
                    timeout=(self._limits.connect, self._limits.read),
                    allow_redirects=False,
                    verify=self._limits.trusted(),
                    proxies=get_environ_proxies(url),
                ) as response,
            ):
                if response.is_redirect:
                    raise ConfigurationError(
                        f"the token server {origin} redirects, and secrets do not follow a redirect; set "
                        "auth.token_url to the URL that it redirects to"
                    )
                cookies = {cookie.name: cookie.value or "" for cookie in response.cookies}
                return Reply(response.status_code, read_body(response, MAX_RESPONSE, hint=False), cookies)
        except UnacceptableBody as error:
            raise ConfigurationError(f"the token server {origin}: {error}; check auth.token_url") from None
        except (LimitExceeded, ConnectionFailedError) as error:
            raise ConnectionFailedError(f"the token server {origin}: {error}") from None
        except requests.RequestException as error:
            if is_untrusted(error):
                raise ConfigurationError(
                    f"the token server {origin}: its certificate is not trusted. Name the certificate of its "
                    'authority: ca_bundle = "authority.pem"'
                ) from None
            problem = f"the token server {origin}: {type(error).__name__}"
            if is_unreachable(error):
                raise Unreachable(problem, "auth.token_url") from None
            raise ConnectionFailedError(problem) from None
