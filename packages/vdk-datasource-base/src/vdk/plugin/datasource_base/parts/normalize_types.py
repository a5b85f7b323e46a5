"""Arrow's many types as the scalar ones a destination takes."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ..contract import JSON_TYPE
from .infer import infer_array, json_array
from .rows import values_of


def normalize_types(table: pa.Table) -> pa.Table:
    """The table with scalar types only: dictionaries are decoded, nested values become JSON."""
    for index, field in enumerate(table.schema):
        wanted = normalized_type(field.type)
        if wanted != field.type:
            column = table.column(index)
            table = table.set_column(index, pa.field(field.name, wanted), _plain_column(column, wanted))
    return table


def _plain_column(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if _is_json(column.type):
        texts = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        return pa.chunked_array(
            [pa.ExtensionArray.from_storage(JSON_TYPE, chunk) for chunk in texts.cast(pa.string()).chunks], JSON_TYPE
        )
    if wanted == JSON_TYPE:
        return pa.chunked_array([json_array(values_of(column))])
    if _is_uuid(column.type):
        return pa.chunked_array([infer_array(column.to_pylist())]).cast(wanted)
    if pa.types.is_run_end_encoded(column.type):
        column = pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], column.type.value_type)
    return column.cast(wanted)


def normalized_type(type_: pa.DataType) -> pa.DataType:
    """The scalar type that stands for an Arrow type at a destination."""
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


def _is_json(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.BaseExtensionType) and bool(type_.extension_name == "arrow.json")


def _is_uuid(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.BaseExtensionType) and bool(type_.extension_name == "arrow.uuid")
