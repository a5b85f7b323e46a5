# SPDX-License-Identifier: Apache-2.0
"""The response handler: a response becomes records, no records, a retry, or an error that shows both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import responses as REASONS
from typing import Any

import requests

from vdk.plugin.datasource_base.contract import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailedError,
    DataSourceError,
)
from vdk.plugin.datasource_base.parts import toml_value

from ..config import CsvConfig, StreamConfig
from ..context import StreamContext
from ..http.body import IncompleteBody, UnacceptableBody, iter_body, read_body, reader_of
from ..http.client import RetriedHere, Unauthorized, Waiting, lower_names
from ..http.rate_limit import retry_wait
from ..http.types import HttpRequest, HttpResponse, Row
from ..http.urls import mask_url
from .decoders import DecodeError, csv_rows, decode_json, format_of, json_lines
from .documents import decode_table, decode_xml
from .rules import SEARCHED_BYTES, ResponseRule, find_rule, is_retryable

_LINES = ("csv", "ndjson")
"""Formats whose records are read as they come."""
SHOWN = 300
"""Characters of a response that an error shows."""


class GoneError(ConfigurationError):
    """The server answered 410."""


@dataclass(slots=True)
class ParsedResponse:
    """A successful response.

    :param body: parsed; None if it is read line by line.
    :param lines: its records, a list at a time, if it is read line by line.
    :param ended: it has no records, and no page follows.
    :param ignored: it has content, and a rule ignores it.
    :param gone: what it was requested for is deleted.
    :param accepted: a rule accepts it, even if it looks like an error.
    """

    response: HttpResponse
    body: Any = None
    lines: Iterator[Sequence[Row]] | None = None
    ended: bool = False
    ignored: bool = False
    gone: bool = False
    accepted: bool = False
    close: Callable[[], None] = field(default=lambda: None)


def parse_body(stream: StreamConfig, response: HttpResponse, limit: int) -> Any:
    """The value of a body that was read whole; of lines, the list of their values."""
    format_ = format_in(stream, response)
    if format_ == "json":
        return decode_json(response.content, _content_type(response), stream.numbers or "exact")
    if format_ not in _LINES:
        return decode_xml(response.content) if format_ == "xml" else decode_table(response.content, format_)
    return [value for values in iter_rows(stream, response, [response.content], limit) for value in values]


def iter_rows(
    stream: StreamConfig, response: HttpResponse, content: Iterator[bytes] | list[bytes], limit: int
) -> Iterator[Sequence[Any]]:
    """The records of a body with one a line, a list at a time."""
    if format_in(stream, response) == "csv":
        return csv_rows(content, _content_type(response), stream.csv or CsvConfig(), limit)
    return json_lines(content, stream.numbers or "exact", limit)


def format_in(stream: StreamConfig, response: HttpResponse) -> str:
    configured = stream.format or "auto"
    return format_of(_content_type(response)) if configured == "auto" else configured


def _content_type(response: HttpResponse) -> str:
    return response.headers.get("content-type", "")


class ResponseHandler:
    """Handles the responses of one stream."""

    def __init__(self, context: StreamContext, stream: StreamConfig) -> None:
        self._stream = stream
        self._rules = stream.responses or []
        self._hooks = context.hooks
        self._redact = context.redact
        self._limit = context.config.max_response_bytes
        self._now = context.client.now
        self._context = context
        self._recording = context.recording

    def fetch(self, request: HttpRequest) -> Waiting[ParsedResponse]:
        """Send a request until it succeeds, or read the recorded response to it."""
        if self._recording is None or self._context.config.replay is None:
            return (yield from self._context.client.fetch(request, lambda raw: self.handle(request, raw)))
        failure: ConnectionFailedError | None = None
        while (response := self._recording.get(request)) is not None:
            try:
                return self._parsed(response)
            except ConnectionFailedError as error:  # it was retried
                failure = error
        raise failure or self._recording.missing(request)

    def handle(self, request: HttpRequest, raw: requests.Response) -> ParsedResponse:
        """:raises ConnectionFailedError: if the request may be retried."""
        response = HttpResponse(request, raw.url, raw.status_code, lower_names(raw.headers))
        if self._recording is None and self._is_streamed(response):
            return ParsedResponse(response, lines=self._lines(raw, response), close=raw.close)
        try:
            with self._naming(response):
                response.content = read_body(raw, self._limit)
                if self._recording is not None:
                    self._recording.put(response)
                return self._parsed(response)
        finally:
            if not response.content:
                raw.close()

    def error(self, response: HttpResponse, problem: str) -> DataSourceError:
        """An error that shows the request and the start of the response."""
        return DataSourceError(f"{self.subject(response)}: {self._redact(problem)}{self._start(response)}")

    def subject(self, response: HttpResponse) -> str:
        """The stream and the request, for messages."""
        return self._redact(f"stream {self._stream.name!r}: {response.request.method} {mask_url(response.url)}")

    @contextmanager
    def _naming(self, response: HttpResponse) -> Iterator[None]:
        """Put the request into errors about a body."""
        try:
            yield
        except IncompleteBody as error:
            raise IncompleteBody(f"{self.subject(response)}: {error}") from None
        except UnacceptableBody as error:
            raise ConfigurationError(f"{self.subject(response)}: {error}") from None

    def _is_streamed(self, response: HttpResponse) -> bool:
        """Whether records are read as they come: if a rule needs the content, the body is read whole."""
        has_lines = format_in(self._stream, response) in _LINES and not self._stream.cache
        return has_lines and response.status == 200 and not any(rule.by_content for rule in self._rules)

    def _lines(self, raw: requests.Response, response: HttpResponse) -> Iterator[Sequence[Row]]:
        try:
            with self._naming(response):
                for rows in iter_rows(self._stream, response, iter_body(raw, pauses=True), self._limit):
                    if rows:
                        reader_of(raw).allow_again()
                    yield rows
        except DecodeError as error:
            if error.cut:
                raise IncompleteBody(f"{self.subject(response)}: {error}") from None
            raise self.error(response, str(error)) from None
        finally:
            raw.close()

    def _parsed(self, response: HttpResponse) -> ParsedResponse:
        if response.status in (204, 205):
            return ParsedResponse(response, ended=True)
        body, problem = self._parse(response)
        try:
            rule = find_rule(self._rules, response.status, response.content, body)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.subject(response)}: {error}") from None
        if rule is not None:
            if rule.action == "ignore":
                return ParsedResponse(response, body, ended=True, ignored=True)
            if rule.action == "delete":
                return ParsedResponse(response, body, ended=True, gone=True)
            self._apply(rule, response)
        else:
            self._check_status(response)
        if problem is None:
            return ParsedResponse(response, body, accepted=rule is not None)
        if problem.cut and not response.content.strip() and response.headers:  # without headers, those are missing too
            raise self._empty(response)
        if problem.cut:
            raise IncompleteBody(f"{problem}{self._start(response)}")
        raise self.error(response, str(problem))

    def _parse(self, response: HttpResponse) -> tuple[Any, DecodeError | None]:
        """The body, or why it has no value; the body of an error need not be in the configured format."""
        try:
            return self._hooks.parse(self._stream, response), None
        except DecodeError as error:
            return None, error

    def _empty(self, response: HttpResponse) -> DataSourceError:
        """The error for a response without content, which may be cut off if it does not declare its length."""
        error = self.error(
            response,
            f"a list of records was expected, and the server answered {response.status} without any content. If this "
            'means an empty list, add responses = [{ empty = true, action = "ignore" }]',
        )
        return error if _declares_length(response) else RetriedHere(str(error))

    def _apply(self, rule: ResponseRule, response: HttpResponse) -> None:
        status = response.status
        if rule.action == "retry":
            problem = f"the server answered {status}, and a rule retries such responses"
            raise RetriedHere(self._text(response, problem), retry_after=retry_wait(response.headers, self._now()))
        if rule.action == "fail":
            raise self.error(response, f"the server answered {status}, and a rule makes such responses an error")

    def _check_status(self, response: HttpResponse) -> None:
        status = response.status
        if 200 <= status < 300:
            return
        if is_retryable(response, self._now()):
            wait = retry_wait(response.headers, self._now())
            raise ConnectionFailedError(self._text(response, f"the server answered {status}"), retry_after=wait)
        if status == 401:
            raise Unauthorized
        answered = f"the server answered {status} {REASONS.get(status, '')}".rstrip()
        if status == 403:
            raise AuthenticationError(
                self._text(response, f"{answered}: these credentials may not read this")
                + '. If it is a rate limit, add responses = [{ status = 403, action = "retry" }]'
            )
        if status == 410:
            raise GoneError(self._text(response, answered))
        raise ConfigurationError(
            self._text(response, answered)
            + self._address_hint(response)
            + f'. If this means an empty list, add responses = [{{ status = {status}, action = "ignore" }}]'
        )

    def _address_hint(self, response: HttpResponse) -> str:
        """What the URL was made of, if the server does not know it; a link of the page before is the API's own."""
        if response.status not in (404, 405) or response.request.template is None:
            return ""
        base_url, stream = self._context.config.base_url, self._stream
        path = stream.name if stream.path is None else stream.path
        method = f"method = {toml_value(stream.method)}, " if response.status == 405 else ""
        return self._redact(
            f". Check {method}base_url = {toml_value(mask_url(base_url))} and path = {toml_value(path)}, which make "
            f"the URL {mask_url(response.request.url)}"
        )

    def _text(self, response: HttpResponse, problem: str) -> str:
        return f"{self.subject(response)}: {problem}{self._start(response)}"

    def _start(self, response: HttpResponse) -> str:
        """The start of a body, for a person; secrets are masked before it is cut."""
        text = self._redact(response.content[:SEARCHED_BYTES].decode("utf-8", "replace"))
        return (
            f"; the response begins: {' '.join(text.split())[:SHOWN]!r}" if text.strip() else "; the response is empty"
        )


def _declares_length(response: HttpResponse) -> bool:
    """Whether the response declares where it ends (RFC 9112, section 6.3); else it may be cut off."""
    return "content-length" in response.headers or "transfer-encoding" in response.headers
