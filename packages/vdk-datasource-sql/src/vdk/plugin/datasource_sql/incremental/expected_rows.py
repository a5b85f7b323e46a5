# SPDX-License-Identifier: Apache-2.0
"""Which rows a read up to a given end may deliver near that end: those that were there when the end was taken.

A row that is committed later, with a cursor of which the end remembers the rows, is not among its hashes. The next read
delivers it, so this one must not.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from ..cursors.formats import CursorFormat
from ..pages.bulk import ArrowRows
from ..plans.planning import TablePlan
from ..session import Row
from .bounds import window_start
from .seen_rows import SeenRows
from .state import StreamProgress


class ExpectedRows:
    """The rows that an end remembers, each of which is admitted once, and all rows below its window.

    :param rows: of the end. They are consumed.
    :param window: the lowest cursor whose rows the end remembers; None: it remembers rows without a cursor alone.
    """

    def __init__(self, rows: SeenRows, window: Any) -> None:
        self._rows, self.window = rows, window

    @classmethod
    def of(
        cls, end: StreamProgress, plan: TablePlan, cursor_format: CursorFormat | None, shape: str
    ) -> ExpectedRows | None:
        """None if the end does not know its rows one by one, or by other columns. Then some near the end may be
        delivered again by the next read, but none is lost.

        :param shape: see ``shape_of``.
        """
        if end.rows.is_summed or end.rows.shape != shape:
            return None
        if end.high is None:
            return cls(end.rows.copy(), None)
        return None if cursor_format is None else cls(end.rows.copy(), window_start(plan, cursor_format, end.high))

    def copy(self) -> ExpectedRows:
        return ExpectedRows(self._rows.copy(), self.window)

    @property
    def size(self) -> int:
        return self._rows.size

    def admits(self, row: Row, cursor: Any) -> bool:
        is_below = cursor is not None and (self.window is None or cursor < self.window)
        return is_below or self._rows.consume(self._rows.hash(row))

    def of_page(self, page: ArrowRows, cursor_index: int) -> tuple[pa.Table, Counter[int]]:
        """The rows of a page that are admitted, usually all, and the hashes of the others."""
        late: Counter[int] = Counter()
        if self.window is None:
            return page.table, late
        admitted = []
        for row in page.rows_from(self.window):
            digest = self._rows.hash(row)
            admitted.append(self._rows.consume(digest))
            late[digest] += not admitted[-1]
        if all(admitted):
            return page.table, late
        near_end = iter(admitted)
        cursors = (page.value(number, cursor_index) for number in range(page.table.num_rows))
        return page.table.filter(pa.array([cursor < self.window or next(near_end) for cursor in cursors])), late
