"""``${env:NAME}``, ``${secret:key}`` and ``${property:key}`` in a flow file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..contract import ConfigurationError

_LITERAL = re.compile(r"\$\$\{(?=\s*[A-Za-z_])")
Lookup = Callable[[str], str | None]
_ALMOST = re.compile(r"(?<!\$)\$\{\s*(?:(?P<kind>[A-Za-z]+)\s*:)?\s*(?P<key>[A-Za-z_]\w*)\s*\}")
"""A reference without its kind, as a shell has it, or in capitals. ``$${NAME}`` is the text ``${NAME}``."""
_REFERENCE = re.compile(r"\$\{(?P<kind>[a-z]+):(?P<key>[^{}]+)\}")


@dataclass(slots=True)
class Resolved:
    """A flow file with its references replaced.

    :param data: the same shape as before.
    :param whole: dotted paths whose value was one whole reference, with the text it gave.
    :param paths: dotted paths that had a reference anywhere; their values are never shown.
    :param values: the texts themselves, for redaction. :param secrets: those that ``${secret:…}`` gave.
    """

    data: Any = None
    whole: dict[str, str] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)


def resolve(data: Any, lookups: Mapping[str, Lookup], *, where: str) -> Resolved:
    """Replace every reference. Raises ``ConfigurationError`` naming the place and the reference."""
    found = Resolved()
    found.data = _walk(data, (), lookups, where, found)
    return found


def environment(key: str) -> str | None:
    return os.environ.get(key)


def _how_to_set(reference: re.Match[str]) -> str:
    key = reference["key"]
    if reference["kind"] != "env":
        return f"; the job has no {reference['kind']} of that name"
    if key != key.strip():
        return f"; write ${{env:{key.strip()}}}, without spaces"
    return f"; write, before the command: export {key}=…"


def _walk(data: Any, path: tuple[str, ...], lookups: Mapping[str, Lookup], where: str, found: Resolved) -> Any:
    if isinstance(data, Mapping):
        return {key: _walk(value, (*path, str(key)), lookups, where, found) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_walk(value, (*path, str(index)), lookups, where, found) for index, value in enumerate(data)]
    if not isinstance(data, str) or "${" not in data:
        return data
    dotted = ".".join(path)

    def replace(match: re.Match[str]) -> str:
        lookup = lookups.get(match["kind"])
        if lookup is None:
            raise ConfigurationError(
                f"{where}: {dotted}: {match[0]} is not a reference that this run can follow; "
                f"the kinds here are {', '.join(sorted(lookups))}"
            )
        value = lookup(match["key"])
        if value is None:
            raise ConfigurationError(f"{where}: {dotted}: {match[0]} is not set{_how_to_set(match)}")
        text = str(value)
        found.paths.add(dotted)
        found.values.add(text)
        if match["kind"] == "secret":
            found.secrets.add(text)
        return text

    for match in _ALMOST.finditer(data):
        if _REFERENCE.fullmatch(match[0]) is None:
            kind = (match["kind"] or "env").lower()
            raise ConfigurationError(
                f"{where}: {dotted}: {match[0]} is not a reference; write ${{{kind}:{match['key']}}}, or "
                f"${match[0]} for this text as it is"
            )
    text = _REFERENCE.sub(replace, data)
    text = text if text != data else _LITERAL.sub("${", text)
    if _REFERENCE.fullmatch(data):
        found.whole[dotted] = text
    return text
