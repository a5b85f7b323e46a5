"""Pages that come again: a server that hands out the same token twice would be read for ever."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from vdk.plugin.datasource_base.contract import DataSourceError

from ._messages import Request, Row

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
