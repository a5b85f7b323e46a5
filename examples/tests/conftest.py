"""What the end-to-end tests share: a real ``vdk`` in a process of its own, and databases to compare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

VDK = [sys.executable, "-m", "vdk.internal.cli_entry"]
# A script of an example imports its neighbours, which PYTHONSAFEPATH, set for the tests themselves, would forbid.
INHERITED = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
ENVIRONMENT = {**INHERITED, "VDK_VERSION_CHECK_DISABLED": "true", "PYTHONWARNINGS": "ignore"}

Vdk = Callable[..., "subprocess.CompletedProcess[str]"]


def vdk_in(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``vdk`` with arguments in a folder."""
    return subprocess.run(
        [*VDK, *arguments],
        check=False,
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=240,
    )


def flow_in(
    folder: Path, database: str | Path = "shop.db", name: str = "flow.toml", flow: str = "", config: str = ""
) -> Path:
    """Writes a flow file from a SQLite database into ``lake.duckdb`` of a folder."""
    path = folder / name
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


@pytest.fixture
def vdk(tmp_path: Path) -> Vdk:
    """Runs ``vdk`` with arguments in the test's folder."""
    return partial(vdk_in, tmp_path)


@pytest.fixture
def flow(tmp_path: Path) -> Callable[..., Path]:
    """Writes a flow file into the test's folder."""
    return partial(flow_in, tmp_path)


def summary_of(path: Path) -> dict[str, Mapping[str, Any]]:
    """The streams of a run's summary by name."""
    return {load["stream"]: load for load in json.loads(path.read_text("utf-8"))["streams"]}
