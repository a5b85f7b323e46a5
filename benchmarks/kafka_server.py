"""Starts a broker, fills topics, prints its address, and ends with its input.

    python kafka_server.py FOLDER MESSAGES ...

The topic ``orders1000`` has 1,000 messages of JSON; for the first number there are ``avro1000`` and ``keys1000`` too,
of which the latter has a fifth of deletes, and keys that repeat. FOLDER gets ``order.avsc``.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import noida_db  # type: ignore[import-untyped]  # it has no types
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without saying so

Made = tuple[bytes | None, bytes | None]
SCHEMA = {
    "type": "record",
    "name": "order",
    "fields": [
        *({"name": name, "type": "string"} for name in ("customer", "email", "created", "country")),
        *({"name": name, "type": "long"} for name in ("id", "quantity")),
        {"name": "total", "type": "double"},
        {"name": "paid", "type": "boolean"},
        {"name": "note", "type": ["null", "string"]},
    ],
}


def order(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "customer": f"customer {number % 997}",
        "email": f"user{number}@example.com",
        "total": number * 7 / 4,
        "quantity": number % 13,
        "paid": number % 2 == 0,
        "created": "2026-11-28T18:00:00Z",
        "note": "x" * 40,
        "country": "DE",
    }


def as_json(number: int) -> Made:
    return None, msgspec.json.encode(order(number))


def as_avro(number: int) -> Made:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, SCHEMA, order(number))
    return None, stream.getvalue()


def with_keys(number: int) -> Made:
    """A message; one in five deletes its key, and half of the messages repeat a key."""
    key = f"key {number * 7919 % 150_000}".encode()
    return key, None if number % 5 == 0 else msgspec.json.encode(order(number))


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    binary = Path(noida_db.__file__).with_name("noida-db")
    command = [str(binary), "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(folder)]
    with (folder / "broker.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def fill(address: str, topic: str, messages: int, make: Callable[[int], Made]) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    for _ in range(100):
        try:
            admin.list_topics(timeout=1)
            break
        except KafkaException:
            time.sleep(0.2)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": address, "linger.ms": 20})
    for number in range(messages):
        key, value = make(number)
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
    if producer.flush(120):
        sys.exit("the broker did not take all messages")


def main(folder: Path, *sizes: int) -> None:
    data = folder / "broker"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    (folder / "order.avsc").write_text(json.dumps(SCHEMA))
    with broker(data) as address:
        for size in sizes:
            fill(address, f"orders{size}", size, as_json)
        fill(address, f"avro{sizes[0]}", sizes[0], as_avro)
        fill(address, f"keys{sizes[0]}", sizes[0], with_keys)
        print(address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
