# SPDX-License-Identifier: Apache-2.0
"""A table as rows of Python values, which hold times in microseconds only."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from .compute import pc


def rows_of(table: pa.Table, *, text: bool = False) -> list[dict[str, Any]]:
    """The rows of the table. Times finer than a microsecond, which Python cannot hold, stay Arrow scalars.

    :param text: these scalars become text instead: ISO 8601, and a number of nanoseconds for a duration.
    """
    columns = [values_of(column) for column in table.columns]
    if text:
        columns = [
            [scalar_text(value) if isinstance(value, pa.Scalar) else value for value in column] for column in columns
        ]
    if not columns:
        return [{} for _ in range(table.num_rows)]
    return [dict(zip(table.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """The values of the column; if one of its times is too fine for Python, all of them are scalars."""
    try:
        return list(column.to_pylist())
    except ValueError:  # nanoseconds
        return [_python_value(scalar) for scalar in column]


def scalar_text(value: pa.Scalar) -> str:
    """A time with all its digits; ``str`` would convert it to a Python type first."""
    if pa.types.is_duration(value.type):
        return f"{value.cast(pa.int64()).as_py()} ns"
    if pa.types.is_timestamp(value.type) and value.type.tz is not None:
        value = value.cast(pa.timestamp("ns", tz="UTC"))  # whose name is Z; other zones lack the colon of ISO 8601
    return str(pc.cast(value, pa.string()).as_py()).replace(" ", "T")


def _python_value(scalar: pa.Scalar) -> Any:
    if not scalar.is_valid:
        return None
    if pa.types.is_struct(scalar.type):
        return {name: _python_value(inner) for name, inner in scalar.items()}
    if pa.types.is_map(scalar.type):
        return [tuple(_python_value(inner) for inner in entry.values()) for entry in scalar.values]
    if pa.types.is_nested(scalar.type):
        return [_python_value(inner) for inner in scalar]
    return scalar if pa.types.is_temporal(scalar.type) else scalar.as_py()
