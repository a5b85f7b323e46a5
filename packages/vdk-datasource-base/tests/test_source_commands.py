"""``python -m vdk.plugin.source_<name>``: a source's commands, without a flow file."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result
from vdk.internal.core.statestore import StateStore

from jobs import install, process
from vdk.plugin.datasource_base.integration.commands.source_commands import commands


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(commands("numbers"), list(map(str, arguments)), obj=SimpleNamespace(state=StateStore()))


def test_the_commands_of_a_source(tmp_path: Path) -> None:
    """Its options come from a file, and from ``--set`` after it; references are resolved."""
    options = tmp_path / "options.toml"
    options.write_text('upto = 2\npassword = "${env:HOME}"\n')
    assert "upto" in call("config").stdout
    assert json.loads(call("check", "--config", options, "-o", "json").stdout)[0]["status"] == "ok"
    assert call("check", "--set", "upto=3").stdout.startswith("source numbers: ok")
    assert [each["stream"] for each in json.loads(call("discover", "-o", "json").stdout)] == ["numbers", "words"]
    assert len(json.loads(call("preview", "numbers", "--config", options, "-o", "json").stdout)) == 2
    assert len(json.loads(call("preview", "numbers", "--config", options, "--set", "upto=3", "-o", "json").stdout)) == 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("check", "--set", "upot=3"), "source numbers: error: numbers: unknown option 'upot'; did you mean 'upto'?"),
        (("preview", "numbrs"), "Error: numbers: no stream matches 'numbrs'; did you mean 'numbers'?"),
        (("check", "--set", "password:geheim"), "numbers: --set: write --set password=VALUE"),
        (("check", "--set", "password=geheim"), "--set 'password': it is a secret"),
    ],
)
def test_an_error_names_the_option_and_no_flow(arguments: tuple[str, ...], error: str) -> None:
    result = call(*arguments)
    assert result.exit_code == (2 if arguments[0] == "preview" else 1)
    assert error in result.output
    assert "flow" not in result.output
    assert "geheim" not in result.output


def test_the_module_of_a_plugin_runs_them(tmp_path: Path) -> None:
    """By the one line that every plugin has in ``__main__.py``."""
    (tmp_path / "site" / "source_numbers").mkdir()
    (tmp_path / "site" / "source_numbers" / "__main__.py").write_text(
        'from vdk.plugin.datasource_base import source_main\n\nsource_main("numbers")\n'
    )
    done = process("-m", "source_numbers", "preview", "numbers", "--rows", "1", "-o", "json", path=tmp_path / "site")
    assert (done.returncode, done.stderr, json.loads(done.stdout)[0]["n"]) == (0, "", 0)
