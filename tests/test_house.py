"""The rules of the house can fail: each check sees what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from check_change import check_subjects
from check_sources import LICENCE_LINE, check_licence_lines, copies, private_imports, shared_names
from conftest import ROOT

BASE = "vdk.plugin.datasource_base"
PACKAGES = (BASE, "vdk.plugin.source_acme", "vdk.plugin.source_other")


@pytest.mark.parametrize(
    "line",
    [
        f"from {BASE}.parts.destination import Destination",
        f"from {BASE}.runtime.retry import Retry",
        f"import {BASE}.integration.console",
        "def late():\n    from vdk.plugin.source_other.config import Config",
    ],
)
def test_an_import_of_another_distributions_private_module_is_seen(line: str) -> None:
    """Wherever in the file it is."""
    (problem,) = private_imports(line, "vdk.plugin.source_acme", PACKAGES)
    assert "which is private; import from vdk.plugin." in problem


def test_public_modules_and_those_of_the_same_distribution_are_imported_freely() -> None:
    """A plugin imports the base's packages, other plugins' packages, and its own modules."""
    lines = [
        *(f"from {BASE}{part} import x" for part in ("", ".contract", ".parts", ".testing", ".testing.faults")),
        "from vdk.plugin.source_other import x",
        "from vdk.plugin.source_acme.config import x",
        "from vdk.plugin.source_acme_more import x",
        "from .config import x",
        "import json",
    ]
    assert list(private_imports("\n".join(lines), "vdk.plugin.source_acme", PACKAGES)) == []


def test_a_copy_of_what_the_base_shares_is_seen() -> None:
    """A redactor, a backoff or a quoting of names exists once."""
    assert {"Redactor", "Backoff", "did_you_mean", "quoted", "sync_folder", "exact_decimal"} <= set(shared_names())
    (problem,) = copies(
        "def quoted(name: str) -> str: ...\ndef unquoted(name: str) -> str: ...", shared_names(), PACKAGES[1]
    )
    assert problem == f"line 1 defines quoted, which exists in {BASE}.parts; import it"


def test_a_module_without_the_licence_line_is_seen_among_those_that_have_it() -> None:
    """Where none has it, the LICENSE of the distribution says it all."""
    with_line, without = ROOT / "tools" / "check_sources.py", Path(__file__)
    assert with_line.read_text("utf-8").startswith(LICENCE_LINE)
    (problem,) = check_licence_lines([with_line, without])
    assert problem == f"tests/test_house.py: its first line must be {LICENCE_LINE}"
    assert list(check_licence_lines([with_line])) == []
    assert list(check_licence_lines([without])) == []


def test_a_commit_subject_that_does_not_fit_a_line_is_seen() -> None:
    """72 characters, as git shows them in a log of 80 columns."""
    (problem,) = check_subjects([f"abc1234 {'x' * 73}", f"def5678 {'x' * 72}"])
    assert problem == "commit abc1234: the subject has 73 characters, at most 72 are allowed"
