# SPDX-License-Identifier: Apache-2.0
"""The types of Parquet columns: which one a column is stored as, and what it becomes when another type comes."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import JSON_TYPE, DestinationError
from vdk.plugin.datasource_base.parts import pc, to_json

from ..values import RefusedValueError, fit_types, is_json, json_text

TEXT = pa.string()
_INTEGERS = (
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
)
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
"""Decimal digits of the largest unsigned integer, by bits."""
_FINER = ("s", "ms", "us", "ns")


def file_table(table: pa.Table, label: str) -> pa.Table:
    """The same values in types that a file returns as they were written. Columns without a type stay.

    :param label: the table's name, for errors.
    :raises RefusedValueError: for a value that no file can store.
    :raises DestinationError: for a type that Parquet lacks.
    """
    columns = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        try:
            columns[name] = _file_column(column, label, name)
        except pa.ArrowInvalid as error:
            raise RefusedValueError(f"table {label!r}, column {name!r}: {error}", name) from error
        except pa.ArrowNotImplementedError as error:
            raise DestinationError(f"table {label!r}, column {name!r}: {error}") from error
    return pa.table(columns)


def file_type(type_: pa.DataType) -> pa.DataType:
    """What a declared column is stored as."""
    return file_table(pa.table({"declared": pa.chunked_array([], type_)}), "").schema.field(0).type


def candidates(existing: pa.DataType, incoming: pa.DataType) -> list[pa.DataType]:
    """The types that both may become if every value survives, the existing one first. Else it is ``fallback_type``.

    The existing type stays where values fit it: another one means that every file is rewritten.
    """
    if existing in _INTEGERS and incoming in _INTEGERS:
        return [existing, *_wider_integers(existing, incoming)]
    numbers = (*_INTEGERS, pa.float32(), pa.float64())
    if existing in numbers and incoming in numbers:
        return [pa.float64()]
    left, right = _digits(existing), _digits(incoming)
    if left is not None and right is not None:
        scale = max(left[1], right[1])
        wide = pa.decimal128(min(38, max(left[0], right[0]) + scale), scale)
        return [existing, wide] if pa.types.is_decimal(existing) else [wide]
    if pa.types.is_date(existing) and _kind(incoming) == "timestamp":
        return [incoming]
    if _kind(existing) == "timestamp" and pa.types.is_date(incoming):
        return [existing, pa.timestamp("us")]
    if _kind(existing) is not None and _kind(existing) == _kind(incoming):
        return [existing, _finer(existing, incoming)]
    return []


def fallback_type(existing: pa.DataType, incoming: pa.DataType) -> pa.DataType:
    """The type that takes every value of both."""
    return JSON_TYPE if is_json(existing) or is_json(incoming) else TEXT


def cast_column(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    """The column in one of its candidates, or in its fallback type.

    :raises pa.ArrowInvalid: a value does not survive.
    """
    if column.type == type_:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), type_)])
    if is_json(type_):
        return _chunked([None if value is None else to_json(value) for value in _values(column)], JSON_TYPE)
    if type_ == TEXT:
        return _as_text(column)
    cast = column.cast(type_)
    narrows = pa.types.is_floating(type_) and pa.types.is_floating(column.type)
    if narrows or (pa.types.is_date(type_) and pa.types.is_timestamp(column.type)):
        _check_same(cast.cast(column.type), column)  # Arrow rounds floats and drops the time of day without an error
    return cast


def _check_same(back: pa.ChunkedArray, column: pa.ChunkedArray) -> None:
    same = pc.equal(back, column)
    if pa.types.is_floating(column.type):
        same = pc.or_(same, pc.is_nan(column))
    if not pc.all(same, min_count=0).as_py():
        raise pa.ArrowInvalid("a value does not survive")


def _file_column(column: pa.ChunkedArray, label: str, name: str) -> pa.ChunkedArray:
    type_ = column.type
    # Nanoseconds stay: unlike databases, files have them with a zone, and for durations.
    if pa.types.is_duration(type_):
        return column
    if pa.types.is_timestamp(type_):
        return column.cast(pa.timestamp("ms", type_.tz)) if type_.unit == "s" else column
    if type_ == pa.month_day_nano_interval():
        raise DestinationError(
            f"table {label!r}, column {name!r}: Parquet has no type for intervals of months, days and nanoseconds: "
            "make it a duration, or text, with a transform"
        )
    column = fit_types(pa.table({name: column}), label).column(0)
    if pa.types.is_string(column.type):
        column.validate(full=True)  # a file with text that is not UTF-8 cannot be read
    if pa.types.is_time32(column.type):
        return column.cast(pa.time32("ms"))
    return column


def _wider_integers(existing: pa.DataType, incoming: pa.DataType) -> list[pa.DataType]:
    signed = [pa.types.is_signed_integer(type_) for type_ in (existing, incoming)]
    if all(signed) or not any(signed):
        return [max(existing, incoming, key=lambda type_: int(type_.bit_width))]
    # An unsigned integer of 32 bits fits a signed one of 64 bits; one of 64 bits fits no signed integer.
    return [pa.int64(), pa.decimal128(20, 0)]


def _digits(type_: pa.DataType) -> tuple[int, int] | None:
    """The digits before and after the point that a decimal or integer may need."""
    if pa.types.is_decimal(type_):
        return type_.precision - type_.scale, type_.scale
    return (_DIGITS[type_.bit_width], 0) if type_ in _INTEGERS else None


def _kind(type_: pa.DataType) -> str | None:
    """Equal for types that differ only in their unit or in the name of their zone."""
    if pa.types.is_timestamp(type_):
        return "timestamp" if type_.tz is None else "zoned timestamp"
    if pa.types.is_time(type_):
        return "time"
    return "duration" if pa.types.is_duration(type_) else None


def _finer(existing: pa.DataType, incoming: pa.DataType) -> pa.DataType:
    unit = max(existing.unit, incoming.unit, key=_FINER.index)
    if pa.types.is_timestamp(existing):
        return pa.timestamp(unit, existing.tz)
    return pa.time64(unit) if pa.types.is_time(existing) else pa.duration(unit)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if is_json(column.type):
        return json_text(column)
    if pa.types.is_binary(column.type):  # as PostgreSQL writes bytes; a cast would decode them as UTF-8
        return _chunked([None if value is None else f"\\x{value.hex()}" for value in column.to_pylist()], TEXT)
    if pa.types.is_duration(column.type):
        return column.cast(pa.int64()).cast(TEXT)
    return column.cast(TEXT)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Values as JSON has them; times as text, which keeps their nanoseconds."""
    simple = pa.types.is_boolean(column.type) or pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if is_json(column.type):
        return [None if text is None else json.loads(text) for text in json_text(column).to_pylist()]
    return list(column.to_pylist() if simple else _as_text(column).to_pylist())


def _chunked(values: list[Any], type_: pa.DataType) -> pa.ChunkedArray:
    if is_json(type_):
        return pa.chunked_array([pa.ExtensionArray.from_storage(type_, pa.array(values, TEXT))])
    return pa.chunked_array([pa.array(values, type_)])
