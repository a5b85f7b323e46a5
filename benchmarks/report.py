"""What was measured, as a table for people, as JSON, and as a chart of letters."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from measure import Measured

MIB = 2**20


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
    """Something to reach: ``value`` at most (or, ``least``, at least) ``limit``."""

    text: str
    value: float
    limit: float
    least: bool = False

    @property
    def reached(self) -> bool:
        return self.value >= self.limit if self.least else self.value <= self.limit

    def line(self) -> str:
        sign = "≥" if self.least else "≤"
        return f"{'reached' if self.reached else 'MISSED '}  {self.text}: {self.value:,.3g} ({sign} {self.limit:,.3g})"


def as_text(comparison: Comparison) -> str:
    """The table, its targets and its chart."""
    base = comparison.of(comparison.base).wall
    heads = ["", "seconds", "min-max", "cpu s", "peak MB", "rows/s", "ratio", "runs", ""]
    rows = [_row(one, base) for one in comparison.measured]
    widths = [max(len(row[index]) for row in [heads, *rows]) for index in range(len(heads))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in [heads, *rows]]
    lines.insert(1, "  ".join("-" * width for width in widths).rstrip())
    told = [target.line() for target in comparison.targets]
    return "\n".join([comparison.title, "", *lines, "", *told, *comparison.chart]).rstrip() + "\n"


def _row(one: Measured, base: float) -> list[str]:
    walls = sorted(run.wall * one.scale for run in one.runs)
    return [
        one.name,
        f"{one.wall:,.2f}",
        f"{walls[0]:,.2f}-{walls[-1]:,.2f}",
        f"{one.cpu:,.2f}",
        f"{one.peak / MIB:,.0f}" if one.peak else "-",  # it was not measured
        f"{one.rows / one.wall:,.0f}" if one.rows else "",
        f"{one.wall / base:,.2f}",
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
    return {"system": platform.system(), "machine": platform.machine(), "cores": cores, "load": os.getloadavg()[0]}
