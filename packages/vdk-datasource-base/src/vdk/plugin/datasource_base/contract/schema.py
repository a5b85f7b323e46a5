# SPDX-License-Identifier: Apache-2.0
"""Columns, primary key and cursor of a table."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import types
import typing
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Union

import msgspec
import pyarrow as pa

from .errors import ConfigurationError

JSON_TYPE: pa.DataType = pa.json_(pa.string())
"""Nested values: Arrow's canonical JSON extension type (``arrow.json``) over text."""

_ARROW: dict[Any, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
    dt.datetime: pa.timestamp("us", tz="UTC"),
    dt.date: pa.date32(),
    dt.time: pa.time64("us"),
    dt.timedelta: pa.duration("us"),
    decimal.Decimal: pa.decimal128(38, 9),
    uuid.UUID: pa.string(),
}


@dataclasses.dataclass(frozen=True, slots=True)
class StreamSchema:
    """What a table looks like.

    :param fields: the columns, in order. A column of Arrow's null type is declared by name only, such as a key of
        unknown type: its type is inferred from the rows.
    :param primary_key: columns that identify a row; empty: the rows have no key.
    :param cursor: the column that grows with every change; None: the stream is read whole.
    :param open: the rows may have further columns, whose types are inferred, as the records of a JSON API do.
    """

    fields: pa.Schema
    primary_key: tuple[str, ...] = ()
    cursor: str | None = None
    open: bool = False

    def __post_init__(self) -> None:
        names = self.fields.names
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ConfigurationError(f"columns named more than once in a schema: {doubled}")
        object.__setattr__(self, "primary_key", tuple(self.primary_key))
        named = [*self.primary_key, *([self.cursor] if self.cursor is not None else [])]
        if missing := [name for name in named if name not in names]:
            raise ConfigurationError(
                f"the primary key or cursor names {missing}, which are not columns; the columns are {names}"
            )

    @classmethod
    def of(cls, record: type, *, primary_key: Sequence[str] = (), cursor: str | None = None) -> StreamSchema:
        """The schema of a dataclass or ``msgspec.Struct``, field by field.

        ``int`` is 64 bits, ``datetime`` is UTC in microseconds, ``Decimal`` is ``decimal(38, 9)``;
        ``Annotated[Decimal, pa.decimal128(10, 2)]`` declares another Arrow type. Lists, mappings and
        records are JSON. A field that may be None is nullable.
        """
        fields = [_field(record, name, hint) for name, hint in _annotated(record)]
        return cls(pa.schema(fields), tuple(primary_key), cursor)


def _annotated(record: type) -> list[tuple[str, Any]]:
    """The fields of a record by the names under which it is encoded, with their annotations resolved."""
    try:
        if isinstance(record, type) and issubclass(record, msgspec.Struct):
            return [(field.encode_name, field.type) for field in msgspec.structs.fields(record)]
        if isinstance(record, type) and dataclasses.is_dataclass(record):
            hints = typing.get_type_hints(record, include_extras=True)
            return [(field.name, hints[field.name]) for field in dataclasses.fields(record)]
    except NameError as error:
        raise ConfigurationError(
            f"{record.__qualname__}: the annotations cannot be resolved: {error}; define it at module level"
        ) from error
    raise ConfigurationError(f"{record!r} is neither a dataclass nor a msgspec.Struct")


def _field(record: type, name: str, hint: Any) -> pa.Field:
    arrow, nullable = _arrow_type(hint)
    if arrow is None:
        raise ConfigurationError(
            f"{record.__name__}.{name}: {hint!r} has no column type; declare one: Annotated[..., pa.<type>()]"
        )
    return pa.field(name, arrow, nullable=nullable)


def _arrow_type(hint: Any) -> tuple[pa.DataType | None, bool]:
    """The Arrow type of a Python annotation and whether it may be None."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        base, *extras = typing.get_args(hint)
        declared = next((extra for extra in extras if isinstance(extra, pa.DataType)), None)
        arrow, nullable = _arrow_type(base)
        return (declared if declared is not None else arrow), nullable
    if origin in (Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        nullable = len(options) < len(typing.get_args(hint))
        arrow = _arrow_type(options[0])[0] if len(options) == 1 else JSON_TYPE
        return arrow, nullable
    if hint is Any:
        return JSON_TYPE, True
    if hint in _ARROW:
        return _ARROW[hint], False
    plain = origin or hint
    if isinstance(plain, type):
        nested = (list, tuple, set, frozenset, dict, Sequence, typing.Mapping, msgspec.Struct)
        if dataclasses.is_dataclass(plain) or issubclass(plain, nested):
            return JSON_TYPE, False
    return None, False
