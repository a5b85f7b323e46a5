# SPDX-License-Identifier: Apache-2.0
"""The lines about running streams: aligned in columns for a terminal, or as one text each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from .summary import StreamReport

MAX_LINES = 8
"""Streams that are shown at once on a terminal; a low terminal shows fewer."""
LOGGED_STREAMS = 5
"""Streams that a log line is written about at once."""
WINDOW_SECONDS = 60.0
"""The remaining time is estimated from the pace of this time."""
MIN_NAME = 8


class Remaining:
    """The time that streams take to their ends, by the pace of the last ``WINDOW_SECONDS``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[int, deque[tuple[float, float]]] = {}

    def seconds(self, report: StreamReport) -> float | None:
        """None: the stream does not know its end, or has not been read for long enough."""
        share = share_of(report)
        if share is None:
            self._seen.pop(id(report), None)
            return None
        now = self._clock()
        seen = self._seen.setdefault(id(report), deque([(report.started, 0.0)]))
        if share < seen[-1][1]:  # it is read again from its beginning
            seen.clear()
        if not seen or now - seen[-1][0] >= WINDOW_SECONDS / 60:
            seen.append((now, share))
        while len(seen) > 2 and now - seen[1][0] > WINDOW_SECONDS:
            seen.popleft()
        began, before = seen[0]
        if share - before < 0.005 or now - began < 1:
            return None
        return (1 - share) * (now - began) / (share - before)


def share_of(report: StreamReport) -> float | None:
    """The share of a stream that is read; a stream that is followed has no end."""
    return report.read_share.get() if "rounds" not in report.counters else None


def progress_line(report: StreamReport, remaining: float | None = None) -> str:
    """``shop.orders  45%  120,000 rows  61,000 rows/s  2.0 s  about 3 s left``.

    The percentage is shown if the stream knows its end. :param remaining: in seconds.
    """
    parts = [f"{report.source}.{report.stream}", percent(report), *_numbers(report)]
    if remaining is not None:
        parts.append(f"about {time_text(remaining)} left")
    return "  ".join(filter(None, parts))


def percent(report: StreamReport) -> str:
    """Rounded down, as 100% is all of it; but 0.2 / 1.0 may be a little less than 20."""
    share = share_of(report)
    return f"{int(share * 100 + 1e-6)}%" if share is not None else ""


def _numbers(report: StreamReport) -> list[str]:
    elapsed = report.seconds or time.monotonic() - report.started
    return [f"{report.rows_read:,} rows", f"{report.rate:,.0f} rows/s", f"{elapsed:.1f} s"]


def time_text(seconds: float) -> str:
    """``40 s``, ``3 min`` or ``2 h 5 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def busiest(reports: Sequence[StreamReport], before: dict[int, int], most: int) -> list[StreamReport]:
    """The streams with the most rows since ``before``, in the order in which they began; updates ``before``."""
    added = {id(report): report.rows_read - before.get(id(report), 0) for report in reports}
    before.update({id(report): report.rows_read for report in reports})
    chosen = sorted(reports, key=lambda report: -added[id(report)])[:most]
    return sorted(chosen, key=lambda report: report.started)


def block(
    reports: Sequence[StreamReport],
    remaining: Sequence[float | None],
    *,
    width: int,
    redact: Callable[[str], str],
) -> list[str]:
    """The streams in aligned columns, none wider than a terminal's ``width`` cells.

    Where the terminal is too narrow, the columns go from the right, and then the names are cut.
    """
    from rich.cells import cell_len

    columns: list[list[str]] = [[_printable(redact(f"{report.source}.{report.stream}")) for report in reports]]
    columns.append([percent(report) for report in reports])
    columns += map(list, zip(*map(_numbers, reports), strict=True))
    columns.append([f"about {time_text(left)} left" if left is not None else "" for left in remaining])
    shown = [column for column in columns[1:] if any(column)]
    widths = [max(map(len, column)) for column in shown]
    name_width = max(map(cell_len, columns[0]))
    while shown and sum(widths) + 2 * len(widths) + min(MIN_NAME, name_width) > width - 1:
        shown.pop()
        widths.pop()
    name_width = max(1, min(name_width, width - 1 - sum(widths) - 2 * len(widths)))
    return [
        "  ".join(
            (_fitted(name, name_width), *(column[row].rjust(size) for column, size in zip(shown, widths, strict=True)))
        ).rstrip()
        for row, name in enumerate(columns[0])
    ]


def _fitted(name: str, width: int) -> str:
    """A name of exactly so many cells; the end of a longer one is cut."""
    from rich.cells import cell_len, set_cell_size

    return set_cell_size(name, width) if cell_len(name) <= width else f"{set_cell_size(name, width - 1)}…"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def count_line(shown: int, running: int, ended: int, expected: int) -> str:
    """What the shown lines leave out; empty if that is nothing."""
    parts = [f"and {running - shown:,} more streams"] if running > shown else []
    if expected > max(1, running):
        parts.append(f"{ended:,} of {expected:,} streams have ended")
    return ", ".join(parts)
