"""Types of columns, as the configuration writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import DataSourceConfig, Duration, Secret

from .auth import AuthConfig, NoAuth
from .cursors import CursorConfig
from .pagination.auto import AutoPaginator
from .pagination.paginators import (
    CursorPaginator,
    LinkHeaderPaginator,
    NextUrlPaginator,
    NonePaginator,
    OffsetPaginator,
    PagePaginator,
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
    read: Annotated[Duration, Meta(description="between two pieces of an answer")] = Duration(seconds=60)
    total: Annotated[Duration, Meta(description="for a whole answer, as far as it is waited for")] = Duration(
        minutes=10
    )


class RetryConfig(DataSourceConfig):
    """How often one request is tried, before its partition is."""

    attempts: Annotated[int, Meta(ge=1, description="how often a request is sent at most")] = 5
    delay: Annotated[Duration, Meta(description="the first wait; doubled each time, and spread by chance")] = Duration(
        seconds=1
    )
    max_wait: Annotated[
        Duration, Meta(description="the longest wait that a server may ask for; longer ones fail the attempt")
    ] = Duration(minutes=5)


class CsvConfig(DataSourceConfig):
    """How CSV is written."""

    delimiter: Annotated[str, Meta(min_length=1, max_length=1, description="what parts the fields")] = ","
    quote: Annotated[str, Meta(min_length=1, max_length=1, description="what encloses a field")] = '"'
    encoding: Annotated[str | None, Meta(description="default: what the answer says, else utf-8")] = None
    null: Annotated[str | None, Meta(description="the text of a field without a value; default: none")] = None


class ParentConfig(DataSourceConfig):
    """The stream whose records this one is read for."""

    stream: Annotated[str, Meta(min_length=1, description="the parent stream's name")]
    bind: Annotated[
        dict[str, str], Meta(min_length=1, description="placeholder = field of the parent's record (JMESPath)")
    ]
    include: Annotated[
        list[str] | dict[str, str],
        Meta(description="fields of the parent that land with each record, as <parent>_<field>; or column = field"),
    ] = msgspec.field(default_factory=list)


class StreamOptions(DataSourceConfig):
    """Options that a stream may set for itself, and that may be set for all streams. None: not set here."""

    paginator: Annotated[AnyPaginator | None, Meta(description="how pages follow each other. Default: auto")] = None
    records: Annotated[
        str | None,
        Meta(description="where the records are in an answer (JMESPath). Default: the answer, or the only list in it"),
    ] = None
    format: Annotated[
        Literal["auto", "json", "ndjson", "csv"] | None,
        Meta(description="how answers are written. Default: auto, by their Content-Type"),
    ] = None
    csv: Annotated[CsvConfig | None, Meta(description="how CSV is written")] = None
    primary_key: Annotated[
        str | list[str] | None, Meta(description="the fields that identify a record. Default: none")
    ] = None
    numbers: Annotated[
        Literal["exact", "decimal", "double"] | None,
        Meta(
            description="numbers with a fraction: exact (a double where it has all the digits, else a decimal), "
            "decimal, or double. Default: exact"
        ),
    ] = None
    responses: Annotated[
        list[ResponseRule] | None, Meta(description="what answers mean; the first rule that fits an answer decides")
    ] = None
    max_pages: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="more pages than this are an error. Default: any number")
    ] = None
    allow_repeated_pages: Annotated[
        bool | None, Meta(description="two equal pages after each other are no error. Default: false")
    ] = None


class StreamConfig(StreamOptions):
    """One stream: what is asked for, and where the records are in the answers."""

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
    cursor: Annotated[CursorConfig | None, Meta(description="how only new records are read. Default: all are")] = None
    parent: Annotated[ParentConfig | None, Meta(description="read once for each record of another stream")] = None
    slices: Annotated[
        list[dict[str, Scalar]], Meta(description="read once for each of these, with its values for placeholders")
    ] = msgspec.field(default_factory=list)
    check: Annotated[
        bool | None,
        Meta(
            description="whether `vdk datasource check` asks for the first page. Default: of the first stream without "
            "a parent that is read by GET; a POST is sent only where this is true"
        ),
    ] = None
    cache: Annotated[
        bool, Meta(description="keep answers until the run ends, for the streams whose parent this is")
    ] = False


class RestConfig(StreamOptions):
    """An HTTP API and the streams read from it."""

    base_url: Annotated[
        str, Meta(min_length=1, description="what all paths are below; credentials go to its origin only")
    ]
    streams: Annotated[list[StreamConfig], Meta(description="what is read")]
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
        int, Meta(ge=1, description="the largest answer, or record where answers are read line by line")
    ] = 256 * 1024 * 1024
    requests_per_second: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="at most so many. Default: as the server allows")
    ] = None
    timeout: Annotated[TimeoutConfig, Meta(description="how long a server may take")] = TimeoutConfig()
    retry: Annotated[RetryConfig, Meta(description="how often a request is tried")] = RetryConfig()
    ca_bundle: Annotated[
        Path | None, Meta(description="certificates of the authorities to trust, in place of the well-known ones")
    ] = None
    client_certificate: Annotated[Path | None, Meta(description="the client's certificate, shown to the origin")] = None
    client_key: Annotated[Path | None, Meta(description="its key, where it is in another file")] = None

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


def included_columns(config: ParentConfig) -> dict[str, str]:
    """Column → field of the parent."""
    if isinstance(config.include, Mapping):
        return dict(config.include)
    return {f"{config.stream}_{field}".replace(".", "_"): field for field in config.include}
