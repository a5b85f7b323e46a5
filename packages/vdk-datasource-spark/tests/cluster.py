"""A cluster on this machine: a driver, a master and two executors, each a process of its own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession

from vdk.plugin.datasource_spark import register

QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
MASTER = "local-cluster[2,1,1024]"


@contextmanager
def spark_session(plugin_path: str, folder: Path, master: str = MASTER) -> Iterator[SparkSession]:
    """A session whose executors find the sources of the tests. The event log is text in ``folder``."""
    check_java()
    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1", PYTHONPATH=plugin_path)
    log = folder / "events"
    log.mkdir()
    builder = SparkSession.builder.master(master)
    for name, value in {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executorEnv.PYTHONPATH": plugin_path,
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": log.as_uri(),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.python.filterPushdown.enabled": "true",
        "spark.ui.showConsoleProgress": "false",
        # These tests are short, and a machine that runs them is busy: no time for optimising, and patience.
        "spark.driver.extraJavaOptions": QUICK_START,
        "spark.executor.extraJavaOptions": QUICK_START,
        "spark.python.authenticate.socketTimeout": "5m",
    }.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    register(spark)
    try:
        yield spark
    finally:
        spark.stop()


def check_java() -> None:
    if shutil.which("java") is None:
        reason = "Java is not installed: apt-get install default-jre-headless"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


def load(spark: SparkSession, options: Mapping[str, str]) -> DataFrame:
    return spark.read.format("vdk").options(**options).load()


def stream_to(spark: SparkSession, options: Mapping[str, str], folder: Path, **trigger: Any) -> Any:
    """A started query into Parquet files, from the checkpoint in the same folder."""
    rows = spark.readStream.format("vdk").options(**options).load()
    writer = rows.writeStream.format("parquet").option("checkpointLocation", str(folder / "checkpoint"))
    return writer.trigger(**(trigger or {"availableNow": True})).start(str(folder / "rows"))


def run_stream(spark: SparkSession, options: Mapping[str, str], folder: Path) -> None:
    """Read up to what there is now."""
    started(lambda: stream_to(spark, options, folder).awaitTermination())


def started(run: Callable[[], None]) -> None:
    """Run a query, again if a process did not start: Spark gives it ten seconds, few on a busy machine."""
    for attempt in range(10):
        try:
            run()
            return
        except StreamingQueryException as error:
            if attempt == 9 or "failed to connect back" not in str(error):
                raise


def landed(spark: SparkSession, folder: Path, *columns: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in spark.read.parquet(str(folder / "rows")).select(*columns).collect())
