"""A scripted source as an installed plugin, and pipelines of dlt into folders of the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest

MakePipeline = Callable[..., Any]


@pytest.fixture(scope="session", autouse=True)
def own_modules() -> Iterator[None]:
    sys.path.insert(0, str(Path(__file__).parent))
    yield
    sys.path.remove(str(Path(__file__).parent))


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePipeline:
    """A pipeline into ``lake.duckdb`` of the test's folder, in which dlt keeps what is pending, too."""
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")
    monkeypatch.setenv("LOAD__LOADER_PARALLELISM_STRATEGY", "sequential")
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))

    def make(working: str = "work", destination: Any = None, **others: Any) -> Any:
        return dlt.pipeline(
            "shop",
            pipelines_dir=str(tmp_path / working),
            destination=destination or dlt.destinations.duckdb(str(tmp_path / "lake.duckdb")),
            dataset_name="landed",
            **others,
        )

    return make


@pytest.fixture
def landed(tmp_path: Path) -> Callable[[str], list[tuple[Any, ...]]]:
    """The result of a query of ``lake.duckdb``; ``orders`` is ``landed.orders``."""

    def query(text: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(tmp_path / "lake.duckdb")) as lake:
            lake.execute("SET schema = 'landed'; SET TimeZone = 'UTC'")
            return list(lake.execute(text).fetchall())

    return query
