"""OAuth 2.0: access tokens, asked for and renewed under a lock."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import Any, Protocol

import requests
from oauthlib.oauth2 import BackendApplicationClient, MissingTokenError, OAuth2Error
from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import AuthenticationError, ConfigurationError, ConnectionFailedError
from vdk.plugin.datasource_base.parts import exact_decimal

from .._origin import Origin
from ._options import BasicAuth, OAuth2ClientCredentials, OAuth2RefreshToken
from ._simple import Basic
from ._tokens import TokenFile

EARLY = 30.0
"""Seconds before its end that a token is renewed: a request takes time, and clocks differ."""

_DEFAULT_LIFETIME = 3600.0


class Ask(Protocol):
    """Posts a form and returns status and body; raises ``ConnectionFailedError`` where that fails."""

    def __call__(self, url: str, form: str, auth: AuthBase | None) -> tuple[int, bytes]: ...


class OAuth2(AuthBase):
    """Puts an access token on requests; asks ``token_url`` for one when there is none or it is about to end.

    :param ask: how to reach ``token_url``. It follows no redirect: the client's secret goes nowhere else.
    """

    def __init__(self, config: OAuth2ClientCredentials | OAuth2RefreshToken, ask: Ask) -> None:
        self._config = config
        self._ask = ask
        self._lock = threading.Lock()
        self._access: str | None = None
        self._ends = 0.0
        self._refresh: str | None = None
        self._file: TokenFile | None = None
        self._seen: list[str] = []
        if isinstance(config, OAuth2RefreshToken):
            self._file = TokenFile(
                config.token_file,
                token_url=config.token_url,
                client_id=config.client_id,
                configured=config.refresh_token.reveal(),
            )

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        return request

    def renew(self, request: requests.PreparedRequest) -> bool:
        """Drop the token that ``request`` was refused with. Another thread may have renewed it already."""
        with self._lock:
            if request.headers.get("Authorization") == f"Bearer {self._access}":
                self._access = None
        return True

    def secrets(self) -> list[str]:
        """Every token that was issued so far."""
        return list(self._seen)

    def _token(self) -> str:
        with self._lock:
            if self._access is None or time.monotonic() >= self._ends:
                with self._file.locked() if self._file is not None else contextlib.nullcontext():
                    self._obtain()
            assert self._access is not None
            return self._access

    def _obtain(self) -> None:
        client = BackendApplicationClient(self._config.client_id)
        status, body = self._ask(self._config.token_url, self._form(client), self._client_auth())
        token = self._parsed(client, status, body)
        lifetime = _lifetime(token.get("expires_in"))
        self._access = str(token["access_token"])
        self._ends = time.monotonic() + max(lifetime - EARLY, lifetime / 2)
        self._seen.append(self._access)
        issued = token.get("refresh_token")
        if self._file is not None and issued and issued != self._refresh:
            self._seen.append(issued)
            self._file.save(issued)
            self._refresh = issued

    def _form(self, client: BackendApplicationClient) -> str:
        config, extra = self._config, dict(self._config.extra)
        in_body = config.client_auth == "body" or config.client_secret is None
        if in_body and config.client_secret is not None:
            extra["client_secret"] = config.client_secret.reveal()
        scope = " ".join(config.scopes) or None
        if isinstance(config, OAuth2ClientCredentials):
            return str(client.prepare_request_body(scope=scope, include_client_id=in_body, **extra))
        if in_body:
            extra["client_id"] = config.client_id
        assert self._file is not None
        self._refresh = self._file.load() or config.refresh_token.reveal()
        return str(client.prepare_refresh_body(refresh_token=self._refresh, scope=scope, **extra))

    def _client_auth(self) -> AuthBase | None:
        config = self._config
        if config.client_auth == "body" or config.client_secret is None:
            return None
        return Basic(BasicAuth(username=config.client_id, password=config.client_secret))

    def _parsed(self, client: BackendApplicationClient, status: int, body: bytes) -> dict[str, Any]:
        origin = Origin.of(self._config.token_url)
        if status == 429 or status >= 500:
            raise ConnectionFailedError(f"the token server {origin} answered {status}")
        try:
            # without scopes: a server may grant fewer than asked for, which the library takes for an error
            token: dict[str, Any] = client.parse_request_body_response(body.decode("utf-8", "replace"))
        except (MissingTokenError, ValueError):
            raise ConfigurationError(
                f"the answer of the token server {origin} ({status}) holds no token: is token_url right?"
            ) from None
        except OAuth2Error as error:
            raise AuthenticationError(
                f"the token server {origin} refused to issue a token ({status}): {error.error}; check client_id, "
                "client_secret and scopes" + (", or obtain a new refresh_token" if self._file is not None else "")
            ) from None
        return token


def _lifetime(seconds: Any) -> float:
    """How long a token lasts by the server's ``expires_in`` (RFC 6749, section 5.1); an hour where it does not say."""
    try:
        lifetime = float(exact_decimal(seconds))
    except ValueError:
        return _DEFAULT_LIFETIME
    return lifetime if 0 < lifetime < math.inf else _DEFAULT_LIFETIME
