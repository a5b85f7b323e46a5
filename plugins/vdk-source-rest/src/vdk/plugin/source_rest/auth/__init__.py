# SPDX-License-Identifier: Apache-2.0
"""Credentials: each kind puts them on a request, as a ``requests`` authentication (``AuthBase``)."""

from __future__ import annotations

from requests.auth import AuthBase

from .credentials import (
    ApiKey,
    ApiKeyAuth,
    AuthConfig,
    Basic,
    BasicAuth,
    Bearer,
    BearerAuth,
    OAuth2ClientCredentials,
    OAuth2RefreshToken,
)
from .oauth2 import OAuth2, PostForm

__all__ = ["make_auth"]


def make_auth(config: AuthConfig, post_form: PostForm) -> AuthBase | None:
    """The authentication for the configured credentials; None for no credentials.

    :param post_form: posts a form to a token server.
    """
    match config:
        case BasicAuth():
            return Basic(config)
        case BearerAuth():
            return Bearer(config)
        case ApiKeyAuth():
            return ApiKey(config)
        case OAuth2ClientCredentials() | OAuth2RefreshToken():
            return OAuth2(config, post_form)
        case _:
            return None
