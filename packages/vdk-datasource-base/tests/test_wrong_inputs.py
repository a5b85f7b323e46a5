"""Every wrong input is answered by one message that says what is wrong and what to write, and by nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jobs import Vdk
from vdk.plugin.datasource_base.testing import MemoryDestination
from wrong_inputs import WRONG, Wrong

pytestmark = [
    # vdk-core adds its options to one command, which lives as long as the process, in each of its runs.
    pytest.mark.filterwarnings("ignore:The parameter .* is used more than once"),
]
EXPECTED = Path(__file__).with_name("wrong_inputs.txt")
"""What is printed for each: a line ``## name [exit code]``, and the text. ``USAGE`` stands for click's usage lines."""
CLICKS_WORDS = re.compile(r"No such (option|command):? '?([\w-]+)'?.*")
"""Its versions differ in the rest of the line."""


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")
    monkeypatch.chdir(tmp_path)
    yield
    MemoryDestination.clear("here")


def answers() -> dict[str, str]:
    """What is expected, by the name of the mistake."""
    parts = ("\n" + EXPECTED.read_text("utf-8")).split("\n## ")[1:]
    return {name.rpartition(" [")[0]: f"[{name.rpartition(' [')[2]}\n{text}" for name, _, text in _split(parts)}


def _split(parts: list[str]) -> list[tuple[str, str, str]]:
    return [part.rstrip("\n").partition("\n") for part in parts]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_wrong_input_is_answered_once(wrong: Wrong, tmp_path: Path) -> None:
    """On standard error, with the exit code 1, or 2 for a wrong command line; nothing has landed."""
    (tmp_path / "t.toml").write_bytes(wrong.content)
    result = Vdk()("datasource", *wrong.command)
    printed = result.stderr.replace(str(tmp_path), "/folder")
    if printed.startswith("Usage: "):
        printed = "USAGE\n" + CLICKS_WORDS.sub(r"No such \1 '\2'", printed[printed.index("Error: ") :])
    printed = printed.replace('method = "arrow" or ', "")  # which is known where vdk-ingest-arrow is installed
    assert f"[{result.exit_code}]\n{printed}".rstrip() == answers()[wrong.name]
    assert result.stdout == ""
    assert MemoryDestination.tables("here") == {} or wrong.name == "a summary in a place for nobody"
