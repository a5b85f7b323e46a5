# SPDX-License-Identifier: Apache-2.0
"""Paginators: which request comes after a page. Each is its own options, and keeps nothing between pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig
from vdk.plugin.datasource_base.parts import whole_number

from ..http.types import BODY_PREFIX, HttpRequest, Page
from ..http.urls import resolve_link
from ..responses.extract import search
from .link_header import parse_link_header

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

    def names(self) -> Mapping[str, Any]:
        """The parameters that it sets, which may be placeholders, with their values for the first page or None."""
        return {}

    def paths(self) -> Mapping[str, str]:
        """Option → the path in the body that it names (JMESPath)."""
        return {}

    def header_name(self) -> tuple[str, str] | None:
        """The option for a header, and the name of the header."""
        return None

    def page_size(self) -> int | None:
        """Records of a full page; None: unknown."""
        return None

    def ends_with_repeat(self) -> bool:
        """Whether a page with the records of the one before is the end, and not an error."""
        return False


class LinkPaginator(Paginator):
    """What follows links has in common."""

    next_link: Annotated[
        Literal["url", "path"],
        Meta(
            description="url: follow the link as it is; path: its path and query only, for a server behind a proxy "
            "that names itself by another host"
        ),
    ] = "url"

    def follow(self, request: HttpRequest, page: Page, link: str) -> HttpRequest:
        """The request for a link in a response: the link has all parameters; a body is sent again."""
        try:
            url = resolve_link(page.response.url, link)
        except ValueError as error:
            raise ConfigurationError(
                f"the response names {link!r:.200} as its next page, which is not followed: {error}"
            ) from None
        if self.next_link == "path":
            own, linked = urlsplit(page.response.url), urlsplit(url)
            url = linked._replace(scheme=own.scheme, netloc=own.netloc).geturl()
        return replace(request, url=url, params={}, template=None)


class NonePaginator(Paginator, tag="none"):
    """One page, whatever it contains."""

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        return None


class LinkHeaderPaginator(LinkPaginator, tag="link_header"):
    """The ``Link`` header names the next page (RFC 8288)."""

    rel: Annotated[Name, Meta(description="the relation to follow")] = "next"

    def header_name(self) -> tuple[str, str] | None:
        return "type", "Link"

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        link = parse_link_header(page.response.headers.get("link", "")).get(self.rel.lower())
        return self.follow(request, page, link) if link is not None else None


class NextUrlPaginator(LinkPaginator, tag="next_url"):
    """A URL in the body, absolute or relative."""

    path: Annotated[Path, Meta(description="the path of the URL in the body (JMESPath)")]

    def paths(self) -> Mapping[str, str]:
        return {"path": self.path}

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        link = search(self.path, page.body)
        if is_end(link):
            return None
        if not isinstance(link, str):
            raise ConfigurationError(
                f"the paginator's path {self.path!r} leads to {link!r} in the response, which is not a URL. For a "
                f'token or a number, set paginator = {{ type = "cursor", path = "{self.path}", param = "..." }}'
            )
        return self.follow(request, page, link)


class CursorPaginator(Paginator, tag="cursor"):
    """Tokens in the body or in a header go into parameters of the next request."""

    param: Annotated[Name | None, Meta(description="the parameter; body.a.b is a place in a JSON body")] = None
    path: Annotated[Path | None, Meta(description="the path of the token in the body (JMESPath)")] = None
    header: Annotated[Name | None, Meta(description="the header that contains the token")] = None
    tokens: Annotated[
        dict[Name, Path],
        Meta(description='several tokens: parameter = path, as in { after = "data[-1].at", after_id = "data[-1].id" }'),
    ] = msgspec.field(default_factory=dict)
    initial: Annotated[str | int | None, Meta(description="the token of the first page. Default: none")] = None
    more_path: Annotated[
        Path | None,
        Meta(description="the path of the field that shows whether there is more (JMESPath). Default: the token does"),
    ] = None
    size_param: Annotated[Name | None, Meta(description="the parameter for the page size")] = None
    size: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="records per page")] = None
    short_page_ends: Annotated[bool, Meta(description="a page with fewer records than size is the last one")] = False

    def names(self) -> Mapping[str, Any]:
        return {name: self.initial for name in (self.param, *self.tokens) if name} | _sized(self.size_param, self.size)

    def paths(self) -> Mapping[str, str]:
        tokens = {f"tokens.{name}": path for name, path in self.tokens.items()}
        return tokens | _given(path=self.path if not tokens and self.header is None else None, more_path=self.more_path)

    def header_name(self) -> tuple[str, str] | None:
        return ("header", self.header) if self.header is not None and not self.tokens else None

    def page_size(self) -> int | None:
        return self.size

    def first(self, request: HttpRequest) -> HttpRequest:
        for name in (self.param, *self.tokens):
            if name is not None and self.initial is not None:
                request = request.with_param(name, self.initial)
        return _with_size(request, self.size_param, self.size)

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        if self.more_path is not None and is_end(search(self.more_path, page.body)):
            return None
        if self.short_page_ends and self.size is not None and page.count < self.size:
            return None
        values = {name: self._token(path, page) for name, path in self._paths().items()}
        if missing := [path for name, path in self._paths().items() if values[name] is None]:
            self._check_end(missing, values, page)
            return None
        for name, token in values.items():
            request = self._with_token(request, name, token)
        return request

    def _paths(self) -> Mapping[str, str]:
        """Parameter → path of its token, or the header."""
        return self.tokens or {self.param or "": self.header or self.path or "@"}

    def _token(self, path: str, page: Page) -> Any:
        token = page.response.headers.get(path.lower()) if self.header else search(path, page.body)
        may_be_zero = self.more_path is not None or "[" in path  # the field of a record may, and with more_path
        is_missing = token is None or token == "" or token is False or (not may_be_zero and is_end(token))
        return None if is_missing else token

    def _check_end(self, missing: list[str], values: Mapping[str, Any], page: Page) -> None:
        if self.more_path is not None and page.count:
            raise ConfigurationError(
                f"the response has more pages by {self.more_path!r}, and no token at {missing[0]!r}; "
                "correct the path or the header of the paginator"
            )
        if len(missing) < len(values):
            raise ConfigurationError(
                f"the response has no token at {missing[0]!r}, and has one for another parameter; correct the paths in "
                "paginator.tokens"
            )

    def _with_token(self, request: HttpRequest, name: str, token: Any) -> HttpRequest:
        is_in_query = not name.startswith(BODY_PREFIX) and not (request.template and name in request.template.names)
        if isinstance(token, (Mapping, list)) and is_in_query:
            raise ConfigurationError(
                f"the paginator's path {self.tokens.get(name, self.path)!r} leads to {token!r:.80}, which is not a "
                "token; name the path of a text or a number, or send it as JSON: "
                f'params = {{ {name} = "{{{name}:json}}" }}'
            )
        return request.with_param(name, token)


class PagePaginator(Paginator, tag="page"):
    """Numbered pages. Without ``total_path`` and ``more_path`` the first empty page is the end; a short one is not."""

    param: Annotated[Name, Meta(description="the parameter for the page's number")] = "page"
    first_: Annotated[int, Meta(description="the first page's number")] = msgspec.field(default=1, name="first")
    size_param: Annotated[Name | None, Meta(description="the parameter for the page size")] = None
    size: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="records per page")] = None
    total_path: Annotated[Path | None, Meta(description="the path of the number of pages in the body")] = None
    more_path: Annotated[Path | None, Meta(description="the path of the field that shows whether there is more")] = None
    short_page_ends: Annotated[bool, Meta(description="a page with fewer records than size is the last one")] = False
    repeated_page_ends: Annotated[
        bool, Meta(description="a page with the records of the one before is after the last one")
    ] = False

    def names(self) -> Mapping[str, Any]:
        return {self.param: self.first_} | _sized(self.size_param, self.size)

    def paths(self) -> Mapping[str, str]:
        return _given(total_path=self.total_path, more_path=self.more_path)

    def page_size(self) -> int | None:
        return self.size

    def ends_with_repeat(self) -> bool:
        return self.repeated_page_ends

    def first(self, request: HttpRequest) -> HttpRequest:
        return _with_size(request.with_param(self.param, self.first_), self.size_param, self.size)

    def next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        number = _whole(request.param(self.param), f"the parameter {self.param!r}")
        if page.total is not None:
            ended = number - self.first_ + 1 >= page.total
        elif self.more_path is not None:
            ended = is_end(search(self.more_path, page.body))
        else:
            ended = page.count < (self.size or 1 if self.short_page_ends else 1)
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
    short_page_ends: Annotated[bool, Meta(description="a page with fewer records than limit is the last one")] = False

    def names(self) -> Mapping[str, Any]:
        return {self.offset_param: self.first_} | _sized(self.limit_param, self.limit)

    def paths(self) -> Mapping[str, str]:
        return _given(total_path=self.total_path)

    def page_size(self) -> int | None:
        return self.limit if self.limit_param is not None else None

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
        ended = page.count < (self.limit if self.short_page_ends and total is None else 1)
        return None if ended else request.with_param(self.offset_param, after)

    def total(self, page: Page) -> int | None:
        return _total(self.total_path, page)


def is_end(value: Any) -> bool:
    """Whether the value of a token, a link or a "more" field means the end of the pages."""
    return not value or (isinstance(value, str) and value.strip().lower() in _END_TEXTS)


def is_token(value: Any) -> bool:
    """Whether a value can be a token that leads to another page."""
    return isinstance(value, (str, int)) and not isinstance(value, bool) and not is_end(value)


def _with_size(request: HttpRequest, param: str | None, size: int | None) -> HttpRequest:
    return request.with_param(param, size) if param is not None and size is not None else request


def _sized(param: str | None, size: int | None) -> dict[str, Any]:
    return {param: size} if param is not None and size is not None else {}


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _total(path: str | None, page: Page) -> int | None:
    total = search(path, page.body) if path is not None else None
    return None if total is None or total == "" else _whole(total, f"the total at {path!r}")


def _whole(value: Any, subject: str) -> int:
    try:
        return whole_number(value)
    except ValueError as error:
        raise ConfigurationError(f"{subject}: {error}") from None
