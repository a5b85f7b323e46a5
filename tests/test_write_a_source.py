"""docs/write-a-source.md works, word for word."""

from __future__ import annotations

from pathlib import Path

from conftest import ROOT, Machine
from walkthrough import File, steps

PAGE = (ROOT / "docs" / "write-a-source.md").read_text("utf-8")


def test_a_newcomer_can_follow_the_page(machine: Machine, tmp_path: Path) -> None:
    """Every block is done in order, in an empty folder, and prints what the page says."""
    (folder := tmp_path / "empty").mkdir()
    try:
        for step in steps(PAGE):
            if isinstance(step, File):
                step.write(folder)
                continue
            # both outputs as a terminal shows them, and where a "cd" has led
            script = f'exec 2>&1\n{step.line}\npwd > "{tmp_path}/pwd"'
            printed = machine("bash", "-euc", script, cwd=folder).stdout
            assert step.fits(printed), f"$ {step.line}\n{printed}\nThe page says:\n{step.output}"
            folder = Path((tmp_path / "pwd").read_text("utf-8").strip())
        for tool in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--python-executable", "python"]):
            machine(*tool, cwd=folder)
    finally:
        machine("uv", "pip", "uninstall", "--quiet", "vdk-source-notes", cwd=tmp_path)
