"""Fills a table, counts it on Spark, streams it into Parquet, adds orders, streams again, and shows what landed."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from vdk.plugin.datasource_spark import register

DATA = Path(__file__).resolve().parent / "data"


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    spark = SparkSession.builder.master("local[2]").config("spark.driver.host", "127.0.0.1").getOrCreate()
    run(spark, DATA).show()
    spark.stop()


def run(spark: SparkSession, folder: Path) -> DataFrame:
    """What landed in two rounds, by customer."""
    register(spark)
    database = folder / "shop.db"
    options = {"source": "sqlite", "stream": "orders", "config": f"database = {str(database)!r}"}

    add_orders(database, 1, 1_000)
    print("Rows of the table:", spark.read.format("vdk").options(**options).load().count())
    for first, last in ((1, 1_000), (1_001, 1_100)):
        if first > 1:
            add_orders(database, first, last)
        rows = spark.readStream.format("vdk").options(**options).load()
        writer = rows.writeStream.option("checkpointLocation", str(folder / "checkpoint"))
        writer.trigger(availableNow=True).start(str(folder / "orders")).awaitTermination()
    return spark.read.parquet(str(folder / "orders")).groupBy("customer").count().orderBy("customer")


def add_orders(database: Path, first: int, last: int) -> None:
    orders = [
        (n, n % 3, n / 4, f"2026-01-01 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}") for n in range(first, last + 1)
    ]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS orders "
            "(id INTEGER PRIMARY KEY, customer INTEGER, total DECIMAL(10, 2), updated_at TIMESTAMP NOT NULL)"
        )
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", orders)


if __name__ == "__main__":
    main()
