"""Credentials: each kind puts them on a request. ``requests`` calls that an ``AuthBase``, and so do libraries."""

from __future__ import annotations

from requests.auth import AuthBase

from .oauth2 import Ask, OAuth2
from .options import (
    ApiKeyAuth,
    AuthConfig,
    BasicAuth,
    BearerAuth,
    NoAuth,
    OAuth2ClientCredentials,
    OAuth2RefreshToken,
)
from .simple import ApiKey, Basic, Bearer

__all__ = ["AuthConfig", "NoAuth", "OAuth2ClientCredentials", "OAuth2RefreshToken", "make_auth"]


def make_auth(config: AuthConfig, ask: Ask) -> AuthBase | None:
    """What puts the configured credentials on requests.

    :param ask: how to post a form to a token server.
    """
    match config:
        case BasicAuth():
            return Basic(config)
        case BearerAuth():
            return Bearer(config)
        case ApiKeyAuth():
            return ApiKey(config)
        case OAuth2ClientCredentials() | OAuth2RefreshToken():
            return OAuth2(config, ask)
        case _:
            return None
