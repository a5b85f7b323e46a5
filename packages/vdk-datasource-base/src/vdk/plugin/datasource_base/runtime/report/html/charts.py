# SPDX-License-Identifier: Apache-2.0
"""Charts of a report: SVG that is made here, shows without scripts, and takes its colours from the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..details import Point

MARKS = {"succeeded": "✓", "failed": "✕", "stopped": "■", "interrupted": "■", "running": "…", "killed": "✕"}
"""What shows how a run ended, besides its colour."""
Coordinates = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Bar:
    """A column of a chart. :param kind: its class in the style. :param title: what a pointer over it shows."""

    value: float
    kind: str
    title: str


def sparkline(points: Sequence[Point], *, width: int = 120, height: int = 22) -> str:
    """The rows read over time, without axes; empty without two points."""
    if len(points) < 2 or not points[-1].seconds:
        return ""
    line = _scaled([(0.0, 0.0), *((point.seconds, float(point.read)) for point in points)], 1, 2, width - 2, height - 4)
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="rows read over time"><path class="line" d="{_path(line)}"/></svg>'
    )


def rows_over_time(read: Coordinates, landed: Coordinates) -> str:
    """Two lines over a common time: rows read, and rows landed.

    :param read: (seconds, rows), in order.
    """
    width, height, left, bottom, top, right = 1040, 260, 84, 34, 12, 96
    most = max((rows for _, rows in (*read, *landed)), default=0.0)
    seconds = max((time for time, _ in (*read, *landed)), default=0.0)
    if not most or not seconds:
        return ""
    scale, span = nice_ceiling(most), seconds
    inner_width, inner_height = width - left - right, height - top - bottom
    parts = []
    for step in range(5):
        rows = scale * step / 4
        y = top + inner_height * (1 - step / 4)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{short(rows)}</text>')
    for time in time_ticks(span):
        x = left + inner_width * time / span
        anchor = "start" if time == 0 else "middle"
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{height - 8}" text-anchor="{anchor}">{_time(time, span)}</text>'
        )
    ends: list[float] = []
    for name, line in (("read", read), ("landed", landed)):
        scaled = [
            (left + inner_width * time / span, top + inner_height * (1 - rows / scale))
            for time, rows in _from_zero(line)
        ]
        parts.append(f'<path class="line {name}" d="{_path(scaled)}"/>')
        y = scaled[-1][1] + 4
        y += 18 if any(abs(y - other) < 18 for other in ends) else 0
        ends.append(y)
        parts.append(f'<text class="label {name}" x="{width - right + 6}" y="{y:.1f}">{name}</text>')
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="rows read and landed over time">{"".join(parts)}</svg>'
    )


def columns(bars: Sequence[Bar], *, label: str) -> str:
    """Columns from the oldest to the newest; one without a value is a line. What failed has a cross above it."""
    width, height, left, bottom, top = 1040, 190, 84, 8, 24
    scale = nice_ceiling(max((bar.value for bar in bars), default=0.0))
    inner_height = height - top - bottom
    step = (width - left) / max(len(bars), 12)
    parts = [
        f'<line class="grid" x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{short(scale * share)}</text>'
        for share in (0, 0.5, 1)
        for y in [top + inner_height * (1 - share)]
    ]
    for index, bar in enumerate(bars):
        tall = max(2.0, inner_height * bar.value / scale) if bar.value else 2.0
        x, y = left + index * step + step * 0.12, top + inner_height - tall
        parts.append(
            f'<g><title>{escape(bar.title)}</title><rect class="bar {escape(bar.kind)}" x="{x:.1f}" y="{y:.1f}" '
            f'width="{step * 0.76:.1f}" height="{tall:.1f}" rx="2"/>'
        )
        if bar.kind in ("failed", "killed", "stopped", "running"):
            parts.append(
                f'<text class="mark {bar.kind}" x="{x + step * 0.38:.1f}" y="{y - 5:.1f}" '
                f'text-anchor="middle">{MARKS[bar.kind]}</text>'
            )
        parts.append("</g>")
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def nice_ceiling(value: float) -> float:
    """The next of 1, 2, 2.5, 5 and 10 times a power of ten; at least 4, as ticks are whole rows."""
    if value <= 4:
        return 4.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if value <= factor * power)


def time_ticks(span: float) -> list[float]:
    """Three to six round times from 0 to a span, in seconds."""
    unit = 3600.0 if span >= 7200 else 60.0 if span >= 120 else 1.0
    rough = span / unit / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if rough <= factor * power) * unit
    return [step * index for index in range(math.floor(span / step * (1 + 1e-9)) + 1)]


def _time(seconds: float, span: float) -> str:
    if span >= 7200:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 60:.3g} min" if span >= 120 else f"{seconds:.3g} s"


def short(value: float) -> str:
    """``1.5M`` for a million and a half."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _from_zero(points: Coordinates) -> Coordinates:
    return [(0.0, 0.0), *points]


def _scaled(points: Coordinates, left: float, top: float, width: float, height: float) -> Coordinates:
    far, most = max(x for x, _ in points) or 1.0, max(y for _, y in points) or 1.0
    return [(left + width * x / far, top + height * (1 - y / most)) for x, y in points]


def _path(points: Coordinates) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
