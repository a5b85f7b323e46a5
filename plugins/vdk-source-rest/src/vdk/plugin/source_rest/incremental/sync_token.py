# SPDX-License-Identifier: Apache-2.0
"""Sync tokens: an API returns a token with its last page, and the changes since then for it.

Google calls it ``nextSyncToken``, Microsoft Graph ``@odata.deltaLink``, CouchDB ``last_seq``. The token is the state,
whatever it contains; only the API knows what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig, StateError

from ..http.types import HttpRequest, Page
from ..http.urls import resolve_link
from ..responses.extract import search
from .progress import reset_hint

VERSION = 1


class SyncTokenConfig(DataSourceConfig):
    """Where a sync token comes from, and where it goes to."""

    path: Annotated[str, Meta(min_length=1, description="the path of the token in the last page (JMESPath)")]
    param: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="the parameter that it goes into. Default: the token is a URL, which is requested as it is"),
    ] = None
    first_params: Annotated[
        dict[str, str | int | float | bool],
        Meta(description="parameters of a reading without a token only, such as where to begin"),
    ] = msgspec.field(default_factory=dict)


def token_of(state: Mapping[str, Any], config: SyncTokenConfig, stream: str) -> Any:
    """The token in a stored state; None for ``{}``. Raises ``StateError`` for the state of something else."""
    if not state:
        return None
    if state.get("v") != VERSION or state.get("sync_token") != config.path or state.get("token") is None:
        raise StateError(
            f"stream {stream!r}: its state was not written for the sync_token {config.path!r}. {reset_hint(stream)}"
        )
    return state["token"]


def with_token(request: HttpRequest, config: SyncTokenConfig, token: Any) -> HttpRequest:
    """The first request of a reading, for the changes since ``token``; None: for everything."""
    if token is None:
        for name, value in config.first_params.items():
            request = request.with_param(name, value)
        return request
    if config.param is not None:
        return request.with_param(config.param, token)
    return replace(request, url=resolve_link(request.url, str(token)), params={}, template=None)


def state_after(page: Page | None, config: SyncTokenConfig, stream: str) -> dict[str, Any] | None:
    """The state after the last page; None: unchanged, since a rule ended the reading.

    :raises ConfigurationError: for a page without a token, which the next run would miss.
    """
    if page is None:
        return None
    token = search(config.path, page.body)
    if token in (None, ""):
        fields = ", ".join(map(repr, list(page.body)[:20])) if isinstance(page.body, Mapping) else "none"
        raise ConfigurationError(
            f"stream {stream!r}: its last page has no token at sync_token.path {config.path!r}; its fields are {fields}"
        )
    return {"v": VERSION, "sync_token": config.path, "token": token}
