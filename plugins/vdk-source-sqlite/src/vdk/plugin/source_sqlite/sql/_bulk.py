"""Large spans of a table as Arrow, read by something faster than the driver's cursor.

Pages of Python values cost two microseconds a row, most of it under Python's lock. Whoever reads in bulk hands
over Arrow arrays, whose types are guessed from values or worse; nothing of a page is used unless every value of it is
proven to be what the slow way would have read. Otherwise the rest of the pass is read the slow way, from the last
row that was proven.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ._kinds import Kind, Unfit

if TYPE_CHECKING:
    from ._expression import Expression
    from ._session import Row, Session

WORTHWHILE_ROWS = 100_000
"""Rows of a table from which on it pays to start a process that reads in bulk."""
EXACT = 2.0**53


@dataclass(frozen=True, slots=True)
class Slot:
    """In a statement for the next page: the value that the last row of this page has in a column."""

    column: int


@dataclass(frozen=True, slots=True)
class BulkPass:
    """What to read.

    :param conditions: which rows; ``behind`` continues a page, with a ``Slot`` for each value of its last row.
    :param order: by what pages are cut; unique.
    :param after: the values to begin behind, one for each slot's column.
    :param limit: rows of a page, at most.
    :param window: rows whose cursor is at or above it are looked at singly; None: there are none.
    """

    conditions: Sequence[Expression]
    behind: Expression
    order: Sequence[Expression]
    after: dict[int, Any]
    limit: int
    window: Any


class Bulk(Protocol):
    """Reads passes of one table. Any trouble ends a pass early, and without an error: see ``Pages``."""

    def worthwhile(self, session: Session) -> bool:
        """Whether the table is large enough; makes ready what takes its time, if so."""

    def pages(self, wanted: BulkPass) -> Iterator[Proven | None]:
        """Pages in order; the last thing is None if no row is left behind them."""

    def close(self) -> None:
        """End what was begun; idempotent."""


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is proven.

    :param kind: as what it lands.
    :param mixes: whether integers and reals may be in it together, so that an array of doubles hides which is which.
    """

    kind: Kind
    mixes: bool = False

    def landed(self, found: pa.Array) -> pa.Array:
        """The array as it lands. Raises one of ``UNFIT``."""
        if found.null_count == len(found):
            return pa.nulls(len(found), self.kind.arrow)
        if self.mixes and pa.types.is_floating(found.type) and not pc.max(pc.abs(found)).as_py() < EXACT:
            raise Unfit("integers beyond 2**53 may hide among doubles")
        return self.kind.landed(found)


class Proven:
    """A page of which every value is proven to be as it was stored.

    :param batch: the columns as they were read: those of the query, ``misfit`` (1 where a value is of another type
        than its column's) and ``integers`` (bits: which of the mixed columns hold an integer; rows in the window only).
    :raises: one of ``UNFIT``, where a value may not be what it seems.
    """

    def __init__(self, batch: pa.RecordBatch, columns: Sequence[Column], cursor_index: int, landing: pa.Schema) -> None:
        self._batch, self._columns, self._cursor_index = batch, columns, cursor_index
        if pc.max(batch.column(len(columns))).as_py():
            raise Unfit("a value is of another type than its column")
        batch.validate(full=True)  # text that is no UTF-8
        arrays = [column.landed(found) for column, found in zip(columns, batch.columns, strict=False)]
        self.table = pa.Table.from_arrays(arrays[: len(landing)], schema=landing)

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    @property
    def cursors(self) -> pa.Array:
        return self._batch.column(self._cursor_index)

    def value(self, row: int, column: int) -> Any:
        """One value as the slow way reads it."""
        return self._batch.column(column)[row].as_py()

    def rows_from(self, window: Any) -> Iterator[Row]:
        """The rows whose cursor is at or above ``window``, as the slow way reads them."""
        if pc.max(self.cursors).as_py() < window:
            return
        wanted = [index for index, cursor in enumerate(self.cursors.to_pylist()) if cursor >= window]
        few = self._batch.take(pa.array(wanted))
        mixed = [index for index, one in enumerate(self._columns) if one.mixes]
        for *row, _, integers in zip(*(column.to_pylist() for column in few.columns), strict=True):
            for bit, at in enumerate(mixed):
                if row[at] is not None and integers >> bit & 1:
                    row[at] = int(row[at])
                elif row[at] is not None:
                    row[at] = float(row[at])
            yield tuple(row)
