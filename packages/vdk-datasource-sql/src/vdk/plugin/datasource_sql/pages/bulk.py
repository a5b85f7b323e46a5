# SPDX-License-Identifier: Apache-2.0
"""Large spans of a table as Arrow, read by something faster than the driver's cursor.

A page of Python values costs two microseconds a row, most of it under Python's lock. A bulk reader yields Arrow, and
only pages of which every value is what the driver's cursor would have read. If it stops early, the rest of the pass is
read by the cursor, from the last row that it yielded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from ..expressions import Condition, Expression
from ..session import Row, SqlSession

MIN_BULK_ROWS = 100_000
"""From this many rows on, a bulk reader is worth its start."""


@dataclass(frozen=True, slots=True)
class BulkPass:
    """What to read.

    :param conditions: which rows.
    :param next_page: the condition that continues a page, with a ``last_row`` for each value of its last row.
    :param order: what pages are ordered by; unique.
    :param start: the values to begin after, one for each ``last_row``.
    :param limit: rows of a page, at most.
    :param window: rows whose cursor is at or above it are looked at one by one; None: there are none.
    """

    conditions: Sequence[Condition]
    next_page: Expression
    order: Sequence[Expression]
    start: dict[int, Any]
    limit: int
    window: Any


class ArrowRows(Protocol):
    """A page as Arrow."""

    table: pa.Table
    """The columns that land."""

    @property
    def cursors(self) -> pa.Array:
        """The cursor of each row."""

    def value(self, row: int, column: int) -> Any:
        """One value as the driver's cursor reads it."""

    def rows_from(self, window: Any) -> Iterator[Row]:
        """The rows whose cursor is at or above ``window``, as the driver's cursor reads them."""


class BulkReader(Protocol):
    """Reads passes of one table. A failure ends a pass early and is not raised."""

    def should_use(self, session: SqlSession) -> bool:
        """Whether the table is large enough; starts what takes time to start, if so."""

    def pages(self, bulk_pass: BulkPass) -> Iterator[ArrowRows | list[Row] | None]:
        """Pages in order, as rows where a value does not land; None at the end if no row is left after them."""

    def close(self) -> None:
        """End what was started; idempotent."""
