"""How a plugin lets the suite change the data that its source reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal


class StreamEditor(ABC):
    """Writes rows into one incremental stream's data, as the system that owns the data would.

    The suite knows rows by a *number*, which becomes the primary key, and their cursors by a *tick*: a step
    in the cursor's own unit, such as a second. Tick 1 is above every cursor that is there at first, and the
    first hundred thousand ticks are in the past. For a table of a database::

        class Orders(StreamEditor):
            stream = "orders"
            page_rows = 3
            null_cursor = "include"

            def write(self, numbers, tick):
                cursor = None if tick is None else f"{START + timedelta(seconds=tick):%Y-%m-%d %H:%M:%S}"
                execute("INSERT OR REPLACE INTO orders (id, updated_time) VALUES (?, ?)",
                        [(number, cursor) for number in numbers])
    """

    stream: str
    """The name of the stream."""
    page_rows: int
    """How many rows the source asks for at once; configure few, groups of ties are made larger than this."""
    number_column: str = "id"
    """The column that holds a row's number."""
    lookback: int = 0
    """How many ticks below the highest cursor a row may still appear and be found, by the source's documentation."""
    null_cursor: Literal["include", "exclude", "fail", "impossible"] = "impossible"
    """What becomes of rows without a cursor; ``impossible``: every row has one."""
    far_future: int | None = None
    """A tick that is years ahead of now; None: the cursor is no time, so that no value is too high."""

    NEW: ClassVar[int] = 1_000_000
    """Numbers from here on are not in the data at first."""

    @abstractmethod
    def write(self, numbers: Sequence[int], tick: int | None) -> None:
        """Insert the rows of these numbers with the cursor of ``tick``, or set the cursor of those there are.

        None: without a cursor. What is written is committed when this returns.
        """

    def number(self, row: Mapping[str, Any]) -> int:
        """The number that a row was written with."""
        return int(row[self.number_column])
