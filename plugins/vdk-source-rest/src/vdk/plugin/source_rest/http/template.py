# SPDX-License-Identifier: Apache-2.0
"""Placeholders: ``{name}`` in a path, in parameters and in a body, and the values that fill them.

All of a request that changes is a placeholder: a parent's field, a slice, the cursor, the number of a page, a token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from vdk.plugin.datasource_base.contract import DataSourceError

from .urls import url_text

CURSOR_START, CURSOR_END = "cursor.start", "cursor.end"
_PLACEHOLDER = re.compile(r"\{(?P<name>[A-Za-z_]\w*(?:\.\w+)*)(?::(?P<format>segment|json))?\}")


class _NoValueError(Exception):
    """A placeholder has no value yet, as a token has none on the first page."""


def placeholders(template: Any) -> Iterator[str]:
    """The names in braces in a path or in the values of parameters."""
    return (_name(match) for text in _texts(template) for match in _PLACEHOLDER.finditer(text))


def body_placeholders(body: Any, known: set[str]) -> Iterator[str]:
    """The names of ``known`` in braces in a JSON body; texts with other braces, as GraphQL has, have none."""
    for text in _texts(body):
        if _is_filled(text, known):
            yield from placeholders(text)


def fill_path(template: str, values: Mapping[str, Any]) -> str:
    """A path with its placeholders filled and percent-encoded (RFC 3986, section 2.1).

    ``{name}`` may hold several segments (``octocat/hello``), ``{name:segment}`` is one segment, whatever it contains.

    :raises DataSourceError: for a value that would lead to another path (``..``).
    """

    def filled(match: re.Match[str]) -> str:
        text = url_text(values[_name(match)])
        segments = [text] if match["format"] else text.split("/")
        if any(segment in ("", ".", "..") for segment in segments):
            raise DataSourceError(
                f"{text!r} for {{{match['name']}}} in the path {template!r} would lead to another path"
            )
        return "/".join(quote(segment, safe="") for segment in segments)

    return _PLACEHOLDER.sub(filled, template)


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """Parameters or a body with placeholders filled; a value that is one whole placeholder keeps its type.

    A parameter, or a member of an object, with a placeholder whose value is None is left out.

    :param values: of all names that are placeholders; other braces are text.
    """
    try:
        return _filled(template, values)
    except _NoValueError:
        return None


def _filled(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        return _filled_text(template, values)
    if isinstance(template, Mapping):
        members = {}
        for name, value in template.items():
            try:
                members[name] = _filled(value, values)
            except _NoValueError:
                continue
        return members
    if isinstance(template, (list, tuple)):
        return [_filled(value, values) for value in template]
    return template


def _filled_text(text: str, values: Mapping[str, Any]) -> Any:
    if "{" not in text or not _is_filled(text, values.keys()):
        return text
    if (match := _PLACEHOLDER.fullmatch(text)) and match["format"] != "json":
        if (value := values[_name(match)]) is None:
            raise _NoValueError
        return value
    return _PLACEHOLDER.sub(lambda match: _text_of(match, values), text)


def _text_of(match: re.Match[str], values: Mapping[str, Any]) -> str:
    value = values[_name(match)]
    if value is None:
        raise _NoValueError
    if match["format"] == "json" or isinstance(value, (Mapping, list)):
        return json.dumps(value, separators=(",", ":"), default=str)
    return url_text(value)


def _is_filled(text: str, known: Any) -> bool:
    """Whether all braces in a text are placeholders: a GraphQL query has braces of its own, and is left as it is."""
    rest = _PLACEHOLDER.sub(lambda match: "" if _name(match) in known else match[0], text)
    return rest != text and "{" not in rest


def _name(match: re.Match[str]) -> str:
    return CURSOR_START if match["name"] == "cursor" else match["name"]


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value, however deep; the names of mappings are none of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)
