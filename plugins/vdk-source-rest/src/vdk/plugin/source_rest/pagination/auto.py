"""The paginator that is not configured: found by what the first answer shows, and never by silence.

Reading page 1 of many and calling it all is the worst a source can do. So an answer that looks like
a page of more, in a way that is not known here, is an error that asks for the paginator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vdk.plugin.datasource_base.contract import ConfigurationError

from ..extract import find
from ..http.types import BODY, Page, Request
from .links import links
from .more_pages import homes_of, sign_of_more
from .paginators import CursorPaginator, LinkHeaderPaginator, NextUrlPaginator, Paginator, is_end

_URLS = (
    "next", "next_url", "nextUrl", "next_page_url", "nextLink", '"@odata.nextLink"', '"odata.nextLink"', "links.next",
    "links.next.href", "_links.next", "_links.next.href", "meta.next", "meta.next_url", "paging.next",
    "pagination.next", "pagination.next_url", "pagination.next_link", "paging.next.link", "next.href", "__next",
)  # fmt: skip
_TOKENS = {
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
_AWS = {
    "NextToken": "NextToken",
    "NextMarker": "Marker",
    "NextContinuationToken": "ContinuationToken",
    "LastEvaluatedKey": "ExclusiveStartKey",
    "LastEvaluatedTableName": "ExclusiveStartTableName",
}
"""These go into the body of a POST, as AWS' APIs of JSON want it."""

_RELATIVE = re.compile(r"[\w.%()'-]+\?\S+=", re.ASCII)
"""``Orders?$skiptoken=7``, as OData writes links."""


class AutoPaginator(Paginator, tag="auto"):
    """A ``Link`` header, a URL or a well-known token in the body; otherwise one page, if it does not look like more."""

    def next(self, request: Request, page: Page) -> Request | None:
        found = _detected(request, page)
        if found is not None:
            return found.next(request, page)
        if page.number == 1 and (sign := sign_of_more(page)):
            raise ConfigurationError(
                f"the answer looks like one page of several ({sign}), and how to ask for the next cannot be told from "
                'it: name the paginator, or say paginator = { type = "none" } if this is all'
            )
        return None


def _detected(request: Request, page: Page) -> Paginator | None:
    if "next" in links(page.response.headers.get("link", "")):
        return LinkHeaderPaginator()
    if not isinstance(page.body, Mapping):
        return None
    homes = list(homes_of(page))
    for prefix, home in homes:
        for path in _URLS:
            if _is_link(find(path, home)):
                return NextUrlPaginator(path=prefix + path)
    for prefix, home in homes:
        if (found := _token(request, home, prefix)) is not None:
            return found
    return None


def _token(request: Request, home: Mapping[str, Any], prefix: str) -> Paginator | None:
    """A token with a well-known name in an object. One of AWS may be an object itself, for a body only."""
    for path, param in _TOKENS.items():
        if _is_token(find(path, home)):
            return CursorPaginator(path=prefix + path, param=param)
    posted = BODY if request.body is not None else ""
    for name, param in _AWS.items():
        token = home.get(name)
        if _is_token(token) or (posted and token and isinstance(token, Mapping)):
            return CursorPaginator(path=prefix + name, param=posted + param)
    if home.get("IsTruncated") is True and _is_token(
        home.get("Marker")
    ):  # as IAM; S3 repeats the marker of the request
        return CursorPaginator(path=f"{prefix}Marker", param=f"{posted}Marker", more_path=f"{prefix}IsTruncated")
    return None


def _is_token(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and not is_end(value)


def _is_link(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return value.lower().startswith(("http:", "https:")) or value[:1] in ("/", "?") or bool(_RELATIVE.match(value))
