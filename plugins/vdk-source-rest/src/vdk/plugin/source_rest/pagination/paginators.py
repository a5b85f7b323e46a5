"""Paginators: which request comes after a page. Each is its own options, and keeps nothing between pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig
from vdk.plugin.datasource_base.parts import whole_number

from ..extract import find
from ..http.types import BODY, Page, Request
from ..http.urls import resolve
from .links import links

Path = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(min_length=1)]
_ENDS = {"", "0", "false", "null", "none"}
"""What APIs write into a text to say that there is no next page."""


class Paginator(DataSourceConfig, tag_field="type"):
    """What all of them can do."""

    def first(self, request: Request) -> Request:
        """The first page's request."""
        return request

    def next(self, request: Request, page: Page) -> Request | None:
        """The request after ``page``, which answered ``request``; None: that was the last."""
        raise NotImplementedError

    def total(self, page: Page) -> int | None:
        """How many pages or records there are, by ``total_path``; None: the page does not say."""
        return None


class NonePaginator(Paginator, tag="none"):
    """One page, whatever it says."""

    def next(self, request: Request, page: Page) -> Request | None:
        return None


class LinkHeaderPaginator(Paginator, tag="link_header"):
    """The ``Link`` header names the next page (RFC 8288)."""

    rel: Annotated[Name, Meta(description="the relation to follow")] = "next"

    def next(self, request: Request, page: Page) -> Request | None:
        link = links(page.response.headers.get("link", "")).get(self.rel.lower())
        return follow(request, page, link) if link is not None else None


class NextUrlPaginator(Paginator, tag="next_url"):
    """A URL in the body, absolute or relative."""

    path: Annotated[Path, Meta(description="where it is in the body (JMESPath)")]

    def next(self, request: Request, page: Page) -> Request | None:
        link = find(self.path, page.body)
        if is_end(link):
            return None
        if not isinstance(link, str):
            raise ConfigurationError(
                f"the paginator's path {self.path!r} leads to {link!r} in the answer, which is no URL; "
                'for a token or a number there is { type = "cursor", path, param }'
            )
        return follow(request, page, link)


class CursorPaginator(Paginator, tag="cursor"):
    """A token in the body or in a header goes into a parameter of the next request."""

    param: Annotated[Name, Meta(description="the parameter; body.a.b is a place in a JSON body")]
    path: Annotated[Path | None, Meta(description="where the token is in the body (JMESPath)")] = None
    header: Annotated[Name | None, Meta(description="the header the token is in")] = None
    more_path: Annotated[
        Path | None, Meta(description="where the body says whether there is more (JMESPath); default: a token says so")
    ] = None
    size_param: Annotated[Name | None, Meta(description="the parameter for the page size")] = None
    size: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="records per page")] = None

    def first(self, request: Request) -> Request:
        return _sized(request, self.size_param, self.size)

    def next(self, request: Request, page: Page) -> Request | None:
        if self.more_path is not None and is_end(find(self.more_path, page.body)):
            return None
        token = page.response.headers.get(self.header.lower()) if self.header else find(self.path or "@", page.body)
        if token is None or token == "" or token is False or (not self._may_be_zero and is_end(token)):
            if self.more_path is not None and page.count:
                raise ConfigurationError(
                    f"the answer says at {self.more_path!r} that there is more, and has no token at "
                    f"{self.header or self.path!r}"
                )
            return None
        if isinstance(token, (Mapping, list)) and not self.param.startswith(BODY):
            raise ConfigurationError(f"the paginator's path {self.path!r} leads to {token!r:.80}, which is no token")
        return request.with_param(self.param, token)

    @property
    def _may_be_zero(self) -> bool:
        """Whether 0 or "false" may be a token: the field of a record may, and what comes with ``more_path``."""
        return self.more_path is not None or "[" in (self.path or "")


class PagePaginator(Paginator, tag="page"):
    """Numbered pages. Without ``total_path`` and ``more_path`` the first empty page is the end; a short one is not."""

    param: Annotated[Name, Meta(description="the parameter for the page's number")] = "page"
    first_: Annotated[int, Meta(description="the first page's number")] = msgspec.field(default=1, name="first")
    size_param: Annotated[Name | None, Meta(description="the parameter for the page size")] = None
    size: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="records per page")] = None
    total_path: Annotated[Path | None, Meta(description="where the body says how many pages there are")] = None
    more_path: Annotated[Path | None, Meta(description="where the body says whether there is more")] = None

    def first(self, request: Request) -> Request:
        return _sized(request.with_param(self.param, self.first_), self.size_param, self.size)

    def next(self, request: Request, page: Page) -> Request | None:
        number = _number(request.param(self.param), f"the parameter {self.param!r}")
        if page.total is not None:
            ended = number - self.first_ + 1 >= page.total
        elif self.more_path is not None:
            ended = is_end(find(self.more_path, page.body))
        else:
            ended = not page.count
        return None if ended else request.with_param(self.param, number + 1)

    def total(self, page: Page) -> int | None:
        return _total(self.total_path, page)


class OffsetPaginator(Paginator, tag="offset"):
    """Records counted from the start. Goes on by what came, not by what was asked for: a server may give less."""

    offset_param: Annotated[Name, Meta(description="the parameter for the number of records to skip")] = "offset"
    limit_param: Annotated[Name | None, Meta(description="the parameter for the page size")] = "limit"
    limit: Annotated[int, Meta(ge=1, description="records per page")] = 100
    first_: Annotated[int, Meta(description="the first record's number")] = msgspec.field(default=0, name="first")
    total_path: Annotated[Path | None, Meta(description="where the body says how many records there are")] = None

    def first(self, request: Request) -> Request:
        return _sized(request.with_param(self.offset_param, self.first_), self.limit_param, self.limit)

    def next(self, request: Request, page: Page) -> Request | None:
        offset = _number(request.param(self.offset_param), f"the parameter {self.offset_param!r}")
        after = offset + page.count
        total = page.total
        if total is not None and after - self.first_ >= total:
            return None
        if total is not None and not page.count:
            raise ConfigurationError(
                f"the answer has no records at offset {offset}, and {self.total_path!r} says that there are {total}"
            )
        return request.with_param(self.offset_param, after) if page.count else None

    def total(self, page: Page) -> int | None:
        return _total(self.total_path, page)


def follow(request: Request, page: Page, link: str) -> Request:
    """The request for a link in an answer: the link has all parameters; a body is sent again."""
    try:
        url = resolve(page.response.url, link)
    except ValueError as error:
        raise ConfigurationError(
            f"the answer names {link!r:.200} as its next page, which is not followed: {error}"
        ) from None
    return replace(request, url=url, params={})


def _sized(request: Request, param: str | None, size: int | None) -> Request:
    return request.with_param(param, size) if param is not None and size is not None else request


def is_end(value: Any) -> bool:
    """Whether a value where a token, a link or "more" is expected says that there is none."""
    return not value or (isinstance(value, str) and value.strip().lower() in _ENDS)


def _total(path: str | None, page: Page) -> int | None:
    total = find(path, page.body) if path is not None else None
    return None if total is None or total == "" else _number(total, f"the total at {path!r}")


def _number(value: Any, what: str) -> int:
    """A whole number, maybe in a text."""
    try:
        return whole_number(value)
    except ValueError as error:
        raise ConfigurationError(f"{what}: {error}") from None
