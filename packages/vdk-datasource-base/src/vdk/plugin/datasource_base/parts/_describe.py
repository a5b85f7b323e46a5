"""A configuration class as a table for people: every option, its type, default and meaning."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect


def describe(type_: type[msgspec.Struct], prefix: str = "") -> list[dict[str, str]]:
    """One row an option: ``option``, ``type``, ``default`` and ``description``; nested options are dotted."""
    info: Any = inspect.type_info(type_)
    rows: list[dict[str, str]] = []
    for field in info.fields:
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
        return [(type_.cls, path)]
    if isinstance(type_, inspect.DictType):
        return _nested(type_.value_type, f"{path}.<name>")
    if isinstance(type_, inspect.UnionType):
        return [found for one in type_.types for found in _nested(one, path)]
    return []


def _name(type_: Any) -> str:
    type_, _ = _unwrapped(type_)
    if isinstance(type_, inspect.UnionType):
        return " | ".join(dict.fromkeys(_name(one) for one in type_.types if not isinstance(one, inspect.NoneType)))
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
    return "" if value is None else str(value)
