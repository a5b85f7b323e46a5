"""A table as rows of Python's own values, which count time in microseconds only."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def rows_of(table: pa.Table, *, text: bool = False) -> list[dict[str, Any]]:
    """The table's rows. Times finer than a microsecond, which Python's types cannot hold, stay Arrow scalars.

    :param text: they become text instead: ISO 8601, and a number of nanoseconds for a duration.
    """
    columns = [values_of(column) for column in table.columns]
    if text:
        columns = [[scalar_text(one) if isinstance(one, pa.Scalar) else one for one in column] for column in columns]
    if not columns:
        return [{} for _ in range(table.num_rows)]
    return [dict(zip(table.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """The column's values; where one of its times is too fine for Python, all of them are scalars."""
    try:
        return list(column.to_pylist())
    except ValueError:  # nanoseconds
        return [_value(one) for one in column]


def scalar_text(value: pa.Scalar) -> str:
    """A time with all its digits; ``str`` would go through Python's types."""
    if pa.types.is_duration(value.type):
        return f"{value.cast(pa.int64()).as_py()} ns"
    if pa.types.is_timestamp(value.type) and value.type.tz is not None:
        value = value.cast(pa.timestamp("ns", tz="UTC"))  # whose name is Z; other zones lack the colon of ISO 8601
    return str(pc.cast(value, pa.string()).as_py()).replace(" ", "T")


def _value(one: pa.Scalar) -> Any:
    if not one.is_valid:
        return None
    if pa.types.is_struct(one.type):
        return {name: _value(inner) for name, inner in one.items()}
    if pa.types.is_map(one.type):
        return [tuple(_value(inner) for inner in entry.values()) for entry in one.values]
    if pa.types.is_nested(one.type):
        return [_value(inner) for inner in one]
    return one if pa.types.is_temporal(one.type) else one.as_py()
