"""A database that we did not make: the EPSG registry inside pyproj, with all its tables and views."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import pyproj.datadir
import pytest

from conftest import flow_in, summary_of, vdk_in
from values import differences

pytestmark = pytest.mark.heavy

PROJ = Path(pyproj.datadir.get_data_dir()) / "proj.db"
SUMMARY = ("--summary", "summary.json")


def objects(kind: str) -> list[str]:
    with closing(sqlite3.connect(f"file:{PROJ}?mode=ro", uri=True)) as source:
        cursor = source.execute("SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite%'", (kind,))
        return [name for (name,) in cursor]


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run for all tests; the last of them runs once more."""
    folder = tmp_path_factory.mktemp("registry")
    done = vdk_in(folder, "datasource", "run", str(flow_in(folder, PROJ, config='views = ["*"]')), *SUMMARY)
    assert done.returncode == 0, done.stderr
    return folder / "lake.duckdb"


def test_every_value_of_every_table_and_view_lands(landed: Path) -> None:
    """Each table and view of the registry is in DuckDB, value by value, those without rows included."""
    problems = [
        line for kind in ("table", "view") for name in objects(kind) for line in differences(PROJ, name, landed, name)
    ]
    assert problems == []
    assert len(objects("table")) > 30


def test_types_arrive_as_what_they_are(landed: Path) -> None:
    """Declared types are kept, and a type SQLite does not know is text with every value in it."""
    with closing(duckdb.connect(str(landed), read_only=True)) as lake:
        types = {row[0]: row[1] for row in lake.execute("DESCRIBE helmert_transformation_table").fetchall()}
        assert types["tx"] == "DOUBLE"
        assert types["deprecated"] == "BOOLEAN"
        assert types["code"] == types["auth_name"] == "VARCHAR"
        mixed = lake.execute("SELECT code FROM axis WHERE TRY_CAST(code AS BIGINT) IS NULL").fetchall()
        assert len(mixed) == 7, "the seven codes that are text are there, beside those that are numbers"


def test_a_second_run_replaces_the_tables(landed: Path) -> None:
    """Tables without a cursor are replaced by themselves: nothing doubles."""
    summary = landed.with_name("summary.json")
    before = {name: row["rows_landed"] for name, row in summary_of(summary).items()}
    done = vdk_in(landed.parent, "datasource", "run", "flow.toml", *SUMMARY)
    assert done.returncode == 0, done.stderr
    assert {name: row["rows_landed"] for name, row in summary_of(summary).items()} == before
    assert [line for name in ("usage", "grid_packages") for line in differences(PROJ, name, landed, name)] == []
