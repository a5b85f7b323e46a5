"""``vdk datasource serve``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from vdk.plugin.test_utils.util_funcs import CliEntryBasedTestRunner

from vdk.plugin.datasource_base import plugin_entry as base
from vdk.plugin.datasource_cloudquery import plugin_entry


def vdk(*arguments: str) -> Result:
    runner = CliEntryBasedTestRunner(base, plugin_entry)
    return runner.invoke(["datasource", "serve", *arguments])


def test_install_writes_an_executable(tmp_path: Path) -> None:
    result = vdk("sqlite", "--cloudquery", "--install", str(tmp_path / "cq-source-sqlite"))
    assert result.exit_code == 0
    assert result.output == f"path: {tmp_path / 'cq-source-sqlite'}\n"
    assert "datasource_cloudquery sqlite" in (tmp_path / "cq-source-sqlite").read_text()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("sqlite",), "what to serve it as is missing; write --cloudquery"),
        (("sqliet", "--cloudquery"), "unknown source 'sqliet'; did you mean 'sqlite'?"),
    ],
)
def test_what_is_missing_or_misspelt_is_named(arguments: tuple[str, ...], text: str) -> None:
    result = vdk(*arguments)
    assert result.exit_code != 0
    assert text in result.output
