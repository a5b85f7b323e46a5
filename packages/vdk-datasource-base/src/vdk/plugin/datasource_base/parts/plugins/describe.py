# SPDX-License-Identifier: Apache-2.0
"""The options of a configuration class as a table: name, type, default and description."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from msgspec import inspect

from ...contract import Secret

_UNITS = {
    "d": dt.timedelta(days=1),
    "h": dt.timedelta(hours=1),
    "m": dt.timedelta(minutes=1),
    "s": dt.timedelta(seconds=1),
    "ms": dt.timedelta(milliseconds=1),
}


def describe(type_: type[msgspec.Struct], prefix: str = "") -> list[dict[str, str]]:
    """One row per option: ``option``, ``type``, ``default`` and ``description``; required options come first.

    Nested options are dotted. Options of the members of a list are below ``name[]``, and options of one
    ``type`` of several are below ``name[type]``.
    """
    info: Any = inspect.type_info(type_)
    rows: list[dict[str, str]] = []
    for field in sorted(info.fields, key=lambda field: not field.required):
        inner, description = _unwrapped(field.type)
        rows.append(
            {
                "option": f"{prefix}{field.encode_name}",
                "type": _name(inner),
                "default": _default(field),
                "description": description,
            }
        )
        for nested, dotted in _nested(inner, f"{prefix}{field.encode_name}"):
            rows.extend(describe(nested, f"{dotted}."))
    return rows


def _unwrapped(type_: Any) -> tuple[Any, str]:
    description = ""
    while isinstance(type_, inspect.Metadata):
        description = description or (type_.extra_json_schema or {}).get("description", "")
        type_ = type_.type
    return type_, description


def _nested(type_: Any, path: str) -> list[tuple[type[msgspec.Struct], str]]:
    type_, _ = _unwrapped(type_)
    if isinstance(type_, inspect.StructType):
        return [(type_.cls, f"{path}[{type_.tag}]" if type_.tag is not None else path)]
    if isinstance(type_, inspect.ListType):
        return _nested(type_.item_type, f"{path}[]")
    if isinstance(type_, inspect.DictType):
        return _nested(type_.value_type, f"{path}.<name>")
    if isinstance(type_, inspect.UnionType):
        return [nested for member in type_.types for nested in _nested(member, path)]
    return []


def _tags(type_: Any) -> list[str]:
    """The values of ``type`` that select one of several kinds of options."""
    members = type_.types if isinstance(type_, inspect.UnionType) else [type_]
    return [str(member.tag) for member in members if isinstance(member, inspect.StructType) and member.tag is not None]


def _name(type_: Any) -> str:
    type_, _ = _unwrapped(type_)
    if tags := _tags(type_):
        return f"options, by type: {' | '.join(map(repr, tags))}"
    if isinstance(type_, inspect.UnionType):
        return " | ".join(
            dict.fromkeys(_name(member) for member in type_.types if not isinstance(member, inspect.NoneType))
        )
    if isinstance(type_, inspect.ListType):
        return f"list of {_name(type_.item_type)}"
    if isinstance(type_, inspect.DictType):
        return f"table of {_name(type_.value_type)}"
    if isinstance(type_, inspect.LiteralType):
        return " | ".join(repr(value) for value in type_.values)
    if isinstance(type_, inspect.StructType):
        return "options"
    if isinstance(type_, inspect.CustomType):
        return {"PosixPath": "path", "Path": "path"}.get(type_.cls.__name__, type_.cls.__name__.lower())
    return type(type_).__name__.removesuffix("Type").lower()


def _default(field: Any) -> str:
    if field.required:
        return "(required)"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    return "" if value is None or isinstance(value, msgspec.Struct) else _written(value)


def _written(value: Any) -> str:
    """The value as a flow file writes it, without quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.timedelta):
        unit = next((unit for unit, length in _UNITS.items() if not value % length), None)
        return f"{value // _UNITS[unit]}{unit}" if value and unit is not None else f"{value.total_seconds():g}s"
    if isinstance(value, Secret):
        return "***" if value.reveal() else ""
    return str(value)
