"""Fixtures of all tests of the base."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import FAULTS, SCRIPTS, Lab
from vdk.plugin.datasource_base.testing import MemoryDestination

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def own_properties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """vdk-properties-fs keeps one file for all jobs of a machine, and tests on another Python have the same jobs."""
    monkeypatch.setenv("VDK_FS_PROPERTIES_DIRECTORY", str(tmp_path))


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """The handlers that Python has at a terminal. A job in the background of a script, ``nohup`` and some CI runners
    start it with an ignored SIGINT, which its children inherit, too."""
    usual: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A scripted source and a destination in memory, for this test alone."""
    made = Lab(uuid.uuid4().hex, tmp_path)
    yield made
    FAULTS.pop(made.target, None)
    for name in made.scripts:
        SCRIPTS.pop(f"{made.target}/{name}", None)
    MemoryDestination.clear(made.target)
