"""Signs in an answer that there is more than it holds.

Names are compared by their words: ``nextRecordsUrl`` (Salesforce), ``next_page`` (Asana) and ``@odata.nextLink`` all
have the word "next". Records are not looked into, since their fields say nothing of pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vdk.plugin.datasource_base.parts import whole_number

from ._messages import Page

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_MORE = {"more", "truncated"}
_ENDS = {"done", "last", "is last", "is last page", "last page", "complete", "is complete", "completed"}
_TOTALS = {"total", "count", *(f"total {one}" for one in ("count", "size", "items", "results", "records", "hits"))}
_PAGES = {"total pages", "pages", "last page", "page count", "num pages"}
_TOKENS = {"cursor", "offset", "after", "continuation", "continuation token", "resumption token", "marker", "bookmark"}
_ENVELOPE = re.compile(r"meta|pag|data|result|response|hits|info|list")
"""Where totals are those of the answer; elsewhere they may be of a part of it, such as a facet's."""
_DEPTH = 5
_PLACE = 200
"""Characters of a place that are kept: it is looked at for every field there."""
_RANGE = re.compile(r"[^/]*/(\d+)")


def sign_of_more(page: Page) -> str | None:
    """The first sign there is, in words; None: the answer looks like all there is."""
    return _in_headers(page) or next(_in_body(page, page.body, "", 1), None)


def _in_headers(page: Page) -> str | None:
    headers = page.response.headers
    if page.response.status == 206:
        return "its status is 206 Partial Content"
    if headers.get("x-next-page"):
        return f"the header X-Next-Page is {headers['x-next-page']!r:.40}"
    counted = _RANGE.fullmatch(headers.get("content-range", ""))
    totals = {name: headers.get(name.lower(), "") for name in ("X-Total-Count", "X-Total")}
    totals["Content-Range"] = counted[1] if counted else ""
    for name, total in totals.items():
        if _number(total) > page.count:
            return f"the header {name} is {headers[name.lower()]}, and it has {page.count} records"
    return None


def _in_body(page: Page, found: Any, place: str, depth: int) -> Iterator[str]:
    if not isinstance(found, Mapping) or depth > _DEPTH or _is_record(found, page):
        return
    for name, value in found.items():
        words = " ".join(_WORD.findall(name)).lower()
        where = f"{place}.{name}" if place else name
        if isinstance(value, Mapping) and "next" in words.split():
            yield from (f"{where}.{key} is {one!r:.40}" for key, one in value.items() if _leads_on(one))
        elif isinstance(value, Mapping):
            yield from _in_body(page, value, where[:_PLACE], depth + 1)
        elif _says_more(words, value):
            yield f"{where} is {str(value).lower() if isinstance(value, bool) else repr(value):.40}"
        elif not place or _ENVELOPE.search(place.lower()):
            yield from _counts_more(words, value, where, page.count)


def _is_record(found: Mapping[str, Any], page: Page) -> bool:
    """An answer that was taken for a record since it holds no other may still be a page, of plain values."""
    is_one = any(found is one for one in page.records[:1])
    return is_one and not (found is page.body and any(isinstance(value, list) for value in found.values()))


def _leads_on(value: Any) -> bool:
    return isinstance(value, (str, int)) and value not in ("", False)


def _says_more(words: str, value: Any) -> bool:
    each = set(words.split())
    if "next" in each:
        return _leads_on(value)
    if each & _MORE:
        return value is True
    if words in _ENDS and value is False:
        return True
    return words in _TOKENS and isinstance(value, str) and value != "" and not value.isdigit()


def _counts_more(words: str, value: Any, where: str, count: int) -> Iterator[str]:
    if words in _PAGES and _number(value) > 1:
        yield f"{where} is {value}"
    elif words in _TOTALS and _number(value) > count:
        yield f"{where} is {value}, and it has {count} records"


def _number(value: Any) -> int:
    """A whole number, maybe in a text; 0 for what is none."""
    try:
        return whole_number(value)
    except ValueError:
        return 0
