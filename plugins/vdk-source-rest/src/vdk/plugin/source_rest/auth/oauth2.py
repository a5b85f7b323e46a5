# SPDX-License-Identifier: Apache-2.0
"""OAuth 2.0: access tokens are requested, renewed before they expire, and refresh tokens kept for the next run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from filelock import FileLock, Timeout
from oauthlib.oauth2 import BackendApplicationClient, LegacyApplicationClient, MissingTokenError, OAuth2Error
from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import AuthenticationError, ConfigurationError, ConnectionFailedError
from vdk.plugin.datasource_base.parts import sync_folder

from ..http.urls import Origin
from .credentials import (
    AnyGrant,
    Basic,
    BasicAuth,
    OAuth2ClientCredentials,
    OAuth2Jwt,
    OAuth2Password,
    OAuth2RefreshToken,
)
from .signing import JwtOptions, signed_token
from .token_server import Post

log = logging.getLogger(__name__)
RENEW_BEFORE = 30.0
"""Seconds before it expires that a token is renewed: a request takes time, and clocks differ."""
DEFAULT_LIFETIME = 3600.0
MAX_LIFETIME = 365 * 86400.0
MAX_REMEMBERED = 100
"""Issued tokens that are masked in messages."""
_JWT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LOCK_SECONDS = 60.0


class OAuth2(AuthBase):
    """Puts an access token on requests; requests one of ``token_url`` if it has none, or one that is about to expire.

    :param post: posts to ``token_url``. It follows no redirect: the client's secret goes nowhere else.
    """

    def __init__(self, config: AnyGrant, post: Post) -> None:
        self._config = config
        self._post = post
        self._lock = threading.Lock()
        self._access: str | None = None
        self._renew_at = 0.0
        self._refresh: str | None = None
        self._unsaved: str | None = None
        """An issued refresh token that could not be written to its file; it replaced the one in there."""
        self._file: TokenFile | None = None
        self._issued: deque[str] = deque(maxlen=MAX_REMEMBERED)
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
        return list(self._issued)

    def _token(self) -> str:
        with self._lock:
            if self._access is None or time.monotonic() >= self._renew_at:
                with self._file.locked() if self._file is not None else contextlib.nullcontext():
                    self._obtain()
            assert self._access is not None
            return self._access

    def _obtain(self) -> None:
        client = BackendApplicationClient(self._config.client_id)
        reply = self._post(
            self._config.token_url, self._form(client), "application/x-www-form-urlencoded", self._client_auth()
        )
        token = self._parsed(client, reply.status, reply.body)
        lifetime = _lifetime(token.get("expires_in"))
        self._access = str(token["access_token"])
        self._renew_at = time.monotonic() + max(lifetime - RENEW_BEFORE, lifetime / 2)
        self._issued.append(self._access)
        issued = token.get("refresh_token")
        if self._file is not None and isinstance(issued, str) and issued not in ("", self._refresh):
            self._issued.append(issued)
            self._refresh = self._unsaved = issued
            self._file.save(issued)
            self._unsaved = None

    def _form(self, client: BackendApplicationClient) -> str:
        config, extra = self._config, dict(self._config.extra)
        scope = " ".join(config.scopes) or None
        if isinstance(config, OAuth2Jwt):
            optional = {"scope": scope, "client_id": config.client_id}
            fields = {"grant_type": _JWT_GRANT, "assertion": signed_token(config, aud=config.token_url)}
            return urlencode(fields | {name: value for name, value in optional.items() if value} | extra)
        in_body = config.client_auth == "body" or config.client_secret is None
        if config.client_jwt is not None:
            extra |= self._assertion(config.client_jwt)
        if in_body and config.client_secret is not None:
            extra["client_secret"] = config.client_secret.reveal()
        if isinstance(config, OAuth2ClientCredentials):
            return str(client.prepare_request_body(scope=scope, include_client_id=in_body, **extra))
        if isinstance(config, OAuth2Password):
            user = LegacyApplicationClient(config.client_id)
            name, password = config.username, config.password.reveal()
            return str(user.prepare_request_body(name, password, scope=scope, include_client_id=in_body, **extra))
        if in_body:
            extra["client_id"] = config.client_id
        assert self._file is not None
        self._refresh = self._unsaved or self._file.load() or config.refresh_token.reveal()
        return str(client.prepare_refresh_body(refresh_token=self._refresh, scope=scope, **extra))

    def _assertion(self, options: JwtOptions) -> dict[str, str]:
        """What shows who the client is: a token that it signs for this request (RFC 7523, section 2.2)."""
        client = self._config.client_id
        token = signed_token(options, iss=client, sub=client, aud=self._config.token_url, jti=uuid.uuid4().hex)
        self._issued.append(token)
        return {"client_assertion_type": _JWT_ASSERTION, "client_assertion": token}

    def _client_auth(self) -> AuthBase | None:
        config = self._config
        if isinstance(config, OAuth2Jwt) or config.client_auth == "body" or config.client_secret is None:
            return None
        return Basic(BasicAuth(username=config.client_id, password=config.client_secret))

    def _parsed(self, client: BackendApplicationClient, status: int, body: bytes) -> dict[str, Any]:
        origin = Origin.of(self._config.token_url)
        if status == 429 or status >= 500:
            raise ConnectionFailedError(f"the token server {origin} answered {status}")
        no_token = ConfigurationError(
            f"the response of the token server {origin} ({status}) contains no token; check auth.token_url"
        )
        text, lifetime = _without_lifetime(body.decode("utf-8", "replace"))
        try:
            # without scopes: a server may grant fewer than requested, which the library treats as an error
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
    """A JSON response without ``expires_in``, and that: the library refuses a whole token for an odd one."""
    try:
        fields = json.loads(text)
        lifetime = fields.pop("expires_in", None)
        return json.dumps(fields), lifetime
    except (ValueError, TypeError, AttributeError, RecursionError):
        return text, None  # not a JSON object: the library handles it


def _lifetime(value: Any) -> float:
    """Seconds until a token expires by ``expires_in`` (RFC 6749, section 5.1); an hour if that is not usable."""
    if isinstance(value, bool):
        return DEFAULT_LIFETIME
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_LIFETIME
    return min(seconds, MAX_LIFETIME) if 0 < seconds < math.inf else DEFAULT_LIFETIME


class TokenFile:
    """One refresh token in one file, readable by its owner only, replaced at once or not at all.

    The file has a hash of the configured token that its own replaced: once a new token is configured, the one in the
    file is ignored.
    """

    def __init__(self, path: Path | None, *, token_url: str, client_id: str, configured: str) -> None:
        self._descent = hashlib.sha256("\0".join((token_url, client_id, configured)).encode()).hexdigest()
        self._path = path or _state_folder() / f"{self._descent[:32]}.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude other processes: of two that use one token at once, the second would use a dead one."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(f"{self._path}.lock", timeout=LOCK_SECONDS, mode=0o600)
            lock.acquire()
        except Timeout:
            raise ConnectionFailedError(
                f"{self._path}: another process has locked the refresh token for a minute"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"{self._path}: the refresh token that replaces the configured one cannot be stored here "
                f'({error.strerror}). Name a writable file: auth.token_file = "/path/to/token.json"'
            ) from None
        try:
            yield
        finally:
            lock.release()

    def load(self) -> str | None:
        """The token that replaced the configured one; None if none did."""
        try:
            content = json.loads(self._path.read_text("utf-8"))
            return str(content["refresh_token"]) if content["descends_from"] == self._descent else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{self._path}: the stored refresh token cannot be read ({type(error).__name__}). Delete the file and "
                "configure a new refresh_token"
            ) from None

    def save(self, token: str) -> None:
        """Store the token durably, before it is used: the one before it is dead already."""
        try:
            self._replace(token)
        except OSError as error:
            raise ConfigurationError(
                f"{self._path}: the issued refresh token cannot be stored here ({error.strerror}), and the one before "
                'may be dead. Name a writable file: auth.token_file = "/path/to/token.json"; if the server refuses the '
                "next run, configure a new refresh_token"
            ) from None
        log.info("the server issued a new refresh token; it is stored in %s", self._path)

    def _replace(self, token: str) -> None:
        folder, prefix = self._path.parent, f".{self._path.name}."
        handle, name = tempfile.mkstemp(dir=folder, prefix=prefix)  # readable by the owner only
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"descends_from": self._descent, "refresh_token": token}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_folder(folder)


def _state_folder() -> Path:
    """The user's state folder (XDG base directory specification)."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "vdk-source-rest"
