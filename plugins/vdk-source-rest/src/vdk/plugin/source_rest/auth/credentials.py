# SPDX-License-Identifier: Apache-2.0
"""The kinds of credentials: their options, and what puts those that never change on a request."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import requests
from msgspec import Meta
from requests.auth import AuthBase

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig, Secret

from ..http.template import fill, placeholders
from ..http.urls import Origin, mask_url
from .session import SessionAuth
from .signing import AwsAuth, JwtAuth, JwtOptions, check_aws, check_jwt

_SET_BY_OPTION = {
    "grant_type": 'it follows from auth.type, "oauth2_client_credentials" or "oauth2_refresh_token"',
    "client_id": "set auth.client_id",
    "client_secret": "set auth.client_secret",
    "refresh_token": 'set auth.type = "oauth2_refresh_token" and auth.refresh_token',
    "scope": 'set auth.scopes, as in scopes = ["read"]',
    "client_assertion": 'set auth.client_auth = "private_key_jwt" and auth.client_jwt',
    "client_assertion_type": 'set auth.client_auth = "private_key_jwt" and auth.client_jwt',
}
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class NoAuth(DataSourceConfig, tag_field="type", tag="none"):
    """No credentials."""


class BasicAuth(DataSourceConfig, tag_field="type", tag="basic"):
    """A user name and a password (RFC 7617)."""

    username: Annotated[str, Meta(description="the user's name")]
    password: Annotated[Secret, Meta(description="the password")] = Secret("")


class BearerAuth(DataSourceConfig, tag_field="type", tag="bearer"):
    """A token in the ``Authorization`` header (RFC 6750)."""

    token: Annotated[Secret, Meta(description="the token")]
    scheme: Annotated[str, Meta(description="the word before the token")] = "Bearer"


class ApiKeyAuth(DataSourceConfig, tag_field="type", tag="api_key"):
    """A key in a header, in the query or in a cookie."""

    name: Annotated[str, Meta(min_length=1, description="the name of the header, parameter or cookie")]
    value: Annotated[Secret, Meta(description="the key")]
    in_: Annotated[Literal["header", "query", "cookie"], Meta(description="the place of the key")] = msgspec.field(
        default="header", name="in"
    )


class _OAuth2Options(DataSourceConfig):
    """The options of both grants."""

    token_url: Annotated[
        str, Meta(min_length=1, description="the URL that issues tokens; the client's secret goes there only")
    ]
    client_id: Annotated[str, Meta(description="the client's id")]
    client_secret: Annotated[Secret | None, Meta(description="the client's secret")] = None
    client_auth: Annotated[
        Literal["basic", "body", "private_key_jwt"],
        Meta(description="how the client logs in: basic, in the body of the request, or by a token that it signs"),
    ] = "basic"
    client_jwt: Annotated[
        JwtOptions | None,
        Meta(description='how that token is signed, as in { private_key_file = "key.pem", key_id = "k1" }'),
    ] = None
    scopes: Annotated[list[str], Meta(description="the scopes to request")] = msgspec.field(default_factory=list)
    extra: Annotated[dict[str, str], Meta(description="further parameters, such as audience")] = msgspec.field(
        default_factory=dict
    )


class OAuth2ClientCredentials(_OAuth2Options, tag_field="type", tag="oauth2_client_credentials"):
    """OAuth 2.0 for programs that act for themselves (RFC 6749, section 4.4)."""


class OAuth2RefreshToken(_OAuth2Options, tag_field="type", tag="oauth2_refresh_token"):
    """OAuth 2.0 with a refresh token that a person once obtained (RFC 6749, section 6)."""

    refresh_token: Annotated[Secret, Meta(description="the refresh token")]
    token_file: Annotated[
        Path | None,
        Meta(
            description="the file for the refresh token that the server issues in place of the configured one. "
            "Default: a file in the user's state folder"
        ),
    ] = None


class OAuth2Password(_OAuth2Options, tag_field="type", tag="oauth2_password"):
    """OAuth 2.0 with a user's name and password (RFC 6749, section 4.3), for servers that know nothing better."""

    username: Annotated[str, Meta(description="the user's name")]
    password: Annotated[Secret, Meta(description="the password")]


class OAuth2Jwt(JwtOptions, tag_field="type", tag="oauth2_jwt_bearer"):
    """OAuth 2.0 with a token that the source signs by a private key (RFC 7523): Salesforce, Google, Box.

    Its audience is the token server, unless another one is set.
    """

    token_url: Annotated[str, Meta(min_length=1, description="the URL that issues tokens")]
    client_id: Annotated[str, Meta(description="the client's id, if the server wants it beside the token")] = ""
    scopes: Annotated[list[str], Meta(description="the scopes to request")] = msgspec.field(default_factory=list)
    extra: Annotated[dict[str, str], Meta(description="further parameters")] = msgspec.field(default_factory=dict)


class DigestAuth(DataSourceConfig, tag_field="type", tag="digest"):
    """A user name and a password that are not sent (RFC 7616)."""

    username: Annotated[str, Meta(description="the user's name")]
    password: Annotated[Secret, Meta(description="the password")]


class HeadersAuth(DataSourceConfig, tag_field="type", tag="headers"):
    """Several headers that are made of secrets."""

    secrets: Annotated[dict[str, Secret], Meta(min_length=1, description="name = secret")]
    headers: Annotated[
        dict[str, str], Meta(min_length=1, description='header = text, as in "Token {key}"; {name} is a secret')
    ]


AnyGrant = OAuth2ClientCredentials | OAuth2RefreshToken | OAuth2Password | OAuth2Jwt
AuthConfig = (
    NoAuth
    | BasicAuth
    | BearerAuth
    | ApiKeyAuth
    | DigestAuth
    | HeadersAuth
    | SessionAuth
    | JwtAuth
    | AwsAuth
    | OAuth2ClientCredentials
    | OAuth2RefreshToken
    | OAuth2Password
    | OAuth2Jwt
)


def check_auth(auth: AuthConfig) -> None:
    """Raise ``ConfigurationError`` for a token URL that secrets may not go to, and for doubled parameters."""
    if isinstance(auth, JwtOptions):
        check_jwt(auth, "auth")
    if isinstance(auth, AwsAuth):
        check_aws(auth, "auth")
    if isinstance(auth, HeadersAuth):
        _check_headers(auth)
    if isinstance(auth, SessionAuth):
        _check_secret_url(auth.url, "auth.url")
    if not isinstance(auth, AnyGrant):
        return
    if isinstance(auth, _OAuth2Options):
        _check_client(auth)
    for name in auth.extra:
        if (instead := _SET_BY_OPTION.get(name)) is not None:
            raise ConfigurationError(f"auth.extra.{name}: the source sets {name} itself; {instead}")
    _check_secret_url(auth.token_url, "auth.token_url")


def _check_client(auth: _OAuth2Options) -> None:
    """A client logs in by a secret or by a key (RFC 7523, section 2.2)."""
    by_key = auth.client_auth == "private_key_jwt"
    if by_key != (auth.client_jwt is not None):
        raise ConfigurationError(
            'auth: client_auth = "private_key_jwt" and client_jwt belong together, as in client_jwt = '
            '{ private_key_file = "key.pem", key_id = "k1" }'
        )
    if auth.client_jwt is not None:
        check_jwt(auth.client_jwt, "auth.client_jwt")
        if auth.client_secret is not None:
            raise ConfigurationError("auth.client_secret: the client logs in by a signed token; remove client_secret")


def _check_secret_url(url: str, location: str) -> None:
    try:
        origin = Origin.of(url)
    except ValueError as error:
        raise ConfigurationError(f"{location}: {mask_url(url)!r}: {error}") from None
    if origin.scheme != "https" and origin.host not in _LOOPBACK:
        raise ConfigurationError(
            f"{location}: {mask_url(url)} is not https, and secrets are sent there (RFC 6749, section "
            f'3.2). Set {location.partition(".")[2]} = "https://{origin.host}/..."'
        )


def _check_headers(auth: HeadersAuth) -> None:
    for header, text in auth.headers.items():
        for name in placeholders(text):
            if name not in auth.secrets:
                raise ConfigurationError(
                    f"auth.headers.{header}: {{{name}}} is not one of the secrets {', '.join(auth.secrets)}; add it, "
                    f'as in secrets = {{ {name} = "${{secret:{name}}}" }}'
                )


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


class Headers(AuthBase):
    """Headers with secrets in them."""

    def __init__(self, config: HeadersAuth) -> None:
        secrets = {name: secret.reveal() for name, secret in config.secrets.items()}
        self._headers = {name: str(fill(text, secrets)) for name, text in config.headers.items()}

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
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
        """The URL with the key, once: a next link may contain it already, or an empty one."""
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        if not any(name == self._name for name, _ in pairs):
            own = urlencode({self._name: self._key})
            return urlunsplit(parts._replace(query=f"{parts.query}&{own}" if parts.query else own))
        others = [pair for pair in pairs if pair[0] != self._name]
        return urlunsplit(parts._replace(query=urlencode([*others, (self._name, self._key)])))
