"""The last row of every key: what an upsert may be given."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ..contract import BadRecordError

_POSITION = "_vdk_position"


def check_key(table: pa.Table, key: Sequence[str], *, stream: str) -> None:
    """Refuse a table in which a key column is missing or NULL."""
    for name in key:
        if name not in table.schema.names:
            raise BadRecordError("the primary key's column is missing in the rows", stream=stream, column=name)
        nulls = table.column(name).null_count
        if nulls:
            where = pc.index(table.column(name).is_null(), True).as_py()
            row = {one: table.column(one)[where].as_py() for one in key}
            raise BadRecordError(
                f"{nulls} rows have no value in a column of the primary key", stream=stream, column=name, key=row
            )


def last_per_key(table: pa.Table, key: Sequence[str]) -> pa.Table:
    """The table with one row per key, the last; order is kept.

    DuckDB's ``ON CONFLICT`` keeps the first of two equal keys in one statement and ``MERGE`` inserts
    both, so this is done before any destination sees the rows.
    """
    if table.num_rows < 2:
        return table
    keys = table.select(list(key)).append_column(_POSITION, pa.array(range(table.num_rows), pa.int64()))
    last = keys.group_by(list(key), use_threads=False).aggregate([(_POSITION, "max")])
    if last.num_rows == table.num_rows:
        return table
    positions = last.column(f"{_POSITION}_max")
    return table.take(positions.take(pc.sort_indices(positions)))
