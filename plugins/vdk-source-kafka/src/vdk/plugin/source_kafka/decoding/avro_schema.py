# SPDX-License-Identifier: Apache-2.0
"""Parses Avro schemas, and names what is wrong with one: https://avro.apache.org/docs/1.12.0/specification/."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vdk.plugin.datasource_base import ConfigurationError

_MEMBERS: dict[str, tuple[str, type]] = {
    "record": ("fields", list),
    "error": ("fields", list),
    "enum": ("symbols", list),
    "fixed": ("size", int),
}
"""The member that a type needs, and its JSON type, where fastavro would fail later or by a bare ``KeyError``."""
_NESTED = {"array": "items", "map": "values"}
_JSON_TYPES: dict[type, str] = {list: "a list", int: "a number", str: "a text"}


def parse_schema(text: str, what: str, named: dict[str, Any]) -> Any:
    """The schema as fastavro reads with it.

    :param what: where the schema comes from, for the message. :param named: named types by their full names; those of
        the schema are added.
    :raises ConfigurationError: the text is not a valid schema.
    """
    fastavro = import_fastavro()
    try:
        schema = json.loads(text)
        _check(schema, "top level")
        return fastavro.parse_schema(schema, named_schemas=named)
    except json.JSONDecodeError as error:
        reason = f"it is not JSON: {error}"
    except RecursionError:
        reason = "it is nested too deeply"
    except fastavro.schema.UnknownType as error:
        reason = f"the type {error.name!r} is not defined"
    except (fastavro.schema.SchemaParseException, ValueError) as error:
        reason = str(error)
    except (KeyError, TypeError) as error:
        reason = repr(error)
    raise ConfigurationError(f"{what}: not a valid Avro schema: {reason}; correct the schema")


def _check(schema: Any, place: str) -> None:
    """Raise ``ValueError`` for what fastavro accepts, or reports without its place."""
    if isinstance(schema, list):
        if not schema:
            raise ValueError(f"{place}: a union needs at least one type")
        for part in schema:
            if isinstance(part, list):
                raise ValueError(f"{place}: a union contains the union {_shown(part)}")
            _check(part, place)
    elif isinstance(schema, Mapping):
        _check_type(schema, place)
    elif not isinstance(schema, str):
        raise ValueError(f"{place}: expected a type, found {_shown(schema)}")


def _check_type(schema: Mapping[str, Any], place: str) -> None:
    kind = _member(schema, "type", str, place)
    if kind in _NESTED:
        _check(_member(schema, _NESTED[kind], object, place), f"{place}, {_NESTED[kind]}")
    elif kind in _MEMBERS:
        _member(schema, "name", str, place)
        _member(schema, *_MEMBERS[kind], place)
    if schema.get("logicalType") == "decimal" and kind in ("bytes", "fixed"):
        _member(schema, "precision", int, place)
    if kind in ("record", "error"):
        _check_fields(schema["fields"], place)


def _check_fields(fields: list[Any], place: str) -> None:
    names = set()
    for field in fields:
        if not isinstance(field, Mapping):
            raise ValueError(f"{place}: expected a field, found {_shown(field)}")
        name = _member(field, "name", str, place)
        if name in names:
            raise ValueError(f"{place}: two fields have the name {name!r}")
        names.add(name)
        _check(_member(field, "type", object, f"{place}, field {name!r}"), f"{place}, field {name!r}")


def _member(schema: Mapping[str, Any], name: str, type_: type, place: str) -> Any:
    if name not in schema:
        raise ValueError(f"{place}: {_shown(schema)} lacks {name!r}")
    if not isinstance(schema[name], type_):
        raise ValueError(f"{place}: {name!r} is {_shown(schema[name])}, expected {_JSON_TYPES[type_]}")
    return schema[name]


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:120]}…"


def import_fastavro() -> Any:
    """The library, which is an extra of this distribution. Raises ``ConfigurationError`` if it is not installed."""
    try:
        import fastavro
    except ModuleNotFoundError:
        raise ConfigurationError(
            "avro needs fastavro, which is not installed; pip install 'vdk-source-kafka[avro]'"
        ) from None
    return fastavro


def named_types(schema: Any) -> Mapping[str, Any]:
    """The records, enums and fixed types of a parsed schema by their full names."""
    named = schema.get("__named_schemas", {}) if isinstance(schema, dict) else {}
    return named if isinstance(named, Mapping) else {}
