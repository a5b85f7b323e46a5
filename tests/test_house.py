"""The rules of the house can fail: each check sees what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from check_architecture import edges, listed_edges, missing_modules, outdated, unlisted
from check_change import check_subjects
from check_sources import LICENCE_LINE, check_licence_lines, copies, private_imports, shared_names
from check_words import names_in, phrases_in
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


TABLE = """
| folder of a plugin | what it contains | may import |
|---|---|---|
| `source_a` | everything | `source_a/http` |
| `source_a/http` | the client, see `http/client_of_a.py` | |
"""
LISTED = {"source_a": {"source_a/http"}, "source_a/http": set[str]()}


@pytest.mark.parametrize(
    ("made", "new", "old"),
    [
        (LISTED, [], []),
        (LISTED | {"source_b": {"datasource_base/contract"}}, [], []),
        (LISTED | {"source_a/http": {"source_a"}}, ["source_a/http imports ['source_a']"], []),
        (LISTED | {"source_b": {"ingest_arrow/sql"}}, ["source_b imports ['ingest_arrow/sql']"], []),
        (LISTED | {"source_a/auth": set()}, ["the folder source_a/auth has no row"], []),
        (LISTED | {"source_a": set()}, [], ["source_a does not import ['source_a/http']"]),
        ({"source_a": {"source_a/http"}}, [], ["source_a/http does not exist"]),
    ],
)
def test_an_import_between_folders_that_the_page_does_not_list_is_seen(
    made: dict[str, set[str]], new: list[str], old: list[str]
) -> None:
    """And a row that no longer fits; a plugin of one folder imports what is public without one."""
    assert listed_edges(TABLE) == LISTED
    assert [problem.partition(", which")[0] for problem in unlisted(LISTED, made)] == new
    assert list(outdated(LISTED, made)) == old


def test_a_module_that_the_page_names_and_nobody_finds_is_seen() -> None:
    """Relative imports between the folders of this repository are seen, too."""
    assert list(missing_modules(TABLE)) == ["http/client_of_a.py does not exist"]
    assert list(missing_modules("`sql/target.py` and `source_rest/pagination/`")) == []
    assert "ingest_arrow/sql" in edges()["ingest_arrow/duckdb"]


def test_banned_words_are_seen() -> None:
    """In sentences, and in the names of variables, except for the fields of a configuration."""
    assert list(phrases_in("What is wrong is told\nbefore"))
    assert list(phrases_in("it is no TOML"))
    assert not list(phrases_in("there is no state, and it is no longer read"))
    assert len(list(names_in("def f(found):\n    return [one for one in found]"))) == 2
    assert not list(names_in("class Table:\n    where: str"))
