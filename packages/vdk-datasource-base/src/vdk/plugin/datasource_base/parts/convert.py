"""Rows and batches as tables of the types a destination takes, checked value by value where needed.

The rule is that no value changes silently. Arrow's own conversion is not enough: it takes ``1.5``
for an int64 column and stores 1, and takes bytes for text. So a column is first inferred, which
cannot lie, and only cast where the cast is exact.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..contract import JSON_TYPE, BadRecordError, StreamSchema
from .column_types import normalize_types, normalized_type
from .infer import UnencodableValueError, builtin, column_names, encodable, infer_array, infer_table, json_array
from .numbers import exact_decimal
from .rows import rows_of, values_of

Row = Mapping[str, Any]
MISFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError, ValueError, TypeError)
"""What Arrow raises for a value that a type cannot hold."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A table, and the rows that did not fit with the reason for each."""

    table: pa.Table
    rejected: Sequence[tuple[Row, BadRecordError]] = field(default_factory=tuple)


def convert_rows(rows: Sequence[Row], schema: StreamSchema | None, *, stream: str, loose: bool = False) -> Converted:
    """Rows as a table. Declared columns come first and with their declared types; further keys follow, inferred.

    :param loose: a declared type is a preference: a column that does not fit it is inferred instead.
        This is how rows are read that a transform has changed.
    """
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
    undeclared = column_names(rows, set(schema.fields.names))
    try:
        columns = [_declared(rows, one, loose) for one in schema.fields]
    except BadRecordError:
        good, bad = _sorted_out(rows, schema, stream)
        if bad:
            return Converted(_converted(good, schema, stream, False).table, bad)
        columns = [_one_by_one(rows, one) for one in schema.fields]
    fields = [pa.field(one.name, column.type) for one, column in zip(schema.fields, columns, strict=True)]
    for name in undeclared:
        column = infer_array([row.get(name) for row in rows])
        columns.append(column)
        fields.append(pa.field(name, column.type))
    return Converted(pa.table(columns, schema=pa.schema(fields)))


def convert_batch(
    batch: pa.Table | pa.RecordBatch, schema: StreamSchema | None, *, stream: str, loose: bool = False
) -> Converted:
    """An Arrow batch as a table of plain types; declared columns are cast where that is exact."""
    table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    table = normalize_types(table)
    if schema is None:
        return Converted(table)
    if not loose and _lacks_values(table, schema):
        return convert_rows(rows_of(table), schema, stream=stream)
    for index, one in enumerate(table.schema):
        position = schema.fields.get_field_index(one.name)
        if position < 0 or (wanted := normalized_type(schema.fields.field(position).type)) == one.type:
            continue
        try:
            column = cast_exactly(table.column(index), wanted)
            table = table.set_column(index, pa.field(one.name, column.type), column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            if not loose:
                # row by row: finds the value that does not fit, and keeps the rows that do
                return convert_rows(rows_of(table), schema, stream=stream)
    return Converted(table)


def _lacks_values(table: pa.Table, schema: StreamSchema) -> bool:
    """Whether a column that is declared not null has no value somewhere."""
    positions = [table.schema.get_field_index(one.name) for one in schema.fields if not one.nullable]
    return any(table.num_rows if at < 0 else table.column(at).null_count for at in positions)


def cast_exactly(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """A cast that changes no value. Raises ``pa.ArrowInvalid`` where that cannot be."""
    if column.type == wanted or pa.types.is_null(wanted):
        return column
    if wanted == JSON_TYPE:
        return pa.chunked_array([json_array(values_of(column))])
    if any(one(column.type) and one(wanted) for one in (pa.types.is_floating, pa.types.is_decimal)):
        return _there_and_back(column, wanted)
    if not _castable(column.type, wanted):
        raise pa.ArrowInvalid(f"{column.type} is no {wanted}")
    return column.cast(wanted, safe=True)


def _there_and_back(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """A cast that is checked: Arrow's safe one rounds floats, and lets decimals overflow when their scale grows."""
    cast = column.cast(wanted, safe=True)
    back = cast.cast(column.type, safe=True)
    same = pc.equal(back, column)
    if pa.types.is_floating(wanted):
        same = pc.or_(same, pc.and_(pc.is_nan(back), pc.is_nan(column)))
    if not pc.all(same, min_count=0).as_py():
        raise pa.ArrowInvalid(f"a {column.type} is no {wanted}")
    return cast


def _castable(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether Arrow's safe cast between two types refuses every value it would change.

    It does not for decimals to doubles, doubles to decimals, text to numbers, or a time with a zone
    to one without.
    """
    is_ = pa.types
    if is_.is_null(given):
        return True
    if is_.is_integer(given):
        return bool(is_.is_integer(wanted) or is_.is_floating(wanted) or is_.is_decimal(wanted))
    if is_.is_floating(given):
        return bool(is_.is_integer(wanted))
    if is_.is_decimal(given):
        return bool(is_.is_integer(wanted))
    if is_.is_date(given):
        return bool(is_.is_date(wanted) or (is_.is_timestamp(wanted) and wanted.tz is None))
    if is_.is_timestamp(given):
        return bool(is_.is_timestamp(wanted) and (given.tz is None or wanted.tz is not None))
    return any(one(given) and one(wanted) for one in (is_.is_time, is_.is_duration))


def _declared(rows: Sequence[Row], one: pa.Field, loose: bool) -> pa.Array:
    values = [row.get(one.name) for row in rows]
    wanted = normalized_type(one.type)
    if not one.nullable and not loose and any(value is None for value in values):
        raise BadRecordError("a value is missing in a column declared not null", column=one.name)
    try:
        return typed_array(values, wanted)
    except MISFIT:
        if loose:
            return infer_array(values)
        raise BadRecordError(f"a value does not fit {wanted}", column=one.name) from None


def typed_array(values: Sequence[Any], wanted: pa.DataType) -> pa.Array:
    """Python values as ``wanted``, exactly; raises where one does not fit."""
    if wanted == JSON_TYPE:
        return json_array(values)
    if pa.types.is_decimal(wanted):
        return pa.array([_scaled(_decimal(value), wanted.scale) for value in values], wanted)
    inferred = infer_array(values)
    if inferred.type == wanted or pa.types.is_null(wanted):
        return inferred
    if inferred.type == pa.null():
        return pa.nulls(len(values), wanted)
    if pa.types.is_temporal(wanted) and not pa.types.is_temporal(inferred.type):
        return _times(values, wanted)
    return cast_exactly(pa.chunked_array([inferred]), wanted).combine_chunks()


def _times(values: Sequence[Any], wanted: pa.DataType) -> pa.Array:
    """ISO 8601 text as times; a number is refused, for its unit is not known."""
    texts = pa.array(values)
    if texts.type != pa.string():
        raise pa.ArrowInvalid(f"{texts.type} is no {wanted}")
    if pa.types.is_time(wanted):  # which Arrow does not parse
        times = pa.array([None if value is None else _nanoseconds(value) for value in values], pa.time64("ns"))
        return cast_exactly(pa.chunked_array([times]), wanted).combine_chunks()
    return pc.cast(texts, wanted, safe=True)


def _nanoseconds(text: str) -> int:
    """A time of day since midnight. Python reads it too, but drops what is finer than a microsecond."""
    time = dt.time.fromisoformat(text)
    if time.tzinfo is not None:
        raise ValueError(f"{text!r} has a zone, which Arrow's times have not")
    fraction = text.replace(",", ".").partition(".")[2].rstrip("0")
    if len(fraction) > 9:
        raise ValueError(f"{text!r} is finer than a nanosecond")
    return (time.hour * 3600 + time.minute * 60 + time.second) * 10**9 + int(f"{fraction:0<9}")


def _decimal(value: Any) -> decimal.Decimal | None:
    if value is None:
        return None
    value = builtin(value)
    if isinstance(value, str):
        raise TypeError("text is not a decimal")
    return exact_decimal(value)


def _scaled(value: decimal.Decimal | None, scale: int) -> decimal.Decimal | None:
    """The value with at most ``scale`` digits behind the point, if it has no others.

    Arrow checks this too, but where more than 38 digits are too many it rounds to zero instead.
    """
    if value is None:
        return None
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or -exponent <= scale:
        return value
    kept = len(digits) - (-exponent - scale)
    if any(digits[max(kept, 0) :]):
        raise ValueError(f"{value} has more than {scale} digits behind the point")
    return decimal.Decimal((sign, digits[: max(kept, 0)] or (0,), -scale))


def _one_by_one(rows: Sequence[Row], one: pa.Field) -> pa.Array:
    """A column whose values fit alone but not together, as one aware and one naive time do."""
    wanted = normalized_type(one.type)
    return pa.concat_arrays([typed_array([row.get(one.name)], wanted) for row in rows])


def _sorted_out(
    rows: Sequence[Row], schema: StreamSchema, stream: str
) -> tuple[list[Row], list[tuple[Row, BadRecordError]]]:
    """The rows that fit, and the others with what is wrong with each."""
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
    for one in schema.fields:
        value = row.get(one.name)
        if value is None:
            if not one.nullable:
                return BadRecordError("the column is declared not null", stream=stream, column=one.name, key=key)
            continue
        try:
            typed_array([value], normalized_type(one.type))
        except MISFIT:
            return BadRecordError(
                f"the value does not fit the column's type {one.type}",
                stream=stream,
                column=one.name,
                key=key,
                value=value,
            )
    return None
