"""The last row of every key: what an upsert may be given."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..contract import JSON_TYPE, BadRecordError
from ._rows import rows_of

Misfit = tuple[Mapping[str, Any], BadRecordError]
_POSITION = "_vdk_position"


def without_key(table: pa.Table, key: Sequence[str], *, stream: str) -> tuple[pa.Table, list[Misfit]]:
    """The rows that have a key, and the others with the reason for each.

    :raises BadRecordError: where a column of the key is missing altogether.
    """
    for name in key:
        if name not in table.schema.names:
            raise BadRecordError("the primary key's column is missing in the rows", stream=stream, column=name)
    lacking = [name for name in key if table.column(name).null_count]
    if not lacking:
        return table, []
    no_key = functools.reduce(pc.or_, [table.column(name).is_null() for name in lacking])
    misfits: list[Misfit] = []
    for row in rows_of(table.filter(no_key)):
        column = next(name for name in lacking if row[name] is None)
        reason = "the row has no value in a column of the primary key"
        error = BadRecordError(reason, stream=stream, column=column, key={name: row[name] for name in key})
        misfits.append((row, error))
    return table.filter(pc.invert(no_key)), misfits


def last_per_key(table: pa.Table, key: Sequence[str]) -> pa.Table:
    """The table with one row per key, the last; order is kept.

    DuckDB's ``ON CONFLICT`` keeps the first of two equal keys in one statement and ``MERGE`` inserts
    both, so this is done before any destination sees the rows.
    """
    if table.num_rows < 2 or (len(key) == 1 and _ascends(table.column(key[0]))):
        return table
    keys = _groupable(table.select(list(key))).append_column(_POSITION, pa.array(range(table.num_rows), pa.int64()))
    last = keys.group_by(list(key), use_threads=False).aggregate([(_POSITION, "max")])
    if last.num_rows == table.num_rows:
        return table
    positions = last.column(f"{_POSITION}_max")
    return table.take(positions.take(pc.sort_indices(positions)))


def _ascends(column: pa.ChunkedArray) -> bool:
    """Whether each value is greater than the one before, so that none is there twice: most tables come so."""
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_string(column.type)):
        return False
    values = column.combine_chunks()
    return bool(pc.all(pc.greater(values[1:], values[:-1])).as_py())


def _groupable(keys: pa.Table) -> pa.Table:
    """JSON as the text it is: Arrow groups by no extension type."""
    for index, one in enumerate(keys.schema):
        if one.type == JSON_TYPE:
            texts = [chunk.storage for chunk in keys.column(index).chunks]
            keys = keys.set_column(index, one.name, pa.chunked_array(texts, pa.string()))
    return keys
