"""Reports whether a run of tox tested everything that it should, and counts the tests.

    python tools/ci_report.py RESULT.json REPORTS_FOLDER ENVIRONMENT...

tox ends with a green line even if environments were skipped. So this checks that each ENVIRONMENT
ran and succeeded, each with tests passed at least one, and every Python is among them. Tests that are marked ``heavy``
run on one Python: each line shows how many tests were left to it. The last line is "N passed, N failed".
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from run_tests import FULL

PYTHONS = ("3.11", "3.12", "3.13")
Outcomes = dict[tuple[str, str], str]
"""Class and name of a test -> "passed", "failed" or "skipped"."""
WITHOUT_TESTS = re.compile(r"lint|types|dist-py\d+")


def main(result_file: str, reports: str, *environments: str) -> int:
    result = Path(result_file)
    ran = json.loads(result.read_text("utf-8")).get("testenvs", {}) if result.exists() else {}
    outcomes = {file: read_report(file) for file in sorted(Path(reports).glob("*.xml"))}
    problems, total = [*missing_pythons(environments), *missing_full(environments)], Counter[str]()
    for name in environments:
        report = Path(reports) / f"{name}.xml"
        counts = Counter(outcomes.get(report, {}).values())
        total += counts
        if left := left_out(report, outcomes):
            counts[f"only on {FULL}"] = left
        own_problems = [*check(name, ran.get(name, {}), counts)]
        tests = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
        print(f"{name:20} {'; '.join(own_problems) or 'ok'}{f' ({tests})' if tests else ''}")
        problems += [f"{name}: {problem}" for problem in own_problems]
    print(f"{len(environments)} environments, {total['skipped']} tests skipped, {len(problems)} problems")
    print("\n".join(problems), end="\n" if problems else "")
    print(f"{total['passed']} passed, {total['failed']} failed")
    return 1 if problems or total["failed"] or not environments else 0


def missing_pythons(environments: tuple[str, ...]) -> Iterator[str]:
    for version in PYTHONS:
        if not any(name.endswith(f"-py{version.replace('.', '')}") for name in environments):
            yield f"no environment is for Python {version}"


def missing_full(environments: tuple[str, ...]) -> Iterator[str]:
    """The tests that other environments leave out are run by an environment of the list."""
    for name in environments:
        subject, _, python = name.partition("-")
        full = f"{subject}-{FULL}"
        if python and subject != "dist" and full not in environments:
            yield f"{name} leaves tests to {full}, which is not an environment"


def check(name: str, entry: dict[str, dict[str, object]], counts: Counter[str]) -> Iterator[str]:
    """The problems of an environment, given the entry of tox for it."""
    outcome = entry.get("result")
    if not outcome:
        yield "did not run"
    elif outcome.get("skipped"):
        yield "was skipped"
    elif not outcome.get("success"):
        yield f"failed with exit code {outcome.get('exit_code')}"
    if not WITHOUT_TESTS.fullmatch(name) and not counts["passed"]:
        yield "passed no test"


def left_out(report: Path, outcomes: dict[Path, Outcomes]) -> int:
    """How many tests of the Python that runs all of them are not in a report."""
    full = report.with_name(f"{report.stem.partition('-')[0]}-{FULL}.xml")
    return len(outcomes.get(full, {}).keys() - outcomes[report].keys()) if report in outcomes else 0


def read_report(report: Path) -> Outcomes:
    """The outcome of each test in a report of pytest; a missing or truncated report has none."""
    try:
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return {}
    return {(case.get("classname", ""), case.get("name", "")): outcome(case) for case in cases}


def outcome(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "passed" if case.find("skipped") is None else "skipped"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
