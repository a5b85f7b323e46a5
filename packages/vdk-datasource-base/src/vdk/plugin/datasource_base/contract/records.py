# SPDX-License-Identifier: Apache-2.0
"""Records as rows: the fields of a dataclass, ``msgspec.Struct``, attrs class or ``TypedDict`` as columns."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

from .annotations import arrow_type, is_record_class, plain_hint
from .errors import ConfigurationError
from .remedies import suggest

Resolver = str | Callable[[Any], Any]
"""What gives a column its value: the path of a field (``"address.city"``), or a function of the record."""


@dataclasses.dataclass(frozen=True, slots=True)
class RecordField:
    """A field of a record's class.

    :param name: its name in Python. :param column: the name under which it is encoded, which is that of its column.
    :param hint: its annotation, resolved.
    """

    name: str
    column: str
    hint: Any


@dataclasses.dataclass(frozen=True, slots=True)
class RecordColumns:
    """How the records of a class become rows.

    :param cls: the class; dict for a ``TypedDict``. :param values: column → the function that gets its value.
    :param resolved: the columns that ``resolve`` names, whose getters may raise anything.
    :param fields: the names of the class's fields, for a ``TypedDict``, whose other keys are columns of their own.
    """

    cls: type
    values: Mapping[str, Callable[[Any], Any]]
    resolved: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()

    def covers(self, kind: type) -> bool:
        """Whether instances of ``kind`` are such records."""
        return issubclass(kind, self.cls)

    def further_fields(self, kind: type) -> Sequence[str]:
        """The fields of a class that ``covers`` accepts which are none of this class."""
        return _further_fields(kind, self.cls)


@dataclasses.dataclass(frozen=True, slots=True)
class PathGetter:
    """Gets a value by its path through records and mappings; None where a step is None or a key is missing."""

    steps: tuple[str, ...]

    def __call__(self, record: Any) -> Any:
        value = record
        for step in self.steps:
            if value is None:
                return None
            value = value.get(step) if isinstance(value, Mapping) else getattr(value, step)
        return value


def values_of_record(record: Any) -> tuple[Any, ...]:
    """The values of a record's fields, in their order."""
    cls: Any = type(record)
    return tuple(get(record) for get in record_columns(cls).values.values())


@functools.cache
def record_columns(cls: type) -> RecordColumns:
    """The columns of a class without a schema: its fields, under the names that encoders give them."""
    return RecordColumns(cls, {column: attrgetter(name) for column, name in _names(cls).items()})


def _names(cls: type) -> dict[str, str]:
    """Column → field."""
    if issubclass(cls, msgspec.Struct):
        return dict(zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True))
    if dataclasses.is_dataclass(cls):
        return {field.name: field.name for field in dataclasses.fields(cls)}
    attributes = cls.__attrs_attrs__  # type: ignore[attr-defined]  # only attrs adds it
    return {attribute.name: attribute.name for attribute in attributes}


@functools.cache
def _further_fields(cls: type, base: type) -> tuple[str, ...]:
    known = set(_names(base).values())
    return tuple(name for name in _names(cls).values() if name not in known)


def columns_of(
    cls: type,
    *,
    skip: Collection[str],
    rename: Mapping[str, str],
    types: Mapping[str, pa.DataType],
    resolve: Mapping[str, Resolver],
) -> tuple[list[pa.Field], RecordColumns | None]:
    """The columns of a record's class as Arrow fields, and how its instances become rows; None: as they are.

    :raises ConfigurationError: naming the class, the field and the remedy.
    """
    fields = record_fields(cls)
    names = [field.name for field in fields]
    skip = {skip} if isinstance(skip, str) else set(skip)  # of text, each letter would be a name
    for option, given in (("skip", skip), ("rename", rename)):
        _check_names(cls, option, given, names, "a field")
    for column, how in resolve.items():
        _check_resolver(cls, column, how)
    kept = {rename.get(field.name, field.column): field for field in fields if field.name not in skip}
    if len(kept) < len(fields) - len(skip):
        raise ConfigurationError(f"{cls.__qualname__}: rename = {dict(rename)} gives two fields one name")
    columns = [*kept, *(column for column in resolve if column not in kept)]
    _check_names(cls, "types", types, columns, "a column")
    arrow = [_field(cls, column, kept.get(column), types.get(column), resolve.get(column)) for column in columns]
    typed_dict = _is_typed_dict(cls)
    if typed_dict and not (skip or rename or resolve):
        return arrow, None  # its instances are rows as they are
    getters = {column: _getter(field.name, in_dict=typed_dict) for column, field in kept.items()}
    getters |= {column: _path(cls, column, how)[0] if isinstance(how, str) else how for column, how in resolve.items()}
    record_class = dict if typed_dict else cls
    return arrow, RecordColumns(record_class, getters, frozenset(resolve), frozenset(names if typed_dict else ()))


def record_fields(cls: Any) -> list[RecordField]:
    """The fields of a record's class, with their annotations resolved. Raises ``ConfigurationError``."""
    try:
        if isinstance(cls, type) and issubclass(cls, msgspec.Struct):
            return [RecordField(field.name, field.encode_name, field.type) for field in msgspec.structs.fields(cls)]
        hints = typing.get_type_hints(cls, include_extras=True) if isinstance(cls, type) else {}
    except NameError as error:
        raise ConfigurationError(
            f"{cls.__qualname__}: the annotations cannot be resolved: {error}; define it at module level"
        ) from error
    except (AttributeError, SyntaxError, TypeError) as error:
        raise ConfigurationError(f"{cls.__qualname__}: the annotations cannot be resolved: {error}") from error
    if _is_typed_dict(cls):
        optional = cls.__optional_keys__
        return [RecordField(name, name, hint | None if name in optional else hint) for name, hint in hints.items()]
    if isinstance(cls, type) and is_record_class(cls):
        return [RecordField(name, name, hints.get(name, Any)) for name in record_columns(cls).values]
    raise ConfigurationError(
        f"{cls!r} is neither a dataclass nor a msgspec.Struct, an attrs class or a TypedDict; write @dataclass above "
        "the class"
    )


def _is_typed_dict(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, dict) and hasattr(cls, "__optional_keys__")


def _field(
    cls: type, column: str, field: RecordField | None, declared: pa.DataType | None, how: Resolver | None
) -> pa.Field:
    """The Arrow field of a column. A resolver of unknown type has Arrow's null type: it is inferred from the values."""
    if how is not None:
        hint, nullable = _resolved_hint(cls, column, how, field), True
        arrow = arrow_type(hint)[0] if hint is not None else pa.null()
    else:
        assert field is not None  # a column is a field's or a resolver's
        hint = field.hint
        arrow, nullable = arrow_type(hint)
    arrow = declared if declared is not None else arrow
    if arrow is None:
        raise ConfigurationError(
            f"{cls.__name__}.{field.name if field is not None else column}: {hint!r} has no column type; declare one: "
            f'Annotated[..., pa.<type>()], or StreamSchema.of({cls.__name__}, types={{"{column}": pa.<type>()}})'
        )
    return pa.field(column, arrow, nullable=nullable)


def _resolved_hint(cls: type, column: str, how: Resolver, field: RecordField | None) -> Any:
    """The annotation of a resolver's values; None: unknown."""
    if isinstance(how, str):
        return _path(cls, column, how)[1]
    try:
        returned = typing.get_type_hints(how, include_extras=True).get("return")
    except (NameError, AttributeError, SyntaxError, TypeError):
        returned = None
    return returned if returned is not None or field is None else field.hint


def _path(cls: type, column: str, path: str) -> tuple[Callable[[Any], Any], Any]:
    """The getter of a path, and the annotation of its values (None: unknown)."""
    steps = tuple(path.split("."))
    owner: Any = cls
    for step in steps:
        if not isinstance(owner, type) or not (is_record_class(owner) or _is_typed_dict(owner)):
            return PathGetter(steps), None
        fields = {field.name: field for field in record_fields(owner)}
        _check_names(cls, f"resolve[{column!r}] = {path!r}", [step], fields, f"a field of {owner.__name__}")
        hint = fields[step].hint
        owner = plain_hint(hint)
    return PathGetter(steps), hint


def _getter(name: str, *, in_dict: bool) -> Callable[[Any], Any]:
    return PathGetter((name,)) if in_dict else attrgetter(name)


def _check_resolver(cls: type, column: str, how: object) -> None:
    if not (isinstance(how, str) or callable(how)) or inspect.iscoroutinefunction(how):
        raise ConfigurationError(
            f"StreamSchema.of({cls.__qualname__}): resolve[{column!r}] = {how!r} is neither the path of a field nor a "
            f"function that returns a value; write, for example, resolve={{{column!r}: lambda record: …}}"
        )


def _check_names(cls: type, option: str, names: Iterable[str], known: Collection[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"StreamSchema.of({cls.__qualname__}): {option}: {name!r} is not {what}; {suggest(name, known)}"
            )
