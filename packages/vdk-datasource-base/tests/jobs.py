"""Data jobs, and the real ``vdk`` to run them: in this process, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import Result
from vdk.api.plugin.hook_markers import hookimpl
from vdk.plugin.test_utils.util_funcs import CliEntryBasedTestRunner

from vdk.plugin.datasource_base import plugin_entry
from vdk.plugin.datasource_base.parts import Registry

HERE = Path(__file__).parent
FLOW = """
[sources.src]
name = "numbers"
config = {{ upto = {upto} }}
[destinations.lake]
method = "{method}"
target = "{target}"
[[flows]]
from = "src"
to = "lake"
streams = ["numbers"]
write_mode = "append"
"""


class Sources:
    """Offers the tests' source and destinations through VDK's hook."""

    @hookimpl
    def vdk_datasource_register(self, registry: Registry) -> None:
        registry.add("numbers", "edge_source:NumbersSource")
        registry.add_destination("kept", "vdk.plugin.datasource_base.testing:MemoryDestination")


class Vdk:
    """``vdk …`` within this process, with plugins of the test's choice; properties live as long as this."""

    def __init__(self, *plugins: Any, default_plugins: bool = True) -> None:
        self._runner = CliEntryBasedTestRunner(plugin_entry, Sources(), *plugins)
        if not default_plugins:
            self._runner.clear_default_plugins()

    def __call__(self, *arguments: str | Path) -> Result:
        return self._runner.invoke([str(argument) for argument in arguments])


def job(folder: Path, files: dict[str, str]) -> Path:
    """A data job of these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def install(folder: Path) -> None:
    """Make the tests' source an installed distribution for Python processes with ``folder`` on their path."""
    info = folder / "numbers_source-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numbers-source\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(
        "[vdk.datasource.sources]\nnumbers = edge_source:NumbersSource\n"
        "[vdk.datasource.destinations]\nkept = vdk.plugin.datasource_base.testing:MemoryDestination\n",
        "utf-8",
    )
    (folder / "edge_source.py").write_text((HERE / "edge_source.py").read_text("utf-8"), "utf-8")


def process(*command: str | Path, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process that finds what ``install`` put into ``path``."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(path), "VDK_VERSION_CHECK_DISABLED": "true", **environment},
    )
