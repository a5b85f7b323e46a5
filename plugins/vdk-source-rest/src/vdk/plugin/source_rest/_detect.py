"""The paginator that is not configured: found by what the first answer shows, and never by silence.

Reading page 1 of many and calling it all is the worst a source can do. So an answer that looks like
a page of more, in a way that is not known here, is an error that asks for the paginator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vdk.plugin.datasource_base.contract import ConfigurationError

from ._messages import Page, Request
from ._paginators import CursorPaginator, LinkHeaderPaginator, NextUrlPaginator, Paginator, links
from ._paths import find
from ._signs import sign_of_more

_URLS = (
    "next", "next_url", "nextUrl", "next_page_url", "nextLink", '"@odata.nextLink"', '"odata.nextLink"', "links.next",
    "links.next.href", "_links.next", "_links.next.href", "meta.next", "meta.next_url", "paging.next",
    "pagination.next", "pagination.next_url", "pagination.next_link", "paging.next.link", "next.href",
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


class AutoPaginator(Paginator, tag="auto"):
    """A ``Link`` header, a URL or a well-known token in the body; otherwise one page, if it does not look like more."""

    def next(self, request: Request, page: Page) -> Request | None:
        found = _detected(page)
        if found is not None:
            return found.next(request, page)
        if page.number == 1 and (sign := sign_of_more(page)):
            raise ConfigurationError(
                f"the answer looks like one page of several ({sign}), and how to ask for the next cannot be told from "
                'it: name the paginator, or say paginator = { type = "none" } if this is all'
            )
        return None


def _detected(page: Page) -> Paginator | None:
    if "next" in links(page.response.headers.get("link", "")):
        return LinkHeaderPaginator()
    if not isinstance(page.body, Mapping):
        return None
    for path in _URLS:
        if _is_link(find(path, page.body)):
            return NextUrlPaginator(path=path)
    for path, param in _TOKENS.items():
        if isinstance(find(path, page.body), (str, int)) and find(path, page.body) not in ("", False):
            return CursorPaginator(path=path, param=param)
    return None


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and (value.lower().startswith(("http:", "https:")) or value[:1] in ("/", "?"))
