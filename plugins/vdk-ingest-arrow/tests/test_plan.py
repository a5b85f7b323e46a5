# SPDX-License-Identifier: Apache-2.0
"""Planning a run leaves every target byte for byte as it was, and makes none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from lakes import Lake, any_target
from landing import land, rows
from vdk.plugin.datasource_base.parts import TableSpec
from vdk.plugin.datasource_base.runtime import Environment, execute
from vdk.plugin.datasource_base.runtime.inspect.plan import plan_flow


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flow(lake: Lake, **config: Any) -> dict[str, Any]:
    return {
        "sources": {"ticks": {"name": "ticks", "config": config}},
        "destinations": {"lake": {"method": "arrow", "target": lake.target()}},
        "flows": [{"from": "ticks", "to": "lake", "write_mode": "append"}],
    }


@any_target
def test_a_plan_changes_nothing(lake: Lake, tmp_path: Path, ticks_installed: Path) -> None:
    for run in range(2):
        before = content(tmp_path)
        (news,) = plan_flow(flow(lake, upto=6), Environment())
        assert content(tmp_path) == before
        assert news.planned.error is None
        assert news.new_table is (run == 0)
        assert [(change.column, change.before) for change in news.columns] == (
            [] if run else [("id", None), ("text", None)]
        )
        assert "exactly once, because rows and state commit together in arrow" in str(news.guarantee)
        execute(flow(lake, upto=6), Environment())


@any_target
def test_declared_columns_that_are_new_or_wider_are_planned(lake: Lake) -> None:
    land(lake, rows(TableSpec("orders", "append"), pa.table({"id": pa.array([1], pa.int32()), "n": ["a"]})))
    declared = pa.schema([("id", pa.int64()), ("n", pa.string()), ("total", pa.float64())])
    destination = lake.opened()
    try:
        changes = destination.column_changes(TableSpec("orders", "append", schema=declared))
    finally:
        destination.close()
    types = {change.column: (change.before, change.after) for change in changes}
    assert types["total"][0] is None
    assert "n" not in types
    assert set(types) <= {"id", "total"}
