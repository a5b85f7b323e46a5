"""A source's configuration, looked at from outside: its options as they are written, and its secrets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from ...contract import DataSourceConfig, Duration, Secret

CANARY = "canary-4a6f7921"
"""What secrets are replaced by, to be looked for everywhere else."""
UNLIKELY = object()
"""A value that no option takes."""


def as_written(config: Any) -> Any:
    """A configuration as a flow file would have it."""
    if isinstance(config, msgspec.Struct):
        names = zip(config.__struct_fields__, config.__struct_encode_fields__, strict=True)
        tag = {config.__struct_config__.tag_field: config.__struct_config__.tag} if config.__struct_config__.tag else {}
        given = ((spelled, getattr(config, name)) for name, spelled in names)
        return tag | {spelled: as_written(value) for spelled, value in given if value is not None}
    if isinstance(config, Secret):
        return config.reveal()
    if isinstance(config, (dt.timedelta, Path)):
        return f"{config.total_seconds()}s" if isinstance(config, dt.timedelta) else str(config)
    if isinstance(config, Mapping):
        return {key: as_written(value) for key, value in config.items()}
    if isinstance(config, (list, tuple, set, frozenset)):
        return [as_written(value) for value in config]
    return config


def with_canaries(config: DataSourceConfig) -> DataSourceConfig:
    """The configuration with another value in every secret option, whether it was set or not."""
    changed = config
    for name, type_ in _fields(type(config)):
        value = _replaced(getattr(config, name), type_)
        try:
            changed = msgspec.structs.replace(changed, **{name: value})
        except (TypeError, ValueError):  # the class refuses this one beside the others
            continue
    return changed


def _replaced(value: Any, type_: Any) -> Any:
    if any(is_secret(one) for one in members(type_)) and not isinstance(value, (Mapping, list, tuple)):
        return Secret(CANARY)
    if isinstance(value, msgspec.Struct):
        changes = {name: _replaced(getattr(value, name), inner) for name, inner in _fields(type(value))}
        return msgspec.structs.replace(value, **changes)
    if isinstance(value, Secret):
        return Secret(CANARY)
    if isinstance(value, Mapping):
        return {key: _replaced(one, None) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replaced(one, None) for one in value)
    return value


def _fields(type_: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    info = inspect.type_info(type_)
    if isinstance(info, inspect.StructType):
        for field in info.fields:
            yield field.name, field.type


def leaves(type_: type[msgspec.Struct], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every option with its type, nested ones too, by dotted names."""
    for name, inner in _fields(type_):
        yield f"{prefix}{name}", inner
        for member in members(inner):
            if isinstance(member, inspect.StructType):
                yield from leaves(member.cls, f"{prefix}{name}.")


def members(type_: Any) -> list[Any]:
    """The types that a value can have: of a union, and inside lists and tables."""
    if isinstance(type_, inspect.Metadata):
        return members(type_.type)
    if isinstance(type_, inspect.UnionType):
        return [found for one in type_.types for found in members(one)]
    if isinstance(type_, inspect.DictType):
        return members(type_.value_type)
    if isinstance(type_, (inspect.ListType, inspect.VarTupleType)):
        return members(type_.item_type)
    return [type_] if type_ is not None else []


def is_secret(type_: Any) -> bool:
    return isinstance(type_, inspect.CustomType) and type_.cls is Secret


def can_be_configured(type_: Any) -> bool:
    """Whether a flow file can give a value of this type."""
    return not isinstance(type_, inspect.CustomType) or issubclass(type_.cls, (Secret, Duration, Path))
