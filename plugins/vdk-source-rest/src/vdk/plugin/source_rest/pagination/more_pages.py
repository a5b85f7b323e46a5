# SPDX-License-Identifier: Apache-2.0
"""Signs of more pages: fields and headers which show that a response is not the full result.

Names are compared by their words: ``nextRecordsUrl`` (Salesforce), ``next_page`` (Asana) and ``@odata.nextLink`` all
have the word "next". Records are not searched, since their fields describe no pages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from vdk.plugin.datasource_base.parts import HugeNumber, whole_number

from ..http.types import Page
from ..responses.envelopes import quote_path, words_of
from .paginators import is_token

MORE_WORDS = {"more", "truncated"}
END_NAMES = {"done", "last", "is last", "is last page", "last page", "complete", "is complete", "completed"}
TOTAL_NAMES = {
    "total", "count", "num found", "total found", "total value",
    *(f"total {noun}" for noun in ("count", "size", "items", "results", "records", "hits")),
}  # fmt: skip
PAGE_COUNT_NAMES = {"total pages", "pages", "last page", "page count", "num pages"}
_TOKEN_NAMES = {
    "cursor", "offset", "after", "continuation", "continuation token", "resumption token", "marker", "bookmark",
}  # fmt: skip
_ECHOED_NAMES = {"offset"}
"""A number with such a name repeats the one that was requested."""
_SYNC_WORDS = {"sync", "delta"}
"""The next one of these is for the next run."""
_PAGE_WORDS = {"page", "url", "uri", "link", "href", "token", "cursor", "offset", "records", "key", "marker", "start"}
_ENVELOPE = re.compile(r"meta|pag|data|result|response|hits|info|list")
"""The objects whose totals are those of the response; elsewhere they may be of a part of it, such as a facet's."""
_MAX_DEPTH = 5
_MAX_PATH = 200
"""Characters of a path that are kept: it is searched for every field below it."""
_MAX_HOLDERS = 5
_CONTENT_RANGE = re.compile(r"[^/]*/(\d+)")
_POSITIVE = re.compile(r"\+?[0-9]+(\.[0-9]+)?(e\+?[0-9]+)?", re.IGNORECASE)


def sign_of_more_pages(page: Page, *, sure: bool = False) -> str | None:
    """The first sign, in words; None: the response looks like the full result.

    :param sure: only signs that no full result has: a ``cursor`` may come with the last page as well.
    """
    shows_more = _surely_shows_more if sure else _shows_more
    return _in_headers(page) or next(_in_body(page, page.body, "", 1, shows_more), None)


def page_count(page: Page) -> tuple[str, Mapping[str, Any]] | None:
    """The path of the number of pages, if the body has it, and the object that it is in."""
    if not isinstance(page.body, Mapping):
        return None
    inner = {name: value for name, value in page.body.items() if _ENVELOPE.search(name.lower())}
    for path, holder in ((), page.body), *(((name,), value) for name, value in inner.items()):
        for name, value in holder.items() if isinstance(holder, Mapping) and not _is_record(holder, page) else ():
            if words_of(name) in PAGE_COUNT_NAMES and not isinstance(value, bool) and _exceeds(value, 1):
                return quote_path((*path, name)), holder
    return None


def holders_of(page: Page) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects that may name the next page: the response, and those around the list of records.

    Each with its path before a name: ``""``, ``"d."``.
    """
    holder: Any = page.body
    path = _path_to(page.source, holder, _MAX_HOLDERS) or ()
    for level in range(max(1, len(path))):
        if isinstance(holder, Mapping):
            yield "".join(f"{quote_path((name,))}." for name in path[:level]), holder
            holder = holder[path[level]] if path else None


def _path_to(source: Sequence[Any], holder: Any, levels: int) -> tuple[str, ...] | None:
    """The names that lead to the very list that holds the records."""
    for name, value in holder.items() if isinstance(holder, Mapping) else ():
        if value is source:
            return (name,)
        if levels > 1 and (rest := _path_to(source, value, levels - 1)) is not None:
            return (name, *rest)
    return None


def _in_headers(page: Page) -> str | None:
    headers = page.response.headers
    if page.response.status == 206:
        return "its status is 206 Partial Content"
    if headers.get("x-next-page"):
        return f"the header X-Next-Page is {headers['x-next-page']!r:.40}"
    content_range = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    totals = {name: headers.get(name.lower(), "") for name in ("X-Total-Count", "X-Total")}
    totals["Content-Range"] = content_range[1] if content_range else ""
    for name, total in totals.items():
        if _exceeds(total, page.count):
            return f"the header {name} is {headers[name.lower()]:.40}, and it has {page.count} records"
    return None


def _in_body(page: Page, value: Any, path: str, depth: int, shows_more: Callable[[str, Any], bool]) -> Iterator[str]:
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH or _is_record(value, page):
        return
    has_totals = not path or _ENVELOPE.search(path.lower()) or any(inner is page.source for inner in value.values())
    for name, inner in value.items():
        words, inner_path = words_of(name), f"{path}.{name}" if path else name
        if isinstance(inner, Mapping):
            yield from _in_object(page, inner, words, inner_path, depth, shows_more)
        elif shows_more(words, inner):
            yield f"{inner_path} is {str(inner).lower() if isinstance(inner, bool) else repr(inner):.40}"
        elif has_totals:
            yield from _counts_more(words, inner, inner_path, page.count)


def _in_object(
    page: Page, value: Mapping[str, Any], words: str, path: str, depth: int, shows_more: Callable[[str, Any], bool]
) -> Iterator[str]:
    """An object whose name is that of a next page, a last key or a total, or that may contain other fields."""
    if "next" in words.split():
        yield from (f"{path}.{name} is {inner!r:.40}" for name, inner in value.items() if is_token(inner))
    elif words.startswith("last evaluated") and value:
        yield f"{path} is {dict(value)!r:.40}"
    elif words == "total":
        yield from _counts_more("total value", value.get("value"), f"{path}.value", page.count)
    else:
        yield from _in_body(page, value, path[:_MAX_PATH], depth + 1, shows_more)


def _is_record(value: Mapping[str, Any], page: Page) -> bool:
    """A response that was read as a record, since it contains no other, may still be a page of plain values."""
    is_only_record = any(value is record for record in page.records[:1])
    return is_only_record and not (value is page.body and any(isinstance(inner, list) for inner in value.values()))


def _shows_more(words: str, value: Any) -> bool:
    each = set(words.split())
    if ("next" in each and not each & _SYNC_WORDS) or words.startswith("last evaluated"):
        return is_token(value) or value is True
    if each & MORE_WORDS:
        return value is True or str(value).lower() == "true"
    if words in END_NAMES:
        return value is False or str(value).lower() == "false"
    is_number = isinstance(value, int) or (isinstance(value, str) and value.isdigit())
    return words in _TOKEN_NAMES and is_token(value) and not (is_number and words in _ECHOED_NAMES)


def _surely_shows_more(words: str, value: Any) -> bool:
    each = set(words.split())
    is_other = words in _TOKEN_NAMES or ("next" in each and words != "next" and not each & _PAGE_WORDS)
    return not is_other and _shows_more(words, value)


def _counts_more(words: str, value: Any, path: str, count: int) -> Iterator[str]:
    if words in PAGE_COUNT_NAMES and _exceeds(value, 1):
        yield f"{path} is {value!s:.40}"
    elif words in TOTAL_NAMES and _exceeds(value, count):
        yield f"{path} is {value!s:.40}, and it has {count} records"


def _exceeds(value: Any, count: int) -> bool:
    """Whether a total, maybe in a text, is above a count; one that is too large to convert is, other values are not."""
    try:
        return whole_number(value) > count
    except ValueError:
        return _is_huge(value)


def _is_huge(value: Any) -> bool:
    """Whether a value is a positive number with more digits than ``whole_number`` converts."""
    text = value.text if isinstance(value, HugeNumber) else value
    if isinstance(text, str):
        return _POSITIVE.fullmatch(text.strip()) is not None and float(text) == math.inf
    return isinstance(text, float) and text == math.inf
