"""Pages that come again: a server that hands out the same token twice would be read for ever."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
import requests

from vdk.plugin.datasource_base.contract import ConfigurationError, DataSourceError

from ..config import StreamConfig, included_columns
from ..envelopes import NO_RECORDS, ListPath, NoRecords, error_in, place_of, remedy
from ..extract import unfiltered
from ..http.client import Steps
from ..http.types import Page, Request, Row
from ..responses import Answer, Judge
from .auto import AutoPaginator
from .paginators import Paginator

if TYPE_CHECKING:
    from ..source import RestSource

RECENT = 10_000
EMPTY = 1_000


class Guard:
    """Watches one reading, in bounded memory.

    A repeated request among the last ten thousand is noticed at once, one in a longer cycle by Brent's
    algorithm (BIT 20, 1980): a request is kept until the number of pages has doubled.
    """

    def __init__(self, stream: str, *, max_pages: int | None, repeats: bool) -> None:
        self._stream = stream
        self._max_pages = max_pages
        self._repeats = repeats
        self._recent: OrderedDict[bytes, int] = OrderedDict()
        self._kept = b""
        self._power = 1
        self._empty = 0
        self._last: Sequence[Row] = ()
        self.pages = 0

    def asking(self, request: Request) -> None:
        """Before a page is asked for.

        :raises DataSourceError: for a request that was made before, or too many of them.
        """
        key = blake2b(request.key(), digest_size=16).digest()
        if key in self._recent or key == self._kept:
            before = self._recent.get(key)
            raise DataSourceError(
                f"stream {self._stream!r}: after page {self.pages} the server named "
                f"{f'page {before}' if before else 'an earlier page'} again as the next one: its pages would never end"
            )
        if self._max_pages is not None and self.pages >= self._max_pages:
            raise DataSourceError(f"stream {self._stream!r}: there are more than max_pages = {self._max_pages} pages")
        self.pages += 1
        self._recent[key] = self.pages
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        if self.pages == self._power:
            self._kept, self._power = key, self._power * 2

    def got(self, rows: Sequence[Row], count: int) -> None:
        """After a page: the same records twice say that the server does not know the parameter that pages."""
        self._empty = 0 if count else self._empty + 1
        if self._empty > EMPTY:
            raise DataSourceError(
                f"stream {self._stream!r}: {EMPTY} pages in a row have no records, and each names a next one"
            )
        if rows and not self._repeats and rows == self._last:
            raise DataSourceError(
                f"stream {self._stream!r}: page {self.pages} holds the very records of the page before: does the API "
                "know the parameters of the paginator? If equal pages are right, say allow_repeated_pages = true"
            )
        self._last = rows


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

        self.dropped: Counter[str] = Counter()
        """What was read and does not land, for the run's summary, since it was last cleared."""
        self._total: int | None = None

    def read(self, request: Request) -> Iterator[Sequence[Row] | None]:
        """Lists of records, page by page; None: nothing yet, while it waits."""
        following: Request | None = paginator_of(self._stream).first(request)
        while following is not None:
            request = following
            self._guard.asking(request)
            answer = yield from self._ask(request)
            if answer.ended:
                self.ignored = answer.response.status not in (204, 205)
                self.dropped["answers_ignored"] += answer.ignored
                return
            if answer.lines is not None:
                page = yield from self._read_lines(answer)
            else:
                page = self._page(answer)
                self._guard.got(page.source or page.records, page.count)
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
                if not count:
                    self._check_only_line(values, answer)
                rows, source = self._records(values, answer)
                count += len(source)
                yield rows
        self._guard.got((), count)
        return Page(self._guard.pages, answer.response, None, (), count)

    def _page(self, answer: Answer) -> Page:
        if self._stream.records is None:
            self._settle(answer)
        rows, source = self._records(answer.body, answer)
        self._check_error(answer, len(source))
        return Page(self._guard.pages, answer.response, answer.body, rows, len(source), source)

    def _check_error(self, answer: Answer, count: int) -> None:
        """An error with status 200 is no empty page; nor a full one, where nobody configured what a page is."""
        mark = None if answer.accepted else error_in(answer.body, empty=not count)
        if mark and (not count or isinstance(self._stream.records, ListPath)):
            has = f"has {count} records" if count else "has no records"
            raise self._judge.error(
                answer.response, f"the answer {has} and looks like an error ({mark}). {remedy(mark)}"
            )

    def _check_only_line(self, values: Sequence[Any], answer: Answer) -> None:
        """One line that is an error is not one record; without a key, nothing else tells them apart."""
        if len(values) > 1 or own_key_of(self._stream):
            return
        if mark := next((error_in(value, empty=True) for value in values), None):
            raise self._judge.error(
                answer.response, f"the only line of the answer looks like an error ({mark}). {remedy(mark, '[0].')}"
            )

    def _settle(self, answer: Answer) -> None:
        """Records stay where the first page that has some has them: an error in a later one is not a record."""
        stream = self._stream
        try:
            place = place_of(answer.body, own_key_of(stream), names_of(stream), accepted=answer.accepted)
        except NoRecords:
            return  # which the source's own ``records`` may know better
        if place is None and answer.accepted:
            place = "@"
        if place is not None and place is not NO_RECORDS:
            self._stream = msgspec.structs.replace(stream, records=place)

    def _records(self, body: Any, answer: Answer) -> tuple[Sequence[Row], Sequence[Any]]:
        """The records, and what they were before any filter, the path's or that of the source's ``records``."""
        try:
            rows = self._source.records(self._stream, body)
            source = unfiltered(body, self._stream.records)
        except NoRecords as error:
            raise self._judge.error(answer.response, str(error)) from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._judge.named(answer.response)}: {error}") from None
        if source is None or (len(rows) == 1 and rows[0] is body):
            return rows, rows
        if len(rows) < len(source):
            self.dropped["rows_filtered"] += len(source) - len(rows)
        return rows, source

    def _next(self, request: Request, page: Page) -> Request | None:
        try:
            page.total = self._total = self._total_of(page)
            return self._source.next_request(self._stream, request, page)
        except ConfigurationError as error:
            named = self._judge.named(page.response)
            raise type(error)(f"{named}: {self._source.redact(str(error))}") from None

    def _total_of(self, page: Page) -> int | None:
        """What this page says, else what an earlier one did: some APIs count for the first page only."""
        total = paginator_of(self._stream).total(page)
        unknown = total is None or (total <= 0 and page.count > 0)
        return self._total if unknown else total


def paginator_of(stream: StreamConfig) -> Paginator:
    return stream.paginator if stream.paginator is not None else AutoPaginator()


def key_of(stream: StreamConfig) -> list[str]:
    """The primary key as a list."""
    key = stream.primary_key
    return [key] if isinstance(key, str) else list(key or ())


def own_key_of(stream: StreamConfig) -> list[str]:
    """The fields of the primary key that records have themselves, and do not get from a parent's."""
    included = included_columns(stream.parent) if stream.parent is not None else {}
    return [name for name in key_of(stream) if name not in included]


def names_of(stream: StreamConfig) -> list[str]:
    """What an API may call the list of a stream's records: as the stream, or as the end of its path."""
    return [stream.name, (stream.path or "").rstrip("/").rpartition("/")[2]]
