"""A database into a folder of Parquet files, through a real ``vdk``, read back by those who read such folders."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow.dataset as ds
import pyproj.datadir
import pytest

from conftest import Vdk, summary_of
from values import differences, quoted

PROJ = Path(pyproj.datadir.get_data_dir()) / "proj.db"
NEWEST = "QUALIFY row_number() OVER (PARTITION BY id ORDER BY updated_time DESC) = 1"


@pytest.fixture
def parquet(flow: Callable[..., Path]) -> Callable[..., str]:
    """Writes a flow file whose destination is the folder ``lake`` of the test's folder."""

    def write(database: str | Path = "shop.db", **rest: str) -> str:
        path = flow(database, **rest)
        path.write_text(path.read_text("utf-8").replace("duckdb:///lake.duckdb", "parquet:///lake"), "utf-8")
        return str(path)

    return write


def read_back(lake: Path, reader: str, tail: str = "") -> Path:
    """A DuckDB file with every table of the folder as DuckDB or pyarrow reads it, for a comparison."""
    made = lake.with_name(f"{reader}.duckdb")
    made.unlink(missing_ok=True)
    with closing(duckdb.connect(str(made))) as connection:
        for folder in sorted(lake.iterdir()):
            if folder.name == "_vdk":
                continue
            files = str(folder / "*.parquet").replace("'", "''")
            source = f"read_parquet('{files}', union_by_name = true)"
            if reader == "pyarrow":
                connection.register("landed", ds.dataset(folder).to_table())
                source = "landed"
            connection.execute(f"CREATE TABLE {quoted(unquote(folder.name))} AS SELECT * FROM {source} {tail}")
    return made


def shop(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.heavy
def test_changed_rows_land_as_new_versions_and_the_newest_are_the_source(
    vdk: Vdk, parquet: Callable[..., str], tmp_path: Path
) -> None:
    """A second run appends what changed, in columns that came since too; nobody asked for that, so the log warns."""
    database, path = tmp_path / "shop.db", parquet()
    shop(
        database,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, total DECIMAL(10, 2), note, raw BLOB, updated_time TEXT)",
        "INSERT INTO orders VALUES (1, 9.99, 'é', x'00ff', '2026-01-01 10:00:00')",
        "INSERT INTO orders VALUES (2, 20, NULL, NULL, '2026-01-01 10:00:00.5')",
    )
    landed: list[int] = []
    for changes in (
        (),
        (),
        ("UPDATE orders SET total = 10.5, updated_time = '2026-01-02 00:00:00' WHERE id = 1",),
        (
            "ALTER TABLE orders ADD COLUMN weight REAL",
            "INSERT INTO orders VALUES (3, 1, 'x', NULL, '2026-01-03 00:00:00', 0.1)",
        ),
    ):
        shop(database, *changes)
        done = vdk("datasource", "run", path, "--summary", "summary.json")
        assert done.returncode == 0, done.stderr
        is_warned = "cannot upsert: changed rows of orders land beside their older versions" in done.stderr
        assert is_warned == (not landed)  # once is enough
        landed.append(summary_of(tmp_path / "summary.json")["orders"]["rows_landed"])
    assert landed == [2, 0, 1, 2]  # with a column more, the row at the boundary is another version too
    for reader in ("duckdb", "pyarrow"):
        assert differences(database, "orders", read_back(tmp_path / "lake", reader, NEWEST), "orders") == []


@pytest.mark.heavy
def test_an_upsert_is_refused_before_anything_is_read(vdk: Vdk, parquet: Callable[..., str], tmp_path: Path) -> None:
    """The error says what to use."""
    shop(tmp_path / "shop.db", "CREATE TABLE orders (id INTEGER PRIMARY KEY)", "INSERT INTO orders VALUES (1)")
    done = vdk("datasource", "run", parquet(flow='write_mode = "upsert"'))
    assert done.returncode == 1
    for part in (
        "does not support write_mode = 'upsert'",
        'write write_mode = "append" or write_mode = "replace"',
        "use a database as the destination",
    ):
        assert part in done.stdout + done.stderr
    assert [path.name for path in (tmp_path / "lake").iterdir()] == ["_vdk"]


@pytest.mark.heavy
def test_every_value_of_a_database_lands_and_a_second_run_replaces_it(
    vdk: Vdk, parquet: Callable[..., str], tmp_path: Path
) -> None:
    """All tables of the EPSG registry, those without rows too, as DuckDB and as pyarrow read them."""
    path = parquet(PROJ)
    with closing(sqlite3.connect(PROJ)) as source:
        cursor = source.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        tables = [name for (name,) in cursor]
    for _ in range(2):
        done = vdk("datasource", "run", path)
        assert done.returncode == 0, done.stderr
    for reader in ("duckdb", "pyarrow"):
        landed = read_back(tmp_path / "lake", reader)
        assert [line for name in tables for line in differences(PROJ, name, landed, name)] == []
    assert len(tables) > 30
    assert all(len([*(tmp_path / "lake" / name).iterdir()]) == 1 for name in tables)
