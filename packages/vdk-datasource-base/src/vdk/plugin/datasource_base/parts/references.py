# SPDX-License-Identifier: Apache-2.0
"""``${env:NAME}``, ``${file:path}``, ``${secret:key}`` and ``${property:key}`` in a flow file."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..contract import ConfigurationError

Lookup = Callable[[str], str | None]
DOTENV = ".env"
"""A file beside a flow file, with lines ``NAME=value``. It never overrides the environment of the process."""
_ESCAPED = re.compile(r"\$\$\{(?=\s*[A-Za-z_])")
_ALMOST = re.compile(r"(?<!\$)\$\{\s*(?:(?P<kind>[A-Za-z]+)\s*:)?\s*(?P<key>[A-Za-z_]\w*)\s*\}")
"""A reference without its kind, as shells write it, or in capitals. ``$${NAME}`` is the text ``${NAME}``."""
_REFERENCE = re.compile(r"\$\{(?P<kind>[a-z]+):(?P<key>[^{}]+)\}")


@dataclass(slots=True)
class Resolved:
    """A flow file with its references replaced.

    :param data: the flow file, in the same shape.
    :param whole: dotted path → text, of the values that were one whole reference.
    :param paths: dotted paths of the values with a reference anywhere; these values are never shown.
    :param values: the texts of all references, for redaction.
    :param secrets: those of ``${secret:…}`` and ``${file:…}``. :param path: of the file; None: it is none.
    """

    data: Any = None
    whole: dict[str, str] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)
    values: set[str] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    path: Path | None = None


def resolve(data: Any, lookups: Mapping[str, Lookup], *, location: str) -> Resolved:
    """Replace every reference. Raises ``ConfigurationError`` naming the path and the reference."""
    resolved = Resolved()
    resolved.data = _resolve(data, (), lookups, location, resolved)
    return resolved


def environment(key: str) -> str | None:
    return os.environ.get(key)


def file_content(folder: Path) -> Lookup:
    """A lookup that reads a file, without the line break at its end. Relative paths are relative to ``folder``."""

    def read(path: str) -> str | None:
        try:
            # without the mark that some editors begin a file with: it would be a part of the password
            return (folder / path).read_text("utf-8-sig").removesuffix("\n").removesuffix("\r")
        except (OSError, ValueError):
            return None

    return read


def with_dotenv(lookups: Mapping[str, Lookup], folder: Path) -> Mapping[str, Lookup]:
    """The lookups, where ``${env:…}`` falls back on the file ``.env`` of a folder.

    :raises ConfigurationError: if the file exists and cannot be read, naming the line.
    """
    path, env = folder / DOTENV, lookups.get("env")
    if env is None or not path.is_file():
        return lookups
    values = _read_dotenv(path)

    def look_up(key: str) -> str | None:
        value = env(key)
        return value if value is not None else values.get(key)

    return {**lookups, "env": look_up}


def _read_dotenv(path: Path) -> dict[str, str]:
    from dotenv.parser import parse_stream

    values: dict[str, str] = {}
    try:
        for binding in parse_stream(io.StringIO(path.read_text("utf-8-sig"))):
            if binding.error or (binding.key is not None and binding.value is None):
                raise ConfigurationError(
                    f"file {str(path)!r}: line {binding.original.line} is not NAME=value; correct it, or begin it "
                    "with #"
                )
            if binding.key is not None:
                values[binding.key] = binding.value or ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"file {str(path)!r} cannot be read: {error}; it must be UTF-8 text") from None
    return values


def _resolve(data: Any, path: tuple[str, ...], lookups: Mapping[str, Lookup], location: str, resolved: Resolved) -> Any:
    if isinstance(data, Mapping):
        return {key: _resolve(value, (*path, str(key)), lookups, location, resolved) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_resolve(value, (*path, str(index)), lookups, location, resolved) for index, value in enumerate(data)]
    if not isinstance(data, str) or "${" not in data:
        return data
    dotted = ".".join(path)

    def replace(match: re.Match[str]) -> str:
        text = _look_up(match, lookups, f"{location}: {dotted}")
        resolved.paths.add(dotted)
        resolved.values.add(text)
        if match["kind"] in ("secret", "file"):
            resolved.secrets.add(text)
        return text

    _check_spelling(data, f"{location}: {dotted}")
    text = _REFERENCE.sub(replace, data)
    text = text if text != data else _ESCAPED.sub("${", text)
    if _REFERENCE.fullmatch(data):
        resolved.whole[dotted] = text
    return text


def _check_spelling(text: str, location: str) -> None:
    """Raises ``ConfigurationError`` for a reference that is almost right."""
    for match in _ALMOST.finditer(text):
        if _REFERENCE.fullmatch(match[0]) is None:
            kind = (match["kind"] or "env").lower()
            raise ConfigurationError(
                f"{location}: {match[0]} is not a reference; write ${{{kind}:{match['key']}}}, or ${match[0]} for "
                "this literal text"
            )


def _look_up(reference: re.Match[str], lookups: Mapping[str, Lookup], location: str) -> str:
    lookup = lookups.get(reference["kind"])
    if lookup is None:
        raise ConfigurationError(
            f"{location}: {reference[0]} is not a reference that this run can resolve; "
            f"the kinds here are {', '.join(sorted(lookups))}"
        )
    value = lookup(reference["key"])
    if value is None:
        raise ConfigurationError(f"{location}: {reference[0]} is not set{_how_to_set(reference)}")
    return str(value)


def _how_to_set(reference: re.Match[str]) -> str:
    key = reference["key"]
    if reference["kind"] == "file":
        return (
            ": the file does not exist or cannot be read as UTF-8; a relative path starts at the flow file's folder, "
            "or without one at the working directory"
        )
    if reference["kind"] != "env":
        return f"; the job has no {reference['kind']} of that name"
    if key != key.strip():
        return f"; write ${{env:{key.strip()}}}, without spaces"
    return (
        f"; write, before the command: export {key}=…, or write {key}=… into the file .env beside the flow file, or "
        "without one in the working directory"
    )
