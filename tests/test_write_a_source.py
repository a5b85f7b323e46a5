"""Every block of docs/write-a-source.md and docs/write-a-database-source.md works."""

from __future__ import annotations

from pathlib import Path

import pytest

import distributions as d
from conftest import ROOT, Machine
from walkthrough import Command, File, steps

DOCS = ROOT / "docs"


@pytest.mark.heavy
def test_a_newcomer_can_follow_the_page(machine: Machine, tmp_path: Path) -> None:
    """The blocks are run in order, in an empty folder, and print the output on the page."""
    follow(DOCS / "write-a-source.md", machine, tmp_path, "vdk-source-notes")


@pytest.mark.heavy
def test_a_source_of_a_database_can_be_written_from_its_page(machine: Machine, tmp_path: Path) -> None:
    """It passes the suite of databases."""
    machine("uv", "pip", "install", "--quiet", d.wheel(d.find("sql")), cwd=tmp_path)
    follow(DOCS / "write-a-database-source.md", machine, tmp_path, "vdk-source-duck")


def follow(page: Path, machine: Machine, tmp_path: Path, distribution: str) -> None:
    """Run every block of a page, and check the code that it leaves."""
    (folder := tmp_path / "empty").mkdir()
    try:
        for step in steps(page.read_text("utf-8")):
            if isinstance(step, File):
                step.write(folder)
                continue
            # Both outputs, as a terminal shows them, and the folder that a "cd" has led to.
            script = f'exec 2>&1\n{step.line}\npwd > "{tmp_path}/pwd"'
            printed = machine("bash", "-euc", script, cwd=folder).stdout
            assert step.fits(printed), f"$ {step.line}\n{printed}\nThe page says:\n{step.output}"
            folder = Path((tmp_path / "pwd").read_text("utf-8").strip())
        machine("ruff", "check", cwd=folder)
        machine("ruff", "format", "--check", cwd=folder)
        machine("mypy", "--python-executable", machine.python, cwd=folder)
    finally:
        machine("uv", "pip", "uninstall", "--quiet", distribution, cwd=tmp_path)


@pytest.mark.parametrize(
    ("output", "printed", "fits"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\nb", "a\nc\n", False),
        ("a", "a\nb\n", False),
        ("...\nb\n...", "a\na\nb\n", True),
        ("...\nb", "a\nbb\n", False),
        ("... passed...", "12 passed in 3 s\n", True),
        ("... passed...", "12 failed in 3 s\n", False),
        ("a.c", "abc", False),
        ("", "anything", True),
    ],
)
def test_the_output_of_a_command_is_compared(output: str, printed: str, fits: bool) -> None:
    """Dots are any text, or any lines; everything else must be equal."""
    assert Command("", output).fits(printed) is fits


def test_a_block_without_a_file_is_an_error() -> None:
    """Code on the page belongs to a file; otherwise it is not tested."""
    with pytest.raises(ValueError, match="names no file"):
        list(steps("```python\nprint(1)\n```\n"))


def test_a_block_can_be_a_class_of_a_file(tmp_path: Path) -> None:
    """The rest of the file is unchanged; the decorators of the class are a part of it."""
    (tmp_path / "a.py").write_text("x = 1\n\n\n@final\nclass A:\n    pass\n\n\nclass B:\n    pass\n", "utf-8")
    (block,) = steps("```python\n# a.py, in place of class A\nclass C:\n    pass\n```\n")
    assert isinstance(block, File)
    block.write(tmp_path)
    assert (tmp_path / "a.py").read_text("utf-8") == "x = 1\n\n\nclass C:\n    pass\n\n\nclass B:\n    pass\n"
