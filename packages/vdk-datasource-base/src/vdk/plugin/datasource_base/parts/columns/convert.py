# SPDX-License-Identifier: Apache-2.0
"""Converts rows and batches to tables of the types that a destination accepts.

No value changes silently. Arrow's own conversion does not ensure this: it stores ``1.5`` in an int64 column as 1, and
accepts bytes as text. So each column is first inferred, which loses nothing, and then cast only if the cast is exact.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ...contract import JSON_TYPE, BadRecordError, StreamSchema
from .compute import pc
from .infer import UnencodableValueError, builtin, columns_of, encodable, infer_array, infer_table, json_array
from .numbers import exact_decimal
from .records import RecordValues, has_records, read_records, to_rows
from .rows import rows_of, values_of
from .types import normalize_types, normalized_type

Row = Mapping[str, Any]
MISFIT_ERRORS = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, ValueError, TypeError)
"""Arrow and Python raise one of these for a value that a type cannot hold."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A table, and the rows that do not fit, each with the reason."""

    table: pa.Table
    rejected: Sequence[tuple[Row, BadRecordError]] = ()


def convert_rows(rows: Sequence[Any], schema: StreamSchema | None, *, stream: str, loose: bool = False) -> Converted:
    """Convert rows to a table: the declared columns first, with their declared types, then the others, inferred.

    :param rows: mappings or records.
    :param loose: infer the type of a column that does not fit its declared type, as rows that a transform has changed
        may not.
    """
    if has_records(rows, schema):
        return _convert_records(rows, schema, stream, loose)
    try:
        return _converted(rows, schema, stream, loose)
    except UnencodableValueError:
        key, declared = (schema.primary_key, set(schema.fields.names)) if schema is not None else ((), ())
        good, bad = encodable(rows, key, stream, declared)
        rest = _converted(good, schema, stream, loose)
        return Converted(rest.table, [*bad, *rest.rejected])


def _converted(rows: Sequence[Row], schema: StreamSchema | None, stream: str, loose: bool) -> Converted:
    if schema is None:
        return Converted(infer_table(rows))
    values = columns_of(rows, schema.fields.names)
    undeclared = [name for name in values if name not in schema.fields.names]
    try:
        columns = [_declared_column(values[field.name], field, loose) for field in schema.fields]
    except BadRecordError:
        good, bad = _split_misfits(rows, schema, stream)
        if bad:
            return Converted(_converted(good, schema, stream, False).table, bad)
        columns = [_convert_each(rows, field) for field in schema.fields]
    columns += [infer_array(values[name]) for name in undeclared]
    return Converted(_table([*schema.fields.names, *undeclared], columns))


def _table(names: Sequence[str], columns: Sequence[pa.Array]) -> pa.Table:
    fields = [pa.field(name, column.type) for name, column in zip(names, columns, strict=True)]
    return pa.table(list(columns), schema=pa.schema(fields))


def _convert_records(rows: Sequence[Any], schema: StreamSchema | None, stream: str, loose: bool) -> Converted:
    """The same for records, column by column; row by row if one does not fit, or if they are of several classes."""
    whole = read_records(rows, schema, stream=stream)
    if whole is not None:
        try:
            return Converted(_table_of_records(whole, schema, loose), whole.rejected)
        except BadRecordError:
            good, bad = whole.rows(), whole.rejected
    else:
        good, bad = to_rows(rows, schema, stream=stream)
    rest = convert_rows(good, dataclasses.replace(schema, record=None) if schema else None, stream=stream, loose=loose)
    return Converted(rest.table, [*bad, *rest.rejected])


def _table_of_records(records: RecordValues, schema: StreamSchema | None, loose: bool) -> pa.Table:
    """Raises ``BadRecordError`` if a value does not fit its column."""
    fields = schema.fields if schema is not None else pa.schema([])
    undeclared = [name for name in records.columns if name not in fields.names]
    nothing = [None] * records.count
    columns = [_declared_column(records.columns.get(field.name, nothing), field, loose) for field in fields]
    columns += [infer_array(records.columns[name]) for name in undeclared]
    return _table([*fields.names, *undeclared], columns)


def convert_batch(
    batch: pa.Table | pa.RecordBatch, schema: StreamSchema | None, *, stream: str, loose: bool = False
) -> Converted:
    """Convert an Arrow batch to a table of normalized types, with the declared columns cast to their declared types."""
    table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    table = normalize_types(table)
    if schema is None:
        return Converted(table)
    if not loose and _lacks_values(table, schema):
        return convert_rows(rows_of(table), schema, stream=stream)
    for index, field in enumerate(table.schema):
        position = schema.fields.get_field_index(field.name)
        if position < 0 or (target := normalized_type(schema.fields.field(position).type)) == field.type:
            continue
        try:
            column = cast_exactly(table.column(index), target)
            table = table.set_column(index, pa.field(field.name, column.type), column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            if not loose:
                # row by row, which rejects only the rows that do not fit
                return convert_rows(rows_of(table), schema, stream=stream)
    return Converted(table)


def _lacks_values(table: pa.Table, schema: StreamSchema) -> bool:
    """Whether a column that is declared not null is missing, or has a NULL."""
    indexes = [table.schema.get_field_index(field.name) for field in schema.fields if not field.nullable]
    return any(table.num_rows if index < 0 else table.column(index).null_count for index in indexes)


def cast_exactly(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Cast a column without changing any value.

    :raises pa.ArrowInvalid: if a value does not fit the target type.
    """
    if column.type == target or pa.types.is_null(target):
        return column
    if target == JSON_TYPE:
        return pa.chunked_array([json_array(values_of(column))])
    if any(is_kind(column.type) and is_kind(target) for is_kind in (pa.types.is_floating, pa.types.is_decimal)):
        return _cast_and_compare(column, target)
    if not _casts_exactly(column.type, target):
        raise pa.ArrowInvalid(f"{column.type} does not convert to {target} without loss")
    return column.cast(target, safe=True)


def _cast_and_compare(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Cast a column, and cast the result back to compare.

    Arrow's safe cast rounds floats, and lets decimals overflow when their scale grows.
    """
    cast = column.cast(target, safe=True)
    back = cast.cast(column.type, safe=True)
    same = pc.equal(back, column)
    if pa.types.is_floating(target):
        same = pc.or_(same, pc.and_(pc.is_nan(back), pc.is_nan(column)))
    if not pc.all(same, min_count=0).as_py():
        raise pa.ArrowInvalid(f"a value of type {column.type} does not fit {target}")
    return cast


def _casts_exactly(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether Arrow's safe cast between two types refuses every value that it would change.

    It changes values without an error from decimals to doubles, from doubles to decimals, from text to numbers, and
    from a time with a zone to a time without one.
    """
    types = pa.types
    if types.is_null(source):
        return True
    if types.is_integer(source):
        return bool(types.is_integer(target) or types.is_floating(target) or types.is_decimal(target))
    if types.is_floating(source):
        return bool(types.is_integer(target))
    if types.is_decimal(source):
        return bool(types.is_integer(target))
    if types.is_date(source):
        return bool(types.is_date(target) or (types.is_timestamp(target) and target.tz is None))
    if types.is_timestamp(source):
        return bool(types.is_timestamp(target) and (source.tz is None or target.tz is not None))
    return any(is_kind(source) and is_kind(target) for is_kind in (types.is_time, types.is_duration))


def _declared_column(values: Sequence[Any], field: pa.Field, loose: bool) -> pa.Array:
    target = normalized_type(field.type)
    if not field.nullable and not loose and any(value is None for value in values):
        raise BadRecordError("a value is missing in a column declared not null", column=field.name)
    try:
        return typed_array(values, target)
    except MISFIT_ERRORS:
        if loose:
            return infer_array(values)
        raise BadRecordError(f"a value does not fit {target}", column=field.name) from None


def typed_array(values: Sequence[Any], target: pa.DataType) -> pa.Array:
    """Convert Python values to an array of type ``target``, exactly. Raises one of ``MISFIT_ERRORS``."""
    if target == JSON_TYPE:
        return json_array(values)
    if pa.types.is_decimal(target):
        return pa.array([_scaled(_decimal(value), target.scale) for value in values], target)
    inferred = infer_array(values)
    if inferred.type == target or pa.types.is_null(target):
        return inferred
    if inferred.type == pa.null():
        return pa.nulls(len(values), target)
    if pa.types.is_temporal(target) and not pa.types.is_temporal(inferred.type):
        return _parse_times(values, target)
    return cast_exactly(pa.chunked_array([inferred]), target).combine_chunks()


def _parse_times(values: Sequence[Any], target: pa.DataType) -> pa.Array:
    """Parse ISO 8601 texts. Numbers are refused, because their unit is not known."""
    texts = pa.array(values)
    if texts.type != pa.string():
        raise pa.ArrowInvalid(f"{texts.type} does not convert to {target}: times are ISO 8601 text")
    if pa.types.is_time(target):  # Arrow does not parse times of day
        times = pa.array([None if value is None else _nanoseconds(value) for value in values], pa.time64("ns"))
        return cast_exactly(pa.chunked_array([times]), target).combine_chunks()
    return pc.cast(texts, target, safe=True)


def _nanoseconds(text: str) -> int:
    """Parse a time of day as nanoseconds since midnight. Python's own parser drops digits after the microseconds."""
    time = dt.time.fromisoformat(text)
    if time.tzinfo is not None:
        raise ValueError(f"{text!r} has a time zone: Arrow's times have none")
    fraction = text.replace(",", ".").partition(".")[2].rstrip("0")
    if len(fraction) > 9:
        raise ValueError(f"{text!r} is finer than a nanosecond")
    return (time.hour * 3600 + time.minute * 60 + time.second) * 10**9 + int(f"{fraction:0<9}")


def _decimal(value: Any) -> decimal.Decimal | None:
    if value is None:
        return None
    value = builtin(value)
    if isinstance(value, str) and value != value.strip():
        raise ValueError("a text with spaces is not a decimal")  # which the decimal would not give back
    return exact_decimal(value)


def _scaled(value: decimal.Decimal | None, scale: int) -> decimal.Decimal | None:
    """The value with at most ``scale`` digits after the point.

    Arrow checks this, too, but rounds a value to zero if it has over 38 digits too many.

    :raises ValueError: if the value has further digits.
    """
    if value is None:
        return None
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or -exponent <= scale:
        return value
    kept = len(digits) - (-exponent - scale)
    if any(digits[max(kept, 0) :]):
        raise ValueError(f"{value} has more than {scale} digits after the point")
    return decimal.Decimal((sign, digits[: max(kept, 0)] or (0,), -scale))


def _convert_each(rows: Sequence[Row], field: pa.Field) -> pa.Array:
    """Convert each value by itself. A time with a zone and a time without one fit alone, but not together."""
    target = normalized_type(field.type)
    return pa.concat_arrays([typed_array([row.get(field.name)], target) for row in rows])


def _split_misfits(
    rows: Sequence[Row], schema: StreamSchema, stream: str
) -> tuple[list[Row], list[tuple[Row, BadRecordError]]]:
    """The rows that fit, and the other rows, each with its error."""
    good: list[Row] = []
    bad: list[tuple[Row, BadRecordError]] = []
    for row in rows:
        error = _first_misfit(row, schema, stream)
        if error is None:
            good.append(row)
        else:
            bad.append((row, error))
    return good, bad


def _first_misfit(row: Row, schema: StreamSchema, stream: str) -> BadRecordError | None:
    key = {name: row.get(name) for name in schema.primary_key} or None
    for field in schema.fields:
        value = row.get(field.name)
        if value is None:
            if not field.nullable:
                return BadRecordError("the column is declared not null", stream=stream, column=field.name, key=key)
            continue
        try:
            typed_array([value], normalized_type(field.type))
        except MISFIT_ERRORS:
            return BadRecordError(
                f"the value does not fit the column's type {field.type}",
                stream=stream,
                column=field.name,
                key=key,
                value=value,
            )
    return None
