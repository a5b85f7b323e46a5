# SPDX-License-Identifier: Apache-2.0
"""Copy encoding: Arrow columns in the binary form that PostgreSQL's COPY reads for the type that they land as."""

from __future__ import annotations

import pyarrow as pa

from vdk.plugin.datasource_base.parts import pc

from ..values import RefusedValueError, is_json, json_text

_FIRST = -210_866_803_200_000_000
"""Microseconds from 1970 back to 4714-11-24 BC, PostgreSQL's first day (MIN_TIMESTAMP in timestamp.h)."""
_JSONB_VERSION = b"\x01"
"""Precedes the text (``jsonb_recv`` in PostgreSQL's jsonb.c)."""


def encode_table(table: pa.Table) -> pa.Table:
    """A table for COPY.

    :raises RefusedValueError: for a time in nanoseconds that is not a whole number of microseconds.
    """
    names = table.schema.names
    return pa.table([_encode(table.column(name), name) for name in names], names=names)


def _encode(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    type_ = column.type
    if is_json(type_):
        return pc.binary_join_element_wise(_JSONB_VERSION, json_text(column).cast(pa.binary()), b"")
    if pa.types.is_time32(type_):
        return column.cast(pa.time64("us"))
    if pa.types.is_duration(type_) and type_.unit in ("s", "ms"):
        return _cast(column, pa.duration("us"), name)
    # The driver truncates nanoseconds silently.
    if pa.types.is_time64(type_) and type_.unit == "ns":
        return _microseconds(column, pa.time64("us"), name)
    if pa.types.is_timestamp(type_) and type_.unit == "ns":
        return _microseconds(column, pa.timestamp("us", type_.tz), name)
    if pa.types.is_timestamp(type_):
        column = _cast(column, pa.timestamp("us", type_.tz), name)
        first = pc.min(column.cast(pa.int64())).as_py()
        if first is not None and first < _FIRST:  # the driver fails without naming the reason
            raise RefusedValueError(f"column {name!r}: a time is before 4713 BC: correct it with a transform", name)
    return column


def _cast(column: pa.ChunkedArray, type_: pa.DataType, name: str) -> pa.ChunkedArray:
    try:
        return column.cast(type_)
    except pa.ArrowInvalid as error:
        raise RefusedValueError(f"column {name!r}: {error}: correct it with a transform", name) from error


def _microseconds(column: pa.ChunkedArray, type_: pa.DataType, name: str) -> pa.ChunkedArray:
    try:
        return column.cast(type_)
    except pa.ArrowInvalid:
        raise RefusedValueError(
            f"column {name!r}: a time is not a whole number of microseconds, as PostgreSQL needs it: round it to "
            "microseconds, or make it an integer of nanoseconds, with a transform",
            name,
        ) from None
