# SPDX-License-Identifier: Apache-2.0
"""The JSON schema of a spec: CloudQuery's ``validate-config`` and editors check files with it.

msgspec describes the types of a configuration class; its own generator fails at defaults of other types, such as
durations.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from msgspec import inspect

from vdk.plugin.datasource_base import DataSourceConfig, Duration

from .spec import OPTIONS, ServeOptions

Schema = dict[str, Any]

_SCALARS: dict[type, str] = {
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.NoneType: "null",
}
_LIMITS = {
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}


def json_schema(config_type: type[DataSourceConfig]) -> str:
    """The schema, as JSON: an object that has the source's options, and those of serving it."""
    generator = _Generator()
    root = generator.schema(inspect.type_info(config_type))
    definition = generator.definitions[root["$ref"].rpartition("/")[2]]
    definition["properties"][OPTIONS] = generator.schema(inspect.type_info(ServeOptions))
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return msgspec.json.encode({**draft, **root, "$defs": generator.definitions}).decode()


class _Generator:
    """``definitions``: the schema of each class of options, by its name."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def schema(self, info: Any) -> Schema:
        """The schema of one type, as msgspec describes it."""
        if isinstance(info, inspect.Metadata):
            return {**self.schema(info.type), **(info.extra_json_schema or {})}
        if isinstance(info, inspect.UnionType):
            return {"anyOf": [self.schema(member) for member in info.types]}
        if isinstance(info, inspect.LiteralType):
            return {"enum": list(info.values)}
        if isinstance(info, inspect.StructType):
            return self._reference(info)
        if isinstance(info, inspect.DictType):
            return {
                "type": "object",
                "additionalProperties": self.schema(info.value_type),
                **_sizes(info, "Properties"),
            }
        if (items := getattr(info, "item_type", None)) is not None:
            return {"type": "array", "items": self.schema(items), **_sizes(info, "Items")}
        if isinstance(info, inspect.CustomType) and issubclass(info.cls, Duration):
            return {"type": "string", "description": "a duration, such as 500ms, 30s, 5m, 2h or 1d"}
        if isinstance(info, inspect.AnyType):
            return {}
        kind = _SCALARS.get(type(info), "string")  # secrets, paths, times
        sizes = _sizes(info, "Length") if kind == "string" else {}
        limits = {_LIMITS[name]: value for name in _LIMITS if (value := getattr(info, name, None)) is not None}
        return {"type": kind, **sizes, **limits}

    def _reference(self, info: Any) -> Schema:
        name = info.cls.__name__
        if name not in self.definitions:
            definition = self.definitions[name] = {}  # before its fields, which may refer to it
            properties = {field.encode_name: self._property(field) for field in info.fields}
            required = [field.encode_name for field in info.fields if field.required]
            if info.tag_field is not None:
                properties[info.tag_field] = {"const": info.tag}
                required.append(info.tag_field)
            definition |= {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": not info.forbid_unknown_fields,
            }
        return {"$ref": f"#/$defs/{name}"}

    def _property(self, field: Any) -> Schema:
        schema = self.schema(field.type)
        if isinstance(field.default, (bool, int, float, str)):
            schema["default"] = field.default
        elif isinstance(field.default, dt.timedelta):
            schema["default"] = f"{field.default.total_seconds():g}s"
        return schema


def _sizes(info: Any, of: str) -> Schema:
    """``minItems``, ``maxLength`` and so on."""
    least, most = getattr(info, "min_length", None), getattr(info, "max_length", None)
    return {f"{word}{of}": value for word, value in (("min", least), ("max", most)) if value is not None}
