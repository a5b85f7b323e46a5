# SPDX-License-Identifier: Apache-2.0
"""The end of an error about an unknown name or a wrong option: what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import inspect

from .config import Duration, Secret
from .toml import toml_key, toml_value

_MARKS = ".,:;!?"
LONGEST = 60
"""Characters of a value that the line repeats; a longer text becomes ``…``."""


def closest(name: str, known: Iterable[str], *, limit: int = 3, cutoff: float = 0.6) -> list[str]:
    """The known names that are spelled most like ``name``, the best first.

    :param cutoff: how alike they are at least, from 0 to 1, as ``difflib`` measures it.
    """
    return difflib.get_close_matches(name, sorted(known), n=limit, cutoff=cutoff)


def one_line(text: str, *, longest: int | None = None) -> str:
    """The lines of a message in one: ``Connection refused; Is the server running?``. Lines of carets are left out.

    :param longest: characters after which it ends with ``…``.
    """
    joined = ""
    for line in (" ".join(line.split()) for line in text.splitlines()):
        if line.strip("^~ "):
            separator = " " if joined.endswith(tuple(_MARKS)) else "; "
            joined += separator + line if joined else line
    return joined if longest is None or len(joined) <= longest else f"{joined[:longest]}…"


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """``did you mean 'orders' or 'order'?``; empty where no known name is like ``name``."""
    near = closest(name, known, cutoff=cutoff)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the names like it, or all of them."""
    names = sorted(known)
    near = did_you_mean(name, names, cutoff=0.7)  # "rest" is not a misspelt "postgres"
    return near or (f"expected one of: {', '.join(names)}" if names else "there are none")


def for_value(members: Sequence[Any], path: Sequence[str], value: Any, *, table: str) -> str:
    """What to write instead of ``value``, as ``; write streams = ["orders"]``; an example if its meaning is unclear.

    :param members: the types that the option can have, as msgspec describes them.
    :param path: the option's path in the decoded table. :param table: the dotted path of that table in the flow file.
    """
    if not path or path[-1].isdigit():
        return ""
    key = toml_key(path[-1])
    if isinstance(value, (Mapping, list)):
        header = ".".join(map(toml_key, filter(None, [*table.split("."), *path])))
        return _brackets(members, value, key, "" if any(step.isdigit() for step in path) else header, table)
    if written := _converted(members, value):
        return f"; write {key} = {written}"
    choices = [choice for member in members if isinstance(member, inspect.LiteralType) for choice in member.values]
    if len(choices) == 1:
        return f"; write {key} = {toml(choices[0])}, or leave it out"
    return "" if choices else f"; write, for example, {key} = {_placeholder(members)}"


def _brackets(members: Sequence[Any], value: Any, key: str, header: str, table: str) -> str:
    """For a table that should be a list of tables, or the reverse: one bracket instead of two."""
    listed = any(isinstance(member, inspect.ListType) and _of_tables(member) for member in members)
    if isinstance(value, Mapping) and listed:
        tables, inline = f"[[{header}]] instead of [{header}]", f"{key} = [{{ … }}]"
    elif isinstance(value, list) and value and _has(members, inspect.StructType, inspect.DictType):
        tables, inline = f"[{header}] instead of [[{header}]]", f"{key} = {{ … }}"
    else:
        return ""
    written = [tables] if not table else [inline, tables] if header else [inline]
    return f"; write {', or '.join(written)}"


def for_secret(name: str) -> str:
    """The line for a secret, whose value is never shown."""
    return f'; write {toml_key(name)} = "…", in quotes'


def for_missing(members: Sequence[Any], name: str) -> str:
    """The line for an option that is missing, as ``; write database = "…"``."""
    return f"; write {toml_key(name)} = {_placeholder(members)}"


def toml(value: Any) -> str:
    """A value as TOML writes it, or ``"…"`` for a long text."""
    written = toml_value(value)
    return '"…"' if isinstance(value, str) and len(written) > LONGEST else written


def _converted(members: Sequence[Any], value: Any) -> str | None:
    """The value as one of the types, if its meaning is clear."""
    lists = [member for member in members if isinstance(member, inspect.ListType)]
    if isinstance(value, str) and not all(map(_of_tables, lists)):
        return f"[{toml(value)}]"
    if choices := [choice for member in members if isinstance(member, inspect.LiteralType) for choice in member.values]:
        near = closest(str(value).lower(), map(str, choices), limit=1)
        return toml(near[0]) if near else None
    if _has(members, inspect.BoolType) and str(value).lower() in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        return toml(str(value).lower() in ("true", "yes", "on", "1"))
    if isinstance(value, str):
        return value.strip() if _is_number(members, value) else None
    if any(isinstance(member, inspect.CustomType) and member.cls is Duration for member in members):
        return f'"{value}s"' if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
    if _has(members, inspect.StrType) or any(map(_is_text, members)):
        return toml(str(value).lower() if isinstance(value, bool) else str(value))
    return None


def _is_number(members: Sequence[Any], text: str) -> bool:
    """Whether a number is expected, and the text is a number in quotes."""
    pattern = r"\s*-?\d{1,18}\s*" if _has(members, inspect.IntType) else None
    if _has(members, inspect.FloatType):
        pattern = r"\s*-?\d{1,18}(\.\d{1,18})?\s*"
    return pattern is not None and re.fullmatch(pattern, text, re.ASCII) is not None


def _placeholder(members: Sequence[Any]) -> str:
    first = members[0] if members else None
    if isinstance(first, inspect.LiteralType):
        return " or ".join(map(toml, first.values))
    if isinstance(first, (inspect.StructType, inspect.DictType)):
        return "{ … }"
    if isinstance(first, inspect.ListType):
        return "[…]"
    if isinstance(first, (inspect.IntType, inspect.FloatType)):
        return "1"
    if isinstance(first, inspect.BoolType):
        return "true"
    return '"5m"' if isinstance(first, inspect.CustomType) and first.cls is Duration else '"…"'


def _of_tables(listed: Any) -> bool:
    item = listed.item_type
    while isinstance(item, inspect.Metadata):
        item = item.type
    kinds = item.types if isinstance(item, inspect.UnionType) else [item]
    return any(isinstance(kind, (inspect.StructType, inspect.DictType)) for kind in kinds)


def _is_text(info: Any) -> bool:
    return isinstance(info, inspect.CustomType) and (info.cls is Secret or issubclass(info.cls, Path))


def _has(members: Sequence[Any], *kinds: type) -> bool:
    return any(isinstance(member, kinds) for member in members)
