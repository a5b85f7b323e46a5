"""``verify``: what a state claims is compared with the table, in each target."""

from __future__ import annotations

import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support import execute
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.contract import ConfigurationError, FlowFailedError
from vdk.plugin.datasource_base.runtime import Environment
from vdk.plugin.datasource_base.runtime import execute as execute_flow
from vdk.plugin.datasource_base.runtime.inspect.verify import NOT_VERIFIED, exit_code, repairable, verify_flow
from vdk.plugin.datasource_base.runtime.scope import RunScope
from vdk.plugin.datasource_sql import PayloadBuilder, SqlStream

pytestmark = pytest.mark.libraries

COLUMNS = "id INTEGER PRIMARY KEY, name TEXT, price REAL, updated_at TEXT"
ROWS = [(number, f"n{number}", number / 3, f"2026-10-{1 + number % 28:02d} 00:00:00") for number in range(200)]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    database = tmp_path / "shop.db"
    execute(
        database,
        f"CREATE TABLE t ({COLUMNS})",
        ("INSERT INTO t VALUES (?, ?, ?, ?)", ROWS),
        "CREATE TABLE whole (id INTEGER PRIMARY KEY, v TEXT)",
        ("INSERT INTO whole VALUES (?, ?)", [(number, "x") for number in range(50)]),
        "CREATE TABLE empty (id INTEGER PRIMARY KEY, updated_at TEXT)",
        "CREATE TABLE keyless (a INTEGER, b TEXT)",
        "INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (NULL, NULL)",
    )
    return database


def flow(shop: Path, target: str, config: dict[str, Any] | None = None, **entry: Any) -> dict[str, Any]:
    return {
        "sources": {"shop": {"name": "sqlite", "config": {"database": str(shop), **(config or {})}}},
        "destinations": {"lake": {"method": "arrow", "target": target}},
        "flows": [{"from": "shop", "to": "lake", **entry}],
    }


def verified(flow: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {result.stream: result for result in verify_flow(flow, Environment(), **options)}


def target_of(kind: str, folder: Path) -> str:
    return f"{kind}:///{folder / 'lake'}"


def sql_in_lake(kind: str, folder: Path) -> Callable[[str], object]:
    def run(sql: str) -> None:
        if kind == "duckdb":
            with closing(duckdb.connect(str(folder / "lake"))) as connection:
                connection.execute(sql)
            return
        with closing(sqlite3.connect(folder / "lake")) as connection:
            connection.execute(sql)
            connection.commit()

    return run


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("kind", ["duckdb", "sqlite", "parquet"])
def test_a_run_that_is_complete_is_verified(shop: Path, tmp_path: Path, kind: str, values: bool) -> None:
    """Also rows without a key, a table without rows, and rows that changed or came after the run."""
    mode = "values" if values else True
    loading = flow(shop, target_of(kind, tmp_path), verify=mode)
    summary: Any = run_flows(None, loading)
    assert {stream.stream: (stream.verification.status, stream.verification.text) for stream in summary.streams} == {
        "t": ("verified", "verified 200 of 200"),
        "whole": ("verified", "verified 50 of 50"),
        "keyless": ("verified", "verified 3 of 3"),
        "empty": ("verified", "verified 0 of 0; the state claims no rows"),
    }
    execute(
        shop,
        "UPDATE t SET name = 'later', updated_at = '2026-10-29 00:00:00' WHERE id < 10",
        "INSERT INTO t VALUES (1000, 'new', 1, '2026-10-30 00:00:00'), (1001, 'late', 1, '2026-10-28 00:00:00')",
    )
    result = verified(loading)["t"]
    assert (result.status, result.rows, result.verified, result.missing, result.extra) == ("verified", 190, 190, 0, 0)


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_differences_are_counted_and_named(shop: Path, tmp_path: Path, kind: str) -> None:
    loading = flow(shop, target_of(kind, tmp_path), streams=["t"])
    run_flows(None, loading)
    lake = sql_in_lake(kind, tmp_path)
    lake("DELETE FROM t WHERE id IN (3, 27, 55)")  # 27 and 55: within lookback of the end
    lake("UPDATE t SET updated_at = NULL WHERE id = 7")
    lake("UPDATE t SET name = 'other' WHERE id = 8")
    lake("INSERT INTO t SELECT * FROM t WHERE id = 9")
    execute(shop, "DELETE FROM t WHERE id = 10")
    result = verified(loading)["t"]
    assert (result.status, result.missing, result.different, result.repeated, result.extra) == ("different", 3, 1, 1, 1)
    assert list(result.missing_keys) == ["id=3", "id=7", "id=27", "id=55"]
    assert list(result.extra_keys) == ["id=10"]
    assert (result.rows, result.verified) == (199, 195)
    assert verified(loading, values=True)["t"].different == 2  # 7 and 8
    with pytest.raises(FlowFailedError, match="verified 195 of 199; 3 missing"):
        run_flows(None, {**loading, "flows": [{**loading["flows"][0], "verify": True}]})


def test_what_cannot_be_proven_says_why(shop: Path, tmp_path: Path) -> None:
    target = target_of("duckdb", tmp_path)
    dropping = flow(shop, target, streams=["t"], transform=lambda rows: [row for row in rows if row["id"] > 5])
    run_flows(None, dropping)
    result = verified(dropping)["t"]
    assert result.status == "unproven"
    assert "transform" in str(result.reason)
    assert exit_code([result]) == NOT_VERIFIED, "a script must not take it as proof"
    assert exit_code([result, replace(result, status="verified")]) == NOT_VERIFIED
    assert exit_code([result, replace(result, status="different")]) == 1
    assert exit_code([]) == NOT_VERIFIED


def test_a_row_that_is_gone_names_the_option_that_deletes_it(shop: Path, tmp_path: Path) -> None:
    target = target_of("duckdb", tmp_path)
    run_flows(None, flow(shop, target, streams=["t"]))
    execute(shop, "DELETE FROM t WHERE id = 10")
    text, option = verified(flow(shop, target, streams=["t"]))["t"].text, 'deletes = { sweep = "1d" }'
    assert text == (
        "verified 199 of 199; 1 not at the source any more (id=10); "
        f"to delete such rows, add {option} to [sources.shop.config]"
    )
    swept = flow(shop, target, tomllib.loads(option), streams=["t"])
    run_flows(None, swept)
    result = verified(swept)["t"]
    assert (result.text, exit_code([result])) == ("verified 199 of 199", 0)


@pytest.mark.parametrize(("kind", "mode"), [("duckdb", "upsert"), ("sqlite", "upsert"), ("duckdb", "append")])
def test_repair_reads_the_differing_rows_again_and_no_others(shop: Path, tmp_path: Path, kind: str, mode: str) -> None:
    loading = flow(shop, target_of(kind, tmp_path), streams=["t"], write_mode=mode)
    before = run_flows(None, loading).streams[0].state_after
    lake = sql_in_lake(kind, tmp_path)
    lake("DELETE FROM t WHERE id IN (3, 27)")
    if mode == "upsert":
        lake("UPDATE t SET updated_at = NULL WHERE id = 7")
        lake("INSERT INTO t SELECT * FROM t WHERE id = 9")
    rows = repairable(verify_flow(loading, Environment()))
    environment = Environment()
    environment.scope = RunScope(confirmed=True, repair=rows["shop"])
    (report,) = execute_flow(loading, environment).streams
    assert report.rows_landed == (4 if mode == "upsert" else 2)
    assert report.state_after == before
    assert verified(loading)["t"].text == "verified 200 of 200"


def test_what_cannot_be_repaired_is_refused_by_name(shop: Path, tmp_path: Path) -> None:
    loading = flow(shop, target_of("duckdb", tmp_path), streams=["whole"])
    run_flows(None, loading)
    sql_in_lake("duckdb", tmp_path)("DELETE FROM whole WHERE id = 1")
    with pytest.raises(ConfigurationError, match=r"shop.whole is read whole .* vdk datasource run FLOW"):
        repairable(verify_flow(loading, Environment()))


def test_a_table_without_a_cursor_that_changes_meanwhile_is_no_difference(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that lost a row says so, though: the source has counted its rows in the snapshot of the read."""
    loading = flow(shop, target_of("duckdb", tmp_path), streams=["whole"], verify=True)
    proof = SqlStream.proof

    def changed(stream: SqlStream, *states: Any, **options: Any) -> Any:
        execute(shop, "INSERT INTO whole VALUES (1000, 'new')", "DELETE FROM whole WHERE id = 1")
        return proof(stream, *states, **options)

    with monkeypatch.context() as patched:
        patched.setattr(SqlStream, "proof", changed)
        found: Any = run_flows(None, loading).streams[0].verification
    assert found.text == (
        "not verified: 2 rows changed at the source meanwhile; all 50 rows of the snapshot that was read have landed"
    )
    payloads = PayloadBuilder.payloads
    monkeypatch.setattr(PayloadBuilder, "payloads", lambda self, rows, *state: payloads(self, rows[1:], *state))
    with pytest.raises(FlowFailedError, match="the source has 50 rows, and 49 of them were read"):
        run_flows(None, loading)


def test_columns_that_the_policy_changes_are_compared_as_they_land(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALT", "s" * 20)
    options: dict[str, Any] = {"columns": {"name": "hash", "price": "drop"}, "salt": "${env:SALT}", "verify": "values"}
    loading = flow(shop, target_of("duckdb", tmp_path), streams=["t"], **options)
    found: Any = run_flows(None, loading).streams[0].verification
    assert (found.text, found.compared) == ("verified 200 of 200", ["id", "name", "updated_at"])
    sql_in_lake("duckdb", tmp_path)("DELETE FROM t WHERE rowid = 5")
    rows = repairable(verify_flow(loading, Environment()))
    environment = Environment()
    environment.scope = RunScope(confirmed=True, repair=rows["shop"])
    execute_flow(loading, environment)
    assert verified(loading)["t"].text == "verified 200 of 200"


@pytest.mark.parametrize("kind", ["duckdb", "sqlite", "parquet"])
def test_rows_that_are_rejected_for_their_keys_are_no_difference(tmp_path: Path, kind: str) -> None:
    """They cannot land, so that no repair would end the difference."""
    database = tmp_path / "shop.db"
    execute(database, "CREATE TABLE t (k TEXT PRIMARY KEY, updated_at TEXT)")
    execute(database, "INSERT INTO t VALUES (NULL, '2026-01-01'), ('a', '2026-01-01'), ('b', NULL)")
    options: dict[str, Any] = (
        {"write_mode": "append"} if kind == "parquet" else {"on_bad_record": "reject", "max_rejected": "100%"}
    )
    loading = flow(database, target_of(kind, tmp_path), **options)
    run_flows(None, loading)
    text = (
        "verified 3 of 3"
        if kind == "parquet"
        else "verified 2 of 2; left out, since a column of the key has no value in them: 1"
    )
    assert verified(loading)["t"].text == text


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_a_table_that_was_changed_by_hand_is_no_proof(shop: Path, tmp_path: Path, kind: str) -> None:
    """Of a column that is gone the values are gone, too; a table that is gone names the line that lands it again."""
    loading = flow(shop, target_of(kind, tmp_path), streams=["t"])
    with pytest.raises(ConfigurationError, match="so nothing has landed"):
        verified(loading)
    run_flows(None, loading)
    sql_in_lake(kind, tmp_path)("ALTER TABLE t DROP COLUMN name")
    assert verified(loading)["t"].status == "verified", "the key and the cursor are there"
    result = verified(loading, values=True)["t"]
    assert result.status == "different"
    assert "the table lacks columns in which rows have values: name (200)" in result.text
    with pytest.raises(ConfigurationError, match="to land everything again, write: vdk datasource run FLOW --stream"):
        repairable(verify_flow(loading, Environment(), values=True))
    sql_in_lake(kind, tmp_path)("DROP TABLE t")
    assert "to land them again, write: vdk datasource run FLOW --full-refresh --stream t" in verified(loading)["t"].text
