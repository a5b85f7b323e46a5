"""OAuth 2.0: access tokens, asked for and renewed under a lock."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections import deque
from typing import Any, Protocol

import requests
from oauthlib.oauth2 import BackendApplicationClient, MissingTokenError, OAuth2Error
from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import AuthenticationError, ConfigurationError, ConnectionFailedError

from .._origin import Origin
from ._options import BasicAuth, OAuth2ClientCredentials, OAuth2RefreshToken
from ._simple import Basic
from ._tokens import TokenFile

EARLY = 30.0
"""Seconds before its end that a token is renewed: a request takes time, and clocks differ."""
USUAL = 3600.0
LONGEST = 365 * 86400.0
REMEMBERED = 100
"""Tokens that are taken out of messages."""


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
        self._unsaved: str | None = None
        """A refresh token that could not be written to its file; the one in there was replaced by it."""
        self._file: TokenFile | None = None
        self._seen: deque[str] = deque(maxlen=REMEMBERED)
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
        """The tokens that were issued last."""
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
        if self._file is not None and isinstance(issued, str) and issued not in ("", self._refresh):
            self._seen.append(issued)
            self._refresh = self._unsaved = issued
            self._file.save(issued)
            self._unsaved = None

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
        self._refresh = self._unsaved or self._file.load() or config.refresh_token.reveal()
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
        no_token = ConfigurationError(
            f"the answer of the token server {origin} ({status}) holds no token: is token_url right?"
        )
        text, lifetime = _without_lifetime(body.decode("utf-8", "replace"))
        try:
            # without scopes: a server may grant fewer than asked for, which the library takes for an error
            token: dict[str, Any] = client.parse_request_body_response(text)
        except (MissingTokenError, ValueError, TypeError, AttributeError, RecursionError):
            raise no_token from None
        except OAuth2Error as error:
            raise AuthenticationError(
                f"the token server {origin} refused to issue a token ({status}): {error.error}; check client_id, "
                "client_secret and scopes" + (", or obtain a new refresh_token" if self._file is not None else "")
            ) from None
        if not isinstance(token["access_token"], str) or not token["access_token"]:
            raise no_token
        return token if lifetime is None else {**token, "expires_in": lifetime}


def _without_lifetime(text: str) -> tuple[str, Any]:
    """An answer in JSON without ``expires_in``, and that: the library refuses a whole token for an odd one."""
    try:
        fields = json.loads(text)
        lifetime = fields.pop("expires_in", None)
        return json.dumps(fields), lifetime
    except (ValueError, TypeError, AttributeError, RecursionError):
        return text, None  # it is no JSON object, which the library looks at


def _lifetime(value: Any) -> float:
    """Seconds that a token lives by ``expires_in`` (RFC 6749, section 5.1); an hour where that is not usable."""
    if isinstance(value, bool):
        return USUAL
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return USUAL
    return min(seconds, LONGEST) if 0 < seconds < math.inf else USUAL
