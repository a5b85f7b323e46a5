# SPDX-License-Identifier: Apache-2.0
"""The default paginator: finds the next page by what a response shows, and fails if it shows more pages in another way.

A source that reads page 1 of many as the full result loses data silently. So a response that looks like one page of
several, in a way that ``auto`` does not know, is an error that asks for the paginator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import toml_value

from ..http.types import BODY_PREFIX, HttpRequest, Page
from ..responses.envelopes import words_of
from ..responses.extract import search
from .link_header import parse_link_header
from .more_pages import holders_of, page_count, sign_of_more_pages
from .paginators import CursorPaginator, LinkHeaderPaginator, LinkPaginator, NextUrlPaginator, Paginator, is_token

_URL_PATHS = (
    "next", "next_url", "nextUrl", "next_page_url", "nextLink", '"@odata.nextLink"', '"odata.nextLink"', "links.next",
    "links.next.href", "_links.next", "_links.next.href", "meta.next", "meta.next_url", "paging.next",
    "pagination.next", "pagination.next_url", "pagination.next_link", "paging.next.link", "next.href", "__next",
)  # fmt: skip
_TOKEN_PARAMS = {
    "nextPageToken": "pageToken",
    "next_page_token": "page_token",
    "next_cursor": "cursor",
    "nextCursor": "cursor",
    "meta.next_cursor": "cursor",
    "pagination.next_cursor": "cursor",
    "response_metadata.next_cursor": "cursor",
    "next_token": "next_token",
    "nextToken": "nextToken",
}
"""Path of a token → the parameter that it goes into."""
_AWS_TOKEN_PARAMS = {
    "NextToken": "NextToken",
    "NextMarker": "Marker",
    "NextContinuationToken": "ContinuationToken",
    "LastEvaluatedKey": "ExclusiveStartKey",
    "LastEvaluatedTableName": "ExclusiveStartTableName",
}
"""These go into the body of a POST, as the JSON APIs of AWS require."""
_PAGE = {"type": "page"}
_PAGE_NUMBERS = {"page", "number", "page number", "current page", "page index"}
_RELATIVE = re.compile(r"[\w.%()'-]+\?\S+=", re.ASCII)
"""``Orders?$skiptoken=7``, as OData writes links."""


class AutoPaginator(LinkPaginator, tag="auto"):
    """A ``Link`` header, a URL or a known token in the body; else one page, unless it looks like one of several."""

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        detected = _detect(request, page, self.next_link)
        if detected is not None:
            return detected.next(request, page)
        if page.number == 1 and (sign := sign_of_more_pages(page)):
            suggested = _suggested(page)
            error = ConfigurationError(
                f"the response looks like one page of several ({sign}), and does not show how to request the next one. "
                f"Name the paginator, as in paginator = {toml_value(suggested or _PAGE)}, or set "
                'paginator = { type = "none" } if this is the full result'
            )
            error.options = {"paginator": suggested} if suggested else {}
            raise error
        return None


def _suggested(page: Page) -> Mapping[str, Any]:
    """The options of a paginator that the body suggests, as it numbers its pages; empty: it does not."""
    if (counted := page_count(page)) is None:
        return {}
    path, holder = counted
    numbers = [value for name, value in holder.items() if words_of(name) in _PAGE_NUMBERS]
    if not any(number == 0 and not isinstance(number, bool) for number in numbers):
        return {**_PAGE, "total_path": path}
    if words_of(path).endswith("last page"):  # the pages are one more than that
        return {**_PAGE, "first": 0}
    return {**_PAGE, "first": 0, "total_path": path}


def _detect(request: HttpRequest, page: Page, next_link: Literal["url", "path"]) -> Paginator | None:
    if "next" in parse_link_header(page.response.headers.get("link", "")):
        return LinkHeaderPaginator(next_link=next_link)
    if not isinstance(page.body, Mapping):
        return None
    holders = list(holders_of(page))
    for prefix, holder in holders:
        for path in _URL_PATHS:
            if _is_link(search(path, holder)):
                return NextUrlPaginator(path=prefix + path, next_link=next_link)
    for prefix, holder in holders:
        if (paginator := _token_paginator(request, holder, prefix)) is not None:
            return paginator
    return None


def _token_paginator(request: HttpRequest, holder: Mapping[str, Any], prefix: str) -> Paginator | None:
    """The paginator for a token with a well-known name. A token of AWS may be an object itself, for a body only."""
    for path, param in _TOKEN_PARAMS.items():
        if is_token(search(path, holder)):
            return CursorPaginator(path=prefix + path, param=param)
    posted = BODY_PREFIX if request.body is not None else ""
    for name, param in _AWS_TOKEN_PARAMS.items():
        token = holder.get(name)
        if is_token(token) or (posted and token and isinstance(token, Mapping)):
            return CursorPaginator(path=prefix + name, param=posted + param)
    # as IAM has it; S3 repeats the marker of the request
    if holder.get("IsTruncated") is True and is_token(holder.get("Marker")):
        return CursorPaginator(path=f"{prefix}Marker", param=f"{posted}Marker", more_path=f"{prefix}IsTruncated")
    return None


def _is_link(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return value.lower().startswith(("http:", "https:")) or value[:1] in ("/", "?") or bool(_RELATIVE.match(value))
