"""Arrow columns in the plain form of their type: what every target understands, and no value changed."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import to_json
from vdk.plugin.datasource_base.parts.infer import is_valid_json

LARGE_VALUE = 64 * 1024
"""Bytes above which copies of a value matter."""


class UnfitValueError(DestinationError):
    """A value that the target does not take, wherever that turned out: its row is refused, others may land.

    :param column: the column, where it is known.
    """

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.column = column


def plain_table(table: pa.Table, label: str) -> pa.Table:
    """The same values in plain types: decoded dictionaries, ``string`` for its large and view forms, and so on.

    Types that hold more than a database's do are brought to the database's where every value fits: decimals of
    256 bits to 38 digits (else text), zoned times in nanoseconds to microseconds (else they stay).

    :param label: the table's name, for errors.
    :raises UnfitValueError: for a duration that is no whole number of microseconds, and a time that is none of a day.
    """
    names = table.schema.names
    columns = [_checked(table.column(i), names[i], label) for i in range(len(names))]
    if all(new is old for new, old in zip(columns, table.columns, strict=True)):
        return table
    fields = [pa.field(name, column.type) for name, column in zip(names, columns, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _checked(column: pa.ChunkedArray, name: str, label: str) -> pa.ChunkedArray:
    where = f"table {label!r}, column {name!r}"
    try:
        column = _plain(column, where)
    except UnfitValueError as error:
        raise UnfitValueError(str(error), name) from error
    except pa.ArrowInvalid as error:
        raise UnfitValueError(f"{where}: {error}", name) from error
    if pa.types.is_time(column.type) and not _within_a_day(column):
        raise UnfitValueError(
            f"{where}: a time of a day is before 00:00 or after 24:00: correct it with a transform", name
        )
    return column


def _within_a_day(column: pa.ChunkedArray) -> bool:
    bounds = pc.min_max(column.cast(pa.int32() if pa.types.is_time32(column.type) else pa.int64())).as_py()
    day = 86_400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    return bounds["min"] is None or (bounds["min"] >= 0 and bounds["max"] <= day)


def plain_type(type_: pa.DataType) -> pa.DataType:
    """What ``plain_table`` makes of an empty column of this type."""
    return _plain(pa.chunked_array([], type_), "").type


def is_json(type_: pa.DataType) -> bool:
    """Whether it is Arrow's canonical JSON type, over whichever form of text."""
    return isinstance(type_, pa.JsonType)


def is_checked_json(column: pa.ChunkedArray) -> bool:
    """Whether a column is JSON of large values, all of which are valid. A database that parses them again, to check
    them, holds several copies of each; for small ones its own check is quicker.
    """
    if not is_json(column.type) or column.nbytes <= len(column) * LARGE_VALUE:
        return False
    texts = (text for chunk in column.chunks for text in chunk.storage if text.is_valid)
    return all(is_valid_json(memoryview(text.as_buffer())) for text in texts)


def json_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A JSON column's text, or nested values as JSON text."""
    if is_json(column.type):
        chunks = [chunk.storage.cast(pa.string()) for chunk in column.chunks]
        return pa.chunked_array(chunks, pa.string())
    texts = [None if value is None else to_json(value) for value in column.to_pylist(maps_as_pydicts="strict")]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _plain(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    type_ = column.type
    if is_json(type_) or isinstance(type_, pa.UuidType):
        return column
    if isinstance(type_, pa.BaseExtensionType):
        storage = pa.chunked_array([chunk.storage for chunk in column.chunks], type_.storage_type)
        return _plain(storage.cast(pa.bool_()) if isinstance(type_, pa.Bool8Type) else storage, where)
    if pa.types.is_dictionary(type_):
        return _plain(column.cast(type_.value_type), where)
    if pa.types.is_run_end_encoded(type_):
        chunks = [pc.run_end_decode(chunk) for chunk in column.chunks]
        return _plain(pa.chunked_array(chunks, type_.value_type), where)
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return column.cast(pa.string())
    if pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_) or pa.types.is_binary_view(type_):
        return column.cast(pa.binary())
    if pa.types.is_float16(type_):
        return column.cast(pa.float32())
    if pa.types.is_date64(type_):
        return column.cast(pa.date32())
    if pa.types.is_decimal(type_):
        return _plain_decimal(column)
    if type_ == pa.month_day_nano_interval() or (pa.types.is_duration(type_) and type_.unit == "ns"):
        return _whole_microseconds(column, where)
    if pa.types.is_timestamp(type_) and type_.tz is not None and type_.unit == "ns":
        try:
            return column.cast(pa.timestamp("us", type_.tz))
        except pa.ArrowInvalid:
            return column
    return column


def _plain_decimal(column: pa.ChunkedArray) -> pa.ChunkedArray:
    type_ = column.type
    scale = max(type_.scale, 0)
    digits = type_.precision - type_.scale + scale
    if digits <= 38 and scale <= digits:
        wanted = pa.decimal128(digits, scale)
        return column if type_ == wanted else column.cast(wanted)
    return column.cast(pa.string())


def _whole_microseconds(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    """Databases keep intervals in microseconds; DuckDB drops the rest of finer ones without a word."""
    if pa.types.is_duration(column.type):
        try:
            return column.cast(pa.duration("us"))
        except pa.ArrowInvalid:
            fits = False
    else:
        fits = all(value is None or value.nanoseconds % 1000 == 0 for value in column.to_pylist())
    if not fits:
        raise UnfitValueError(
            f"{where}: a duration that is no whole number of microseconds cannot be kept: bring it to microseconds, or "
            "to an integer of nanoseconds, with a transform"
        )
    return column
