"""What a person sees of a run in a terminal: no logged line is lost, and Ctrl-C ends every command."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import termios
import time
from pathlib import Path

import pytest

from jobs import HERE, job
from terminal import Seen, in_terminal

pytestmark = pytest.mark.heavy

VDK = ("-m", "vdk.internal.cli_entry")
FLOW = """
[sources.src]
name = "talking"
config = {{ lines = {lines}, pause = {pause}, second = "{second}" }}
[destinations.lake]
method = "scratch"
[[flows]]
from = "src"
to = "lake"
batch_rows = 1
"""
SCRIPT = """
import logging, sys
from vdk.plugin.datasource_base import run_flows
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
run_flows(None, sys.argv[1])
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The talking source, installed for processes with this folder on their path."""
    folder = tmp_path / "site"
    info = folder / "talking_source-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: talking-source\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        "[vdk.datasource.sources]\ntalking = talking_source:TalkingSource\n", "utf-8"
    )
    (folder / "talking_source.py").write_text((HERE / "talking_source.py").read_text("utf-8"), "utf-8")
    return folder


def run(
    tmp_path: Path,
    site: Path,
    *command: str,
    lines: int = 40,
    columns: int = 100,
    second: str = "two",
    environment: dict[str, str] | None = None,
) -> Seen:
    folder = job(tmp_path / "job", {"a.ingest.toml": FLOW.format(lines=lines, pause=0.03, second=second)})
    given = {"VDK_VERSION_CHECK_DISABLED": "true", **(environment or {})}
    return in_terminal(*command, path=site, folder=folder, columns=columns, environment=given)


COMMANDS = {
    "vdk datasource run": (*VDK, "datasource", "run", "a.ingest.toml"),
    "vdk run": (*VDK, "run", "."),
    "plain Python": ("-c", SCRIPT, "a.ingest.toml"),
}


@pytest.mark.parametrize(("command", "columns"), [*((one, 100) for one in COMMANDS), ("vdk datasource run", 20)])
def test_no_line_is_lost_and_none_is_repeated(command: str, columns: int, tmp_path: Path, site: Path) -> None:
    """Three streams that warn, log and print at once, above a display that is drawn all the time."""
    seen = run(tmp_path, site, *COMMANDS[command], columns=columns)
    assert seen.code == 0, seen.lines
    text = seen.text
    for stream in ("one", "three"):
        for n in range(40):
            for what in (f"{stream}warns{n:03d}", f"{stream}logs{n:03d},andgoesonforlonger", f"{stream}prints{n:03d}"):
                assert text.count(what) == 1, what
    assert "\x1b[?25h" in seen.raw  # the cursor is there, also if the process is killed
    if command == "vdk datasource run":
        assert any(line.startswith("warning: one warns 000"[:columns]) for line in seen.lines)
        assert "[VDK]" not in text


def test_running_streams_are_drawn_at_the_bottom_and_gone_at_the_end(tmp_path: Path, site: Path) -> None:
    """What stays is a line for each stream that ended, and the table."""
    seen = run(tmp_path, site, *COMMANDS["vdk datasource run"], lines=60)
    assert "src.one  " in seen.raw
    assert "rows/s  " in seen.raw
    assert not [
        line for line in seen.lines if line.startswith("src.one  ") and "scratch" not in line and "lake" not in line
    ]
    assert [line for line in seen.lines if line.startswith("src.one: succeeded, 60 rows read, 60 landed")]
    assert [line.split()[:3] for line in seen.lines if line.startswith("src.three  ")] == [
        ["src.three", "lake.three", "succeeded"]
    ]


def test_a_terminal_that_becomes_narrow_loses_no_line(tmp_path: Path, site: Path) -> None:
    """What is drawn fits its new width, and has no colours, which NO_COLOR and others would have to turn off."""
    folder = job(tmp_path / "job", {"a.ingest.toml": FLOW.format(lines=60, pause=0.05, second="日本語の表")})

    def narrow(terminal: int, _: int) -> None:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 30, 0, 0))

    seen = in_terminal(
        *COMMANDS["vdk datasource run"], path=site, folder=folder, on_text=("rows/s  ", narrow),
        environment={"VDK_VERSION_CHECK_DISABLED": "true", "NO_COLOR": "1"},
    )  # fmt: skip
    assert seen.code == 0, seen.lines
    for stream in ("one", "three"):
        for n in range(60):
            for what in (f"{stream} warns {n:03d}", f"{stream} logs {n:03d}, and goes", f"{stream} prints {n:03d}"):
                assert seen.raw.count(what) == 1, what
    drawn = re.findall(r"src\.one  .*? rows[^\r\n\x1b]*", seen.raw)
    assert len(drawn[0]) > 30
    assert len([line for line in drawn if "lake." not in line][-1]) < 30
    assert re.search(r"\x1b\[[\d;]*m", seen.raw) is None


def test_the_name_of_a_table_does_not_clear_the_terminal(tmp_path: Path, site: Path) -> None:
    """Neither in a log line nor in the display, in the table of the result or in an error."""
    seen = run(tmp_path, site, *COMMANDS["vdk datasource run"], second=r"two\u001b[2J", lines=5)
    assert seen.code == 0, seen.lines
    assert "\x1b[2J" not in seen.raw
    assert r"src.two\x1b[2J: succeeded" in "\n".join(seen.lines)
    assert [r"src.two\x1b[2J", r"lake.two\x1b[2J", "succeeded"] in [line.split()[:3] for line in seen.lines]


@pytest.mark.parametrize(
    ("options", "environment"),
    [(("-q",), {}), (("-o", "json"), {}), (("--log-format", "json"), {}), ((), {"TERM": "dumb"})],
)
def test_nothing_is_drawn_where_it_was_not_asked_for(
    options: tuple[str, ...], environment: dict[str, str], tmp_path: Path, site: Path
) -> None:
    """Nor on a terminal that cannot move its cursor."""
    seen = run(tmp_path, site, *COMMANDS["vdk datasource run"], *options, lines=20, environment=environment)
    assert seen.code == 0, seen.lines
    assert "\x1b[" not in seen.raw


def test_ctrl_c_at_the_prompt_ends_the_command(tmp_path: Path, site: Path) -> None:
    """Nothing is stored; what it would cost stands above."""
    folder = job(tmp_path / "job", {"a.toml": FLOW.format(lines=1, pause=0, second="two")})
    command = (*VDK, "datasource", "state", "set", "a.toml", '{"next": 1}', "--stream", "two")
    seen = in_terminal(*command, path=site, folder=folder, on_text=("[y/N]", lambda terminal, _: _ctrl_c(terminal)))
    assert seen.code == 1
    assert "src.two will be read from this state" in "".join(seen.lines)
    assert "Aborted!" in seen.text


@pytest.mark.parametrize("command", ["run", "check", "preview"])
def test_ctrl_c_ends_every_command(command: str, tmp_path: Path, site: Path) -> None:
    """With the code of a process that was interrupted, and no traceback."""
    folder = job(tmp_path / "job", {"a.toml": FLOW.format(lines=10_000, pause=0.05, second="two")})
    arguments = ("a.toml", "one", "--rows", "9000") if command == "preview" else ("a.toml",)
    (site / "sitecustomize.py").write_text(SLOW_CHECK, "utf-8")
    seen = in_terminal(
        *VDK, "datasource", command, *arguments, path=site, folder=folder,
        on_text=("one warns" if command != "check" else "checking", lambda terminal, _: _ctrl_c(terminal)),
    )  # fmt: skip
    assert seen.code == 130, seen.lines
    assert "Traceback" not in seen.text
    assert ("Interrupted:thesamecommand" in seen.text) == (command == "run"), seen.lines


SLOW_CHECK = """
import importlib.util, os, sys, time
from vdk.plugin.datasource_base import DataSource
def check(self):
    print("checking", flush=True)
    time.sleep(60)
DataSource.check = check
"""


def _ctrl_c(terminal: int) -> None:
    time.sleep(1)  # Python misses a Ctrl-C that comes between the prompt and its call of readline
    os.write(terminal, b"\x03")
