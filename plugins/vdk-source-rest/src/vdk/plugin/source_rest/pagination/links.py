"""``Link`` headers, read as leniently as browsers and ``requests`` read them.

RFC 8288 wants ``<URL>; rel="next"``. Servers also write single quotes, no quotes, and URLs without brackets.
"""

from __future__ import annotations

import re

_BLANK = " \t"
_BARE = re.compile(r"[^;]*")
_NAME = re.compile(r"[^\s;,=]*")
_TOKEN = re.compile(r"[^;,]*")


def links(header: str) -> dict[str, str]:
    """Relation (in lower case) → URL; the first of each counts. What is not a link is skipped."""
    found: dict[str, str] = {}
    start = 0
    while start < len(header):
        if header[start] in f",{_BLANK}":
            start += 1
            continue
        target, start = _target(header, start)
        parameters, start = _parameters(header, start)
        for relation in parameters.get("rel", "").lower().split():
            found.setdefault(relation, target)
    return found


def _target(header: str, start: int) -> tuple[str, int]:
    """A URL in brackets, or up to the next semicolon, and where it ends."""
    if header[start] == "<":
        closing = header.find(">", start)
        if closing >= 0:
            return header[start + 1 : closing].strip(), closing + 1
    end = _BARE.match(header, start).end()  # type: ignore[union-attr]  # it also matches nothing
    return header[start:end].strip("<> \t'\""), end


def _parameters(header: str, start: int) -> tuple[dict[str, str], int]:
    """The parameters of one link, and where the next link starts."""
    found: dict[str, str] = {}
    while True:
        start = _skip(header, start, _BLANK)
        if start >= len(header) or header[start] != ";":
            return found, _skip_to_comma(header, start)
        start = _skip(header, start + 1, _BLANK)
        name = _NAME.match(header, start)
        assert name is not None
        start = _skip(header, name.end(), _BLANK)
        value = ""
        if header[start : start + 1] == "=":
            value, start = _value(header, _skip(header, start + 1, _BLANK))
        found.setdefault(name[0].lower(), value)


def _value(header: str, start: int) -> tuple[str, int]:
    """A value in double or single quotes, or up to the next semicolon or comma, and where it ends."""
    quote = header[start : start + 1]
    if quote in ('"', "'") and (closing := _closing(header, start)) > 0:
        return re.sub(r"\\(.)", r"\1", header[start + 1 : closing]), closing + 1
    token = _TOKEN.match(header, start)
    assert token is not None
    return token[0].strip(" \t'\""), token.end()


def _closing(header: str, start: int) -> int:
    """The quote that ends the text which begins with one; -1 where there is none."""
    quote, end = header[start], start + 1
    while end < len(header) and header[end] != quote:
        end += 2 if header[end] == "\\" else 1
    return end if end < len(header) else -1


def _skip(header: str, start: int, characters: str) -> int:
    while start < len(header) and header[start] in characters:
        start += 1
    return start


def _skip_to_comma(header: str, start: int) -> int:
    comma = header.find(",", start)
    return len(header) if comma < 0 else comma + 1
