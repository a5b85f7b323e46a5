"""The README, the tutorials and the how-tos work: each is followed in an empty folder, and prints what it shows."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))

import make_reference  # noqa: E402  # after the path that it is on
from walkthrough import BLOCK, follow, parse  # noqa: E402  # after the path is known

REFERENCE = ROOT / "docs" / "reference"
FOLLOWED = sorted([ROOT / "README.md", *ROOT.glob("docs/tutorials/*.md"), *ROOT.glob("docs/how-to/*.md")])
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DATASOURCE_", "VDK_"))
}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.heavy
@pytest.mark.skipif(shutil.which("flock") is None, reason="the pages use flock and timeout, as Linux has them")
@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_a_reader_can_follow_the_page(page: Path, tmp_path: Path) -> None:
    """Each command ends as the page shows, with the output on the page."""
    environment = {**ENVIRONMENT, "VDK_VERSION_CHECK_DISABLED": "true"}
    if problems := follow(page.read_text("utf-8"), tmp_path, environment):
        pytest.fail("\n\n".join(problems), pytrace=False)


def test_the_reference_is_that_of_the_code() -> None:
    """Run tools/make_reference.py after a change of options or commands."""
    outdated = [name for name, text in make_reference.pages().items() if (REFERENCE / name).read_text("utf-8") != text]
    assert not outdated, f"{outdated} differ from the code; run: .venv/bin/python tools/make_reference.py"


def test_every_option_is_described() -> None:
    """Options of sources and commands by the text that belongs to them, the others on the pages that explain them."""
    assert list(make_reference.undescribed()) == []


def test_llms_txt_lists_every_page() -> None:
    """And nothing that does not exist."""
    listed = set(re.findall(r"\]\(([^)#]+)\)", (ROOT / "llms.txt").read_text("utf-8")))
    assert listed == {"README.md", "CONTRIBUTING.md", *(name_of(page) for page in ROOT.glob("docs/**/*.md"))}


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=name_of)
def test_what_a_page_shows_can_be_read(page: Path) -> None:
    """Every block of TOML, JSON, YAML or Python is of its language, also where it is a part of a file."""
    for block in BLOCK.finditer(page.read_text("utf-8")):
        if block["language"]:
            parse(block["language"], block["text"])


def test_a_message_of_the_troubleshooting_is_one_of_the_code() -> None:
    """Words between ellipses are one text of the sources, so a reader who searches for a message finds it."""
    page = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text("utf-8")
    messages = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert len(messages) > 20
    texts = "\0".join(texts_of_the_code())
    parts = [map(re.escape, message.strip("…").split("…")) for message in messages]
    assert [
        message for message, each in zip(messages, parts, strict=True) if not re.search("[^\0]*".join(each), texts)
    ] == []


def texts_of_the_code() -> Iterator[str]:
    """Every text of the sources; what is computed in it is an ellipsis."""
    for path in [*ROOT.glob("packages/*/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
