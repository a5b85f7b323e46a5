# SPDX-License-Identifier: Apache-2.0
"""Batches of one table whose schemas differ: made to fit one schema, or joined under types that hold all values."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ...contract import JSON_TYPE, DataSourceError


def fixed_schema(declared: pa.Schema | None, first: pa.Schema | None) -> pa.Schema:
    """The schema of a table whose declared columns, or whose first rows, are known. Columns may be null."""
    fields: dict[str, pa.Field] = {}
    for field in [*(declared or ()), *(first or ())]:
        if field.name not in fields or pa.types.is_null(fields[field.name].type):
            fields[field.name] = pa.field(field.name, field.type)
    return pa.schema(list(fields.values()))


def fitted(batch: pa.RecordBatch, schema: pa.Schema, *, stream: str) -> pa.RecordBatch:
    """The batch with the columns of the schema. Raises ``DataSourceError`` for another column or type."""
    if batch.schema.equals(schema):
        return batch
    if unknown := [name for name in batch.schema.names if schema.get_field_index(name) < 0]:
        raise DataSourceError(
            f"stream {stream!r}: a later batch has the column {unknown[0]!r}, which the schema of .reader lacks; "
            "use .to_arrow(), which adds columns, or iterate over the batches"
        )
    arrays = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        if index < 0 or pa.types.is_null(batch.column(index).type):
            arrays.append(pa.nulls(batch.num_rows, field.type))
        elif batch.column(index).type == field.type:
            arrays.append(batch.column(index))
        else:
            raise DataSourceError(
                f"stream {stream!r}: the column {field.name!r} is {field.type} in the schema of .reader, and "
                f"{batch.column(index).type} in a later batch; use .to_arrow(), which widens columns, or iterate over "
                "the batches"
            )
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def joined(batches: Sequence[pa.RecordBatch], declared: pa.Schema | None) -> pa.Table:
    """The batches as one table, under types that hold every value of a column; as text where no other type does."""
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    schema = fixed_schema(declared, None)
    names = list(dict.fromkeys([*schema.names, *(name for table in tables for name in table.schema.names)]))
    if not tables:
        return schema.empty_table()
    return pa.table({name: _joined_column(name, tables, schema) for name in names})


def with_json_as_text(table: pa.Table) -> pa.Table:
    """The table for libraries that do not know Arrow's extension type for JSON."""
    fields = [pa.field(field.name, pa.string()) if field.type == JSON_TYPE else field for field in table.schema]
    columns = [_cast(column, field.type) for column, field in zip(table.columns, fields, strict=True)]
    return pa.table(columns, schema=pa.schema(fields))


def _joined_column(name: str, tables: Sequence[pa.Table], schema: pa.Schema) -> pa.ChunkedArray:
    columns = [
        table.column(name) if name in table.schema.names else pa.chunked_array([pa.nulls(len(table))])
        for table in tables
    ]
    types = {column.type for column in columns if not pa.types.is_null(column.type)}
    if not types:
        index = schema.get_field_index(name)
        types = {schema.field(index).type if index >= 0 else pa.null()}
    for type_ in [_common_type(list(types)), pa.string()]:
        try:
            arrays = [array for column in columns for array in _cast(column, type_).chunks]
            return pa.chunked_array(arrays, type_)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    raise DataSourceError(f"column {name!r} has values of {' and '.join(sorted(map(str, types)))}, which no type holds")


def _common_type(types: Sequence[pa.DataType]) -> pa.DataType:
    if len(types) == 1:
        return types[0]
    try:
        schemas = [pa.schema([pa.field("column", type_)]) for type_ in types]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.string()


def _cast(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    if column.type == JSON_TYPE and type_ != JSON_TYPE:
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], pa.string())
    if pa.types.is_null(column.type):
        return pa.chunked_array([pa.nulls(len(column), type_)], type_)
    return column if column.type == type_ else column.cast(type_)
