"""Every check of the conformance suite can fail: each catches a source with the mistake that it is about."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import broken_configuration
import broken_incremental
import broken_journal
import broken_lifecycle
import broken_reading
import broken_remote
import broken_reruns
import broken_rows
import broken_states
from broken import BROKEN
from conformance_cases import JournalCase, LinesCase, ShopCase, SplitCase, SweptCase
from reference_lines import LinesSource
from vdk.plugin.datasource_base.testing.conformance.base import checks_of, reason_of

pytestmark = pytest.mark.heavy

CASES: tuple[type, ...] = (ShopCase, LinesCase, JournalCase, SweptCase, SplitCase)
CHECKS = {name: check for case in CASES for name, check in checks_of(case).items()}
MODULES = (
    broken_configuration,
    broken_lifecycle,
    broken_rows,
    broken_states,
    broken_reruns,
    broken_reading,
    broken_incremental,
    broken_journal,
    broken_remote,
)
DOCS = Path(__file__).parents[3] / "docs" / "conformance.md"
FILE = "from test_conformance_catches import classes\n\nglobals().update(classes(__name__))\n"


def classes(module: str) -> dict[str, type]:
    """A test class for each broken source, named after the check that must catch it."""
    cases: dict[str, type] = {}
    for check, source in BROKEN.items():
        case = next(base for base in CASES if check in checks_of(base))
        part = "lines" if issubclass(source, LinesSource) else "shop"
        name = f"Test_{check}"
        cases[name] = type(name, (case,), {part: source, "__module__": module})
    return cases


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """The outcome and the report of each check with its broken source, run by pytest in a child process."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "test_broken.py").write_text(FILE)
    names = [f"test_broken.py::Test_{check}::{check}" for check in sorted(BROKEN)]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "-q",
        "-p",
        "no:cacheprovider",
        "--junitxml=report.xml",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [*command, *names], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    return {case.get("name", ""): _outcome(case) for case in ElementTree.parse(folder / "report.xml").iter("testcase")}


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    first = next(iter(case), None)
    return ("passed", "") if first is None else (first.tag, first.get("message", "") + "\n" + (first.text or ""))


def test_every_check_has_a_broken_source() -> None:
    """A check that never failed may be unable to fail."""
    assert set(CHECKS) == set(BROKEN)


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_the_check_catches_its_broken_source(check: str, outcomes: dict[str, tuple[str, str]]) -> None:
    """The check itself fails, rather than with an error, and says in one sentence what to do."""
    outcome, report = outcomes[check]
    assert outcome == "failure", report or "it passed"
    assert re.match(r"(AssertionError|Failed): \S.*(: | must )", report), report


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_the_check_is_explained(check: str) -> None:
    """Its name is a sentence, and its docstring gives the reason."""
    reason = reason_of(CHECKS[check])
    assert len(check.split("_")) >= 4
    assert reason.endswith(".")
    assert "\n" not in reason


@pytest.mark.skipif(not DOCS.exists(), reason="the docs are in the repository, not in a distribution")
def test_the_documentation_has_every_check() -> None:
    """The page has each check once, and no other."""
    named = re.findall(r"^\| `(test_\w+)` \| \S.*\.? \| \S.* \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(CHECKS)
