"""One reading: request after request, until there is no next one."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import requests

from vdk.plugin.datasource_base.contract import ConfigurationError

from ._answers import Answer, Judge
from ._client import Steps
from ._config import StreamConfig
from ._detect import AutoPaginator
from ._guards import Guard
from ._messages import Page, Request, Row
from ._paginators import Paginator
from ._records import NoRecords, place_of

if TYPE_CHECKING:
    from .source import RestSource


class Pages:
    """Reads the pages of one stream, with one set of values for its placeholders."""

    ignored = False
    """Whether reading ended with an answer that a rule ignores: it does not show that there are no records."""

    def __init__(self, source: RestSource, stream: StreamConfig) -> None:
        self._source = source
        self._stream = stream
        self._guard = Guard(stream.name, max_pages=stream.max_pages, repeats=bool(stream.allow_repeated_pages))
        self._judge = Judge(
            stream,
            parse=lambda response: source.parse(stream, response),
            redact=source.redact,
            limit=source.config.max_response_bytes,
            now=source.client.now,
        )

    def read(self, request: Request) -> Iterator[Sequence[Row] | None]:
        """Lists of records, page by page; None: nothing yet, while it waits."""
        following: Request | None = paginator_of(self._stream).first(request)
        while following is not None:
            request = following
            self._guard.asking(request)
            answer = yield from self._ask(request)
            if answer.ended:
                self.ignored = answer.response.status not in (204, 205)
                return
            if answer.lines is not None:
                page = yield from self._read_lines(answer)
            else:
                page = self._page(answer)
                self._guard.got(page.records, page.count)
                yield page.records
            following = self._next(request, page)

    def _ask(self, request: Request) -> Steps[Answer]:
        def judge(response: requests.Response) -> Answer:
            return self._judge(request, response)

        if not self._stream.cache or request.method != "GET":
            return (yield from self._source.client.fetch(request, judge))
        cache = self._source.cache
        with cache.lock(request):
            if (found := cache.get(request)) is not None:
                return Answer(found, self._source.parse(self._stream, found))
            answer = yield from self._source.client.fetch(request, judge)
            if not answer.ended:
                cache.put(answer.response)
            return answer

    def _read_lines(self, answer: Answer) -> Generator[Sequence[Row], None, Page]:
        """Records as they come. What was cut off is not asked for again here: a part of it is on its way."""
        assert answer.lines is not None
        count = 0
        with closing(answer):
            for values in answer.lines:
                rows = self._records(values, answer)
                count += len(rows)
                yield rows
        self._guard.got((), count)
        return Page(self._guard.pages, answer.response, None, (), count)

    def _page(self, answer: Answer) -> Page:
        stream = self._stream
        if stream.records is None and self._guard.pages == 1:
            self._settle(answer)
        rows = self._records(answer.body, answer)
        return Page(self._guard.pages, answer.response, answer.body, rows, len(rows))

    def _settle(self, answer: Answer) -> None:
        """Records stay where the first page has them: an error in a later one is no record."""
        try:
            place = place_of(answer.body, key_of(self._stream))
        except NoRecords:
            return  # which the source's own ``records`` may know better
        if place is not None:
            self._stream = msgspec.structs.replace(self._stream, records=place)

    def _records(self, body: Any, answer: Answer) -> Sequence[Row]:
        try:
            return self._source.records(self._stream, body)
        except NoRecords as error:
            raise self._judge.error(answer.response, str(error)) from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._judge.named(answer.response)}: {error}") from None

    def _next(self, request: Request, page: Page) -> Request | None:
        try:
            return self._source.next_request(self._stream, request, page)
        except ConfigurationError as error:
            named = self._judge.named(page.response)
            raise type(error)(f"{named}: {self._source.redact(str(error))}") from None


def paginator_of(stream: StreamConfig) -> Paginator:
    return stream.paginator if stream.paginator is not None else AutoPaginator()


def key_of(stream: StreamConfig) -> list[str]:
    """The primary key as a list."""
    key = stream.primary_key
    return [key] if isinstance(key, str) else list(key or ())
