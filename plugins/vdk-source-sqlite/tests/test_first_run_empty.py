"""A first run that sees no value must not decide the types of what comes later."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support import execute
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.runtime import RunSummary

TABLE = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, shape GEOMETRY, tag UUID, bare, epoch DATETIME, day DATE, updated_at TEXT)"
)
BLOB = b"\x00\xff"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    execute(path, TABLE)
    return path


def land(shop: Path, **config: Any) -> RunSummary:
    summary = run_flows(
        None,
        {
            "sources": {"shop": {"name": "sqlite", "config": {"database": str(shop), **config}}},
            "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{shop.parent}/lake.duckdb"}},
            "flows": [{"from": "shop", "to": "lake"}],
        },
    )
    assert summary.status == "succeeded"
    return summary


def landed(shop: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(duckdb.connect(str(shop.parent / "lake.duckdb"))) as lake:
        return lake.execute(sql).fetchall()


def types(shop: Path) -> dict[str, str]:
    return {row[0]: row[1] for row in landed(shop, "DESCRIBE t")}


@pytest.mark.parametrize("first", ["no rows", "rows without values"])
def test_values_of_a_later_run_land_as_what_they_are(shop: Path, first: str) -> None:
    if first != "no rows":
        execute(shop, "INSERT INTO t (id, updated_at) VALUES (1, '2026-01-01')")
    land(shop)
    assert types(shop) == {"id": "BIGINT", "updated_at": "VARCHAR"}
    values = (2, BLOB, BLOB, BLOB, 1790000000, "2026-10-01 10:00:00", "2026-01-02")
    execute(shop, ("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", values))
    summary = land(shop)
    assert summary.streams[0].schema_changes == []
    assert landed(shop, "SELECT shape, tag, bare, epoch, day FROM t WHERE id = 2") == [
        (BLOB, BLOB, BLOB, 1790000000, dt.datetime(2026, 10, 1, 10))
    ]


def test_dates_that_are_followed_by_times_become_timestamps_and_the_summary_says_so(
    shop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    execute(shop, "INSERT INTO t (id, day, updated_at) VALUES (1, '2026-10-01', '2026-01-01')")
    assert land(shop).streams[0].schema_changes == []
    execute(shop, "INSERT INTO t (id, day, updated_at) VALUES (2, '2026-10-01 10:00:00', '2026-01-02')")
    summary = land(shop)
    assert landed(shop, "SELECT day FROM t ORDER BY id") == [
        (dt.datetime(2026, 10, 1),),
        (dt.datetime(2026, 10, 1, 10),),
    ]
    assert json.loads(json.dumps(summary.as_dict()["streams"]))[0]["schema_changes"] == [
        {"table": "t", "column": "day", "from": "DATE", "to": "TIMESTAMP"}
    ]
    assert "column 'day' of table 't' changed its type from DATE to TIMESTAMP" in summary.table()
    assert "column 'day' of table 't' changed its type from DATE to TIMESTAMP" in caplog.text
    assert land(shop).streams[0].schema_changes == []
