# SPDX-License-Identifier: Apache-2.0
"""The options of a source and its streams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from vdk.plugin.datasource_base.contract import DataSourceConfig, Duration, Secret

from .auth.credentials import AuthConfig, NoAuth
from .http.template import CURSOR_END, CURSOR_START, body_placeholders, placeholders
from .incremental.cursors import CursorConfig
from .incremental.sync_token import SyncTokenConfig
from .job_config import JobConfig
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
from .parents import ParentConfig
from .responses.rules import ResponseRule

AnyPaginator = (
    AutoPaginator
    | NonePaginator
    | LinkHeaderPaginator
    | NextUrlPaginator
    | CursorPaginator
    | PagePaginator
    | OffsetPaginator
)
_DEFAULT_LEVELS = 5
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
        Literal["auto", "json", "ndjson", "csv", "xml", "parquet", "arrow"] | None,
        Meta(description="the format of responses. Default: auto, by their Content-Type"),
    ] = None
    key_field: Annotated[
        str | None,
        Meta(description="the records are the members of an object: the column for their names"),
    ] = None
    csv: Annotated[CsvConfig | None, Meta(description="the dialect of CSV")] = None
    primary_key: Annotated[
        str | list[str] | None, Meta(description="the fields that identify a record. Default: none")
    ] = None
    nested: Annotated[
        Literal["json", "flatten", "tables"] | None,
        Meta(
            description="objects in records: json, flatten (columns as a__b), or tables (so, and lists as tables of "
            "their own). Default: json"
        ),
    ] = None
    nested_depth: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="levels of objects, and of lists, that are taken apart. Default: 5; deeper ones are JSON"),
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
    max_parallel_requests: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="requests of a stream at once. Default: any number")
    ] = None
    allow_repeated_pages: Annotated[
        bool | None, Meta(description="allow two equal pages in a row. Default: false, they are an error")
    ] = None


class GraphqlConfig(DataSourceConfig):
    """A query of GraphQL."""

    query: Annotated[str, Meta(min_length=1, description="the query")]
    variables: Annotated[
        dict[str, Any], Meta(description="its variables; a paginator's are at body.variables.name")
    ] = msgspec.field(default_factory=dict)


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
    body: Annotated[Any, Meta(description="sent as JSON; placeholders in its texts are filled")] = None
    encoding: Annotated[Literal["json", "form", "multipart"], Meta(description="how the body is sent")] = "json"
    compress: Annotated[bool, Meta(description="send the body in gzip")] = False
    graphql: Annotated[
        GraphqlConfig | None, Meta(description="a query that is posted, in place of method and body")
    ] = None
    columns: Annotated[
        dict[str, str],
        Meta(
            description="types of columns: text, integer, double, decimal(p,s), boolean, date, timestamp, json. "
            "Others are inferred"
        ),
    ] = msgspec.field(default_factory=dict)
    cursor: Annotated[CursorConfig | None, Meta(description="how to read only new records. Default: read all")] = None
    sync_token: Annotated[
        SyncTokenConfig | None, Meta(description="a token of the API that shows what was read, in place of a cursor")
    ] = None
    parent: Annotated[
        ParentConfig | list[ParentConfig] | None,
        Meta(description="read once for each record of another stream, or for each combination of several"),
    ] = None
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
    job: Annotated[
        JobConfig | None, Meta(description="the request begins a job, which is done later and has files of records")
    ] = None
    deleted: Annotated[
        str | None,
        Meta(
            description='a JMESPath: a record with a value there is deleted, as in "deleted_at" or "status == \'gone\'"'
        ),
    ] = None
    kind: Annotated[
        Literal["rows", "deletes", "keys"],
        Meta(
            description="deletes: the keys of deleted rows of the stream `of`; keys: the keys of all rows that it has"
        ),
    ] = "rows"
    of: Annotated[str | None, Meta(description="the stream whose rows are deleted, by kind")] = None
    every: Annotated[Duration | None, Meta(description='how often kind = "keys" is read. Default: in each run')] = None
    cache: Annotated[
        bool, Meta(description="keep responses until the run ends, for the streams whose parent this is")
    ] = False

    def paging(self) -> Paginator:
        return self.paginator if self.paginator is not None else AutoPaginator()

    def parents(self) -> list[ParentConfig]:
        if self.parent is None:
            return []
        return [self.parent] if isinstance(self.parent, ParentConfig) else self.parent

    def key(self) -> list[str]:
        """The primary key as a list."""
        key = self.primary_key
        return [key] if isinstance(key, str) else list(key or ())

    def own_key(self) -> list[str]:
        """The fields of the primary key that records have themselves, and do not get from a parent's."""
        included = {name for parent in self.parents() for name in parent.included_columns()}
        return [name for name in self.key() if name not in included]

    def late_values(self) -> dict[str, Any]:
        """The placeholders that are filled window by window and page by page → the first value, or None."""
        values = dict(self.paging().names())
        if self.cursor is not None:
            values |= {CURSOR_START: self.cursor.initial, CURSOR_END: "" if self.cursor.end_param else None}
        if self.sync_token is not None and self.sync_token.param is not None:
            values[self.sync_token.param] = None
        return values

    def values_known(self) -> set[str]:
        """The names of all placeholders that have a value at some time."""
        known = {*self.late_values(), *(name for parent in self.parents() for name in parent.bind)}
        return known.union(*self.slices)

    def placeholders(self) -> set[str]:
        """The placeholders of its request."""
        names = {*placeholders(self.path or ""), *placeholders(self.params)}
        return names | set(body_placeholders(self.body, self.values_known()))

    def with_short_forms(self) -> StreamConfig:
        """The same stream, with what a short form stands for."""
        options: dict[str, Any] = {}
        if self.graphql is not None:
            body = {"query": self.graphql.query, "variables": self.graphql.variables}
            options |= {"method": "POST", "body": body}
        if self.key_field is not None and self.records is None:
            options["records"] = "@"
        if self.format == "xml" and self.records is not None:
            options["records"] = f"{self.records} || `[]`"  # an element without children is a list without records
        return msgspec.structs.replace(self, **options)

    def with_cursor_places(self) -> StreamConfig:
        """The same stream, whose cursor goes into the placeholders that the request has for it."""
        cursor, names = self.cursor, self.placeholders()
        if cursor is None or not names & {CURSOR_START, CURSOR_END}:
            return self
        start = CURSOR_START if cursor.param is None and CURSOR_START in names else cursor.param
        end = CURSOR_END if cursor.end_param is None and CURSOR_END in names else cursor.end_param
        return msgspec.structs.replace(self, cursor=msgspec.structs.replace(cursor, param=start, end_param=end))

    def levels(self) -> int:
        """How many levels of a record are taken apart, if any are."""
        return self.nested_depth or _DEFAULT_LEVELS

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
    record: Annotated[Path | None, Meta(description="a folder to keep the responses in, without secrets")] = None
    replay: Annotated[
        Path | None, Meta(description="the folder of responses that were recorded; no network is used")
    ] = None
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
        merged = msgspec.structs.replace(stream, **shared, params=params, headers=headers)
        return merged.with_short_forms().with_cursor_places()
