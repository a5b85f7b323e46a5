# SPDX-License-Identifier: Apache-2.0
"""Credentials: each kind puts them on a request, as a ``requests`` authentication (``AuthBase``)."""

from __future__ import annotations

from requests.auth import AuthBase, HTTPDigestAuth

from .credentials import (
    AnyGrant,
    ApiKey,
    ApiKeyAuth,
    AuthConfig,
    Basic,
    BasicAuth,
    Bearer,
    BearerAuth,
    DigestAuth,
    Headers,
    HeadersAuth,
)
from .oauth2 import OAuth2
from .session import Session, SessionAuth
from .signing import AwsAuth, AwsSignature, Jwt, JwtAuth
from .token_server import Post

__all__ = ["make_auth"]


def make_auth(config: AuthConfig, post: Post) -> AuthBase | None:
    """The authentication for the configured credentials; None for no credentials.

    :param post: posts secrets to a token server or a login.
    """
    if isinstance(config, AnyGrant):
        return OAuth2(config, post)
    match config:
        case BasicAuth():
            return Basic(config)
        case BearerAuth():
            return Bearer(config)
        case ApiKeyAuth():
            return ApiKey(config)
        case DigestAuth():
            return HTTPDigestAuth(config.username, config.password.reveal())
        case HeadersAuth():
            return Headers(config)
        case SessionAuth():
            return Session(config, post)
        case JwtAuth():
            return Jwt(config)
        case AwsAuth():
            return AwsSignature(config)
        case _:
            return None
