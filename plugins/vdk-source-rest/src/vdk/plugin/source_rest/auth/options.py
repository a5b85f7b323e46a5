"""How to log in, as options: ``auth = { type = "bearer", token = "${secret:token}" }``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import DataSourceConfig, Secret


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

    name: Annotated[str, Meta(min_length=1, description="the header's, parameter's or cookie's name")]
    value: Annotated[Secret, Meta(description="the key")]
    in_: Annotated[Literal["header", "query", "cookie"], Meta(description="where it goes")] = msgspec.field(
        default="header", name="in"
    )


class _OAuth2(DataSourceConfig):
    """What both grants have in common."""

    token_url: Annotated[
        str, Meta(min_length=1, description="where tokens are asked for; the client's secret goes there only")
    ]
    client_id: Annotated[str, Meta(description="the client's id")]
    client_secret: Annotated[Secret | None, Meta(description="the client's secret")] = None
    client_auth: Annotated[
        Literal["basic", "body"], Meta(description="how the client logs in: basic, or in the body of the request")
    ] = "basic"
    scopes: Annotated[list[str], Meta(description="what the token is to be good for")] = msgspec.field(
        default_factory=list
    )
    extra: Annotated[dict[str, str], Meta(description="further parameters, such as audience")] = msgspec.field(
        default_factory=dict
    )


class OAuth2ClientCredentials(_OAuth2, tag_field="type", tag="oauth2_client_credentials"):
    """OAuth 2.0, for programs of their own (RFC 6749, section 4.4)."""


class OAuth2RefreshToken(_OAuth2, tag_field="type", tag="oauth2_refresh_token"):
    """OAuth 2.0 with a refresh token that a person once obtained (RFC 6749, section 6)."""

    refresh_token: Annotated[Secret, Meta(description="the refresh token")]
    token_file: Annotated[
        Path | None,
        Meta(
            description="where a refresh token is kept that the server issued in place of the configured one. "
            "Default: a file in the user's state folder"
        ),
    ] = None


AuthConfig = NoAuth | BasicAuth | BearerAuth | ApiKeyAuth | OAuth2ClientCredentials | OAuth2RefreshToken
