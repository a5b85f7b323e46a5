# SPDX-License-Identifier: Apache-2.0
"""The Arrow types of Python annotations."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Mapping, Sequence, Set
from typing import Annotated, Any, Union

import msgspec
import pyarrow as pa

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
_QUALIFIERS = (typing.Required, typing.NotRequired, typing.Final)


def arrow_type(hint: Any) -> tuple[pa.DataType | None, bool]:
    """The Arrow type of a Python annotation, None if it has none, and whether its values may be None."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        base, *extras = typing.get_args(hint)
        declared = next((extra for extra in extras if isinstance(extra, pa.DataType)), None)
        arrow, nullable = arrow_type(base)
        if arrow == _ARROW[dt.datetime] and any(
            isinstance(extra, msgspec.Meta) and extra.tz is False for extra in extras
        ):
            arrow = pa.timestamp("us")
        return (declared if declared is not None else arrow), nullable
    if origin in _QUALIFIERS:
        arrow, nullable = arrow_type(typing.get_args(hint)[0])
        return arrow, nullable or origin is typing.NotRequired
    if origin is typing.Literal:
        return _arrow_type_of_values(typing.get_args(hint))
    if origin in (Union, types.UnionType):
        options = options_of(hint)
        arrow = arrow_type(options[0])[0] if len(options) == 1 else JSON_TYPE
        return arrow, len(options) < len(typing.get_args(hint))
    if hint is Any:
        return JSON_TYPE, True
    if hint in _ARROW:
        return _ARROW[hint], False
    if isinstance(hint, typing.NewType):
        return arrow_type(hint.__supertype__)
    plain = origin or hint
    if isinstance(plain, type):
        if issubclass(plain, enum.Enum):
            return _arrow_type_of_values([member.value for member in plain])
        if is_record_class(plain) or issubclass(plain, (Sequence, Set, Mapping)):
            return JSON_TYPE, False
    return None, False


def options_of(hint: Any) -> list[Any]:
    """The members of a union other than None and msgspec's ``UNSET``; of another annotation, itself."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return [option for option in typing.get_args(hint) if option not in (type(None), msgspec.UnsetType)]
    return [hint]


def plain_hint(hint: Any) -> Any:
    """The annotation without ``Annotated``, ``Required``, ``NotRequired`` and an optional None or ``UNSET``."""
    while True:
        origin = typing.get_origin(hint)
        if origin is Annotated or origin in _QUALIFIERS:
            hint = typing.get_args(hint)[0]
        elif len(options := options_of(hint)) == 1 and options[0] is not hint:
            hint = options[0]
        else:
            return hint


def is_record_class(cls: type) -> bool:
    """Whether the instances of a class are records: of a dataclass, a ``msgspec.Struct`` or an attrs class."""
    return issubclass(cls, msgspec.Struct) or dataclasses.is_dataclass(cls) or hasattr(cls, "__attrs_attrs__")


def _arrow_type_of_values(values: Sequence[Any]) -> tuple[pa.DataType | None, bool]:
    """The type of an enumeration's values; values of several types are JSON."""
    arrows = [_ARROW.get(type(value)) for value in values if value is not None]
    nullable = len(arrows) < len(values)
    return (arrows[0] if arrows and all(arrow == arrows[0] for arrow in arrows) else JSON_TYPE), nullable
