"""``vdk datasource copy`` and ``init`` from a SQLite file into DuckDB."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import tomllib
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
from vdk.plugin.datasource_base.integration.commands import init_command
from vdk.plugin.datasource_base.integration.texts.file_text import of_flow_file
from vdk.plugin.datasource_base.parts import Registry
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

    def run(*arguments: str, input: str | None = None) -> Result:
        return runner.invoke(["datasource", *arguments], **({} if input is None else {"input": input}))

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
    assert read("sqlite:///shop.db", "orders").to_arrow().num_rows == 4
    again = vdk(*COPY, "--tables", "orders,cust*", "--save", "flow.toml")
    assert again.exit_code == 0, "the same file is not another one"
    other = vdk(*COPY, "--save", "flow.toml")
    assert other.exit_code == 2
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
        (("sqlite:///sop.db", "duckdb:///lake.duckdb"), "; write sqlite:///shop.db"),
        (("sqlite:///shop.db", "duckdb://lake.duckdb"), "the target's file needs three slashes"),
        ((*COPY[1:], "--tables", "ordrs"), "--tables: no stream matches 'ordrs'; did you mean 'orders'?"),
        ((*COPY[1:], "--tables", "audit", "--mode", "upsert"), 'write_mode = "upsert" needs a primary key'),
        ((*COPY[1:], "--set", "on_bad_recrd=reject"), "unknown option 'on_bad_recrd'; did you mean 'on_bad_record'"),
        ((*COPY[1:], "--cursor", "update_at"), "none of these tables has a column 'update_at'"),
        ((*COPY[1:], "--set", "tables.two words.cursor=id"), """as in --set 'tables."two words".cursor=changed_at'"""),
        ((*COPY[1:], "--save", "no/flow.toml"), "the folder 'no' does not exist"),
        ((*COPY[1:], "--save", "../flow.toml"), "save the file in the working folder"),
        ((*COPY[1:], "--save", "/dev/full"), "'/dev/full' is not a file"),
        (("sqlite:///shop.db", "sqlite:///shop.db"), "is both the source and the destination, and table 'audit' would"),
    ],
)
def test_a_wrong_copy_is_answered_in_terms_of_the_command(vdk: Vdk, arguments: tuple[str, ...], match: str) -> None:
    result = vdk("copy", *arguments)
    of_a_run = (
        "; write sqlite",
        "sop.db' does not exist",
        "write_mode",
        "is both the source",
    )
    assert result.exit_code == (1 if any(text in match for text in of_a_run) else 2), match
    assert result.stdout == "", "a table of streams that were not read"
    assert match in result.stderr
    assert "flow: " not in result.stderr
    assert not Path("flow.toml").exists()


def test_init_writes_a_file_that_passes_check_and_is_never_replaced(vdk: Vdk) -> None:
    """Each line that it proposes is right, too: without its ``#`` the file passes as well."""
    first = vdk("init", "shop.db", "--to", "duckdb:///lake.duckdb")
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines()[-1] == "shop.toml is written. Next: vdk datasource run shop.toml"
    text = Path("shop.toml").read_text("utf-8")
    for line in (
        '# tables."customers".cursor = "changed"',
        '#   "customers": key id, no cursor, replace',
        '#   "orders": key id, new rows by updated_at, upsert',
    ):
        assert line in text.splitlines()
    proposed = [line for line in text.splitlines() if line.startswith(("# tables.", "# streams"))]
    Path("other.toml").write_text(
        "\n".join(line.removeprefix("# ") if line in proposed else line for line in text.splitlines()), "utf-8"
    )
    assert vdk("check", "other.toml").exit_code == 0
    assert vdk("run", "other.toml", "-q").exit_code == 0
    assert landed("SELECT count(*) FROM customers") == [(1,)]
    second = vdk("init", "shop.db")
    assert second.exit_code == 2
    assert "'shop.toml' exists already, and is not replaced; write --out another.toml" in second.stderr
    assert Path("shop.toml").read_text("utf-8") == text


def test_a_database_is_not_a_flow_file(vdk: Vdk) -> None:
    """What can be done with it is shown; ``read`` takes it as it takes its URL."""
    result = vdk("run", "shop.db")
    assert result.exit_code == 2
    assert "write: vdk datasource copy shop.db duckdb:///lake.duckdb" in result.stderr
    assert "vdk datasource copy sqlite:///shop.db" in vdk("check", "sqlite:///shop.db").stderr
    assert read("shop.db", "orders").to_arrow().num_rows == 2


def test_check_finds_a_cursor_of_mixed_formats(vdk: Vdk, tmp_path: Path) -> None:
    """A run would refuse it before its first row."""
    assert vdk("init", "shop.db").exit_code == 0
    assert vdk("check", "shop.toml").exit_code == 0
    execute(tmp_path / "shop.db", "INSERT INTO orders VALUES (3, 3, '03.10.2026')")
    result = vdk("check", "shop.toml")
    assert result.exit_code == 1
    assert "flow flows[0]: error: stream 'orders': the cursor 'updated_at' mixes formats" in result.stdout


def test_init_writes_its_file_although_something_is_wrong(vdk: Vdk, tmp_path: Path) -> None:
    """With the command that goes on from there: what is wrong is corrected in the file."""
    execute(tmp_path / "shop.db", "INSERT INTO orders VALUES (3, 3, '03.10.2026')")
    result = vdk("init", "shop.db")
    assert result.exit_code == 1
    assert "the cursor 'updated_at' mixes formats" in result.stdout
    assert result.stdout.splitlines()[-1] == (
        "shop.toml is written. Correct it there, then write: vdk datasource check shop.toml"
    )
    with Path("shop.toml").open("a", encoding="utf-8") as file:
        file.write('\n[sources.shop.config.tables.orders]\ncursor_format = "text"\n')
    assert vdk("check", "shop.toml").exit_code == 0


def test_init_asks_on_a_terminal_for_what_is_left_open(vdk: Vdk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_command, "_on_terminal", lambda: True)
    result = vdk("init", "shop.db", "--out", "a.toml", input="orders\nduckdb:///b.duckdb\n")
    assert result.exit_code == 0, result.output
    assert "It has 3 tables or other streams: audit, customers, orders." in result.stderr
    flow = tomllib.loads(Path("a.toml").read_text("utf-8"))
    assert flow["flows"] == [{"from": "shop", "to": "lake", "streams": ["orders"]}]
    assert flow["destinations"]["lake"]["target"] == "duckdb:///b.duckdb"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("nothing.db",), "'nothing.db' is not a URL, an existing SQLite file or a server"),
        (("shop.db", "--tables", "ordrs"), "--tables: no stream matches 'ordrs'; did you mean 'orders'?"),
        (("shop.db", "--to", "lake.duckdb"), "write duckdb:///lake.duckdb"),
        (("shop.db", "--out", "no/shop.toml"), "the folder 'no' does not exist"),
    ],
)
def test_a_wrong_init_writes_nothing(vdk: Vdk, arguments: tuple[str, ...], match: str) -> None:
    result = vdk("init", *arguments)
    assert result.exit_code == (1 if "--tables: " in match else 2)
    assert match in result.stderr
    assert not list(Path().rglob("*.toml"))


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


def test_two_sources_with_one_table_do_not_overwrite_each_other(vdk: Vdk, tmp_path: Path) -> None:
    """The remedies of the error are arguments of the command, and a run of the saved file goes on with them."""
    for name in ("east", "west"):
        execute(tmp_path / f"{name}.db", "CREATE TABLE orders (id INTEGER)", f"INSERT INTO orders VALUES ({len(name)})")
    assert vdk("copy", "sqlite:///east.db", "duckdb:///lake.duckdb").exit_code == 0
    west = ("copy", "sqlite:///west.db", "duckdb:///lake.duckdb")
    refused = vdk(*west)
    assert refused.exit_code == 1
    assert "table 'orders' has rows of stream 'orders' of source 'east'" in refused.stderr
    assert "add --destination-table 'west_{table}', or, to replace them all the same, add --yes" in refused.stderr
    assert vdk(*west, "--destination-table", "west_{table}", "--save", "west.toml").exit_code == 0
    assert vdk("run", "west.toml").exit_code == 0
    execute(tmp_path / "west.db", "INSERT INTO orders VALUES (9)")
    assert "add --shared-table" in vdk(*west, "--mode", "append").stderr
    assert landed("SELECT count(*) FROM orders UNION ALL SELECT count(*) FROM west_orders") == [(1,), (1,)]
    assert vdk(*west, "--mode", "append", "--shared-table").exit_code == 0
    assert landed("SELECT count(*) FROM orders") == [(3,)]
    assert vdk(*west, "--yes").exit_code == 0
    assert landed("SELECT id FROM orders ORDER BY id") == [(4,), (9,)]


def test_a_file_that_has_moved_goes_on_with_the_commands_of_the_error(vdk: Vdk, tmp_path: Path) -> None:
    """Nothing is read again; the error of a missing file speaks of the working directory, not of a flow file."""
    only = ("--tables", "orders")
    assert vdk(*COPY, *only).exit_code == 0
    (tmp_path / "shop.db").rename(tmp_path / "moved.db")
    assert "a relative path starts at the working directory); write sqlite:///moved.db" in vdk(*COPY, *only).stderr
    moved = ("copy", "sqlite:///moved.db", "duckdb:///lake.duckdb", *only, "-o", "json")
    refused = vdk(*moved).stderr
    assert "go on from there: vdk datasource init sqlite:///moved.db --to duckdb:///lake.duckdb --out mo" in refused
    commands = re.findall(r"vdk datasource (init[^;]*|state adopt .*?)(?=; |\. )", refused)
    for command in commands:
        vdk(*command.split(), *(only if command.startswith("init") else ("--yes",)))
    assert '"rows_read": 0' in vdk(*moved).stdout


def test_each_remedy_can_be_pasted_where_it_says(vdk: Vdk, tmp_path: Path) -> None:
    """Into the command line, under the table of a flow file, or inside braces; a name with a blank is in quotes."""
    execute(
        tmp_path / "odd.db",
        'CREATE TABLE "two words" (id INTEGER PRIMARY KEY, n INTEGER)',
        "INSERT INTO \"two words\" VALUES (1, 1), (2, 'x')",
    )
    copy = ("copy", "sqlite:///odd.db", "duckdb:///lake.duckdb")
    failed = vdk(*copy, "--save", "odd.toml")
    argument = 'tables."two words".dynamic_types="text"'
    assert f"""--set '{argument}'; or reject such rows with --set 'on_bad_record="reject"'""" in failed.stderr
    line = 'tables."two words".dynamic_types = "text"'
    file = Path("odd.toml").read_text("utf-8")
    ran = vdk("run", "odd.toml")
    place = f'{line} under [sources.odd.config]; or reject such rows with on_bad_record = "reject" under [[flows]]'
    assert place in ran.stderr
    braces = file.replace('\n[sources.odd.config]\ndatabase = "odd.db"', 'config = { database = "odd.db" }')
    Path("braces.toml").write_text(braces, "utf-8")
    assert f"{line} inside the braces of config = {{ … }} under [sources.odd]" in vdk("run", "braces.toml").stderr
    Path("braces.toml").write_text(f"""{braces}[sources.odd.config.tables."two words"]\ncursor = false\n""", "utf-8")
    extended = vdk("check", "braces.toml").output
    assert 'cannot be extended: write tables."two words" inside its braces, or write [sources.odd.config]' in extended
    with_table = file + '[sources.odd.config.tables."two words"]\ncursor = false\n'
    Path("odd.toml").write_text(with_table, "utf-8")
    header = '[sources.odd.config.tables."two words"]'
    assert f'with dynamic_types = "text" under {header}' in vdk("run", "odd.toml").stderr
    Path("odd.toml").write_text(with_table + 'dynamic_types = "text"\n', "utf-8")
    assert vdk("run", "odd.toml").exit_code == 0
    assert vdk(*copy, "--set", argument).exit_code == 0


def test_rejected_rows_are_shown_where_they_are(vdk: Vdk, tmp_path: Path) -> None:
    """More than max_rejected of them: the error has the line that allows it, and not the one that is there already."""
    execute(tmp_path / "odd.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO t VALUES (1, 'x')")
    copy = ("copy", "sqlite:///odd.db", "duckdb:///lake.duckdb", "--set", 'on_bad_record="reject"')
    failed = vdk(*copy)
    assert failed.exit_code == 1
    assert "exactly once" not in failed.stdout, "of a stream that has failed"
    assert "on_bad_record" not in failed.stderr
    assert """allow any number with --set 'max_rejected="100%"'""" in failed.stderr
    landed_some = vdk(*copy, "--set", 'max_rejected="100%"', "--report", "copied.html")
    assert "odd.t: the rejected rows are in lake.t__rejected" in landed_some.stdout, landed_some.output
    assert Path("copied.html").is_file()
    assert "on_bad_record" not in landed("SELECT reason FROM t__rejected")[0][0]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("report", "flow.toml"), "write: vdk datasource run FLOW --report FILE"),
        (("verify", "flow.toml", "orders"), "one stream alone: --stream orders"),
        (("run", "flow.toml", "two words"), "--stream"),
    ],
)
def test_a_near_miss_names_the_option(vdk: Vdk, arguments: tuple[str, ...], match: str) -> None:
    Path("flow.toml").touch()
    assert match in vdk(*arguments).stderr


def test_a_line_belongs_to_the_source_that_the_message_is_about(tmp_path: Path) -> None:
    """Where that is not clear, or the file cannot be read, the message stays as it is."""
    file = tmp_path / "two.toml"
    braces = '[sources.a]\nname = "sqlite"\nconfig = { database = "a.db" }\n'
    file.write_text(braces + '[sources.b]\nname = "sqlite"\n[sources.b.config]\ndatabase = "b.db"\n', "utf-8")
    failed = "2:\n a.t: E: name one with tables.t.cursor{}.\n  b.t: E: set page_rows = 1{}; or write streams = []"
    told = of_flow_file(failed.format("", ""), file, Registry)
    places = (" inside the braces of config = { … } under [sources.a]", " under [sources.b.config]")
    assert told == failed.format(*places) + " under [[flows]]"
    for message, path in (("set page_rows = 1", file), ("b.t: E: set page_rows = 1", tmp_path / "none.toml")):
        assert of_flow_file(message, path, Registry) == message
