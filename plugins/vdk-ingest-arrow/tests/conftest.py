from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from landing import opened
from vdk.plugin.ingest_arrow.destination import ArrowDestination


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake.duckdb"


@pytest.fixture
def destination(lake: Path) -> Iterator[ArrowDestination]:
    made = opened(lake)
    yield made
    made.close()
