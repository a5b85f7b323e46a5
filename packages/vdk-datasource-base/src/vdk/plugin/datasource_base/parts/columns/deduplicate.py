# SPDX-License-Identifier: Apache-2.0
"""Rows and deletes of one table: the last operation of each key, and batches of several shapes joined in order."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ...contract import JSON_TYPE, BadRecordError
from ..destination import BatchKind
from .compute import pc
from .rows import rows_of

Misfit = tuple[Mapping[str, Any], BadRecordError]
MISMATCH = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)
"""Arrow raises one of these for tables whose columns have different types."""
_POSITION = "_vdk_position"


@dataclass(frozen=True, slots=True)
class Operations:
    """Rows, or the keys of deleted rows, of one shape.

    :param turns: an integer for each row, ascending: the order of the rows of several ``Operations``. Rows of the same
        turn are in the order of the ``Operations``.
    """

    kind: BatchKind
    data: pa.Table
    turns: pa.Array

    def take(self, positions: pa.Array) -> Operations:
        return replace(self, data=self.data.take(positions), turns=self.turns.take(positions))

    def slice(self, start: int, count: int) -> Operations:
        return replace(self, data=self.data.slice(start, count), turns=self.turns.slice(start, count))


def without_key(table: pa.Table, key: Sequence[str], *, stream: str) -> tuple[pa.Array | None, list[Misfit]]:
    """The positions of the rows with a key (None: all rows), and the other rows with the reason for each.

    :raises BadRecordError: if a column of the key is missing altogether.
    """
    for name in key:
        if name not in table.schema.names:
            raise BadRecordError("the column of the primary key is missing in the rows", stream=stream, column=name)
    nullable = [name for name in key if table.column(name).null_count]
    if not nullable:
        return None, []
    keyless = functools.reduce(pc.or_, [table.column(name).is_null() for name in nullable])
    misfits: list[Misfit] = []
    for row in rows_of(table.filter(keyless)):
        column = next(name for name in nullable if row[name] is None)
        reason = "the row has no value in a column of the primary key"
        error = BadRecordError(reason, stream=stream, column=column, key={name: row[name] for name in key})
        misfits.append((row, error))
    return pc.indices_nonzero(pc.invert(keyless)), misfits


def last_per_key(table: pa.Table, key: Sequence[str]) -> pa.Array | None:
    """The positions of the last row of each key, ascending; None: no key is repeated.

    In DuckDB ``ON CONFLICT`` keeps the first of two equal keys in one statement, and ``MERGE`` inserts
    both, so keys are made unique before any destination gets the rows.
    """
    if table.num_rows < 2 or any(_ascends(table.column(name)) for name in key):
        return None
    last = _last_positions(_groupable(table.select(list(key))))
    return None if len(last) == table.num_rows else last


def last_operations(
    parts: Sequence[Operations], key: Sequence[str], *, keep_deleted: bool = False
) -> list[Operations] | None:
    """The parts with the last operation of each key only, so that their order does not matter except as below.

    :param keep_deleted: keep the last row of a key that is deleted afterwards, for a soft delete: rows come first.
    :returns: rows, then deletes; None: the keys have different types, and cannot be compared.
    """
    if len(parts) == 1:
        last = last_per_key(parts[0].data, key)
        return [parts[0] if last is None else parts[0].take(last)]
    keys = [_groupable(part.data.select(list(key))) for part in parts]
    if any(not table.schema.equals(keys[0].schema) for table in keys):
        return None
    order = pc.sort_indices(_turns(parts))  # stable: the parts are in order
    ordered = pa.concat_tables(keys).take(order)
    is_row = pa.chunked_array([pa.repeat(part.kind == "rows", part.data.num_rows) for part in parts], pa.bool_())
    last = _last_positions(ordered)
    last_rows = last
    if keep_deleted:
        positions = pc.indices_nonzero(is_row.take(order))
        last_rows = positions.take(_last_positions(ordered.take(positions)))
    places = {"rows": _sorted(order.take(last_rows)), "deletes": _sorted(order.take(last))}
    reduced, start = [], 0
    for part in parts:
        reduced.append(_kept(part, start, places[part.kind]))
        start += part.data.num_rows
    return sorted(
        [new for old, new in zip(parts, reduced, strict=True) if new.data.num_rows or not old.data.num_rows],
        key=lambda part: part.kind != "rows",
    )


def joined(parts: Sequence[Operations]) -> Operations | None:
    """Rows of several shapes as one table, in order; a column that a part lacks is NULL in its rows.

    :returns: None if a column has two types.
    """
    if len(parts) == 1:
        return parts[0]
    try:
        data = pa.concat_tables([part.data for part in parts], promote_options="default")
    except MISMATCH:
        return None
    turns = _turns(parts)
    order = pc.sort_indices(turns)
    return Operations(parts[0].kind, data.take(order), turns.take(order))


def in_turns(parts: Sequence[Operations]) -> list[tuple[int, Operations]]:
    """The parts cut into pieces in the order of their turns, each with the number of its part."""
    cuts: list[tuple[int, int, int]] = []  # turn, part, position in it
    for number, part in enumerate(parts):
        previous = None
        for position, turn in enumerate(part.turns.to_pylist()):
            if turn != previous:
                cuts.append((turn, number, position))
                previous = turn
        if previous is None:
            cuts.append((-1, number, 0))  # without rows it stands for its columns
    pieces: list[tuple[int, int]] = []
    for _, number, position in sorted(cuts):
        if not pieces or pieces[-1][0] != number:
            pieces.append((number, position))
    ends = {number: parts[number].data.num_rows for number, _ in pieces}
    reversed_pieces = []
    for number, start in reversed(pieces):
        reversed_pieces.append((number, parts[number].slice(start, ends[number] - start)))
        ends[number] = start
    return reversed_pieces[::-1]


def _turns(parts: Sequence[Operations]) -> pa.Array:
    return pa.concat_arrays([part.turns for part in parts])


def _kept(part: Operations, start: int, places: pa.Array) -> Operations:
    """The rows of a part whose places are among ``places``; ``start``: the place of its first row."""
    end = start + part.data.num_rows
    inside = places.filter(pc.and_(pc.greater_equal(places, start), pc.less(places, end)))
    return part if len(inside) == part.data.num_rows else part.take(pc.subtract(inside, start))


def _last_positions(keys: pa.Table) -> pa.Array:
    """The last position of each distinct row of a table, ascending."""
    names = keys.schema.names
    # many times as fast as an array of Python's range
    positions = pc.indices_nonzero(pa.repeat(True, keys.num_rows))
    numbered = keys.append_column(_POSITION, positions)
    last = numbered.group_by(names, use_threads=False).aggregate([(_POSITION, "max")]).column(f"{_POSITION}_max")
    return _sorted(last.combine_chunks())


def _sorted(numbers: pa.Array) -> pa.Array:
    return numbers.take(pc.sort_indices(numbers))


def _ascends(column: pa.ChunkedArray) -> bool:
    """Whether each value is greater than the one before, and none is repeated, as in most tables."""
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_string(column.type)):
        return False
    values = column.combine_chunks()
    return bool(pc.all(pc.greater(values[1:], values[:-1])).as_py())


def _groupable(keys: pa.Table) -> pa.Table:
    """JSON columns as text: Arrow cannot group by an extension type."""
    for index, field in enumerate(keys.schema):
        if field.type == JSON_TYPE:
            texts = [chunk.storage for chunk in keys.column(index).chunks]
            keys = keys.set_column(index, field.name, pa.chunked_array(texts, pa.string()))
    return keys
