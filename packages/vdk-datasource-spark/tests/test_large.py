"""Millions of rows and thousands of partitions, on the cluster: ``tox -e faults`` sets how many."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from cluster import load, run_stream, spark_session

ROWS = int(os.environ.get("VDK_DATASOURCE_SPARK_ROWS", "0"))
PARTITIONS = int(os.environ.get("VDK_DATASOURCE_SPARK_PARTITIONS", "0"))
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not (ROWS and PARTITIONS), reason="set VDK_DATASOURCE_SPARK_ROWS and _PARTITIONS"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_many_rows_and_many_partitions(plugin_path: str, tmp_path: Path) -> None:
    database = tmp_path / "large.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE numbers (id INTEGER PRIMARY KEY, updated_at INTEGER NOT NULL, name TEXT)")
        rows = ((number, number, f"name {number}") for number in range(ROWS))
        connection.executemany("INSERT INTO numbers VALUES (?, ?, ?)", rows)
    table = {"source": "sqlite", "stream": "numbers", "config": f"database = {str(database)!r}"}
    made = {"source": "made", "stream": "numbers", "config": f"partitions = {PARTITIONS}\nrows = 2"}
    with spark_session(plugin_path, tmp_path) as spark:
        expected = (ROWS, ROWS * (ROWS - 1) // 2)
        assert tuple(load(spark, table).agg(F.count("id"), F.sum("id")).collect()[0]) == expected
        run_stream(spark, table, tmp_path)
        landed = spark.read.parquet(str(tmp_path / "rows"))
        assert tuple(landed.agg(F.count("id"), F.sum("id")).collect()[0]) == expected
        parts = load(spark, made)
        assert parts.rdd.getNumPartitions() <= 64
        assert tuple(parts.agg(F.count("part"), F.countDistinct("part")).collect()[0]) == (2 * PARTITIONS, PARTITIONS)
        folder = tmp_path / "made"
        run_stream(spark, made, folder)
        assert spark.read.parquet(str(folder / "rows")).count() == 2 * PARTITIONS
