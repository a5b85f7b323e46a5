"""Signs in an answer that there is more than it holds.

Names are compared by their words: ``nextRecordsUrl`` (Salesforce), ``next_page`` (Asana) and ``@odata.nextLink`` all
have the word "next". Records are not looked into, since their fields say nothing of pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vdk.plugin.datasource_base.parts import whole_number

from ..envelopes import quote_path, words
from ..http.types import Page
from .paginators import is_end

_MORE = {"more", "truncated"}
_ENDS = {"done", "last", "is last", "is last page", "last page", "complete", "is complete", "completed"}
_TOTALS = {
    "total", "count", "num found", "total found", "total value",
    *(f"total {one}" for one in ("count", "size", "items", "results", "records", "hits")),
}  # fmt: skip
_PAGES = {"total pages", "pages", "last page", "page count", "num pages"}
_TOKENS = {"cursor", "offset", "after", "continuation", "continuation token", "resumption token", "marker", "bookmark"}
_ECHOED = {"offset"}
"""A number there repeats what was asked for."""
_ENVELOPE = re.compile(r"meta|pag|data|result|response|hits|info|list")
"""Where totals are those of the answer; elsewhere they may be of a part of it, such as a facet's."""
_DEPTH = 5
_PLACE = 200
"""Characters of a place that are kept: it is looked at for every field there."""
_HOMES = 5
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


def homes_of(page: Page) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects that may say where the next page is: the answer, and those around the list of records.

    Each with its path in front of a name: ``""``, ``"d."``.
    """
    here: Any = page.body
    path = _way_to(page.source, here, _HOMES) or ()
    for level in range(max(1, len(path))):
        if isinstance(here, Mapping):
            yield "".join(f"{quote_path((name,))}." for name in path[:level]), here
            here = here[path[level]] if path else None


def _way_to(source: Sequence[Any], here: Any, levels: int) -> tuple[str, ...] | None:
    """The names that lead to the very list that holds the records."""
    for name, value in here.items() if isinstance(here, Mapping) else ():
        if value is source:
            return (name,)
        if levels > 1 and (rest := _way_to(source, value, levels - 1)) is not None:
            return (name, *rest)
    return None


def _in_body(page: Page, found: Any, place: str, depth: int) -> Iterator[str]:
    if not isinstance(found, Mapping) or depth > _DEPTH or _is_record(found, page):
        return
    counts = not place or _ENVELOPE.search(place.lower()) or any(value is page.source for value in found.values())
    for name, value in found.items():
        named, where = words(name), f"{place}.{name}" if place else name
        if isinstance(value, Mapping):
            yield from _in_object(page, value, named, where, depth)
        elif _says_more(named, value):
            yield f"{where} is {str(value).lower() if isinstance(value, bool) else repr(value):.40}"
        elif counts:
            yield from _counts_more(named, value, where, page.count)


def _in_object(page: Page, value: Mapping[str, Any], named: str, where: str, depth: int) -> Iterator[str]:
    """An object called as the next page, a last key or a total is, or one that may hold more of the answer."""
    if "next" in named.split():
        yield from (f"{where}.{key} is {one!r:.40}" for key, one in value.items() if _leads_on(one))
    elif named.startswith("last evaluated") and value:
        yield f"{where} is {dict(value)!r:.40}"
    elif named == "total":
        yield from _counts_more("total value", value.get("value"), f"{where}.value", page.count)
    else:
        yield from _in_body(page, value, where[:_PLACE], depth + 1)


def _is_record(found: Mapping[str, Any], page: Page) -> bool:
    """An answer that was taken for a record since it holds no other may still be a page, of plain values."""
    is_one = any(found is record for record in page.records[:1])
    return is_one and not (found is page.body and any(isinstance(value, list) for value in found.values()))


def _leads_on(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and not is_end(value)


def _says_more(named: str, value: Any) -> bool:
    each = set(named.split())
    if "next" in each or named.startswith("last evaluated"):
        return _leads_on(value) or value is True
    if each & _MORE:
        return value is True or str(value).lower() == "true"
    if named in _ENDS:
        return value is False or str(value).lower() == "false"
    is_number = isinstance(value, int) or (isinstance(value, str) and value.isdigit())
    return named in _TOKENS and _leads_on(value) and not (is_number and named in _ECHOED)


def _counts_more(named: str, value: Any, where: str, count: int) -> Iterator[str]:
    if named in _PAGES and _number(value) > 1:
        yield f"{where} is {value}"
    elif named in _TOTALS and _number(value) > count:
        yield f"{where} is {value}, and it has {count} records"


def _number(value: Any) -> int:
    """A whole number, maybe in a text; 0 for what is none."""
    try:
        return whole_number(value)
    except ValueError:
        return 0
