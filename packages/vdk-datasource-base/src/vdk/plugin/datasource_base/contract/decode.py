"""Reading a configuration: from TOML or a dict to typed options, or an error that names the place.

msgspec decodes and says what is wrong and where; what is added here is the file, the value, the nearest
names, and the leniency that a value out of a ``${…}`` needs, since it can only be text.
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
from .suggestions import did_you_mean

T = TypeVar("T")


def decode_config(
    data: Any,
    type_: type[T],
    *,
    where: str,
    folder: Path | None = None,
    lenient: Mapping[str, str] | None = None,
    sensitive: frozenset[str] = frozenset(),
) -> T:
    """``data`` (from TOML or a dict) as ``type_``.

    :param where: how messages call the place (``"flow.toml: sources.shop.config"``).
    :param folder: what relative paths are relative to; default: the working directory.
    :param lenient: dotted paths whose text came from one whole ``${…}``: text that reads as the
        wanted number or truth value is taken as that.
    :param sensitive: dotted paths whose values are not shown in errors.
    :raises ConfigurationError: naming the place, the value and what was expected.
    """
    retries = dict(lenient or {})
    hook = _decoder(folder or Path.cwd())
    while True:
        try:
            return msgspec.convert(data, type_, dec_hook=hook)
        except msgspec.ValidationError as error:
            path, problem = _locate(data, type_, error, hook)
            dotted = ".".join(path)
            other = _reading(retries.pop(dotted, None))
            if other is not None:
                data = _replaced(data, path, other)
                continue
            raise ConfigurationError(_message(data, type_, path, problem, where, dotted in sensitive)) from None


def _decoder(folder: Path) -> Callable[[type, Any], Any]:
    def decode(type_: type, value: Any) -> Any:
        if isinstance(value, type_):
            return value
        if not isinstance(value, str):
            wanted = {Secret: "str", Duration: "duration", Path: "path"}.get(type_, type_.__name__)
            raise ValueError(f"Expected `{wanted}`, got `{type(value).__name__}`")
        if type_ is Secret:
            return Secret(value)
        if type_ is Duration:
            return Duration.parse(value)
        if issubclass(type_, Path):
            return folder / _expanded(value)
        raise ValueError(f"a field of type {type_.__name__} cannot be configured")

    return decode


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # which says nothing of the path
        raise ValueError("there is no home of the user that the path's ~ names") from None


def _reading(text: str | None) -> Any:
    """The number or truth value that ``text`` spells; None if it spells neither."""
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


_AT = re.compile(r"(?P<problem>.*?)(?: - at `(?P<path>\$.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def _locate(
    data: Any, type_: type, error: msgspec.ValidationError, hook: Callable[[type, Any], Any]
) -> tuple[list[str], str]:
    """The path of an error as keys and indexes, and the problem there.

    msgspec writes ``[...]`` for the key of a mapping; the key is found by trying them one at a time.
    """
    match = _AT.fullmatch(str(error))
    assert match is not None  # the pattern matches any text
    steps = [name or index for name, index in _STEP.findall(match["path"] or "")]
    path: list[str] = []
    for step in steps:
        if step == "...":
            here = _at(data, path)
            keys = list(here) if isinstance(here, Mapping) else []
            step = next((key for key in keys if _fails_alone(data, path, key, type_, hook, str(error))), "...")
        path.append(str(step))
    return path, match["problem"]


def _fails_alone(
    data: Any, path: list[str], key: str, type_: type, hook: Callable[[type, Any], Any], message: str
) -> bool:
    try:
        msgspec.convert(_replaced(data, path, {key: _at(data, [*path, key])}), type_, dec_hook=hook)
    except msgspec.ValidationError as error:
        return str(error) == message
    return False


def _at(data: Any, path: list[str]) -> Any:
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


_WORDS = {"array": "list", "object": "table"}
"""JSON's names for what a flow file has, which msgspec uses → ``vdk datasource config``'s."""


def _message(data: Any, type_: type, path: list[str], problem: str, where: str, hidden: bool) -> str:
    inside = "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in path)
    place = where + inside if ": " in where or not inside else f"{where}: {inside.removeprefix('.')}"
    problem = problem.replace(" | null`", "`")  # no flow file can say null
    if problem.startswith("Expected `"):
        problem = re.sub(r"\b(array|object)\b", lambda word: _WORDS[word[0]], problem)
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", problem):
        return f"{place}: unknown option {unknown[1]!r}{_closest(unknown[1], type_, path)}"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", problem):
        members = _members(_type_at(type_, [*path, missing[1]]))
        return f"{place}: the option {missing[1]!r} is missing{remedies.missing(members, missing[1])}"
    if problem.startswith("Invalid enum value") and (choices := _choices(_type_at(type_, path))):
        problem = f"Expected {' or '.join(map(repr, choices))}"
    if problem.startswith("Invalid value") and path and (tags := _tags(_type_at(type_, path[:-1]), path[-1])):
        problem = f"Expected {' or '.join(map(repr, tags))}"
    value = _at(data, path)
    hidden = hidden or _is_secret(_type_at(type_, path))
    shown = "" if not path or isinstance(value, (Mapping, list)) else ("***" if hidden else shortened(value))
    text = f"{place}: {problem}" + (f", the value is {shown}" if shown and not problem.startswith(shown) else "")
    if not re.match(r"Expected `.*, got |Expected '", problem):
        return text
    if hidden:
        return text + (remedies.example(path[-1]) if path and _is_secret(_type_at(type_, path)) else "")
    return text + remedies.instead(_members(_type_at(type_, path)), path, value, table=where.partition(": ")[2])


def _closest(name: str, type_: type, path: list[str]) -> str:
    known = _options(type_, path)
    if near := did_you_mean(name, known):
        return f"; {near}"
    return f"; the options are {', '.join(sorted(known))}" if known else ""


def _options(type_: type, path: list[str]) -> list[str]:
    """The option names at ``path`` below a configuration class; empty where it leads elsewhere."""
    structs = (member for member in _members(_type_at(type_, path)) if isinstance(member, msgspec.inspect.StructType))
    return list(dict.fromkeys(field.encode_name for struct in structs for field in struct.fields))


def _choices(info: Any) -> list[Any]:
    """The values that an option can have, where they are few."""
    literals = (member for member in _members(info) if isinstance(member, msgspec.inspect.LiteralType))
    return [value for literal in literals for value in literal.values]


def _tags(info: Any, field: str) -> list[Any]:
    """The kinds of options that ``field`` chooses between."""
    structs = (member for member in _members(info) if isinstance(member, msgspec.inspect.StructType))
    return [struct.tag for struct in structs if struct.tag_field == field]


def _is_secret(info: Any) -> bool:
    return any(isinstance(member, msgspec.inspect.CustomType) and member.cls is Secret for member in _members(info))


def _type_at(type_: type, path: list[str]) -> Any:
    """What msgspec knows of the type at ``path`` below a configuration class; None where it leads elsewhere."""
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
