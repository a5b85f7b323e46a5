"""``vdk datasource copy`` and ``init`` from a SQLite file into DuckDB."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import Result
from vdk.plugin.test_utils.util_funcs import CliEntryBasedTestRunner

from support import execute
from vdk.plugin.datasource_base import plugin_entry as base_entry
from vdk.plugin.datasource_base import read
from vdk.plugin.ingest_arrow import plugin_entry as arrow_entry

pytestmark = [
    # vdk-core adds its options to one command, which lives as long as the process, in each of its runs.
    pytest.mark.filterwarnings("ignore:The parameter .* is used more than once"),
]
Vdk = Callable[..., Result]
COPY = ("copy", "sqlite:///shop.db", "duckdb:///lake.duckdb")


@pytest.fixture
def vdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vdk:
    """The commands, in a folder with a database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")
    logging.getLogger("vdk").setLevel(logging.INFO)
    execute(
        tmp_path / "shop.db",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, total NUMERIC, updated_at TEXT)",
        "INSERT INTO orders VALUES (1, 1, '2026-10-01'), (2, 2, '2026-10-02')",
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, changed INTEGER)",
        "INSERT INTO customers VALUES (1, 'ada', 1)",
        "CREATE TABLE audit (what TEXT)",
    )
    runner = CliEntryBasedTestRunner(base_entry, arrow_entry)

    def run(*arguments: str) -> Result:
        return runner.invoke(["datasource", *arguments])

    return run


def landed(query: str) -> list[Any]:
    with duckdb.connect("lake.duckdb", read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_copy_continues_and_its_saved_file_continues_too(vdk: Vdk, tmp_path: Path) -> None:
    """The same names of source, destination and table, so the same states: nothing is read twice."""
    first = vdk(*COPY, "--tables", "orders, cust*")
    assert first.exit_code == 0, first.output
    assert landed("SELECT id FROM orders ORDER BY id") == [(1,), (2,)]
    execute(tmp_path / "shop.db", "INSERT INTO orders VALUES (3, 3, '2026-10-03')")
    second = vdk(*COPY, "--tables", "orders,cust*", "--save", "flow.toml", "-o", "json")
    assert second.exit_code == 0, second.output
    assert '"rows_read": 1' in second.stdout
    execute(tmp_path / "shop.db", "INSERT INTO orders VALUES (4, 4, '2026-10-04')")
    third = vdk("run", "flow.toml", "--stream", "orders", "-o", "json")
    assert third.exit_code == 0, third.output
    assert '"rows_read": 1,' in third.stdout
    assert landed("SELECT id FROM orders ORDER BY id") == [(1,), (2,), (3,), (4,)]
    assert read("flow.toml", "orders").to_arrow().num_rows == 4
    again = vdk(*COPY, "--tables", "orders,cust*", "--save", "flow.toml")
    assert again.exit_code == 0, "the same file is not another one"
    other = vdk(*COPY, "--save", "flow.toml")
    assert other.exit_code == 1
    assert "'flow.toml' exists, with other content" in other.stderr


def test_copy_says_what_it_picked(vdk: Vdk) -> None:
    shown = vdk(*COPY, "--cursor", "changed", "--tables", "!audit").stderr
    assert "shop.orders: key id, read whole, replace" in shown
    assert "shop.customers: key id, cursor changed, upsert" in shown
    wrong = vdk(*COPY, "--cursor", "chnged")
    assert wrong.exit_code == 1
    assert "--cursor: none of these tables has a column 'chnged'" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("sqlite://shop.db", "duckdb:///lake.duckdb"), "write three slashes before it (sqlite:///shop.db)"),
        (("sqlite:///shop.db?x=1", "duckdb:///lake.duckdb"), "what follows the '?' is not supported"),
        (("sqlite:///sop.db", "duckdb:///lake.duckdb"), "sop.db' does not exist"),
        (("sqlite:///shop.db", "duckdb://lake.duckdb"), "the target's file needs three slashes"),
        ((*COPY[1:], "--tables", "ordrs"), "--tables: no stream matches 'ordrs'; did you mean 'orders'?"),
        ((*COPY[1:], "--tables", "audit", "--mode", "upsert"), 'write_mode = "upsert" needs a primary key'),
        ((*COPY[1:], "--save", "no/flow.toml"), "the folder 'no' does not exist"),
        ((*COPY[1:], "--save", "../flow.toml"), "save the file in the working folder"),
    ],
)
def test_a_wrong_copy_is_answered_in_terms_of_the_command(vdk: Vdk, arguments: tuple[str, ...], match: str) -> None:
    result = vdk("copy", *arguments)
    assert result.exit_code == 1
    assert match in result.stderr
    assert "flow: " not in result.stderr
    assert not Path("flow.toml").exists()


@pytest.mark.heavy  # a process that loads VDK and all its plugins
def test_copy_in_a_process_of_its_own_takes_a_path(vdk: Vdk, tmp_path: Path) -> None:
    """As a user does it: the installed command, a file instead of a URL."""
    command = [sys.executable, "-c", "from vdk.internal.cli_entry import main; main()", "datasource", "copy"]
    done = subprocess.run(
        [*command, "shop.db", "duckdb:///lake.duckdb", "-q"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stdout
    assert landed("SELECT count(*) FROM customers") == [(1,)]
