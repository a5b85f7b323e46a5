"""Rows of 50 MiB: how much memory a run takes for one, on each target."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

from lakes import Lake
from landing import APPEND, opened, query, rows, unit
from processes import run

pytestmark = pytest.mark.heavy

ROW = 50 * 2**20
MOST = 6
"""Times the size of a row: itself, as Arrow has it, and what the target's library needs to write it."""

RUN = """
import os, sys, types
from collections.abc import Iterator, Mapping
from typing import Any

from vdk.plugin.datasource_base import DataSource, DataSourceConfig, DataSourcePayload, DataSourceStream, data_source
from vdk.plugin.datasource_base.parts.plugins.registry import Registry
from vdk.plugin.datasource_base.runtime import Environment, execute

target, kind = sys.argv[1:3]


def value(size: int) -> Any:
    if kind == "binary":
        return os.urandom(1024) * (size // 1024)
    if kind == "text":
        return os.urandom(512).hex() * (size // 1024)
    texts = [os.urandom(512).hex() for _ in range(1000)]
    return {f"k{number}": f"{number:6}{texts[number % 1000]}" for number in range(size // 1100)}


class Config(DataSourceConfig):
    size: int


class Documents(DataSourceStream):
    name = "documents"
    incremental = True

    def __init__(self, size: int) -> None:
        self._size = size

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        for number in range(state.get("next", 0), 3):
            yield DataSourcePayload({"id": number, "document": value(self._size)}, state={"next": number + 1})


@data_source(name="documents", config=Config)
class Source(DataSource[Config]):
    def streams(self) -> list[DataSourceStream]:
        return [Documents(self.config.size)]


def land(name: str, size: int) -> int:
    flow = {
        "sources": {name: {"name": "documents", "config": {"size": size}}},
        "destinations": {"lake": {"method": "arrow", "target": target}},
        "flows": [{"from": name, "to": "lake", "write_mode": "append", "destination_table": name}],
    }
    registry = Registry()
    registry.add("documents", "__main__:Source")
    assert execute(flow, Environment(registry=registry)).streams[0].rows_landed == 3
    # Not ru_maxrss, which begins with the size of the process that started this one.
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


before = land("small", 2048)
print(land("large", int(sys.argv[3])) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
@pytest.mark.parametrize(
    ("kind", "lake"),
    [
        *(("json", lake) for lake in ("duckdb", "sqlite", "postgresql", "parquet")),
        *(("text", "duckdb"), ("text", "postgresql"), ("binary", "sqlite"), ("binary", "parquet")),
    ],
    indirect=["lake"],
)
def test_a_row_is_in_memory_six_times_at_most(lake: Lake, kind: str) -> None:
    ended = run(RUN, lake.target(), kind, ROW)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < MOST * ROW
    assert "write-ahead log" not in ended.stderr


@pytest.mark.parametrize(("size", "limit", "warnings"), [(10, 16, True), (100, 16, False)])
def test_duckdb_gets_the_memory_that_its_checkpoints_take(
    tmp_path: Path,
    size: int,
    limit: int,
    warnings: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It pins up to 2,048 rows at once, those of earlier commits among them, and a checkpoint that fails invalidates
    the database. For large rows the limit is raised before; for others the file is opened again."""
    monkeypatch.setattr("vdk.plugin.ingest_arrow.duckdb.memory.FIRST_LIMIT", limit)
    path = tmp_path / "lake.duckdb"
    destination = opened(path)
    count = 3200 // size
    version = 0
    with caplog.at_level(logging.WARNING):
        for number in range(10):
            texts = [os.urandom(size * 512).hex() for _ in range(count)]
            data = rows(APPEND, {"id": [number] * len(texts), "text": texts})
            version = destination.commit(unit(data, state={"n": number}, version=version))
        destination.close()
    assert query(path, "SELECT count(*) FROM orders") == [(10 * count,)]
    assert [state for _, _, state in query(path, "SELECT 1, 2, state FROM _vdk_datasource_state")] == ['{"n": 9}']
    assert warnings or not caplog.records
