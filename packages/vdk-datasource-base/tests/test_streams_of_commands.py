"""What commands write to standard output and standard error, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs import FLOW, install, job, process

pytestmark = pytest.mark.heavy

COMMAND = ("-W", "ignore", "-m", "vdk.internal.cli_entry", "datasource")
READING = {
    "list": ("list",),
    "config": ("config", "numbers"),
    "check": ("check", "a.toml"),
    "discover": ("discover", "a.toml"),
    "preview": ("preview", "a.toml", "numbers"),
    "run": ("run", "a.toml"),
    "state show": ("state", "show", "a.toml"),
    "state reset": ("state", "reset", "a.toml", "--yes"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a flow file and an installed source."""
    install(tmp_path / "site")
    monkeypatch.chdir(job(tmp_path / "job", {"a.toml": FLOW.format(method="kept", target="caf\xe9", upto=5)}))
    return tmp_path


ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
"""The settings of a process whose standard output is not UTF-8."""


@pytest.mark.parametrize("command", READING)
def test_json_is_all_that_is_written(command: str, folder: Path) -> None:
    """Not even an empty line before it; standard error stays empty. A name with an accent is the same name in ASCII."""
    done = process(*COMMAND, *READING[command], "-o", "json", path=folder / "site", **ASCII)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == done.stdout.strip() + "\n"
    assert done.stdout.isascii()
    content = json.loads(done.stdout)
    if command == "check":
        assert content[2]["message"] == "memory caf\xe9"


def test_a_run_writes_one_line_for_a_mistake(folder: Path) -> None:
    """As JSON where messages are JSON; ``--debug`` has the traceback, and VDK's lines."""
    job(folder / "job", {"b.toml": FLOW.format(method="kept", target="here", upto=5).replace("upto", "upot")})
    text = "b.toml: sources.src.config: unknown option 'upot'; did you mean 'upto'?"
    done = process(*COMMAND, "run", "b.toml", path=folder / "site")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {text}\n")
    done = process(*COMMAND, "run", "b.toml", "--log-format", "json", path=folder / "site")
    record = json.loads(done.stderr)
    assert (done.returncode, record["level"], record["message"]) == (1, "error", text)
    done = process(*COMMAND, "run", "b.toml", "--debug", path=folder / "site")
    assert done.returncode == 1
    assert done.stderr.endswith(f"Error: {text}\n")
    assert done.stderr.count("Traceback") == 1
    assert "Processing step b.toml completed with error" in done.stderr


def test_a_failed_stream_is_told_once(folder: Path) -> None:
    """The table has what landed, standard error the error; as JSON the summary has both."""
    text = FLOW.format(method="kept", target="here", upto=5).replace(
        "upto = 5", "upto = 5, fail = 'secret', password = 'abcdef'"
    )
    job(folder / "job", {"b.toml": text})
    done = process(*COMMAND, "run", "b.toml", "-q", path=folder / "site")
    assert done.returncode == 1
    assert done.stdout.split("\n")[2].split()[:5] == ["src.numbers", "lake.numbers", "failed", "5", "5"]
    warning, error = done.stderr.splitlines()
    assert "sources.src.config.password is a secret that stands in the file" in warning
    assert error.startswith("Error: 1 of 1 streams failed: src.numbers: RuntimeError: refused ***; raised by read() ")
    done = process(*COMMAND, "run", "b.toml", "-o", "json", path=folder / "site")
    assert done.returncode == 1
    assert json.loads(done.stdout)["streams"][0]["error"].startswith("RuntimeError: refused ***; raised by read() ")


def test_warnings_are_in_the_json(folder: Path) -> None:
    """Of a run and of a check; else they are lines on standard error, for -q too: one may say that rows are missing."""
    text = FLOW.format(method="kept", target="here", upto=5) + "max_rejected = 5\n"
    job(folder / "job", {"b.toml": text})
    reason = "has no effect: the first bad row fails its stream"
    warning = f'b.toml: flows[0].max_rejected {reason}; write on_bad_record = "reject"'
    done = process(*COMMAND, "run", "b.toml", "-o", "json", path=folder / "site")
    assert (done.stderr, json.loads(done.stdout)["warnings"]) == ("", [warning])
    done = process(*COMMAND, "check", "b.toml", "-o", "json", path=folder / "site")
    assert (done.stderr, json.loads(done.stdout)[3]["warnings"]) == ("", [warning])
    for option in ((), ("-q",)):
        assert process(*COMMAND, "check", "b.toml", *option, path=folder / "site").stderr.count(warning) == 1


@pytest.mark.parametrize("command", ["list", "preview", "run", "state show"])  # with and without a source and a run
def test_a_reader_that_goes_away_ends_the_command(command: str, folder: Path) -> None:
    """As ``| head -1`` does, and earlier; no traceback, and no word of a broken pipe. A run has landed all the same."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "VDK_VERSION_CHECK_DISABLED": "true"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, *COMMAND, *READING[command]],
            stdout=writer, stderr=subprocess.PIPE, text=True, timeout=100, check=False, env=environment,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert done.returncode == (0 if command == "run" else 1)
    assert [line for line in done.stderr.splitlines() if " INFO " not in line] == []


@pytest.mark.parametrize("command", ["check", "run"])  # those that show the name; the others write JSON as ASCII above
def test_standard_output_need_not_be_utf_8(command: str, folder: Path) -> None:
    """A name with an accent is escaped."""
    done = process(*COMMAND, *READING[command], path=folder / "site", **ASCII)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
