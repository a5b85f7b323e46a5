"""Typed configuration: what a source may be told, checked before anything connects."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

import msgspec

from ._errors import ConfigurationError

T = TypeVar("T")


class _ConfigMeta(msgspec.StructMeta):
    """Makes every configuration class keyword-only; msgspec does not inherit that option."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        options.setdefault("kw_only", True)
        return super().__new__(mcls, name, bases, namespace, **options)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class DataSourceConfig(msgspec.Struct, metaclass=_ConfigMeta, frozen=True, forbid_unknown_fields=True):
    """The options of a source, as typed fields; unknown options and wrong types are errors.

    Describe a field with ``Annotated[int, Meta(ge=1, description="…")]``. Besides msgspec's own types
    a field may be a ``Secret``, a ``Duration`` or a ``pathlib.Path`` (relative to the flow file).
    Define the class at module level: annotations are resolved there.
    """


class Secret:
    """A value that is never shown: not in logs, errors, ``repr``, states or payloads.

    ``reveal()`` gives it, where it is used. Equal secrets compare equal.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))


_SHORT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Duration(dt.timedelta):
    """A length of time in a configuration: ``"500ms"``, ``"30s"``, ``"5m"``, ``"2h"``, ``"1d"``, or ISO 8601."""

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Raises ``ValueError`` for text that is no duration."""
        try:
            if match := _SHORT.fullmatch(text):
                return cls(**{_UNITS[match[2]]: float(match[1])})
            return cls(seconds=msgspec.convert(text, dt.timedelta).total_seconds())
        except (msgspec.ValidationError, OverflowError):
            raise ValueError(
                f'{text!r} is no duration: write a number and ms, s, m, h or d ("5m"), or ISO 8601 ("PT5M")'
            ) from None


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
            return folder / Path(value).expanduser()
        raise ValueError(f"a field of type {type_.__name__} cannot be configured")

    return decode


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


def _message(data: Any, type_: type, path: list[str], problem: str, where: str, hidden: bool) -> str:
    inside = "".join(f"[{step}]" if step.isdigit() else f".{step}" for step in path)
    place = where + inside if ": " in where or not inside else f"{where}: {inside.removeprefix('.')}"
    problem = problem.replace(" | null`", "`")  # no flow file can say null
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", problem):
        return f"{place}: unknown option {unknown[1]!r}{_closest(unknown[1], type_, path)}"
    if missing := re.fullmatch(r"Object missing required field `(.*)`", problem):
        return f"{place}: the option {missing[1]!r} is missing"
    value = _at(data, path)
    hidden = hidden or _is_secret(_type_at(type_, path))
    shown = "" if not path or isinstance(value, (Mapping, list)) else ("***" if hidden else repr(value))
    return f"{place}: {problem}" + (f", the value is {shown}" if shown else "")


def _closest(name: str, type_: type, path: list[str]) -> str:
    known = _options(type_, path)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(repr(one) for one in near)}?"
    return f"; the options are {', '.join(sorted(known))}" if known else ""


def _options(type_: type, path: list[str]) -> list[str]:
    """The option names at ``path`` below a configuration class; empty where it leads elsewhere."""
    structs = (one for one in _members(_type_at(type_, path)) if isinstance(one, msgspec.inspect.StructType))
    return [field.encode_name for one in structs for field in one.fields]


def _is_secret(info: Any) -> bool:
    return any(isinstance(one, msgspec.inspect.CustomType) and one.cls is Secret for one in _members(info))


def _type_at(type_: type, path: list[str]) -> Any:
    """What msgspec knows of the type at ``path`` below a configuration class; None where it leads elsewhere."""
    info: Any = msgspec.inspect.type_info(type_)
    for step in path:
        info = next((inner for one in _members(info) if (inner := _below(one, step)) is not None), None)
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
        return [member for one in info.types for member in _members(one)]
    return [info]
