# SPDX-License-Identifier: Apache-2.0
"""A page of a bulk read of which every value is proven to be the one that is stored.

The driver guesses the types of columns from values. Nothing of a page is used unless each value of it is what SQLite's
own cursor would have read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.parts import pc
from vdk.plugin.datasource_sql import Row
from vdk.plugin.datasource_sql.kinds import Kind, MisfitError

EXACT = 2.0**53
"""Beyond it, an integer that became a double may be another number."""


@dataclass(frozen=True, slots=True)
class ColumnProof:
    """How one column is proven.

    :param kind: how it lands.
    :param mixes: whether it may hold both integers and reals, which an array of doubles does not show.
    """

    kind: Kind
    mixes: bool = False

    def landed(self, values: pa.Array) -> pa.Array:
        """The array as it lands. Raises one of ``MISFIT_ERRORS``."""
        if values.null_count == len(values):
            return pa.nulls(len(values), self.kind.arrow)
        if self.mixes and pa.types.is_floating(values.type) and not pc.max(pc.abs(values)).as_py() < EXACT:
            raise MisfitError("integers beyond 2**53 may hide among doubles")
        return self.kind.landed(values)


class VerifiedPage:
    """A page of which every value is proven to be the one that is stored.

    :param batch: the columns as they were read: those of the query, ``misfit`` (1 where a value is of another type
        than its column's) and ``integers`` (bits: which of the mixed columns hold an integer; rows in the window only).
    :raises: one of ``MISFIT_ERRORS``, if a value may differ from the stored one.
    """

    def __init__(
        self, batch: pa.RecordBatch, columns: Sequence[ColumnProof], cursor_index: int, landing: pa.Schema
    ) -> None:
        self._batch, self._columns, self._cursor_index = batch, columns, cursor_index
        if pc.max(batch.column(len(columns))).as_py():
            raise MisfitError("a value is of another type than its column")
        batch.validate(full=True)  # text that is not UTF-8
        arrays = [column.landed(values) for column, values in zip(columns, batch.columns, strict=False)]
        self.table = pa.Table.from_arrays(arrays[: len(landing)], schema=landing)

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    @property
    def cursors(self) -> pa.Array:
        return self._batch.column(self._cursor_index)

    def value(self, row: int, column: int) -> Any:
        """One value as SQLite's own cursor reads it."""
        return self._batch.column(column)[row].as_py()

    def rows_from(self, window: Any) -> Iterator[Row]:
        """The rows whose cursor is at or above ``window``, as SQLite's own cursor reads them."""
        if pc.max(self.cursors).as_py() < window:
            return
        indexes = [index for index, cursor in enumerate(self.cursors.to_pylist()) if cursor >= window]
        in_window = self._batch.take(pa.array(indexes))
        mixed = [index for index, column in enumerate(self._columns) if column.mixes]
        for *row, _, integers in zip(*(column.to_pylist() for column in in_window.columns), strict=True):
            for bit, index in enumerate(mixed):
                if row[index] is not None:
                    row[index] = int(row[index]) if integers >> bit & 1 else float(row[index])
            yield tuple(row)
