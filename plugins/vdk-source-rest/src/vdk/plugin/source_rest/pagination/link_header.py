# SPDX-License-Identifier: Apache-2.0
"""The ``Link`` header (RFC 8288), as servers write it."""

from __future__ import annotations

import re

_BLANK = " \t"
_BARE = re.compile(r"[^;]*")
_PARAMETER_NAME = re.compile(r"[^\s;,=]*")
_TOKEN = re.compile(r"[^;,]*")


def parse_link_header(header: str) -> dict[str, str]:
    """Relation (in lower case) → URL of a ``Link`` header; the first of each counts. Anything else is skipped.

    RFC 8288 requires ``<URL>; rel="next"``. As in browsers and ``requests``, quotes may be single or missing, and so
    may the brackets.
    """
    links: dict[str, str] = {}
    start = 0
    while start < len(header):
        if header[start] in f",{_BLANK}":
            start += 1
            continue
        target, start = _link_target(header, start)
        parameters, start = _link_parameters(header, start)
        for relation in parameters.get("rel", "").lower().split():
            links.setdefault(relation, target)
    return links


def _link_target(header: str, start: int) -> tuple[str, int]:
    """A URL in brackets, or up to the next semicolon, and the index after it."""
    if header[start] == "<":
        closing = header.find(">", start)
        if closing >= 0:
            return header[start + 1 : closing].strip(), closing + 1
    end = _BARE.match(header, start).end()  # type: ignore[union-attr]  # it also matches nothing
    return header[start:end].strip("<> \t'\""), end


def _link_parameters(header: str, start: int) -> tuple[dict[str, str], int]:
    """The parameters of one link, and the index of the next link."""
    parameters: dict[str, str] = {}
    while True:
        start = _skip_blanks(header, start)
        if start >= len(header) or header[start] != ";":
            comma = header.find(",", start)
            return parameters, len(header) if comma < 0 else comma + 1
        start = _skip_blanks(header, start + 1)
        name = _PARAMETER_NAME.match(header, start)
        assert name is not None
        start = _skip_blanks(header, name.end())
        value = ""
        if header[start : start + 1] == "=":
            value, start = _parameter_value(header, _skip_blanks(header, start + 1))
        parameters.setdefault(name[0].lower(), value)


def _parameter_value(header: str, start: int) -> tuple[str, int]:
    """A value in double or single quotes, or up to the next semicolon or comma, and the index after it."""
    quote = header[start : start + 1]
    if quote in ('"', "'") and (closing := _closing_quote(header, start)) > 0:
        return re.sub(r"\\(.)", r"\1", header[start + 1 : closing]), closing + 1
    token = _TOKEN.match(header, start)
    assert token is not None
    return token[0].strip(" \t'\""), token.end()


def _closing_quote(header: str, start: int) -> int:
    """The index of the quote that ends the text which begins with one at ``start``; -1 if it is missing."""
    quote, end = header[start], start + 1
    while end < len(header) and header[end] != quote:
        end += 2 if header[end] == "\\" else 1
    return end if end < len(header) else -1


def _skip_blanks(header: str, start: int) -> int:
    while start < len(header) and header[start] in _BLANK:
        start += 1
    return start
