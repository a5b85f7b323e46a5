"""A table of millions of rows takes no more memory than one of a tenth. Runs where VDK_SOURCE_POSTGRES_ROWS is set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from support import reader_url
from vdk.plugin.datasource_base.testing.postgresql import Server

ROWS = int(os.environ.get("VDK_SOURCE_POSTGRES_ROWS", "0"))
GROWTH = 150_000_000
"""Bytes that the memory may grow after the first tenth of the rows."""
READ = """
import json, resource, sys
from vdk.plugin.datasource_base.contract import DataSourceState, decode_config
from vdk.plugin.source_postgres.source import PostgresConfig, PostgresSource

config, count = json.loads(sys.argv[1]), int(sys.argv[2])
source = PostgresSource(decode_config(config, PostgresConfig, location="config"))
source.connect(DataSourceState())
(stream,) = source.streams()
rows, early = 0, 0
for part in stream.partitions({}):
    for payload in part.read({}):
        rows += payload.data.num_rows if payload.data is not None else 0
        if rows < count / 10 or not early:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source.disconnect()
print(json.dumps([rows, early * 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


@pytest.mark.skipif(not ROWS, reason="VDK_SOURCE_POSTGRES_ROWS is not set: as many rows are read")
@pytest.mark.parametrize("cursor", ["updated_at", False])
@pytest.mark.parametrize("bulk", [True, False])
def test_memory_does_not_grow_with_the_table(server: Server, cursor: str | bool, bulk: bool) -> None:
    """Whole and by a cursor, in bulk and row by row."""
    server.query("shop", "CREATE TABLE t (id bigint PRIMARY KEY, name text, updated_at timestamptz)")
    server.query(
        "shop",
        "INSERT INTO t SELECT n, 'name ' || n, timestamptz '2026-01-01' + n * interval '1 ms' "
        f"FROM generate_series(1, {ROWS}) n",
    )
    server.query("shop", "CREATE INDEX ON t (updated_at, id)")
    server.query("shop", "ANALYZE t")
    config: dict[str, Any] = {"url": reader_url(server), "bulk": bulk, "tables": {"t": {"cursor": cursor}}}
    command = [sys.executable, "-c", textwrap.dedent(READ), json.dumps(config), str(ROWS)]
    rows, early, peak = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert rows == ROWS
    assert peak - early < GROWTH, f"{early >> 20} MB at a tenth of the rows, {peak >> 20} MB in the end"
