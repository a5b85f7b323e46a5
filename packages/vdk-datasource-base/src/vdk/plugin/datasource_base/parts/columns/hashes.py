# SPDX-License-Identifier: Apache-2.0
"""A hash of each row, and of a set of rows in any order."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import blake2b

import pyarrow as pa

from ...contract import JSON_TYPE
from .compute import pc
from .types import normalize_types

_SEPARATOR = "\x1f"
_NULL = "\x00"
_BITS = 64


def row_hashes(table: pa.Table) -> list[int]:
    """64 bits, with a sign, over all values of each row; names and types of columns do not count."""
    table = normalize_types(table)
    if not table.num_columns:
        return [0] * table.num_rows
    texts = [row_texts(column) for column in table.columns]
    joined = pc.binary_join_element_wise(
        *texts, pa.scalar(_SEPARATOR.encode(), pa.large_binary()), null_handling="replace", null_replacement=_NULL
    )
    values = joined.to_pylist()
    digests = b"".join([blake2b(value, digest_size=_BITS // 8).digest() for value in values])
    return list(struct.unpack(f">{len(values)}q", digests))


def row_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a column as bytes that differ if the values do, each with its length; NULL stays NULL."""
    if column.type == JSON_TYPE:
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], pa.string())
    elif pa.types.is_floating(column.type):
        # -0.0 equals 0.0 in every database, and every NaN another one
        column = pc.if_else(pc.equal(column, 0.0), pa.scalar(0.0, column.type), column)
    elif not (pa.types.is_string(column.type) or pa.types.is_binary(column.type)):
        column = _as_text(column)
    if pa.types.is_floating(column.type):
        column = column.cast(pa.string())
    binary = column.cast(pa.binary()).cast(pa.large_binary())
    # with its length, no value contains a separator
    lengths = pc.binary_length(binary).cast(pa.string()).cast(pa.binary()).cast(pa.large_binary())
    return pc.binary_join_element_wise(lengths, binary, pa.scalar(b":", pa.large_binary()))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # such as times with a zone that is not installed
        return pa.chunked_array([pa.array([None if v is None else repr(v) for v in column.to_pylist()], pa.string())])


def added(total: int, hashes: Iterable[int]) -> int:
    """A hash of a set of rows with these rows added, whatever their order."""
    return int((total + sum(hashes)) % 2**_BITS)
