# SPDX-License-Identifier: Apache-2.0
"""Paths and headers of a paginator that no response has: a misspelt one would end the reading after its first page.

An API may leave the field out where nothing follows. So that is an error only if the response shows more pages
otherwise, and a warning if it has so many records that it may be cut off.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import closest, did_you_mean, toml_value

from ..http.types import Page
from ..responses.envelopes import quote_path, words_of
from ..responses.extract import compile_path, search
from .link_header import parse_link_header
from .more_pages import PAGE_COUNT_NAMES, TOTAL_NAMES, sign_of_more_pages
from .only_pages import Readings, speaks_of_pages
from .paginators import LinkHeaderPaginator, PagePaginator, Paginator, is_end

_MAX_LEVELS = 4
_MAX_SHOWN = 20
_SILENCE = {"more_path": "`false`", "path": "''"}
"""The value that stands for a field which is left out."""


@dataclass(slots=True)
class _Stream:
    """What the responses of one stream had.

    :param missing: options that no response had → why that matters, and the remedy.
    :param may_be_cut: whether a reading ended with a page which does not look like the last one.
    """

    present: set[str] = field(default_factory=set)
    missing: dict[str, str] = field(default_factory=dict)
    readings: Readings = field(default_factory=Readings)
    may_be_cut: bool = False


class MissingPaths:
    """Looks for the paths and headers of paginators in each response. Threads may share it."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.Lock()

    def add(self, stream: str, paginator: Paginator, page: Page, *, ended: bool) -> None:
        """:param ended: no request follows this page.

        :raises ConfigurationError: for a page that is the last one since it lacks a path, and shows more pages.
        """
        options = _options(paginator)
        with self._lock:
            known = self._streams.get(stream)
            if not options or (known is not None and known.present.issuperset(options)):
                return
        lacking = {option: not _has(option, paginator, page) for option in options}
        with self._lock:
            known = self._streams.setdefault(stream, _Stream())
            known.present.update(option for option, is_lacking in lacking.items() if not is_lacking)
            missing = [option for option in lacking if option not in known.present]
            is_end_shown = ended and any(lacking.get(option) is False for option in ("more_path", "total_path"))
            if not missing or is_end_shown:
                return
            if ended and page.number == 1 and (sign := sign_of_more_pages(page, sure=True)):
                raise ConfigurationError(
                    f"the response looks like one page of several ({sign}), and {_problem(missing[0], paginator, page)}"
                )
            if page.number == 1 and ended and page.count >= (paginator.page_size() or 0):
                known.readings.add(page)
            known.may_be_cut |= _may_be_cut(paginator, page, missing)
            for option in missing:
                if option not in known.missing:
                    known.missing[option] = _problem(option, paginator, page) + _silence(option, paginator)

    def warnings(self) -> Iterator[str]:
        """A warning for each stream that may have lost pages since no response had the path that names the next one."""
        with self._lock:
            streams, self._streams = self._streams, {}
        for name, stream in streams.items():
            missing = [text for option, text in stream.missing.items() if option not in stream.present]
            if missing and (stream.may_be_cut or stream.readings.look_cut_off()):
                yield f"stream {name!r}: in all responses, {missing[0]}"


def _options(paginator: Paginator) -> list[str]:
    header = paginator.header_name()
    return [*paginator.paths(), *([header[0]] if header is not None else [])]


def _has(option: str, paginator: Paginator, page: Page) -> bool:
    """Whether a response has a field or a header, be it null or empty."""
    if option in (paths := paginator.paths()):
        try:
            return _is_present(compile_path(paths[option]).parsed, page.body)
        except JMESPathError:  # it is another error, if it is evaluated
            return True
    header = paginator.header_name()
    assert header is not None
    text = page.response.headers.get(header[1].lower())
    if not isinstance(paginator, LinkHeaderPaginator):
        return text is not None
    relations = parse_link_header(text or "")
    return paginator.rel.lower() in relations or bool(relations and "next" not in relations)


def _is_present(node: Any, body: Any) -> bool:
    """Whether the value of a syntax tree exists; in ``a.b`` also if ``a`` is null."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        return isinstance(body, Mapping) and node["value"] in body
    if kind == "or_expression":
        return any(_is_present(child, body) for child in children)
    visit = TreeInterpreter().visit
    if kind in ("subexpression", "pipe") and len(children) == 2:
        value = visit(children[0], body)
        return _is_present(children[0], body) if value is None else _is_present(children[1], value)
    return visit(node, body) is not None


def _may_be_cut(paginator: Paginator, page: Page, missing: list[str]) -> bool:
    """Whether a page is as long as it can be, has a token for a next one, or is not the first one.

    Where pages follow although a path is missing, the total is, and the reading goes on to the first empty page.
    """
    if page.number > 1:
        return page.count > 0
    size = paginator.page_size()
    if size is not None and page.count >= size and not speaks_of_pages(page):
        return True
    token = paginator.paths().get("path", "")
    return missing == ["more_path"] and bool(token) and "[" not in token and not is_end(search(token, page.body))


def _problem(option: str, paginator: Paginator, page: Page) -> str:
    """What is missing, what the option may mean, and what the response has."""
    header = paginator.header_name()
    if header is not None and option == header[0]:
        return _header_problem(option, paginator, page)
    path = paginator.paths()[option]
    fields = dict(_fields(page, path))
    candidates = [name for name, value in fields.items() if _fits(option, paginator, name, value)]
    near = closest(path, candidates)
    hint = f"; did you mean {option} = {toml_value(near[0])}?" if near else ""
    shown = ", ".join(list(fields)[:_MAX_SHOWN]) or "no fields"
    return f"no field {path!r} exists, which paginator.{option} names{hint}. The response has {shown}"


def _header_problem(option: str, paginator: Paginator, page: Page) -> str:
    headers = [name for name in page.response.headers if name.startswith("x-") or name == "link"]
    if isinstance(paginator, LinkHeaderPaginator):
        relations = list(parse_link_header(page.response.headers.get("link", "")))
        has = f"; the header has {', '.join(relations)}" if relations else ""
        problem = f'no header Link with rel="{paginator.rel}" exists, which paginator.type = "link_header" names{has}'
        near = did_you_mean(paginator.rel, relations)
    else:
        name = (paginator.header_name() or ("", ""))[1]
        near = did_you_mean(name.lower(), headers)
        problem = f"no header {name!r} exists, which paginator.{option} names"
    shown = ", ".join(name for name, _ in _fields(page, "")) or "no fields"
    return (
        f"{problem}{f'; {near}' if near else ''}. The response has {shown}; name the paginator that reads it, as in "
        'paginator = { type = "page" }'
    )


def _fits(option: str, paginator: Paginator, path: str, value: Any) -> bool:
    """Whether a field may be the one that an option means: a number of pages is not one of records."""
    if option == "more_path":
        return True
    if option != "total_path":
        return not isinstance(value, bool)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    words = words_of(path.rpartition(".")[2])
    return is_number and words not in (TOTAL_NAMES if isinstance(paginator, PagePaginator) else PAGE_COUNT_NAMES)


def _fields(page: Page, path: str) -> Iterator[tuple[str, Any]]:
    """The fields of a response with their paths, without those of records; for the path of a record's field, those."""
    start, bracket, _ = path.rpartition("].")
    if bracket and page.records:
        yield from ((f"{start}].{quote_path((name,))}", value) for name, value in page.records[-1].items())
        return
    yield from _fields_in(page, page.body, ())


def _fields_in(page: Page, holder: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, value in holder.items() if isinstance(holder, Mapping) else ():
        if isinstance(value, Mapping) and value and len(path) < _MAX_LEVELS:
            if not any(value is record for record in page.records[:1]):
                yield from _fields_in(page, value, (*path, name))
        elif not isinstance(value, list):
            yield quote_path((*path, name)), value


def _silence(option: str, paginator: Paginator) -> str:
    """The line for an API that leaves the field out where nothing follows."""
    if option == "total_path":
        return ". Correct total_path, or remove it, to read until a page is empty"
    if (value := _SILENCE.get(option)) is None:
        return ""
    line = f"{option} = {toml_value(f'{paginator.paths()[option]} || {value}')}"
    return f". If the API leaves it out where nothing follows, set {line}"
