"""Reads a PostgreSQL table on Spark in every way, in turns; the first round is a warm-up.

    python on_spark_read.py FOLDER URL ROWS ROUNDS JAR

Prints a line for each reading: its name, its seconds, and its processor seconds, without those of the server.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from pyspark.sql import DataFrame, SparkSession

import on_spark
from vdk.plugin.datasource_base import read
from vdk.plugin.datasource_spark import register

TICKS = os.sysconf("SC_CLK_TCK")


class ProcessorTime:
    """The processor seconds of this process and of all that it has started: the JVM, and the workers of Python.

    Workers end whenever Spark likes, and nobody waits for them, so what each has used is looked up all the time.
    """

    def __init__(self) -> None:
        self._used: dict[tuple[int, str], float] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def __call__(self) -> float:
        self._look_up()
        return sum(self._used.values())

    def _watch(self) -> None:
        while True:
            self._look_up()
            time.sleep(0.1)

    def _look_up(self) -> None:
        for pid in _tree(os.getpid()):
            with suppress(OSError):  # it has ended
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                self._used[pid, fields[19]] = (
                    sum(map(int, fields[11:13])) / TICKS
                )  # ids are used again


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for children in list(Path(f"/proc/{pid}/task").glob("*/children")):
            for child in children.read_text().split():
                yield from _tree(int(child))


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
    cpu = ProcessorTime()
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
