# SPDX-License-Identifier: Apache-2.0
"""A flow's column policy on every target: nothing of a target has a value that is taken away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lakes import Lake, any_target
from vdk.plugin.datasource_base import (
    BadRecordError,
    ConfigurationError,
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    RejectedRows,
    StreamSchema,
    data_source,
)
from vdk.plugin.datasource_base.parts import Registry
from vdk.plugin.datasource_base.runtime import Environment, RunSummary, execute

RAW = "123-45-6789"
COLUMNS = [("id", pa.int64()), ("ssn", pa.string()), ("note", pa.string()), ("born", pa.date32())]


class People(DataSourceStream):
    name = "people"
    incremental = True

    def schema(self, table: str | None = None) -> StreamSchema:
        return StreamSchema(pa.schema(COLUMNS))

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        row = {"id": 1, "ssn": RAW, "note": RAW, "born": None}
        bad = {**row, "born": RAW}
        yield DataSourcePayload([row, {**row, "id": RAW}], state={"next": 1})
        yield DataSourcePayload(RejectedRows([(bad, BadRecordError(f"{RAW} is no date", column="born", value=RAW))]))


@data_source(name="people", config=DataSourceConfig)
class PeopleSource(DataSource[DataSourceConfig]):
    def identity(self) -> str:
        return "people"

    def streams(self) -> list[DataSourceStream]:
        return [People()]


def run(lake: Lake, **entry: Any) -> RunSummary:
    registry = Registry()
    registry.add("people", f"{__name__}:PeopleSource")
    flow = {"from": "people", "to": "lake", "on_bad_record": "reject", "max_rejected": "100%", **entry}
    sources = {"people": {"name": "people"}}
    destinations = {"lake": {"method": "arrow", "target": lake.target()}}
    return execute({"sources": sources, "destinations": destinations, "flows": [flow]}, Environment(registry=registry))


@any_target
def test_a_target_has_no_value_that_is_taken_away(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in tables, rejected rows, states or records of runs; and a policy that comes later is refused."""
    monkeypatch.setenv("SALT", "0123456789abcdef")
    policy = {"columns": {"ssn": "hash", "note": "drop", "born": "mask", "id": "hash"}, "salt": "${env:SALT}"}
    summary = run(lake, **policy)
    assert (summary.streams[0].rows_landed, summary.streams[0].rows_rejected) == (2, 1)
    destination = lake.opened()
    records = destination.load_records(["people"])
    destination.close()
    landed = [lake.query(f"SELECT * FROM {table}") for table in ("people", "people__rejected")]
    assert RAW not in f"{landed} {records} {summary.as_dict()}"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and RAW.encode() in path.read_bytes()]
    run(lake, **policy)  # the columns have what it leaves
    run(lake, destination_table="raw")
    with pytest.raises(ConfigurationError, match="'id', 'ssn', 'note' that landed before"):
        run(lake, **{**policy, "destination_table": "raw"})
