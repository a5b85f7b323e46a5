"""The line to write instead: what ends an error about an option of a wrong type, or about one that is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import inspect

from .config import Duration, Secret
from .suggestions import closest

LONGEST = 60
"""Characters of a value that is repeated in the line to write; a longer one is ``…`` there."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def instead(members: Sequence[Any], path: Sequence[str], value: Any, *, table: str) -> str:
    """What to write instead of ``value``, as ``; write streams = ["orders"]``; an example where its meaning is unclear.

    :param members: the types that the option can have, as msgspec describes them.
    :param path: of the option in what was decoded. :param table: dotted, what was decoded in the flow file.
    """
    if not path or path[-1].isdigit():
        return ""
    key = _key(path[-1])
    if isinstance(value, (Mapping, list)):
        header = ".".join(map(_key, filter(None, [*table.split("."), *path])))
        return _brackets(members, value, key, "" if any(one.isdigit() for one in path) else header, table)
    if written := _converted(members, value):
        return f"; write {key} = {written}"
    return "" if _has(members, inspect.LiteralType) else f"; write, for example, {key} = {_placeholder(members)}"


def _brackets(members: Sequence[Any], value: Any, key: str, header: str, table: str) -> str:
    """A table for a list of tables, or the other way round: one bracket for two."""
    listed = any(isinstance(member, inspect.ListType) and _of_tables(member) for member in members)
    if isinstance(value, Mapping) and listed:
        tables, inline = f"[[{header}]] instead of [{header}]", f"{key} = [{{ … }}]"
    elif isinstance(value, list) and value and _has(members, inspect.StructType, inspect.DictType):
        tables, inline = f"[{header}] instead of [[{header}]]", f"{key} = {{ … }}"
    else:
        return ""
    written = [tables] if not table else [inline, tables] if header else [inline]
    return f"; write {', or '.join(written)}"


def example(name: str) -> str:
    """For a secret, whose value is not shown."""
    return f'; write {_key(name)} = "…", in quotes'


def missing(members: Sequence[Any], name: str) -> str:
    """What to write for an option that is missing, as ``; write database = "…"``."""
    return f"; write {_key(name)} = {_placeholder(members)}"


def toml(value: Any) -> str:
    """A value as a flow file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    text = json.dumps(str(value), ensure_ascii=False)
    return text if len(text) <= LONGEST else '"…"'


def _converted(members: Sequence[Any], value: Any) -> str | None:
    """The value as one of the types, where it is clear which value is meant."""
    if any(isinstance(one, inspect.ListType) and not _of_tables(one) for one in members) and isinstance(value, str):
        return f"[{toml(value)}]"
    if choices := [one for member in members if isinstance(member, inspect.LiteralType) for one in member.values]:
        near = closest(str(value).lower(), map(str, choices), limit=1)
        return toml(near[0]) if near else None
    if _has(members, inspect.BoolType) and str(value).lower() in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        return toml(str(value).lower() in ("true", "yes", "on", "1"))
    if isinstance(value, str):
        return value.strip() if _is_number(members, value) else None
    if any(isinstance(one, inspect.CustomType) and one.cls is Duration for one in members):
        return f'"{value}s"' if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
    if _has(members, inspect.StrType) or any(_is_text(one) for one in members):
        return toml(str(value).lower() if isinstance(value, bool) else str(value))
    return None


def _is_number(members: Sequence[Any], text: str) -> bool:
    """Whether a number is wanted, and the text is one in quotes."""
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


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
