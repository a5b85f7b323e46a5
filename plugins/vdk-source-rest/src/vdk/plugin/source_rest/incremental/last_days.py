# SPDX-License-Identifier: Apache-2.0
"""Whether an API includes the last day of each window, as the configuration declares."""

from __future__ import annotations

from typing import Any

from ..config import StreamConfig
from .cursors import DAY, Cursor, Window

_SUSPICIOUS_WINDOWS = 3
"""Windows without their last day that are not a coincidence."""


class LastDays:
    """Whether ``step_end = "inclusive"`` fits the API: one that excludes the day of ``end_param`` never returns it.

    The sign is records on the day before the last one in several windows, and on the last day in none. Windows of one
    day are all empty then; they count only if the stream is one partition, since one of several may have no records.
    """

    def __init__(self, cursor: Cursor, *, is_only_partition: bool) -> None:
        self._cursor = cursor
        self._is_only_partition = is_only_partition
        self._any_on_last_day = False
        self.ended_early = 0
        """Windows whose records end a day before the window does."""

    def add(self, window: Window, highest: Any) -> None:
        """:param highest: the highest value of the window; None: it has no record."""
        if window.last_day is None:
            return
        if highest is None:
            self.ended_early += self._is_only_partition and window.start >= window.last_day
        elif highest >= window.last_day:
            self._any_on_last_day = True
        else:
            self.ended_early += highest >= self._cursor.later(window.last_day, -DAY)

    @property
    def are_missing(self) -> bool:
        return self.ended_early >= _SUSPICIOUS_WINDOWS and not self._any_on_last_day


def last_days_warning(stream: StreamConfig, count: int) -> str:
    assert stream.cursor is not None
    return (
        f"stream {stream.name!r}: {count} windows have no record on their last day. If the API excludes the day of "
        f'{stream.cursor.end_param!r}, cursor.step_end = "inclusive" loses that day of each window: set '
        'cursor.step_end = "shared" and reset the state of the stream (`vdk datasource state reset FLOW`)'
    )
