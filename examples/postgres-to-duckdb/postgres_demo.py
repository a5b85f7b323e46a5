"""Starts a server, fills a database, runs the job, changes rows, runs it again, and shows what landed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import psycopg
from tabulate import tabulate

from vdk.plugin.datasource_base.testing.postgresql import running

JOB = Path(__file__).resolve().parent
DATA = JOB / "data"
LAKE = DATA / "lake.duckdb"
TABLES = """
CREATE TABLE customers (id int PRIMARY KEY, name text, tags text[], updated_at timestamptz DEFAULT now());
CREATE TABLE orders (
    id bigint PRIMARY KEY, customer int, total numeric(12,2), details jsonb, updated_at timestamptz DEFAULT now()
);
CREATE INDEX ON orders (updated_at, id);
CREATE TABLE prices (product text PRIMARY KEY, price money);
INSERT INTO customers VALUES (1, 'Ann', '{new,vip}'), (2, 'Bob', NULL);
INSERT INTO orders SELECT n, n % 2 + 1, n / 4.0, jsonb_build_object('position', n) FROM generate_series(1, 1000) n;
INSERT INTO prices VALUES ('pen', 1.20), ('ink', 3.40);
"""
CHANGES = """
UPDATE customers SET name = 'Anna', updated_at = now() WHERE id = 1;
DELETE FROM customers WHERE id = 2;
UPDATE prices SET price = 1.50 WHERE product = 'pen';
"""


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    with running() as server:
        server.query("postgres", "CREATE DATABASE shop")
        url = server.url("shop")
        with psycopg.connect(url, autocommit=True) as till, psycopg.connect(url) as slow_till:
            till.execute(TABLES)
            time.sleep(2)  # rows of the last second before an open transaction are not safe to read
            slow_till.execute("INSERT INTO orders VALUES (5000, 1, 12.50)")  # and is not committed yet
            till.execute("INSERT INTO orders VALUES (5001, 2, 99.90)")
            first = run_job(url)
            slow_till.commit()
            till.execute(CHANGES)
        second = run_job(url)
    print("First run:\n")
    show(first)
    print("\nSecond run, after a late commit, a new name, a deleted customer and a new price:\n")
    show(second)
    with duckdb.connect(str(LAKE), read_only=True) as lake:
        print("\nWhat is in the lake:\n")
        print_query(lake, "SELECT count(*) AS orders, sum(total) AS total, max(id) AS last FROM orders")
        print_query(lake, "SELECT id, name, tags FROM customers")
        print_query(lake, "SELECT product, price FROM prices ORDER BY product")
        orders = lake.execute(
            "SELECT count(*), count(DISTINCT id), count(*) FILTER (id >= 5000) FROM orders"
        ).fetchone()
        customers = lake.execute("SELECT name FROM customers").fetchall()
    if orders != (1002, 1002, 2) or customers != [("Anna",)]:
        sys.exit(f"The lake should have 1002 orders and Anna, and has {orders} and {customers}.")
    print("\nThe second run landed the changed rows and the late one, and no others.")


def run_job(url: str) -> dict[str, dict[str, int]]:
    """One ``vdk run``; returns the counts of its summary, by stream."""
    command = [sys.executable, "-m", "vdk.internal.cli_entry", "run", str(JOB)]
    environment = {**os.environ, "SHOP_DATABASE": url}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n\nThe job failed; its log is above.")
    streams = json.loads((DATA / "shop.json").read_text("utf-8"))["streams"]
    return {stream["stream"]: stream for stream in streams}


def show(streams: dict[str, dict[str, int]]) -> None:
    columns = ["rows_landed", "rows_deleted", "rows_held_back"]
    rows = [[name, *(counts.get(column, 0) for column in columns)] for name, counts in streams.items()]
    print(tabulate(rows, headers=["stream", *columns]))


def print_query(lake: duckdb.DuckDBPyConnection, query: str) -> None:
    result = lake.execute(query)
    print(tabulate(result.fetchall(), headers=[column[0] for column in result.description or ()]), end="\n\n")


if __name__ == "__main__":
    try:
        main()
    except LookupError as error:  # the package of the server is not installed
        sys.exit(str(error))
