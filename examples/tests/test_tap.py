"""Sources as Singer taps, into real targets in environments of their own: their dependencies exclude each other."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from conftest import ENVIRONMENT, VDK, flow_in

ROWS = 2_400
CURSOR = 'tables.orders.cursor = "updated_at"'
TARGETS = ("target-jsonl", "target-duckdb")

Target = Callable[[str], str]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """The command of a target by its name."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed, which makes the targets' environments; tox installs it")
    home = tmp_path_factory.mktemp("targets")

    def command(name: str) -> str:
        python = home / name / "bin" / "python"
        if not python.exists():
            subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(home / name)], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), name], check=True)
        return str(python.parent / name)

    return command


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A flow file over orders, which are read by a cursor, and a table that is read whole."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database, database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total DECIMAL(12, 2), updated_at TIMESTAMP)")
        database.executemany(
            "INSERT INTO orders VALUES (?, ?, ?)",
            [(n, f"{n}.10", f"2026-01-01 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}") for n in range(ROWS)],
        )
        database.execute("CREATE TABLE notes (note TEXT, content BLOB)")
        database.execute("INSERT INTO notes VALUES ('é', x'00ff')")
    return flow_in(tmp_path, flow="batch_rows = 200", config=CURSOR)


def settings(folder: Path, name: str) -> Path:
    """The target's configuration file. It emits a state for every few hundred rows."""
    path = folder / f"{name}.json"
    own: dict[str, Any] = {"destination_path": str(folder / "out"), "do_timestamp_file": False}
    if name == "target-duckdb":
        own = {"filepath": str(folder / "lake.duckdb"), "default_target_schema": "main", "batch_size_rows": 400}
        own["primary_key_required"] = False
    path.write_text(json.dumps(own))
    return path


def landed(folder: Path, name: str) -> list[int]:
    """The ids of all orders at the target, with those that are there twice."""
    if name == "target-duckdb":
        with duckdb.connect(str(folder / "lake.duckdb")) as lake:
            return [id for (id,) in lake.execute("SELECT id FROM orders ORDER BY id").fetchall()]
    lines = (folder / "out" / "orders.jsonl").read_text().splitlines()
    return sorted(json.loads(line)["id"] for line in lines)


class Sync:
    """A tap into a target. The states that the target emits are in ``states``."""

    def __init__(self, flow: Path, command: str, name: str, *options: str) -> None:
        self.folder = flow.parent
        self.tap = subprocess.Popen(
            [*VDK, "datasource", "tap", str(flow), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=ENVIRONMENT,
        )
        self._states = (self.folder / "states.jsonl").open("ab")
        self.target = subprocess.Popen(
            [command, "--config", str(settings(self.folder, name))],
            stdin=subprocess.PIPE,
            stdout=self._states,
            stderr=subprocess.PIPE,
            cwd=self.folder,
        )

    def relay(self, lines: int | None = None) -> None:
        """Pass messages on, all of them or the first ones."""
        assert self.tap.stdout is not None
        assert self.target.stdin is not None
        for number, line in enumerate(self.tap.stdout):
            if number == lines:
                return
            self.target.stdin.write(line)

    def end(self) -> tuple[int, int, str]:
        """The exit codes of both, and what the tap has written to standard error."""
        assert self.target.stdin is not None
        assert self.tap.stderr is not None
        with suppress(BrokenPipeError):  # the target was killed
            self.target.stdin.close()
        printed = self.tap.stderr.read()
        self.tap.wait(timeout=120)
        for pipe in (self.tap.stdout, self.tap.stderr):
            assert pipe is not None
            pipe.close()
        code = self.target.wait(timeout=120)
        assert self.target.stderr is not None
        self.target.stderr.close()
        self._states.close()
        return self.tap.returncode, code, printed.decode()


def state_option(folder: Path) -> Iterator[str]:
    """``--state`` with the last state that the target has emitted."""
    states = (folder / "states.jsonl").read_text().splitlines()
    if states:
        (folder / "state.json").write_text(states[-1])
        yield from ("--state", str(folder / "state.json"))


@pytest.mark.heavy
@pytest.mark.parametrize("name", TARGETS)
def test_a_sync_that_was_killed_goes_on_from_the_state_of_the_target(name: str, target: Target, shop: Path) -> None:
    """Nothing is lost. What is behind the last state comes again, which a target with keys lands once."""
    killed = Sync(shop, target(name), name)
    killed.relay(ROWS // 2)
    killed.tap.kill()
    assert killed.end()[0] < 0
    assert len(landed(shop.parent, name)) < ROWS
    again = Sync(shop, target(name), name, *state_option(shop.parent))
    again.relay()
    assert again.end()[:2] == (0, 0)
    ids = landed(shop.parent, name)
    assert sorted(set(ids)) == list(range(ROWS))
    assert len(ids) == ROWS or name == "target-jsonl"
    third = Sync(shop, target(name), name, *state_option(shop.parent))
    third.relay()
    third.end()
    assert landed(shop.parent, name) == ids


@pytest.mark.heavy
def test_a_target_that_dies_ends_the_tap_quietly(target: Target, shop: Path) -> None:
    """One line, no traceback, exit code 1; and the next sync brings what the target has not got."""
    sync = Sync(shop, target("target-duckdb"), "target-duckdb")
    assert sync.tap.stdout is not None
    sync.relay(ROWS // 2)
    sync.target.kill()
    sync.tap.stdout.close()
    code, _, printed = sync.end()
    assert code == 1
    assert "the target has stopped reading" in printed
    assert "Traceback" not in printed
    again = Sync(shop, target("target-duckdb"), "target-duckdb", *state_option(shop.parent))
    again.relay()
    assert again.end()[:2] == (0, 0)
    assert landed(shop.parent, "target-duckdb") == list(range(ROWS))
