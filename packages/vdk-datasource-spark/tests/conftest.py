"""The source of made_source.py as an installed plugin, in this process and in those of Spark."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def plugin_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What executors need on PYTHONPATH."""
    folder = tmp_path_factory.mktemp("plugin")
    info = folder / "made-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vdk.datasource.sources]\nmade = made_source:MadeSource\n")
    own = [str(folder), str(Path(__file__).parent)]
    sys.path[:0] = own
    yield os.pathsep.join(own)
    for each in own:
        sys.path.remove(each)
