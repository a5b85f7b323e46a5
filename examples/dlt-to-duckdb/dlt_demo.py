"""Fills a database, loads it by dlt, changes it, loads it again, and shows what landed."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import dlt
import duckdb

from vdk.plugin.datasource_dlt import dlt_source

JOB = Path(__file__).resolve().parent
DATA = JOB / "data"


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    write_orders([(n, n % 3, f"{n}.10", f"2026-01-01 {n // 60:02}:{n % 60:02}:00") for n in range(1_000)])
    print("First load:", load(), "orders")
    write_orders([(7, 0, "0.70", "2026-01-02 00:00:00"), (1_000, 1, "1.00", "2026-01-02 00:00:01")])
    second = load()
    print("Second load:", second, "orders")
    if second == 2:
        print("The second load has the changed orders and no others.")
    with duckdb.connect(str(DATA / "warehouse.duckdb")) as warehouse:
        print(warehouse.sql("SELECT customer, count(*), sum(total) FROM shop.orders GROUP BY ALL ORDER BY ALL"))


def load() -> int:
    """Load what is new. Returns how many orders dlt has got."""
    pipeline = dlt.pipeline(
        "shop",
        pipelines_dir=str(DATA / "pipelines"),
        destination=dlt.destinations.duckdb(str(DATA / "warehouse.duckdb")),
        dataset_name="shop",
    )
    pipeline.run(dlt_source(JOB / "shop.toml", streams=["orders"]))
    trace = pipeline.last_trace
    normalized = None if trace is None else trace.last_normalize_info
    return 0 if normalized is None else int(normalized.row_counts["orders"])


def write_orders(orders: list[tuple[int, int, str, str]]) -> None:
    with closing(sqlite3.connect(DATA / "shop.db")) as shop, shop:
        shop.execute(
            "CREATE TABLE IF NOT EXISTS orders "
            "(id INTEGER PRIMARY KEY, customer INTEGER, total DECIMAL(10, 2), updated_at TIMESTAMP NOT NULL)"
        )
        shop.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?)", orders)


if __name__ == "__main__":
    main()
