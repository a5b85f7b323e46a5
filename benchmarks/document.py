"""Writes what was measured between markers of a page, and leaves the rest of the page as it is.

Each job has a pair of markers: ``<!-- begin NAME -->`` and ``<!-- end NAME -->``, alone on their lines.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from report import Comparison, as_markdown


class MarkerError(Exception):
    """A page has not one pair of markers for a job."""


def write(page: Path, job: str, comparisons: Sequence[Comparison], about: str) -> None:
    """Replace what is between the job's markers. Raises ``MarkerError``."""
    before, after = around(page, job)
    parts = [*map(as_markdown, comparisons), f"*{about}*\n"]
    page.write_text("\n".join([before, *parts, after]), "utf-8")


def around(page: Path, job: str) -> tuple[str, str]:
    """The page up to the job's first marker and from its last, with both. Raises ``MarkerError``."""
    begin, end = f"<!-- begin {job} -->\n", f"<!-- end {job} -->\n"
    text = page.read_text("utf-8")
    if (text.count(begin), text.count(end)) != (1, 1) or text.index(begin) > text.index(end):
        raise MarkerError(f"{page}: expected a line {begin.strip()} and, after it, a line {end.strip()}")
    return text[: text.index(begin) + len(begin)], text[text.index(end) :]


def about(machine: Mapping[str, Any], versions: Mapping[str, str], *, rows: int, runs: int) -> str:
    """When, where and with what was measured, in one line."""
    where = f"{machine['cores']} cores, {machine['system']} {machine['machine']}, load {machine['load']:.1f}"
    what = ", ".join(f"{name} {version}" for name, version in sorted({**versions, "python": machine["python"]}.items()))
    date = dt.datetime.now(dt.UTC).date()
    return f"{date}; {where}; medians of {runs} runs where a row has no other number, {rows:,} rows; {what}."
