"""Starts a broker, produces, runs the job, produces more, runs it again, and shows what landed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import broker
import duckdb
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without saying so
from tabulate import tabulate

JOB = Path(__file__).resolve().parent
DATA = JOB / "data"
LAKE = DATA / "lake.duckdb"


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    with broker.served(DATA / "broker") as address:
        create_topics(address)
        produce(address, "orders", [(None, order(number)) for number in range(1, 1001)])
        produce(address, "customers", [("ann@shop", b'{"name": "Ann"}'), ("bob@shop", b'{"name": "Bob"}')])
        first = run_job(address)
        more = [(None, order(number)) for number in range(1001, 1051)]
        produce(address, "orders", [(None, b"not JSON"), *more])
        produce(address, "customers", [("ann@shop", b'{"name": "Anna"}'), ("bob@shop", None)])
        second = run_job(address)
    print("First run:\n")
    show(first)
    print("\nSecond run, after fifty more orders, a message that is not JSON, a new name and a deleted customer:\n")
    show(second)
    with duckdb.connect(str(LAKE), read_only=True) as lake:
        print("\nWhat is in the lake:\n")
        print_query(lake, "SELECT count(*) AS orders, sum(total) AS total, max(id) AS last FROM orders")
        print_query(lake, "SELECT email, name FROM customers")
        orders = lake.execute("SELECT count(*), count(DISTINCT id) FROM orders").fetchone()
    if orders != (1050, 1050) or second["orders"]["rows_rejected"] != 1:
        sys.exit(f"The lake should have 1050 orders and one rejected message, and has {orders}.")
    print("\nThe second run landed the new messages and no others.")


def create_topics(address: str) -> None:
    client = AdminClient({"bootstrap.servers": address})
    topics = [NewTopic("orders", 3, 1), NewTopic("customers", 1, 1, config={"cleanup.policy": "compact"})]
    for created in client.create_topics(topics).values():
        created.result(30)


def order(number: int) -> bytes:
    return json.dumps({"id": number, "customer": f"customer {number % 7}", "total": number / 4}).encode()


def produce(address: str, topic: str, messages: list[tuple[str | None, bytes | None]]) -> None:
    producer = Producer({"bootstrap.servers": address})
    for key, value in messages:
        producer.produce(topic, value, key)
    if producer.flush(30):
        sys.exit("The broker did not take all messages.")


def run_job(address: str) -> dict[str, dict[str, int]]:
    """One ``vdk run``; returns the counts of its summary, by stream."""
    command = [sys.executable, "-m", "vdk.internal.cli_entry", "run", str(JOB)]
    environment = {**os.environ, "SHOP_BROKER": address}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n\nThe job failed; its log is above.")
    streams = json.loads((DATA / "shop.json").read_text("utf-8"))["streams"]
    return {stream["stream"]: stream for stream in streams}


def show(streams: dict[str, dict[str, int]]) -> None:
    columns = ["rows_landed", "rows_deleted", "rows_rejected"]
    rows = [[name, *(counts[column] for column in columns)] for name, counts in streams.items()]
    print(tabulate(rows, headers=["stream", *columns]))


def print_query(lake: duckdb.DuckDBPyConnection, query: str) -> None:
    result = lake.execute(query)
    print(tabulate(result.fetchall(), headers=[column[0] for column in result.description or ()]), end="\n\n")


if __name__ == "__main__":
    main()
