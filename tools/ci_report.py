"""Reports whether a run of tox tested everything that it should, and counts the tests.

    python tools/ci_report.py RESULT.json REPORTS_FOLDER ENVIRONMENT...

tox ends with a green line even if environments were skipped. So this checks that each ENVIRONMENT
ran and succeeded, each with tests passed at least one, and every Python is among them. The last line is "N passed, N
failed".
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

PYTHONS = ("3.11", "3.12", "3.13")
WITHOUT_TESTS = re.compile(r"lint|types|dist-py\d+")


def main(result_file: str, reports: str, *environments: str) -> int:
    result = Path(result_file)
    ran = json.loads(result.read_text("utf-8")).get("testenvs", {}) if result.exists() else {}
    problems, total = [*missing_pythons(environments)], Counter[str]()
    for name in environments:
        # an environment that tests several distributions has a report for each
        counts = sum((count(file) for file in Path(reports).glob(f"{name}*.xml")), Counter[str]())
        total += counts
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


def count(report: Path) -> Counter[str]:
    """The outcomes in a report of pytest; a missing or truncated report has none."""
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return Counter()
    tests, failures, errors, skipped = (
        sum(int(suite.get(kind, 0)) for suite in suites) for kind in ("tests", "failures", "errors", "skipped")
    )
    bad = failures + errors
    return +Counter({"passed": tests - bad - skipped, "failed": bad, "skipped": skipped})


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
