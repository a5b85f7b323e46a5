# SPDX-License-Identifier: Apache-2.0
"""Decoding a configuration: from TOML or a dict to typed options, or an error that names the location.

msgspec decodes and reports what is wrong at which path. This module adds the file, the value, similar names, and the
leniency that the value of a ``${…}`` reference needs, since it can only be text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from . import remedies
from .config import Duration, Secret
from .errors import ConfigurationError, shortened
from .remedies import did_you_mean

T = TypeVar("T")


def decode_config(
    data: Any,
    type_: type[T],
    *,
    location: str,
    folder: Path | None = None,
    lenient: Mapping[str, str] | None = None,
    sensitive: frozenset[str] = frozenset(),
) -> T:
    """``data`` (from TOML or a dict) as ``type_``.

    :param location: the place of ``data``, for messages (``"flow.toml: sources.shop.config"``).
    :param folder: the base of relative paths; default: the working directory.
    :param lenient: dotted path → text of the values that came from one whole ``${…}``: a text that spells the
        expected number or boolean is accepted.
    :param sensitive: dotted paths whose values are not shown in errors.
    :raises ConfigurationError: naming the location, the value and what was expected.
    """
    retries = dict(lenient or {})
    hook = _decoder(folder or Path.cwd())
    while True:
        try:
            return msgspec.convert(data, type_, dec_hook=hook)
        except msgspec.ValidationError as error:
            path, problem = _locate(data, type_, error, hook)
            dotted = ".".join(path)
            value = _spelled_value(retries.pop(dotted, None))
            if value is not None:
                data = _replaced(data, path, value)
                continue
            raise ConfigurationError(_message(data, type_, path, problem, location, dotted in sensitive)) from None


def _decoder(folder: Path) -> Callable[[type, Any], Any]:
    def decode(type_: type, value: Any) -> Any:
        if isinstance(value, type_):
            return value
        if not isinstance(value, str):
            expected = {Secret: "str", Duration: "duration", Path: "path"}.get(type_, type_.__name__)
            raise ValueError(f"Expected `{expected}`, got `{type(value).__name__}`")
        if type_ is Secret:
            return Secret(value)
        if type_ is Duration:
            return Duration.parse(value)
        if issubclass(type_, Path):
            return folder / _expand_home(value)
        raise ValueError(f"a field of type {type_.__name__} cannot be configured")

    return decode


def _expand_home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # whose text does not mention the path
        raise ValueError("the user that the path's ~ names has no home folder") from None


def _spelled_value(text: str | None) -> Any:
    """The number or boolean that ``text`` spells; None if it spells neither."""
    if text is None:
        return None
    if (word := text.strip().lower()) in ("true", "false"):
        return word == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


_PROBLEM_AT_PATH = re.compile(r"(?P<problem>.*?)(?: - at `(?P<path>\$.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def _locate(
    data: Any, type_: type, error: msgspec.ValidationError, hook: Callable[[type, Any], Any]
) -> tuple[list[str], str]:
    """The path of an error as keys and indexes, and the problem.

    msgspec writes ``[...]`` for the key of a mapping; trying the keys one by one finds it.
    """
    match = _PROBLEM_AT_PATH.fullmatch(str(error))
    assert match is not None  # the pattern matches any text
    steps = [name or index for name, index in _STEP.findall(match["path"] or "")]
    path: list[str] = []
    for step in steps:
        if step == "...":
            mapping = _value_at(data, path)
            keys = list(mapping) if isinstance(mapping, Mapping) else []
            step = next((key for key in keys if _fails_alone(data, path, key, type_, hook, str(error))), "...")
        path.append(str(step))
    return path, match["problem"]


def _fails_alone(
    data: Any, path: list[str], key: str, type_: type, hook: Callable[[type, Any], Any], message: str
) -> bool:
    try:
        msgspec.convert(_replaced(data, path, {key: _value_at(data, [*path, key])}), type_, dec_hook=hook)
    except msgspec.ValidationError as error:
        return str(error) == message
    return False


def _value_at(data: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(data, Mapping):
            data = data.get(step)
        elif isinstance(data, (list, tuple)) and step.isdigit():
            data = data[int(step)]
        else:
            return None
    return data


def _replaced(data: Any, path: list[str], value: Any) -> Any:
    """A copy of ``data`` with another value at ``path``."""
    if not path:
        return value
    step, *rest = path
    if isinstance(data, Mapping):
        return {**data, step: _replaced(data.get(step), rest, value)}
    index = int(step)
    return [*data[:index], _replaced(data[index], rest, value), *data[index + 1 :]]


_TOML_WORDS = {"array": "list", "object": "table"}
"""The JSON terms that msgspec uses → those of flow files and ``vdk datasource config``."""


def _message(data: Any, type_: type, path: list[str], problem: str, location: str, hidden: bool) -> str:
    inside = "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in path)
    place = location + inside if ": " in location or not inside else f"{location}: {inside.removeprefix('.')}"
    problem = problem.replace(" | null`", "`")  # TOML has no null
    tags: list[Any] = []
    if problem.startswith("Expected `"):
        problem = re.sub(r"\b(array|object)\b", lambda word: _TOML_WORDS[word[0]], problem)
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", problem):
        return f"{place}: unknown option {unknown[1]!r}{_similar_options(unknown[1], type_, path)}"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", problem):
        members = _members(_type_at(type_, [*path, missing[1]]))
        return f"{place}: the option {missing[1]!r} is missing{remedies.for_missing(members, missing[1])}"
    if problem.startswith("Invalid enum value") and (choices := _choices(_type_at(type_, path))):
        problem = f"Expected {' or '.join(map(repr, choices))}"
    if problem.startswith("Invalid value") and path and (tags := _tags(_type_at(type_, path[:-1]), path[-1])):
        problem = f"Expected {' or '.join(map(repr, tags))}"
    value = _value_at(data, path)
    hidden = hidden or _is_secret(_type_at(type_, path))
    shown = "" if not path or isinstance(value, (Mapping, list)) else ("***" if hidden else shortened(value))
    text = f"{place}: {problem}" + (f", the value is {shown}" if shown and not problem.startswith(shown) else "")
    if not re.match(r"Expected `.*, got |Expected '", problem):
        return text
    if tags and (near := did_you_mean(str(value), map(str, tags))):
        return f"{text}; {near}"
    if hidden:
        return text + (remedies.for_secret(path[-1]) if path and _is_secret(_type_at(type_, path)) else "")
    return text + remedies.for_value(_members(_type_at(type_, path)), path, value, table=location.partition(": ")[2])


def _similar_options(name: str, type_: type, path: list[str]) -> str:
    known = _options(type_, path)
    if near := did_you_mean(name, known):
        return f"; {near}"
    return f"; the options are {', '.join(sorted(known))}" if known else ""


def _options(type_: type, path: list[str]) -> list[str]:
    """The option names at ``path`` below a configuration class; empty if the path does not lead to options."""
    structs = (member for member in _members(_type_at(type_, path)) if isinstance(member, msgspec.inspect.StructType))
    return list(dict.fromkeys(field.encode_name for struct in structs for field in struct.fields))


def _choices(info: Any) -> list[Any]:
    """The values that an option can have, if it is one of a few."""
    literals = (member for member in _members(info) if isinstance(member, msgspec.inspect.LiteralType))
    return [value for literal in literals for value in literal.values]


def _tags(info: Any, field: str) -> list[Any]:
    """The kinds of options that ``field`` chooses between."""
    structs = (member for member in _members(info) if isinstance(member, msgspec.inspect.StructType))
    return [struct.tag for struct in structs if struct.tag_field == field]


def _is_secret(info: Any) -> bool:
    return any(isinstance(member, msgspec.inspect.CustomType) and member.cls is Secret for member in _members(info))


def _type_at(type_: type, path: list[str]) -> Any:
    """msgspec's description of the type at ``path`` below a configuration class; None if the path leads nowhere."""
    info: Any = msgspec.inspect.type_info(type_)
    for step in path:
        info = next((inner for member in _members(info) if (inner := _below(member, step)) is not None), None)
    return info


def _below(info: Any, step: str) -> Any:
    if isinstance(info, msgspec.inspect.StructType):
        return next((field.type for field in info.fields if field.encode_name == step), None)
    if isinstance(info, msgspec.inspect.DictType):
        return info.value_type
    return getattr(info, "item_type", None)


def _members(info: Any) -> list[Any]:
    """The types that a value of a type can have: those of a union, without constraints."""
    if isinstance(info, msgspec.inspect.Metadata):
        return _members(info.type)
    if isinstance(info, msgspec.inspect.UnionType):
        return [member for type_ in info.types for member in _members(type_)]
    return [info]
