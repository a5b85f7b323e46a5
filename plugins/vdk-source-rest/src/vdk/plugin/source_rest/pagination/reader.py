# SPDX-License-Identifier: Apache-2.0
"""The page reader: requests page after page until the paginator names no further one, and notices an endless loop."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from typing import Any

import msgspec

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError

from ..config import StreamConfig
from ..context import StreamContext
from ..http.client import TICK, Waiting
from ..http.types import HttpRequest, Page, Row
from ..responses.envelopes import ALL_EMPTY, LocatedPath, RecordsNotFound, accept_hint, error_in, locate_records
from ..responses.extract import unfiltered
from ..responses.handler import ParsedResponse, ResponseHandler

MAX_RECENT = 10_000
MAX_EMPTY_PAGES = 1_000


class LoopGuard:
    """Raises an error when the pages of one reading would never end. Its memory is bounded.

    It notices a repeated request among the last ten thousand at once, and one in a longer cycle by Brent's
    algorithm (BIT 20, 1980): it keeps a request until the number of pages has doubled.
    """

    def __init__(self, stream: str, *, max_pages: int | None, allow_repeats: bool) -> None:
        self._stream = stream
        self._max_pages = max_pages
        self._allow_repeats = allow_repeats
        self._recent: OrderedDict[bytes, int] = OrderedDict()
        self._kept = b""
        self._power = 1
        self._empty_pages = 0
        self._last_rows: Sequence[Row] = ()
        self.pages = 0

    def before_request(self, request: HttpRequest) -> None:
        """:raises DataSourceError: for a request that was made before, or too many of them."""
        key = blake2b(request.key(), digest_size=16).digest()
        if key in self._recent or key == self._kept:
            before = self._recent.get(key)
            raise DataSourceError(
                f"stream {self._stream!r}: after page {self.pages} the server names "
                f"{f'page {before}' if before else 'an earlier page'} again as the next one: its pages would never "
                "end; check the paginator and its paths"
            )
        if self._max_pages is not None and self.pages >= self._max_pages:
            raise DataSourceError(
                f"stream {self._stream!r}: it has more than max_pages = {self._max_pages} pages. To read more, raise "
                "max_pages"
            )
        self.pages += 1
        self._recent[key] = self.pages
        if len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
        if self.pages == self._power:
            self._kept, self._power = key, self._power * 2

    def after_page(self, rows: Sequence[Row], count: int) -> None:
        """:raises DataSourceError: for the same records twice: the server ignores the parameter that pages."""
        self._empty_pages = 0 if count else self._empty_pages + 1
        if self._empty_pages > MAX_EMPTY_PAGES:
            raise DataSourceError(
                f"stream {self._stream!r}: {MAX_EMPTY_PAGES} pages in a row have no records, and each names a next "
                "one; check the paginator and its paths"
            )
        if self.is_repeat(rows) and not self._allow_repeats:
            raise DataSourceError(
                f"stream {self._stream!r}: page {self.pages} has the very records of the page before. Check that the "
                "API knows the parameters of the paginator; if equal pages are correct, set allow_repeated_pages = true"
            )
        self._last_rows = rows

    def is_repeat(self, rows: Sequence[Row]) -> bool:
        """Whether a page has the very records of the one before."""
        return bool(rows) and rows == self._last_rows


class PageReader:
    """Reads the pages of one stream, with one set of values for its placeholders."""

    def __init__(self, context: StreamContext, stream: StreamConfig, *, cap: int | None = None) -> None:
        """:param cap: read no page that may reach beyond so many records."""
        self._context = context
        self._cap = cap
        self._stream = stream
        self._guard = LoopGuard(
            stream.name, max_pages=stream.max_pages, allow_repeats=bool(stream.allow_repeated_pages)
        )
        self._handler = ResponseHandler(context, stream)
        self._total: int | None = None
        self.capped = False
        """Whether reading ended at the cap, and a further page exists."""
        self.last_page: Page | None = None
        self.gone = False
        """Whether reading ended since a rule says that what it was requested for is deleted."""
        self.ended_by_rule = False
        """Whether reading ended with a response that a rule ignores: it does not show that no records exist."""
        self.dropped: Counter[str] = Counter()
        """How many records and responses were read and are not delivered, for the summary of the run."""

    def read(self, request: HttpRequest) -> Iterator[Sequence[Row] | None]:
        """Lists of records, page by page; None while it waits."""
        is_auto = self._stream.paginator is None
        next_request: HttpRequest | None = self._stream.paging().first(request)
        count = 0
        while next_request is not None:
            request = next_request
            self._guard.before_request(request)
            parsed = yield from self._fetch(request)
            if parsed.ended:
                self.gone = parsed.gone
                self.ended_by_rule = not parsed.gone and parsed.response.status not in (204, 205)
                self.dropped["responses_ignored"] += parsed.ignored
                return
            if parsed.lines is not None:
                page = yield from self._read_lines(parsed)
            else:
                page = self._page(parsed)
                if self._guard.is_repeat(page.source or page.records) and self._stream.paging().ends_with_repeat():
                    return
                self._guard.after_page(page.source or page.records, page.count)
                yield page.records
            self.last_page = page
            count += page.count
            next_request = self._next(request, page)
            if is_auto and next_request is None and parsed.lines is None:
                self._context.only_pages.add(self._stream.name, page)
            if self._cap is not None and next_request is not None and count + page.count > self._cap:
                self.capped = True
                return

    def _fetch(self, request: HttpRequest) -> Waiting[ParsedResponse]:
        if not self._stream.cache or request.method != "GET":
            return (yield from self._send(request))
        cache = self._context.cache
        with cache.lock(request):
            if (cached := cache.get(request)) is not None:
                return ParsedResponse(cached, self._context.hooks.parse(self._stream, cached))
            parsed = yield from self._send(request)
            if not parsed.ended:
                cache.put(parsed.response)
            return parsed

    def _send(self, request: HttpRequest) -> Waiting[ParsedResponse]:
        """Send a request as soon as fewer requests of the stream than allowed are on their way."""
        slots = self._context.request_slots(self._stream)
        if slots is None:
            return (yield from self._handler.fetch(request))
        while not slots.acquire(timeout=TICK):
            yield
        try:
            return (yield from self._handler.fetch(request))
        finally:
            slots.release()

    def _read_lines(self, parsed: ParsedResponse) -> Generator[Sequence[Row], None, Page]:
        """Records as they come. A body that is cut off is not requested again: a part of it is delivered already."""
        assert parsed.lines is not None
        count = 0
        with closing(parsed):
            for values in parsed.lines:
                if not count:
                    self._check_only_line(values, parsed)
                rows, source = self._records(values, parsed)
                count += len(source)
                yield rows
        self._guard.after_page((), count)
        return Page(self._guard.pages, parsed.response, None, (), count)

    def _page(self, parsed: ParsedResponse) -> Page:
        if self._stream.records is None:
            self._locate(parsed)
        rows, source = self._records(parsed.body, parsed)
        self._check_error(parsed, len(source))
        return Page(self._guard.pages, parsed.response, parsed.body, rows, len(source), source)

    def _check_error(self, parsed: ParsedResponse, count: int) -> None:
        """An error with status 200 is not an empty page; nor a full one, if no path of the records is configured."""
        sign = None if parsed.accepted else error_in(parsed.body, empty=not count)
        located = isinstance(self._stream.records, LocatedPath) or self._stream.graphql is not None
        if sign and (not count or located):
            has = f"has {count} records" if count else "has no records"
            raise self._handler.error(
                parsed.response, f"the response {has} and looks like an error ({sign}). {accept_hint(sign)}"
            )

    def _check_only_line(self, values: Sequence[Any], parsed: ParsedResponse) -> None:
        """A single line that is an error is not a record; without a key, nothing else distinguishes them."""
        if len(values) > 1 or self._stream.own_key():
            return
        if sign := next((error_in(value, empty=True) for value in values), None):
            raise self._handler.error(
                parsed.response,
                f"the only line of the response looks like an error ({sign}). {accept_hint(sign, '[0].')}",
            )

    def _locate(self, parsed: ParsedResponse) -> None:
        """The first page with records decides where they are: an error in a later page is not a record."""
        stream = self._stream
        try:
            path = locate_records(parsed.body, stream.own_key(), stream.list_names(), accepted=parsed.accepted)
        except RecordsNotFound:
            return  # a subclass may override ``records``
        if path is None and parsed.accepted:
            path = "@"
        if path is not None and path is not ALL_EMPTY:
            self._stream = msgspec.structs.replace(stream, records=path)

    def _records(self, body: Any, parsed: ParsedResponse) -> tuple[Sequence[Row], Sequence[Any]]:
        """The records, and the list that they come from, before a filter of the path or of the ``records`` method."""
        try:
            rows = self._context.hooks.records(self._stream, body)
            source = unfiltered(body, self._stream.records)
        except RecordsNotFound as error:
            raise self._handler.error(parsed.response, str(error)) from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._handler.subject(parsed.response)}: {error}") from None
        if source is None or (len(rows) == 1 and rows[0] is body):
            return rows, rows
        if len(rows) < len(source):
            self.dropped["rows_filtered"] += len(source) - len(rows)
        return rows, source

    def _next(self, request: HttpRequest, page: Page) -> HttpRequest | None:
        try:
            page.total = self._total = self._total_of(page)
            following = self._context.hooks.next_request(self._stream, request, page)
            self._context.missing_paths.add(self._stream.name, self._stream.paging(), page, ended=following is None)
            return following
        except ConfigurationError as error:
            subject = self._handler.subject(page.response)
            named = type(error)(f"{subject}: {self._context.redact(str(error))}")
            named.options = error.options
            raise named from None

    def _total_of(self, page: Page) -> int | None:
        """The total on this page, else that of an earlier one: some APIs count for the first page only."""
        total = self._stream.paging().total(page)
        unknown = total is None or (total <= 0 and page.count > 0)
        return self._total if unknown else total
