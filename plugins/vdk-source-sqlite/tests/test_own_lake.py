"""A lake that the SQLite target of vdk-ingest-arrow made is a database like another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support import execute, rows_of, run, source_of, stream_of
from vdk.plugin.datasource_base import ConfigurationError, FlowFailedError, run_flows


def copy(database: Path, lake: Path, **entry: Any) -> Any:
    return run_flows(
        None,
        {
            "sources": {"shop": {"name": "sqlite", "config": {"database": str(database)}}},
            "destinations": {"lake": {"method": "arrow", "target": f"sqlite:///{lake}"}},
            "flows": [{"from": "shop", "to": "lake", **entry}],
        },
    )


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Rows with metadata columns, one of them deleted softly; and the framework's tables."""
    shop = tmp_path / "shop.db"
    execute(
        shop,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, gone INTEGER, updated_at TEXT)",
        "INSERT INTO t VALUES (1, 'a', 0, '2026-10-01'), (2, 'b', 0, '2026-10-01')",
    )
    made = tmp_path / "lake.db"
    options = {"deletes": "soft", "metadata_columns": ["synced_at", "run_id"]}
    flow = {"sources": {"shop": {"name": "sqlite", "config": {"database": str(shop), "deletes": {"column": "gone"}}}}}
    flow["destinations"] = {"lake": {"method": "arrow", "target": f"sqlite:///{made}"}}
    for change in ("SELECT 1", "UPDATE t SET gone = 1, updated_at = '2026-10-02' WHERE id = 2"):
        execute(shop, change)
        summary = run_flows(None, {**flow, "flows": [{"from": "shop", "to": "lake", **options}]})
        assert summary.status == "succeeded"
    assert rows_of(made, "SELECT id, _vdk_deleted_at IS NULL FROM t ORDER BY id") == [(1, 1), (2, 0)]
    return made


def test_the_frameworks_tables_and_columns_are_left_out_and_deleted_rows_stay_deleted(
    lake: Path, tmp_path: Path
) -> None:
    assert [stream.name for stream in source_of(lake).streams()] == ["t"]
    summary = copy(lake, tmp_path / "second.db")
    assert (summary.status, [one.stream for one in summary.streams]) == ("succeeded", ["t"])
    assert rows_of(tmp_path / "second.db", "SELECT * FROM t") == [(1, "a", 0, "2026-10-01")]


@pytest.mark.parametrize("options", [{"cursor": False}, {"where": {"sql": "id > :n", "params": {"n": 0}}}, {}])
def test_deleted_rows_are_not_read_in_any_way_of_reading(lake: Path, options: dict[str, Any]) -> None:
    landed = run(stream_of(lake, options=options))
    assert landed.rows == [{"id": 1, "v": "a", "gone": 0, "updated_at": "2026-10-01"}]


@pytest.mark.parametrize("pattern", ["_vdk_datasource_state", "_vdk_*", "*_state", "_VDK_staged_1"])
def test_a_pattern_that_matches_only_the_frameworks_tables_says_so(lake: Path, tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"no stream matches .*{pattern[-5:]}.*begin with _vdk_ are the fram"):
        copy(lake, tmp_path / "second.db", streams=[pattern])


def test_a_pattern_that_takes_them_away_is_fine(lake: Path, tmp_path: Path) -> None:
    assert copy(lake, tmp_path / "second.db", streams=["*", "!_vdk_*"]).status == "succeeded"


def test_options_of_such_a_table_are_refused(lake: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'_vdk_datasource_state' is not read: .*begin with _vdk_"):
        source_of(lake, tables={"_vdk_datasource_state": {}})


def test_their_state_is_not_in_what_is_discovered(lake: Path) -> None:
    assert "_vdk_" not in json.dumps([str(stream.schema().fields) for stream in source_of(lake).streams()])


def test_a_column_of_somebodys_own_with_the_prefix_is_refused_until_it_is_excluded(tmp_path: Path) -> None:
    """It was left out in silence. The other streams land."""
    shop, lake = tmp_path / "shop.db", tmp_path / "lake.db"
    execute(shop, "CREATE TABLE t (id INTEGER, _vdk_mine TEXT)", "CREATE TABLE u (id INTEGER)")
    with pytest.raises(FlowFailedError, match=r"(?s)1 of 2 streams failed: .*'_vdk_mine', and names .*columns.exclude"):
        copy(shop, lake)
    assert rows_of(lake, "SELECT name FROM sqlite_master WHERE name IN ('t', 'u')") == [("u",)]
    landed = run(stream_of(shop, options={"columns": {"exclude": ["_vdk_mine"]}}, name="t"))
    assert landed.rows == []
