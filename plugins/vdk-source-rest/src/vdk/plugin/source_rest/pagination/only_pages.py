# SPDX-License-Identifier: Apache-2.0
"""Streams whose only page has a round number of records: it may be the first of many that an API does not announce.

A list without a link, a token or a total, of which the API returns 30 at a time, looks like a full result of 30.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..http.types import Page
from ..responses.envelopes import words_of
from .more_pages import END_NAMES, MORE_WORDS, PAGE_COUNT_NAMES, TOTAL_NAMES, holders_of

_TOTAL_HEADERS = ("link", "x-total-count", "x-total", "x-total-pages", "content-range", "x-next-page")
_KNOWN = END_NAMES | PAGE_COUNT_NAMES | TOTAL_NAMES


@dataclass(slots=True)
class Readings:
    """The readings of a stream that had one page: how many records the largest had, and how many had so many."""

    largest: int = 0
    largest_count: int = 0
    count: int = 0
    has_more_pages: bool = False

    def add(self, page: Page) -> None:
        """A reading has ended with this page; a reading is that of one partition, or of one window."""
        if page.number > 1 or speaks_of_pages(page):
            self.has_more_pages = True
        elif page.count >= self.largest:
            self.largest_count = self.largest_count * (page.count == self.largest) + 1
            self.largest = page.count
        self.count += 1

    def look_cut_off(self) -> bool:
        """Whether the only page has a round number of records; of several readings, two must have the largest one."""
        repeated = self.count == 1 or self.largest_count > 1
        return _is_round(self.largest) and repeated and not self.has_more_pages


class OnlyPages:
    """Collects what the readings of streams without a paginator had. Threads may share it."""

    def __init__(self) -> None:
        self._readings: dict[str, Readings] = {}
        self._lock = threading.Lock()

    def add(self, stream: str, page: Page) -> None:
        """A reading of the stream has ended with this page."""
        with self._lock:
            self._readings.setdefault(stream, Readings()).add(page)

    def warnings(self) -> Iterator[str]:
        """A warning for each stream whose pages look cut off."""
        with self._lock:
            streams, self._readings = self._readings, {}
        for stream, readings in streams.items():
            if readings.look_cut_off():
                yield (
                    f"stream {stream!r}: it was read as one page of {readings.largest} records. That is a round "
                    "number, and nothing in the response shows that these are all: an API may return as many at most. "
                    'If there are more, name its paginator, as in paginator = { type = "page" }; if these are all, '
                    'set paginator = { type = "none" }'
                )


def _is_round(count: int) -> bool:
    """Whether a number of records is likely the size of a page, such as 10, 20, 25, 30, 50, 100, 250 or 1,000."""
    return count >= 10 and (count % 10 == 0 or count % 25 == 0)


def speaks_of_pages(page: Page) -> bool:
    """Whether a response has a total, an end mark or links, so that ``auto`` knows that it is the last one."""
    if any(page.response.headers.get(name) for name in _TOTAL_HEADERS):
        return True
    holders = holders_of(page) if isinstance(page.body, Mapping) else ()
    names = (words_of(name) for _, holder in holders for name in holder)
    return any(words in _KNOWN or {"next", *MORE_WORDS} & {*words.split()} for words in names)
