"""URLs: put together from the configuration, and shown to people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from vdk.plugin.datasource_base.contract import DataSourceError

_SHOWN = 2000
"""Characters of a URL that are shown."""
PLACEHOLDER = re.compile(r"\{(\w+)(:segment)?\}")


def join(base_url: str, path: str) -> str:
    """``path`` below ``base_url``: both are written out, neither replaces a part of the other."""
    if not path:
        return base_url
    return f"{base_url.rstrip('/')}/{path.lstrip('/')}"


def placeholders(template: Any) -> Iterator[str]:
    """The names in braces in a path or in parameters' values."""
    if isinstance(template, str):
        yield from (match[1] for match in PLACEHOLDER.finditer(template))
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from placeholders(value)
    elif isinstance(template, (list, tuple)):
        for value in template:
            yield from placeholders(value)


def whole_placeholders(body: Any) -> Iterator[str]:
    """The names in braces that are whole texts in a JSON body; GraphQL has braces of its own inside."""
    if isinstance(body, str):
        if match := PLACEHOLDER.fullmatch(body):
            yield match[1]
    elif isinstance(body, Mapping):
        for value in body.values():
            yield from whole_placeholders(value)
    elif isinstance(body, list):
        for value in body:
            yield from whole_placeholders(value)


def fill_path(template: str, values: Mapping[str, Any]) -> str:
    """A path with its placeholders filled and percent-encoded (RFC 3986, section 2.1).

    ``{name}`` may hold several segments (``octocat/hello``), ``{name:segment}`` is one, whatever is in it.

    :raises DataSourceError: for a value that would lead elsewhere (``..``).
    """

    def fill(match: re.Match[str]) -> str:
        text = plain(values[match[1]])
        segments = [text] if match[2] else text.split("/")
        if any(one in ("", ".", "..") for one in segments):
            raise DataSourceError(f"{text!r} for {{{match[1]}}} in the path {template!r} would lead to another path")
        return "/".join(quote(one, safe="") for one in segments)

    return PLACEHOLDER.sub(fill, template)


def fill(template: Any, values: Mapping[str, Any], *, whole: bool = False) -> Any:
    """Parameters or a body with placeholders filled; a value that is one whole placeholder keeps its type."""
    if isinstance(template, str):
        if (match := PLACEHOLDER.fullmatch(template)) and match[1] in values:
            return values[match[1]]
        return template if whole else PLACEHOLDER.sub(lambda found: plain(values[found[1]]), template)
    if isinstance(template, Mapping):
        return {name: fill(value, values, whole=whole) for name, value in template.items()}
    if isinstance(template, (list, tuple)):
        return [fill(value, values, whole=whole) for value in template]
    return template


def plain(value: Any) -> str:
    """A value as it looks in a URL."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown(url: str) -> str:
    """A URL for people: what a query holds may be secret, unless it is a short number. A long one is cut."""
    parts = urlsplit(url)
    query = "&".join(
        f"{name}={value if value.isdigit() and len(value) <= 9 else '***'}"
        for name, value in parse_qsl(parts.query[:_SHOWN], keep_blank_values=True)
    )
    authority = parts.netloc.rpartition("@")[2]
    text = f"{parts.scheme}://{authority}{parts.path}" + (f"?{query}" if query else "")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
