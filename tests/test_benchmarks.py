"""A failing contender of the benchmarks has its reason in the table, and the page around a table stays as it is."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from conftest import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import document
from measure import Contender, Measured, Run, measure
from report import Comparison, as_markdown, as_text

LIMIT = Contender("limit", [sys.executable, "-c", "print(1)"], rows=10)
FAILING = {
    "exit": (Contender("peer", [sys.executable, "-c", "raise SystemExit('no driver')"]), "failed: no driver"),
    "missing": (Contender("peer", ["/nowhere/peer"]), "could not be installed here"),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_contender_that_fails_has_its_reason_in_the_row(case: str) -> None:
    """And the others are measured."""
    failing, reason = FAILING[case]
    limit, peer = measured = measure([LIMIT, failing], runs=1)
    assert len(limit.runs) == 1
    assert math.isnan(peer.wall)
    comparison = Comparison("title", measured, "limit")
    assert reason in as_text(comparison)
    assert reason in as_markdown(comparison)


def test_only_what_is_beyond_the_start_is_multiplied() -> None:
    """A contender that reads a tenth of the rows starts once for all of them."""
    measured = Measured("peer", [Run(3.0, 2.0, 0)], scale=10, start=(1.0, 0.5))
    assert (measured.wall, measured.cpu) == (21.0, 15.5)


def test_a_table_is_replaced_between_its_markers(tmp_path: Path) -> None:
    """What is written by hand, and other tables, stay."""
    page = tmp_path / "page.md"
    page.write_text(
        "by hand\n<!-- begin one -->\nold\n<!-- end one -->\nalso\n<!-- begin two -->\nx\n<!-- end two -->\n"
    )
    comparison = Comparison("title", [Measured("limit", [Run(1.0, 1.0, 0)])], "limit")
    for _ in range(2):
        document.write(page, "one", [comparison], "about")
    text = page.read_text("utf-8")
    assert text.startswith("by hand\n<!-- begin one -->\n\n**title**\n")
    assert text.endswith("*about*\n\n<!-- end one -->\nalso\n<!-- begin two -->\nx\n<!-- end two -->\n")
    assert "old" not in text
    with pytest.raises(document.MarkerError, match="begin three"):
        document.write(page, "three", [comparison], "about")


def test_the_page_has_a_place_for_each_job() -> None:
    """Else a run ends before it has measured anything."""
    source = (ROOT / "benchmarks" / "__main__.py").read_text("utf-8")
    listed = source.partition("JOBS: dict[str, Job] = {\n")[2].partition("}")[0]
    jobs = [line.split('"')[1] for line in listed.splitlines()]
    assert len(jobs) > 10
    for job in jobs:
        document.around(ROOT / "docs" / "performance.md", job)
