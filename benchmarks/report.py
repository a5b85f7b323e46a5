"""What was measured, as a table for people, as JSON, and as a chart of letters."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from measure import Measured

MIB = 2**20
OURS = "vdk datasource run"
"""How the names of our contenders begin, which are bold on a page."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Contenders that did the same job, side by side in one run.

    :param base: the name of the contender that the others are divided by.
    :param targets: sentences that say what was to be reached, and whether it was.
    :param chart: further lines, printed below the table.
    """

    title: str
    measured: Sequence[Measured]
    base: str
    targets: Sequence[Target] = field(default_factory=tuple)
    chart: Sequence[str] = field(default_factory=tuple)

    def of(self, name: str) -> Measured:
        return next(one for one in self.measured if one.name == name)


@dataclass(frozen=True, slots=True)
class Target:
    """Something to reach: ``value`` at most (or, ``least``, at least) ``limit``. No value if a contender failed."""

    text: str
    value: float
    limit: float
    least: bool = False

    @property
    def reached(self) -> bool:
        return self.value >= self.limit if self.least else self.value <= self.limit

    def line(self) -> str:
        sign = "≥" if self.least else "≤"
        result = "no value" if math.isnan(self.value) else "reached" if self.reached else "MISSED"
        return f"{result}: {self.text}: {self.value:,.3g} ({sign} {self.limit:,.3g})"


def ahead(measured: Sequence[Measured], we: Measured) -> Target:
    """Whether ours takes less time than each peer that ran, which is neither a limit nor another way of ours."""
    ours_or_limit = [each for each in measured if each.name.startswith(OURS) or "(limit" in each.name]
    peers = [each for each in measured if each.runs and each not in ours_or_limit]
    if not peers:
        return Target("share of the fastest peer, of which none ran", math.nan, 1.0)
    fastest = min(peers, key=lambda each: each.wall)
    return Target(f"share of the fastest peer ({fastest.name})", we.wall / fastest.wall, 1.0)


def beside_limit(
    title: str, measured: Sequence[Measured], limit: str, *, times: tuple[str, float], megabytes: float
) -> Comparison:
    """Ours beside a limit and the peers.

    :param times: what the times of the limit are called, and how many are allowed. :param megabytes: allowed at most.
    """
    comparison = Comparison(title, measured, limit)
    least, we = comparison.of(limit), comparison.of(OURS)
    targets = [
        Target(times[0], we.wall / least.wall, times[1]),
        Target("peak MB, all processes", we.peak / MIB, megabytes),
        ahead(measured, we),
    ]
    return Comparison(title, measured, limit, targets)


def slope(fewer: tuple[Measured, Measured], more: tuple[Measured, Measured]) -> tuple[float, float]:
    """What further rows take of ours, the first of each pair, divided by what they take of the second.

    As seconds, and as processor seconds.
    """
    (ours, limit), (ours_later, limit_later) = fewer, more
    return (
        (ours_later.wall - ours.wall) / (limit_later.wall - limit.wall),
        (ours_later.cpu - ours.cpu) / (limit_later.cpu - limit.cpu),
    )


HEADS = ("", "seconds", "min-max", "cpu s", "peak MB", "rows/s", "ratio", "cpu ratio", "runs", "")


def as_text(comparison: Comparison) -> str:
    """The table, its targets and its chart, for a terminal."""
    rows = _rows(comparison)
    widths = [max(len(row[index]) for row in [HEADS, *rows]) for index in range(len(HEADS))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in [HEADS, *rows]]
    lines.insert(1, "  ".join("-" * width for width in widths).rstrip())
    results = [target.line() for target in comparison.targets]
    return "\n".join([comparison.title, "", *lines, "", *results, *comparison.chart]).rstrip() + "\n"


def as_markdown(comparison: Comparison) -> str:
    """The table and its targets, for a page."""
    rows = [HEADS, ("---",) * len(HEADS), *_rows(comparison)]
    rows = [(f"**{row[0]}**", *row[1:]) if row[0].startswith(OURS) else row for row in rows]
    lines = [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    results = [f"- {target.line()}" for target in comparison.targets]
    return "\n".join([f"**{comparison.title}**", "", *lines, "", *results]).rstrip() + "\n"


def _rows(comparison: Comparison) -> list[list[str]]:
    base = comparison.of(comparison.base)
    return [_row(each, base) for each in comparison.measured]


def _row(one: Measured, base: Measured) -> list[str]:
    if not one.runs:
        return [one.name, *[""] * (len(HEADS) - 2), one.note]
    walls = sorted(one.walls)
    return [
        one.name,
        f"{one.wall:,.2f}",
        f"{walls[0]:,.2f}-{walls[-1]:,.2f}",
        f"{one.cpu:,.2f}",
        f"{one.peak / MIB:,.0f}" if one.peak else "",
        f"{one.rows / one.wall:,.0f}" if one.rows else "",
        f"{one.wall / base.wall:,.2f}",
        f"{one.cpu / base.cpu:,.2f}" if base.cpu else "",
        str(len(one.runs)),
        one.note,
    ]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    last = len(row) - 1
    return [
        text.ljust(width) if at in (0, last) else text.rjust(width)
        for at, (text, width) in enumerate(zip(row, widths, strict=True))
    ]


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Medians, every run, ratios and targets."""
    base = comparison.of(comparison.base).wall
    return {
        "title": comparison.title,
        "base": comparison.base,
        "contenders": [
            {
                "name": one.name,
                "seconds": one.wall,
                "cpu_seconds": one.cpu,
                "peak_bytes": one.peak,
                "rows": one.rows,
                "ratio": one.wall / base,
                "start": one.start,
                "scale": one.scale,
                "note": one.note,
                "runs": [{"seconds": run.wall, "cpu_seconds": run.cpu, "peak_bytes": run.peak} for run in one.runs],
            }
            for one in comparison.measured
        ],
        "targets": [
            {"text": target.text, "value": target.value, "limit": target.limit, "reached": target.reached}
            for target in comparison.targets
        ],
    }


def bars(points: Sequence[tuple[str, float]], *, unit: str, width: int = 50) -> list[str]:
    """A chart: one bar of letters for each point, scaled to the largest."""
    largest = max(value for _, value in points) or 1.0
    names = max(len(name) for name, _ in points)
    return [
        f"{name:>{names}}  {'█' * max(1, round(width * value / largest))} {value:,.2f} {unit}" for name, value in points
    ]


def machine() -> dict[str, Any]:
    """What it was measured on."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 0
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": cores,
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }
