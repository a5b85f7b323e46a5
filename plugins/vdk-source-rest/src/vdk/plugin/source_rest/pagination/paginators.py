# SPDX-License-Identifier: Apache-2.0
"""Paginators: which request comes after a page. Each is its own options, and keeps nothing between pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig
from vdk.plugin.datasource_base.parts import whole_number

from ..extract import search
from ..http.types import BODY_PREFIX, HttpRequest, Page
from ..http.urls import resolve_link

Path = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(min_length=1)]
_END_TEXTS = {"", "0", "false", "null", "none"}
"""The texts that APIs write in place of a next page."""


class Paginator(DataSourceConfig, tag_field="type"):
    """The methods of every paginator."""

    def first(self, request: HttpRequest) -> HttpRequest:
        """The request for the first page."""
        return request

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        """The request after ``page``, which answered ``request``; None: that was the last page."""
        raise NotImplementedError  # a Struct is not an ABC, which would refuse it at definition

    def total(self, page: Page) -> int | None:
        """The number of pages or records by ``total_path``; None if the page does not state it."""
        return None


class NonePaginator(Paginator, tag="none"):
    """One page, whatever it contains."""

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        return None


class LinkHeaderPaginator(Paginator, tag="link_header"):
    """The ``Link`` header names the next page (RFC 8288)."""

    rel: Annotated[Name, Meta(description="the relation to follow")] = "next"

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        link = parse_link_header(page.response.headers.get("link", "")).get(self.rel.lower())
        return _follow(request, page, link) if link is not None else None


class NextUrlPaginator(Paginator, tag="next_url"):
    """A URL in the body, absolute or relative."""

    path: Annotated[Path, Meta(description="the path of the URL in the body (JMESPath)")]

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        link = search(self.path, page.body)
        if is_end(link):
            return None
        if not isinstance(link, str):
            raise ConfigurationError(
                f"the paginator's path {self.path!r} leads to {link!r} in the response, which is not a URL. For a "
                f'token or a number, set paginator = {{ type = "cursor", path = "{self.path}", param = "..." }}'
            )
        return _follow(request, page, link)


class CursorPaginator(Paginator, tag="cursor"):
    """A token in the body or in a header goes into a parameter of the next request."""

    param: Annotated[Name, Meta(description="the parameter; body.a.b is a place in a JSON body")]
    path: Annotated[Path | None, Meta(description="the path of the token in the body (JMESPath)")] = None
    header: Annotated[Name | None, Meta(description="the header that contains the token")] = None
    more_path: Annotated[
        Path | None,
        Meta(description="the path of the field that shows whether there is more (JMESPath). Default: the token does"),
    ] = None
    size_param: Annotated[Name | None, Meta(description="the parameter for the page size")] = None
    size: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="records per page")] = None

    def first(self, request: HttpRequest) -> HttpRequest:
        return _with_size(request, self.size_param, self.size)

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        if self.more_path is not None and is_end(search(self.more_path, page.body)):
            return None
        token = page.response.headers.get(self.header.lower()) if self.header else search(self.path or "@", page.body)
        if token is None or token == "" or token is False or (not self._may_be_zero and is_end(token)):
            if self.more_path is not None and page.count:
                raise ConfigurationError(
                    f"the response has more pages by {self.more_path!r}, and no token at {self.header or self.path!r}; "
                    "correct the path or the header of the paginator"
                )
            return None
        if isinstance(token, (Mapping, list)) and not self.param.startswith(BODY_PREFIX):
            raise ConfigurationError(
                f"the paginator's path {self.path!r} leads to {token!r:.80}, which is not a token; name the path of a "
                "text or a number"
            )
        return request.with_param(self.param, token)

    @property
    def _may_be_zero(self) -> bool:
        """Whether 0 or "false" may be a token: the field of a record may, and a token with ``more_path``."""
        return self.more_path is not None or "[" in (self.path or "")


class PagePaginator(Paginator, tag="page"):
    """Numbered pages. Without ``total_path`` and ``more_path`` the first empty page is the end; a short one is not."""

    param: Annotated[Name, Meta(description="the parameter for the page's number")] = "page"
    first_: Annotated[int, Meta(description="the first page's number")] = msgspec.field(default=1, name="first")
    size_param: Annotated[Name | None, Meta(description="the parameter for the page size")] = None
    size: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="records per page")] = None
    total_path: Annotated[Path | None, Meta(description="the path of the number of pages in the body")] = None
    more_path: Annotated[Path | None, Meta(description="the path of the field that shows whether there is more")] = None

    def first(self, request: HttpRequest) -> HttpRequest:
        return _with_size(request.with_param(self.param, self.first_), self.size_param, self.size)

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        number = _whole(request.param(self.param), f"the parameter {self.param!r}")
        if page.total is not None:
            ended = number - self.first_ + 1 >= page.total
        elif self.more_path is not None:
            ended = is_end(search(self.more_path, page.body))
        else:
            ended = not page.count
        return None if ended else request.with_param(self.param, number + 1)

    def total(self, page: Page) -> int | None:
        return _total(self.total_path, page)


class OffsetPaginator(Paginator, tag="offset"):
    """Records counted from the start. Advances by the records that came: a server may return fewer than requested."""

    offset_param: Annotated[Name, Meta(description="the parameter for the number of records to skip")] = "offset"
    limit_param: Annotated[Name | None, Meta(description="the parameter for the page size")] = "limit"
    limit: Annotated[int, Meta(ge=1, description="records per page")] = 100
    first_: Annotated[int, Meta(description="the first record's number")] = msgspec.field(default=0, name="first")
    total_path: Annotated[Path | None, Meta(description="the path of the number of records in the body")] = None

    def first(self, request: HttpRequest) -> HttpRequest:
        return _with_size(request.with_param(self.offset_param, self.first_), self.limit_param, self.limit)

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        offset = _whole(request.param(self.offset_param), f"the parameter {self.offset_param!r}")
        after = offset + page.count
        total = page.total
        if total is not None and after - self.first_ >= total:
            return None
        if total is not None and not page.count:
            raise ConfigurationError(
                f"the response has no records at offset {offset}, and there are {total} by {self.total_path!r}: "
                "records are missing; check offset_param and limit_param"
            )
        return request.with_param(self.offset_param, after) if page.count else None

    def total(self, page: Page) -> int | None:
        return _total(self.total_path, page)


def is_end(value: Any) -> bool:
    """Whether the value of a token, a link or a "more" field means the end of the pages."""
    return not value or (isinstance(value, str) and value.strip().lower() in _END_TEXTS)


def is_token(value: Any) -> bool:
    """Whether a value can be a token that leads to another page."""
    return isinstance(value, (str, int)) and not isinstance(value, bool) and not is_end(value)


def _follow(request: HttpRequest, page: Page, link: str) -> HttpRequest:
    """The request for a link in a response: the link has all parameters; a body is sent again."""
    try:
        url = resolve_link(page.response.url, link)
    except ValueError as error:
        raise ConfigurationError(
            f"the response names {link!r:.200} as its next page, which is not followed: {error}"
        ) from None
    return replace(request, url=url, params={})


def _with_size(request: HttpRequest, param: str | None, size: int | None) -> HttpRequest:
    return request.with_param(param, size) if param is not None and size is not None else request


def _total(path: str | None, page: Page) -> int | None:
    total = search(path, page.body) if path is not None else None
    return None if total is None or total == "" else _whole(total, f"the total at {path!r}")


def _whole(value: Any, subject: str) -> int:
    try:
        return whole_number(value)
    except ValueError as error:
        raise ConfigurationError(f"{subject}: {error}") from None


_BLANK = " \t"
_BARE = re.compile(r"[^;]*")
_PARAMETER_NAME = re.compile(r"[^\s;,=]*")
_TOKEN = re.compile(r"[^;,]*")


def parse_link_header(header: str) -> dict[str, str]:
    """Relation (in lower case) → URL of a ``Link`` header; the first of each counts. Anything else is skipped.

    RFC 8288 requires ``<URL>; rel="next"``. As in browsers and ``requests``, quotes may be single or missing, and so
    may the brackets.
    """
    links: dict[str, str] = {}
    start = 0
    while start < len(header):
        if header[start] in f",{_BLANK}":
            start += 1
            continue
        target, start = _link_target(header, start)
        parameters, start = _link_parameters(header, start)
        for relation in parameters.get("rel", "").lower().split():
            links.setdefault(relation, target)
    return links


def _link_target(header: str, start: int) -> tuple[str, int]:
    """A URL in brackets, or up to the next semicolon, and the index after it."""
    if header[start] == "<":
        closing = header.find(">", start)
        if closing >= 0:
            return header[start + 1 : closing].strip(), closing + 1
    end = _BARE.match(header, start).end()  # type: ignore[union-attr]  # it also matches nothing
    return header[start:end].strip("<> \t'\""), end


def _link_parameters(header: str, start: int) -> tuple[dict[str, str], int]:
    """The parameters of one link, and the index of the next link."""
    parameters: dict[str, str] = {}
    while True:
        start = _skip_blanks(header, start)
        if start >= len(header) or header[start] != ";":
            comma = header.find(",", start)
            return parameters, len(header) if comma < 0 else comma + 1
        start = _skip_blanks(header, start + 1)
        name = _PARAMETER_NAME.match(header, start)
        assert name is not None
        start = _skip_blanks(header, name.end())
        value = ""
        if header[start : start + 1] == "=":
            value, start = _parameter_value(header, _skip_blanks(header, start + 1))
        parameters.setdefault(name[0].lower(), value)


def _parameter_value(header: str, start: int) -> tuple[str, int]:
    """A value in double or single quotes, or up to the next semicolon or comma, and the index after it."""
    quote = header[start : start + 1]
    if quote in ('"', "'") and (closing := _closing_quote(header, start)) > 0:
        return re.sub(r"\\(.)", r"\1", header[start + 1 : closing]), closing + 1
    token = _TOKEN.match(header, start)
    assert token is not None
    return token[0].strip(" \t'\""), token.end()


def _closing_quote(header: str, start: int) -> int:
    """The index of the quote that ends the text which begins with one at ``start``; -1 if it is missing."""
    quote, end = header[start], start + 1
    while end < len(header) and header[end] != quote:
        end += 2 if header[end] == "\\" else 1
    return end if end < len(header) else -1


def _skip_blanks(header: str, start: int) -> int:
    while start < len(header) and header[start] in _BLANK:
        start += 1
    return start
