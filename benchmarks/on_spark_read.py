"""Reads a PostgreSQL table on Spark in every way, in turns; the first round is a warm-up.

    python on_spark_read.py FOLDER URL ROWS ROUNDS JAR

Prints a line for each reading: its name, its seconds, and its processor seconds, without those of the server.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pyspark.sql import DataFrame, SparkSession

import on_spark
from vdk.plugin.datasource_base import read
from vdk.plugin.datasource_spark import register

TICKS = os.sysconf("SC_CLK_TCK")


def cpu() -> float:
    """The processor seconds of this process and of all that it has started: the JVM, and the workers of Python."""
    return sum(_cpu_of(pid) for pid in _tree(os.getpid()))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _tree(int(child))


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS  # its own, and that of children that have ended


def contenders(spark: SparkSession, folder: Path, url: str, jar: Path) -> dict[str, Callable[[], int]]:
    config = f'url = "{url}"\ntables = {{ orders = {{ cursor = "updated_at" }} }}'

    def frame(partitions: int) -> DataFrame:
        options = {"source": "postgres", "stream": "orders", "config": config, "partitions": str(partitions)}
        return spark.read.format("vdk").options(**options).load()

    ours = frame(1)
    parquet = folder / "orders.parquet"
    ours.write.mode("overwrite").parquet(str(parquet))
    frames = {on_spark.VDK: ours, on_spark.RANGES: frame(8), on_spark.PARQUET: spark.read.parquet(str(parquet))}
    if jar.exists():
        parts = urlsplit(url)
        jdbc = {
            "url": f"jdbc:postgresql://{parts.hostname}:{parts.port}{parts.path}",
            "user": parts.username or "",
            "password": parts.password or "",
            "dbtable": "orders",
            "driver": "org.postgresql.Driver",
            "fetchsize": "10000",
        }
        frames[on_spark.JDBC] = spark.read.format("jdbc").options(**jdbc).load()
    rows = frames[on_spark.PARQUET].count()

    def drained(frame: DataFrame) -> Callable[[], int]:
        def drain() -> int:
            frame.write.format("noop").mode("overwrite").save()
            return rows

        return drain

    def planned() -> int:
        if (partitions := frame(1).rdd.getNumPartitions()) != 1:
            sys.exit(f"{partitions} partitions, expected 1")
        return rows

    def bare() -> int:
        with read(url, "orders") as reader:
            return sum(int(batch.num_rows) for batch in reader)

    return {**{name: drained(frame) for name, frame in frames.items()}, on_spark.BARE: bare, on_spark.PLAN: planned}


def main(folder: Path, url: str, rows: int, rounds: int, jar: Path) -> None:
    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "2g")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.ui.showConsoleProgress", "false")
    if jar.exists():
        builder = builder.config("spark.jars", str(jar))
    spark = builder.getOrCreate()
    register(spark)
    measured = contenders(spark, folder, url, jar)
    for number in range(rounds + 1):
        for name, contender in measured.items():
            wall, before = time.perf_counter(), cpu()
            if (found := contender()) != rows:
                sys.exit(f"{name}: {found} rows, expected {rows}")
            if number:
                print(json.dumps([name, time.perf_counter() - wall, cpu() - before]), flush=True)
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
