"""Windows of a history: where each begins and ends, in units that the API's parameters can express."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .cursors import Cursor

_HALF_A_DAY = 12 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of time that is asked for by itself. All values are microseconds since 1970 for times.

    :param start: None: from the first record on.
    :param end: where the next window starts.
    :param until: the value for ``end_param``.
    :param last: it ends at the present.
    """

    start: Any
    end: int
    until: int
    last: bool


def windows(cursor: Cursor, start: Any, like: Any, now: int) -> Iterator[Window]:
    """Windows from ``start`` to ``now``; without ``step`` there is one.

    :param like: a value in the style that the parameters are written in.
    """
    step = cursor.config.step
    while step is not None and (end := _end(cursor, start, step, like, now)) < now:
        whole_days = cursor.as_written(end + _HALF_A_DAY, like) == end
        inclusive = cursor.config.step_end == "inclusive" and whole_days
        # Times share their boundary in any case: between the last second of a window and the next one
        # there may be a record, and repeats are recognised.
        yield Window(start, end, end - 1 if inclusive else end, last=False)
        start = end
    present = now if start is None or not cursor.is_time else max(now, start)
    yield Window(start, present, present, last=True)


def _end(cursor: Cursor, start: int, step: dt.timedelta, like: Any, now: int) -> int:
    """The end of a window that begins at ``start``, as the parameter states it.

    A parameter that is written as a day states no hours: the window is longer then, or reading would not move on.
    """
    while True:
        if start + step // dt.timedelta(microseconds=1) >= now:
            return now
        end = cursor.as_written(cursor.later(start, step), like)
        if end > start:
            return end
        step *= 2
