"""What the end-to-end tests share: a real ``vdk`` in a process of its own, and databases to compare."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

VDK = [sys.executable, "-m", "vdk.internal.cli_entry"]
# A script of an example imports its neighbours, which PYTHONSAFEPATH, set for the tests themselves, would forbid.
INHERITED = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
ENVIRONMENT = {**INHERITED, "VDK_VERSION_CHECK_DISABLED": "true", "PYTHONWARNINGS": "ignore"}

ALL_FAULTS = os.environ.get("FAULTS") == "all"
"""Whether every fault is tried, as the environment ``faults`` of tox does, or some of each kind."""

Vdk = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' own source as an installed distribution; the folder to have on the path."""
    site = tmp_path_factory.mktemp("site")
    info = site / "ticks_source-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ticks-source\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[vdk.datasource.sources]\nticks = ticks:TicksSource\n", "utf-8")
    (site / "ticks.py").write_bytes((Path(__file__).parent / "ticks.py").read_bytes())
    return site


@pytest.fixture
def folders(tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Makes a new folder at each call, for flows that read from ``ticks``, here and in children."""
    monkeypatch.syspath_prepend(installed)
    numbers = itertools.count()

    def make() -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return folder

    return make


@pytest.fixture
def vdk(tmp_path: Path) -> Vdk:
    """Runs ``vdk`` with arguments in the test's folder."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*VDK, *arguments],
            check=False,
            cwd=tmp_path,
            env={**ENVIRONMENT, **environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=240,
        )

    return run


@pytest.fixture
def flow(tmp_path: Path) -> Callable[..., Path]:
    """Writes a flow file from a SQLite database into ``lake.duckdb`` of the test's folder."""

    def write(database: str | Path = "shop.db", name: str = "flow.toml", flow: str = "", config: str = "") -> Path:
        path = tmp_path / name
        path.write_text(
            f"""
            [sources.shop]
            name = "sqlite"
            [sources.shop.config]
            database = {json.dumps(str(database), ensure_ascii=False)}
            {config}
            [destinations.lake]
            method = "arrow"
            target = "duckdb:///lake.duckdb"
            [[flows]]
            from = "shop"
            to = "lake"
            {flow}
            """,
            "utf-8",
        )
        return path

    return write


def summary_of(path: Path) -> dict[str, Mapping[str, Any]]:
    """The streams of a run's summary by name."""
    return {one["stream"]: one for one in json.loads(path.read_text("utf-8"))["streams"]}
