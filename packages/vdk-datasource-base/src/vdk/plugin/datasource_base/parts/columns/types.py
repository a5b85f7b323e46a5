# SPDX-License-Identifier: Apache-2.0
"""The types of columns: as a configuration names them, and the scalar Arrow types that destinations get."""

from __future__ import annotations

import re

import pyarrow as pa

from ...contract import JSON_TYPE, ConfigurationError
from .compute import pc
from .infer import infer_array, json_array
from .rows import values_of

_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "json": JSON_TYPE,
}
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")


def column_type(text: str) -> pa.DataType:
    """``integer``, ``decimal(12,2)`` and so on as Arrow types. Raises ``ConfigurationError`` for others."""
    if (known := _TYPES.get(text)) is not None:
        return known
    if (match := _DECIMAL.fullmatch(text)) and 0 < int(match[1]) <= 38 and int(match[2]) <= int(match[1]):
        return pa.decimal128(int(match[1]), int(match[2]))
    raise ConfigurationError(f"{text!r} is not a column type; expected {', '.join(_TYPES)} or decimal(p,s)")


def normalize_types(table: pa.Table) -> pa.Table:
    """The table with scalar types only: dictionaries are decoded, nested values become JSON."""
    for index, field in enumerate(table.schema):
        target = normalized_type(field.type)
        if target != field.type:
            column = table.column(index)
            table = table.set_column(index, pa.field(field.name, target), _normalized_column(column, target))
    return table


def normalized_type(type_: pa.DataType) -> pa.DataType:
    """The scalar type that a destination gets for an Arrow type."""
    if pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_):
        return normalized_type(type_.value_type)
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return pa.string()
    if pa.types.is_large_binary(type_) or pa.types.is_binary_view(type_) or pa.types.is_fixed_size_binary(type_):
        return pa.binary()
    if pa.types.is_float16(type_):
        return pa.float32()
    if pa.types.is_nested(type_):
        return JSON_TYPE
    if _is_json(type_):
        return JSON_TYPE
    if _is_uuid(type_):
        return pa.string()
    if isinstance(type_, pa.BaseExtensionType):
        return normalized_type(type_.storage_type)
    return type_


def _normalized_column(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    if _is_json(column.type):
        texts = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        return pa.chunked_array(
            [pa.ExtensionArray.from_storage(JSON_TYPE, chunk) for chunk in texts.cast(pa.string()).chunks], JSON_TYPE
        )
    if target == JSON_TYPE:
        return pa.chunked_array([json_array(values_of(column))])
    if _is_uuid(column.type):
        return pa.chunked_array([infer_array(column.to_pylist())]).cast(target)
    if pa.types.is_run_end_encoded(column.type):
        column = pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], column.type.value_type)
    return column.cast(target)


def _is_json(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.BaseExtensionType) and bool(type_.extension_name == "arrow.json")


def _is_uuid(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.BaseExtensionType) and bool(type_.extension_name == "arrow.uuid")
