# SPDX-License-Identifier: Apache-2.0
"""The options of a source and its streams, and the check of those that must fit each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceConfig, Duration, Secret
from vdk.plugin.datasource_base.parts import column_type, did_you_mean

from .auth.credentials import AuthConfig, NoAuth, check_auth
from .cursors import CursorConfig, check_cursor
from .extract import compile_path
from .http.types import BODY_PREFIX, HttpRequest
from .http.urls import Origin, mask_url, placeholders, whole_placeholders
from .pagination.auto import AutoPaginator
from .pagination.paginators import (
    CursorPaginator,
    LinkHeaderPaginator,
    NextUrlPaginator,
    NonePaginator,
    OffsetPaginator,
    PagePaginator,
    Paginator,
)
from .response_rules import ResponseRule

AnyPaginator = (
    AutoPaginator
    | NonePaginator
    | LinkHeaderPaginator
    | NextUrlPaginator
    | CursorPaginator
    | PagePaginator
    | OffsetPaginator
)
Scalar = str | int | float | bool


class TimeoutConfig(DataSourceConfig):
    """How long a server may take."""

    connect: Annotated[Duration, Meta(description="to accept a connection")] = Duration(seconds=10)
    read: Annotated[Duration, Meta(description="between two pieces of a response")] = Duration(seconds=60)
    total: Annotated[Duration, Meta(description="for a whole response, as far as it is waited for")] = Duration(
        minutes=10
    )


class RetryConfig(DataSourceConfig):
    """How often a request is sent, before its partition fails."""

    attempts: Annotated[int, Meta(ge=1, description="how often a request is sent at most")] = 5
    delay: Annotated[Duration, Meta(description="the first wait; doubled each time, with jitter")] = Duration(seconds=1)
    max_wait: Annotated[
        Duration, Meta(description="the longest wait that a server may ask for; longer ones fail the attempt")
    ] = Duration(minutes=5)


class CsvConfig(DataSourceConfig):
    """The dialect of CSV."""

    delimiter: Annotated[str, Meta(min_length=1, max_length=1, description="the separator of fields")] = ","
    quote: Annotated[str, Meta(min_length=1, max_length=1, description="the quote around a field")] = '"'
    encoding: Annotated[str | None, Meta(description="default: the charset of the response, else utf-8")] = None
    null: Annotated[str | None, Meta(description="the text of a field without a value; default: none")] = None


class ParentConfig(DataSourceConfig):
    """The stream whose records this stream is read for."""

    stream: Annotated[str, Meta(min_length=1, description="the parent stream's name")]
    bind: Annotated[
        dict[str, str], Meta(min_length=1, description="placeholder = field of the parent's record (JMESPath)")
    ]
    include: Annotated[
        list[str] | dict[str, str],
        Meta(description="fields of the parent to load with each record, as <parent>_<field>; or column = field"),
    ] = msgspec.field(default_factory=list)

    def included_columns(self) -> dict[str, str]:
        """Column → field of the parent."""
        if isinstance(self.include, Mapping):
            return dict(self.include)
        return {f"{self.stream}_{field}".replace(".", "_"): field for field in self.include}


class StreamOptions(DataSourceConfig):
    """Options that a stream may set for itself, and that may be set for all streams. None: not set here."""

    paginator: Annotated[AnyPaginator | None, Meta(description="how the next page is found. Default: auto")] = None
    records: Annotated[
        str | None,
        Meta(
            description="the path of the records in a response (JMESPath). Default: the response, or the only list in "
            "it"
        ),
    ] = None
    format: Annotated[
        Literal["auto", "json", "ndjson", "csv"] | None,
        Meta(description="the format of responses. Default: auto, by their Content-Type"),
    ] = None
    csv: Annotated[CsvConfig | None, Meta(description="the dialect of CSV")] = None
    primary_key: Annotated[
        str | list[str] | None, Meta(description="the fields that identify a record. Default: none")
    ] = None
    numbers: Annotated[
        Literal["exact", "decimal", "double"] | None,
        Meta(
            description="numbers with a fraction: exact (a double if it has all the digits, else a decimal), "
            "decimal, or double. Default: exact"
        ),
    ] = None
    responses: Annotated[
        list[ResponseRule] | None, Meta(description="rules for responses; the first one that applies decides")
    ] = None
    max_pages: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="more pages than this are an error. Default: any number")
    ] = None
    allow_repeated_pages: Annotated[
        bool | None, Meta(description="allow two equal pages in a row. Default: false, they are an error")
    ] = None


class StreamConfig(StreamOptions):
    """One stream: what to request, and where the records are in the responses."""

    name: Annotated[str, Meta(min_length=1, description="the stream's name, and its table's")]
    path: Annotated[
        str | None,
        Meta(description="below base_url; {name} is a placeholder, {name:segment} one without slashes. Default: name"),
    ] = None
    method: Annotated[Literal["GET", "POST"], Meta(description="the HTTP method")] = "GET"
    params: Annotated[dict[str, Scalar | list[Scalar]], Meta(description="parameters of the query")] = msgspec.field(
        default_factory=dict
    )
    headers: Annotated[dict[str, Secret], Meta(description="headers, to the source's origin only")] = msgspec.field(
        default_factory=dict
    )
    body: Annotated[Any, Meta(description="sent as JSON; a text that is one {placeholder} is filled")] = None
    columns: Annotated[
        dict[str, str],
        Meta(
            description="types of columns: text, integer, double, decimal(p,s), boolean, date, timestamp, json. "
            "Others are inferred"
        ),
    ] = msgspec.field(default_factory=dict)
    cursor: Annotated[CursorConfig | None, Meta(description="how to read only new records. Default: read all")] = None
    parent: Annotated[ParentConfig | None, Meta(description="read once for each record of another stream")] = None
    slices: Annotated[
        list[dict[str, Scalar]], Meta(description="read once for each of these, with its values for placeholders")
    ] = msgspec.field(default_factory=list)
    check: Annotated[
        bool | None,
        Meta(
            description="whether `vdk datasource check` requests the first page. Default: of the first stream without "
            "a parent that is read by GET; a POST is sent only if this is true"
        ),
    ] = None
    cache: Annotated[
        bool, Meta(description="keep responses until the run ends, for the streams whose parent this is")
    ] = False

    def paging(self) -> Paginator:
        return self.paginator if self.paginator is not None else AutoPaginator()

    def key(self) -> list[str]:
        """The primary key as a list."""
        key = self.primary_key
        return [key] if isinstance(key, str) else list(key or ())

    def own_key(self) -> list[str]:
        """The fields of the primary key that records have themselves, and do not get from a parent's."""
        included = self.parent.included_columns() if self.parent is not None else {}
        return [name for name in self.key() if name not in included]

    def list_names(self) -> list[str]:
        """Names that an API may give to the list of the records: the stream's, or the end of its path."""
        return [self.name, (self.path or "").rstrip("/").rpartition("/")[2]]


class RestConfig(StreamOptions):
    """An HTTP API and the streams read from it."""

    base_url: Annotated[
        str, Meta(min_length=1, description="the URL that all paths are below; credentials go to its origin only")
    ]
    streams: Annotated[list[StreamConfig], Meta(description="the streams")]
    auth: Annotated[AuthConfig, Meta(description="how to log in")] = NoAuth()
    headers: Annotated[dict[str, Secret], Meta(description="headers of every request to the origin")] = msgspec.field(
        default_factory=dict
    )
    params: Annotated[dict[str, Scalar | list[Scalar]], Meta(description="parameters of every first page")] = (
        msgspec.field(default_factory=dict)
    )
    follow_foreign_links: Annotated[
        bool,
        Meta(description="follow links and redirects to other origins, without credentials. Default: an error"),
    ] = False
    max_redirects: Annotated[int, Meta(ge=0, description="redirects in a row")] = 10
    max_response_bytes: Annotated[
        int, Meta(ge=1, description="the largest response, or record if responses are read line by line")
    ] = 256 * 1024 * 1024
    requests_per_second: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="at most so many. Default: as the server allows")
    ] = None
    timeout: Annotated[TimeoutConfig, Meta(description="how long a server may take")] = TimeoutConfig()
    retry: Annotated[RetryConfig, Meta(description="how often a request is sent")] = RetryConfig()
    ca_bundle: Annotated[
        Path | None, Meta(description="certificates of the authorities to trust, in place of the well-known ones")
    ] = None
    client_certificate: Annotated[Path | None, Meta(description="the client's certificate, shown to the origin")] = None
    client_key: Annotated[Path | None, Meta(description="its key, if it is in another file")] = None

    def of(self, stream: StreamConfig) -> StreamConfig:
        """The options in force for a stream: its own, else those for all streams."""
        shared = {
            name: getattr(self, name)
            for name in StreamOptions.__struct_fields__
            if getattr(stream, name) is None and getattr(self, name) is not None
        }
        params = {**self.params, **stream.params}
        headers = {**self.headers, **stream.headers}
        return msgspec.structs.replace(stream, **shared, params=params, headers=headers)


def check_config(config: RestConfig) -> None:
    """Raise ``ConfigurationError`` for options that do not fit each other, before any connection is opened."""
    _check_base_url(config.base_url)
    check_auth(config.auth)
    _check_names([stream.name for stream in config.streams])
    streams = {stream.name: config.of(stream) for stream in config.streams}
    for stream in streams.values():
        location = f"streams.{stream.name}"
        _check_path(stream, location)
        _check_parent(stream, streams, location)
        _check_placeholders(stream, location)
        for option, path in _jmespaths(stream):
            _check(f"{location}.{option}", compile_path, path)
        if isinstance(pages := stream.paginator, CursorPaginator) and (pages.path is None) == (pages.header is None):
            raise ConfigurationError(
                f"{location}.paginator: the token is in the body or in a header; set one of path and header, as in "
                'path = "meta.next"'
            )
        _check_body_params(stream, location)
        for name, type_ in stream.columns.items():
            _check(f"{location}.columns.{name}", column_type, type_)
        if stream.cursor is not None:
            check_cursor(stream.cursor, f"{location}.cursor")


def _check(location: str, check: Callable[[str], object], value: str) -> None:
    try:
        check(value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{location}: {error}") from None


def _check_base_url(url: str) -> None:
    try:
        Origin.of(url)
    except ValueError as error:
        remedy = "; credentials belong into auth" if "user" in str(error) else ", as in https://api.example.com/v1"
        raise ConfigurationError(f"base_url: {mask_url(url) if '://' in url else url!r}: {error}{remedy}") from None
    if (parts := urlsplit(url)).query or parts.fragment:
        raise ConfigurationError(f"base_url: {mask_url(url)} has a query or a fragment; parameters belong into params")


def _check_names(names: Sequence[str]) -> None:
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"streams: two have the name {doubled[0]!r}; give each a name of its own")
    if not names:
        raise ConfigurationError('streams: the list is empty; add a stream, as in streams = [{ name = "orders" }]')


def _check_path(stream: StreamConfig, location: str) -> None:
    path = stream.path or ""
    if "://" in path or path.startswith("//"):
        raise ConfigurationError(
            f"{location}.path: {mask_url(path)!r} is a whole URL; paths are below base_url, and another host is a "
            "source of its own"
        )
    if "?" in path or "#" in path:
        raise ConfigurationError(
            f"{location}.path: {path.partition('?')[0]!r} has a query; parameters belong into params"
        )


def _check_parent(stream: StreamConfig, streams: dict[str, StreamConfig], location: str) -> None:
    """The parent exists, and no stream is its own ancestor."""
    line, current = [stream.name], stream
    while current.parent is not None:
        name = current.parent.stream
        if name not in streams:
            hint = did_you_mean(name, streams) or f"the streams are {', '.join(streams)}"
            raise ConfigurationError(f"streams.{current.name}.parent.stream: stream {name!r} does not exist; {hint}")
        line.append(name)
        if name in line[:-1]:
            raise ConfigurationError(f"{location}.parent.stream: {' -> '.join(line)} is a circle")
        current = streams[name]


def _check_placeholders(stream: StreamConfig, location: str) -> None:
    """Each placeholder has a value, and each value a placeholder."""
    valued = set(stream.parent.bind) if stream.parent is not None else set()
    valued.update(*stream.slices)
    required = {*placeholders(stream.path or ""), *placeholders(stream.params)}
    if missing := sorted(required - valued):
        name = missing[0]
        raise ConfigurationError(
            f"{location}: the placeholder {{{name}}} has no value; bind it to a field of a parent (parent = {{ stream "
            f'= "...", bind = {{ {name} = "id" }} }}), or list its values (slices = [{{ {name} = "..." }}])'
        )
    if unused := sorted(valued - required - set(whole_placeholders(stream.body))):
        raise ConfigurationError(
            f"{location}: {unused[0]!r} has a value, and no path, parameter or body has the placeholder {{{unused[0]}}}"
        )
    for number, values in enumerate(stream.slices):
        if set(values) != set(stream.slices[0]):
            raise ConfigurationError(
                f"{location}.slices[{number}]: it names {sorted(values)}, and the first one {sorted(stream.slices[0])}"
                "; all slices name the same placeholders"
            )


def _jmespaths(stream: StreamConfig) -> Iterator[tuple[str, str]]:
    options: list[tuple[str, str | None]] = [("records", stream.records)]
    for name in ("path", "more_path", "total_path"):
        options.append((f"paginator.{name}", getattr(stream.paginator, name, None)))
    if stream.parent is not None:
        options += [(f"parent.bind.{name}", field) for name, field in stream.parent.bind.items()]
    options += [(f"responses[{number}].when", rule.when) for number, rule in enumerate(stream.responses or [])]
    if stream.cursor is not None:
        options.append(("cursor.field", stream.cursor.field))
    return ((option, path) for option, path in options if path is not None)


def _check_body_params(stream: StreamConfig, location: str) -> None:
    """A parameter in the body leads to a place that exists, or that objects on the way can get."""
    request = HttpRequest("POST", "", body=stream.body)
    paging = [f"paginator.{name}" for name in ("param", "size_param", "offset_param", "limit_param")]
    for path in [*paging, "cursor.param", "cursor.end_param"]:
        holder, _, option = path.partition(".")
        name = getattr(getattr(stream, holder), option, None)
        if isinstance(name, str) and name.startswith(BODY_PREFIX):
            _check(f"{location}.{path}", lambda name: request.with_param(name, 0), name)
