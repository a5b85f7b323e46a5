"""The main road by hand: right input and wrong, through a real ``vdk``."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from conftest import Vdk, summary_of
from values import differences
from vdk.plugin.datasource_base import ConfigurationError, run_flows


def make(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(script)
    return path


def query(lake: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(duckdb.connect(str(lake), read_only=True)) as connection:
        return connection.execute(sql).fetchall()


ORDERS = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, total DECIMAL(10, 2), updated_time TEXT);
INSERT INTO orders VALUES (1, 9.99, '2026-01-01 10:00:00'), (2, 20, '2026-01-01 10:00:00');
"""


def test_a_second_run_lands_what_changed_and_nothing_else(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """Without a change nothing lands; with one changed row that row does; a row at the old maximum is not lost."""
    shop = make(tmp_path / "shop.db", ORDERS)
    path = str(flow())
    landed = []
    for change in (
        "",
        "",
        "UPDATE orders SET total = 10.5, updated_time = '2026-01-02 00:00:00' WHERE id = 1",
        "INSERT INTO orders VALUES (3, 1, '2026-01-02 00:00:00')",
    ):
        make(shop, change)
        done = vdk("datasource", "run", path, "--summary", "summary.json")
        assert done.returncode == 0, done.stderr
        landed.append(summary_of(tmp_path / "summary.json")["orders"]["rows_landed"])
    assert landed == [2, 0, 1, 1]
    assert differences(shop, "orders", tmp_path / "lake.duckdb", "orders") == []


def test_one_failing_stream_leaves_the_others_complete(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """A value that does not fit fails its table by name, with exit code 1; the other tables land."""
    make(tmp_path / "shop.db", ORDERS + "CREATE TABLE bad (id INTEGER, n INT); INSERT INTO bad VALUES (1, 'many');")
    done = vdk("datasource", "run", str(flow()), "--summary", "summary.json")
    assert done.returncode == 1
    assert "shop.bad" in done.stderr + done.stdout
    assert "'many'" in done.stderr + done.stdout
    streams = summary_of(tmp_path / "summary.json")
    assert (streams["orders"]["status"], streams["bad"]["status"]) == ("succeeded", "failed")
    assert differences(tmp_path / "shop.db", "orders", tmp_path / "lake.duckdb", "orders") == []


@pytest.mark.heavy
def test_odd_names_land_like_any_other(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """Names with blanks, quotes, keywords, braces and letters of every kind are data, and never SQL."""
    names = ["order", 'a"; drop table b; --', "Straße 東京", "with space", "it's", "{stream}", "semi;colon"]
    script = "".join(
        f'CREATE TABLE "{name.replace(chr(34), chr(34) * 2)}" ("select" INTEGER PRIMARY KEY, "na""me" TEXT, "%s" REAL);'
        f"INSERT INTO \"{name.replace(chr(34), chr(34) * 2)}\" VALUES (1, 'x', 0.5);"
        for name in names
    )
    make(tmp_path / "shop.db", script)
    done = vdk("datasource", "run", str(flow()))
    assert done.returncode == 0, done.stderr
    problems = [
        line for name in names for line in differences(tmp_path / "shop.db", name, tmp_path / "lake.duckdb", name)
    ]
    assert problems == []


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("script", "tables"),
    [
        ("", []),
        ("CREATE TABLE empty (id INTEGER PRIMARY KEY, name TEXT)", ["empty"]),
        (
            f"CREATE TABLE wide ({', '.join(f'c{n} INTEGER' for n in range(300))}); INSERT INTO wide DEFAULT VALUES",
            ["wide"],
        ),
    ],
    ids=["an empty database", "an empty table", "300 columns"],
)
def test_small_and_wide_databases(
    vdk: Vdk, flow: Callable[..., Path], tmp_path: Path, script: str, tables: list[str]
) -> None:
    """Nothing to land is a success, and a table without rows is there afterwards."""
    make(tmp_path / "shop.db", script)
    done = vdk("datasource", "run", str(flow()))
    assert done.returncode == 0, done.stderr
    for table in tables:
        assert differences(tmp_path / "shop.db", table, tmp_path / "lake.duckdb", table) == []


@pytest.mark.heavy
def test_what_is_wrong_is_said_in_words(vdk: Vdk, flow: Callable[..., Path], tmp_path: Path) -> None:
    """A missing file, one that is not a database, an unknown option and a pattern without a match: exit code 1 and a
    message that names the thing. A missing database is not made."""
    (tmp_path / "text.db").write_text("no database, but long enough to look like a file of some other kind" * 20)
    make(tmp_path / "shop.db", ORDERS)
    cases = {
        "missing": (flow("missing.db", name="missing.toml"), "missing.db"),
        "no database": (flow("text.db", name="text.toml"), "text.db"),
        "option": (flow(name="option.toml", config="page_row = 10"), "page_rows"),
        "pattern": (flow(name="pattern.toml", flow='streams = ["order"]'), "orders"),
    }
    for case, (path, named) in cases.items():
        done = vdk("datasource", "run", str(path))
        assert done.returncode == 1, case
        assert named in done.stdout + done.stderr, case
    assert not (tmp_path / "missing.db").exists()


def test_plain_python_needs_no_vdk(flow: Callable[..., Path], tmp_path: Path) -> None:
    """run_flows(None, …) lands a flow file and a dict in an ordinary process, and says what happened."""
    make(tmp_path / "shop.db", ORDERS)
    summary = run_flows(None, flow())
    assert [(stream.stream, stream.rows_landed) for stream in summary.streams] == [("orders", 2)]
    with pytest.raises(ConfigurationError, match="no stream matches"):
        run_flows(
            None,
            {
                "sources": {"shop": {"name": "sqlite", "config": {"database": str(tmp_path / "shop.db")}}},
                "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{tmp_path}/lake.duckdb"}},
                "flows": [{"from": "shop", "to": "lake", "streams": ["nothing_*"]}],
            },
        )


@pytest.mark.heavy
def test_memory_stays_bounded(tmp_path: Path) -> None:
    """A million rows of ten columns land in a process that never holds more than 400 MB."""
    make(
        tmp_path / "shop.db",
        """
        CREATE TABLE big (id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT, d INTEGER, e INTEGER, f REAL, g REAL,
            h TEXT, updated_time TEXT);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
        INSERT INTO big SELECT i, 'name ' || i, 'a text of some length, as texts are', hex(i), i % 7, i * 3, i / 7.0,
            i * 1.5, 'x', datetime('2026-01-01', (i / 2) || ' seconds') FROM n;
        """,
    )
    script = f"""
import resource
from vdk.plugin.datasource_base import run_flows
summary = run_flows(None, {{
    "sources": {{"shop": {{"name": "sqlite", "config": {{"database": {str(tmp_path / "shop.db")!r}}}}}}},
    "destinations": {{"lake": {{"method": "arrow", "target": "duckdb:///{tmp_path}/lake.duckdb"}}}},
    "flows": [{{"from": "shop", "to": "lake"}}],
}})
print(summary.streams[0].rows_landed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, env={**os.environ}, timeout=240
    )
    assert done.returncode == 0, done.stderr
    rows, peak = map(int, done.stdout.split())
    assert rows == 1_000_000
    assert peak < 400, f"{peak} MB"
