# SPDX-License-Identifier: Apache-2.0
"""Values: the Arrow types that every target takes, and which rows a target refuses for their values.

The runtime has normalized the types already (see ``TableBatch``). What is left are types that hold more than a
database's do, and values that no target takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import RefusedRow, RefusedRowsError, TableBatch, is_valid_json, pc

MAX_REFUSED = 100
"""Rows that are searched for at once; a caller that leaves them out and tries again learns of the next."""

LARGE_VALUE = 64 * 1024
"""Bytes above which copies of a value matter."""


class RefusedValueError(DestinationError):
    """A value that the target does not take, wherever that turned out: its row is refused, others may land.

    :param column: the column, where it is known.
    """

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column


def fit_types(table: pa.Table, label: str) -> pa.Table:
    """The same values in types that a database has, where every value fits.

    Decimals of 256 bits become those of 38 digits (else text), zoned times in nanoseconds become microseconds (else
    they stay), and dates in milliseconds become days.

    :param label: the table's name, for errors.
    :raises RefusedValueError: for a duration that is not a whole number of microseconds, and a time outside of a day.
    """
    names = table.schema.names
    columns = [_fit_column(table.column(index), names[index], label) for index in range(len(names))]
    if all(new is old for new, old in zip(columns, table.columns, strict=True)):
        return table
    fields = [pa.field(name, column.type) for name, column in zip(names, columns, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def fit_type(type_: pa.DataType) -> pa.DataType:
    """What ``fit_types`` makes of an empty column of this type."""
    return _fit(pa.chunked_array([], type_), "").type


def is_json(type_: pa.DataType) -> bool:
    """Whether it is Arrow's canonical JSON type."""
    return isinstance(type_, pa.JsonType)


def json_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A JSON column's text."""
    return pa.chunked_array([chunk.storage for chunk in column.chunks], pa.string())


def _fit_column(column: pa.ChunkedArray, name: str, label: str) -> pa.ChunkedArray:
    location = f"table {label!r}, column {name!r}"
    try:
        column = _fit(column, location)
    except RefusedValueError as error:
        raise RefusedValueError(str(error), name) from error
    except pa.ArrowInvalid as error:
        raise RefusedValueError(f"{location}: {error}", name) from error
    if pa.types.is_time(column.type) and not _within_a_day(column):
        raise RefusedValueError(
            f"{location}: a time of day is before 00:00 or after 24:00: correct it with a transform", name
        )
    return column


def _within_a_day(column: pa.ChunkedArray) -> bool:
    bounds = pc.min_max(column.cast(pa.int32() if pa.types.is_time32(column.type) else pa.int64())).as_py()
    day = 86_400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    return bounds["min"] is None or (bounds["min"] >= 0 and bounds["max"] <= day)


def is_checked_json(column: pa.ChunkedArray) -> bool:
    """Whether a column is JSON of large values, all of which are valid. A database that parses them again, to check
    them, holds several copies of each; for small ones its own check is quicker.
    """
    if not is_json(column.type) or column.nbytes <= len(column) * LARGE_VALUE:
        return False
    texts = (text for chunk in column.chunks for text in chunk.storage if text.is_valid)
    return all(is_valid_json(memoryview(text.as_buffer())) for text in texts)


def _fit(column: pa.ChunkedArray, location: str) -> pa.ChunkedArray:
    type_ = column.type
    if pa.types.is_date64(type_):
        return column.cast(pa.date32())
    if pa.types.is_decimal(type_):
        return _fit_decimal(column)
    if type_ == pa.month_day_nano_interval() or (pa.types.is_duration(type_) and type_.unit == "ns"):
        return _whole_microseconds(column, location)
    if pa.types.is_timestamp(type_) and type_.tz is not None and type_.unit == "ns":
        try:
            return column.cast(pa.timestamp("us", type_.tz))
        except pa.ArrowInvalid:
            return column
    return column


def _fit_decimal(column: pa.ChunkedArray) -> pa.ChunkedArray:
    type_ = column.type
    scale = max(type_.scale, 0)
    digits = type_.precision - type_.scale + scale
    if digits <= 38 and scale <= digits:
        target = pa.decimal128(digits, scale)
        return column if type_ == target else column.cast(target)
    return column.cast(pa.string())


def _whole_microseconds(column: pa.ChunkedArray, location: str) -> pa.ChunkedArray:
    """Databases keep intervals in microseconds; DuckDB truncates finer ones silently."""
    if pa.types.is_duration(column.type):
        try:
            return column.cast(pa.duration("us"))
        except pa.ArrowInvalid:
            fits = False
    else:
        fits = all(value is None or value.nanoseconds % 1000 == 0 for value in column.to_pylist())
    if not fits:
        raise RefusedValueError(
            f"{location}: a duration is not a whole number of microseconds: round it to microseconds, or make it an "
            "integer of nanoseconds, with a transform"
        )
    return column


# Refused rows.


def find_refused_rows(
    batches: Sequence[TableBatch], attempt: Callable[[TableBatch], object], error: RefusedValueError
) -> RefusedRowsError | RefusedValueError:
    """What to raise in place of ``error``: the refused rows, or ``error`` itself where each row alone is accepted.

    :param attempt: lands a part of a batch, and rolls it back; raises ``RefusedValueError``.
    """
    refused: list[RefusedRow] = []
    for number, batch in enumerate(batches):
        if len(refused) < MAX_REFUSED:
            refused += _refused_in(number, batch, attempt)
    return RefusedRowsError(str(error), refused) if refused else error


def _refused_in(number: int, batch: TableBatch, attempt: Callable[[TableBatch], object]) -> list[RefusedRow]:
    """Halves what fails, so that a refused row of n costs about 2 n rows of work, and log2(n) attempts."""
    refused: list[RefusedRow] = []
    ranges = [(0, batch.data.num_rows)]
    while ranges and len(refused) < MAX_REFUSED:
        start, stop = ranges.pop()
        part = replace(batch, data=batch.data.slice(start, stop - start))
        error = _error_of(part, attempt)
        if error is None:
            continue
        if stop - start > 1:
            middle = (start + stop) // 2
            ranges += [(middle, stop), (start, middle)]
            continue
        column = error.column if error.column in batch.data.schema.names else _refused_column(part, attempt)
        refused.append(RefusedRow(number, start, str(error), column))
    return refused


def _error_of(part: TableBatch, attempt: Callable[[TableBatch], object]) -> RefusedValueError | None:
    if not part.data.num_rows:
        return None
    try:
        attempt(part)
    except RefusedValueError as error:
        return error
    return None


def _refused_column(row: TableBatch, attempt: Callable[[TableBatch], object]) -> str | None:
    """The one column without whose value the row is accepted; None if several are, as of a row that is too large.

    Halves the columns: 2 log2(n) attempts.
    """
    columns = row.data.columns
    names = row.data.schema.names
    suspects = [
        index for index, name in enumerate(names) if not columns[index].null_count and name not in row.table.primary_key
    ]

    def is_accepted_without(indexes: Sequence[int]) -> bool:
        data = row.data
        for index in indexes:
            field = data.schema.field(index)
            data = data.set_column(index, field, pa.nulls(1, field.type))
        return _error_of(replace(row, data=data), attempt) is None

    if not suspects or not is_accepted_without(suspects):
        return None
    while len(suspects) > 1:
        halves = suspects[: len(suspects) // 2], suspects[len(suspects) // 2 :]
        accepted = [half for half in halves if is_accepted_without(half)]
        if len(accepted) != 1:
            return None
        (suspects,) = accepted
    return str(names[suspects[0]])
