# SPDX-License-Identifier: Apache-2.0
"""A run that has appended rows is undone in one transaction, on every database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lakes import Lake, any_target
from vdk.plugin.datasource_base.contract import ConfigurationError, DestinationError
from vdk.plugin.datasource_base.runtime import Environment, execute
from vdk.plugin.datasource_base.runtime.stored.history import restore_states
from vdk.plugin.datasource_base.runtime.stored.undo import undo_run


def flow(lake: Lake, upto: int) -> dict[str, Any]:
    return {
        "sources": {"ticks": {"name": "ticks", "config": {"upto": upto}}},
        "destinations": {"lake": {"method": "arrow", "target": lake.target()}},
        "flows": [{"from": "ticks", "to": "lake", "write_mode": "append", "metadata_columns": ["run_id"]}],
    }


@any_target
def test_undo_deletes_rows_and_goes_back_to_the_states_before(lake: Lake, ticks_installed: Path) -> None:
    first, second = (execute(flow(lake, upto), Environment()).run_id for upto in (6, 12))
    (undone,) = undo_run(flow(lake, 12), Environment(), second)
    assert (undone.rows, lake.query("SELECT max(id), count(*) FROM ticks")) == (6, [(5, 6)])
    third = execute(flow(lake, 12), Environment()).run_id
    assert lake.query("SELECT max(id), count(*) FROM ticks") == [(11, 12)]
    with pytest.raises(ConfigurationError, match=f"run {third} came after it"):
        undo_run(flow(lake, 12), Environment(), first)
    if lake.kind == "parquet":
        return
    lake.query("DELETE FROM ticks WHERE id = 7 RETURNING id")
    with pytest.raises(DestinationError, match=rf"has 5 rows of run {third}, which has landed 6.* Nothing was changed"):
        undo_run(flow(lake, 12), Environment(), third)
    assert lake.query("SELECT count(*) FROM ticks") == [(11,)]
    restore_states(flow(lake, 12), Environment(), first)
    execute(flow(lake, 12), Environment())
    assert lake.query("SELECT count(*) FROM ticks") == [(17,)]  # six rows are appended again
