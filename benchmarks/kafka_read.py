"""Starts a broker, fills topics, and reads them in turns: each contender once per round; the first round is a warm-up.

    python kafka_read.py FOLDER MESSAGES ROUNDS [PYTHON-WITH-DLT PYTHON-WITH-TAP]

Prints a line for each reading: its name, its seconds, and the processor seconds of all threads.
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
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without saying so

import kafka
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.contract import decode_config
from vdk.plugin.source_kafka.config import KafkaConfig
from vdk.plugin.source_kafka.source import KafkaSource

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

ONE_RESPONSE = {"receive.message.max.bytes": 2**30}
"""This broker answers a request with all messages that follow, whatever the client asks for."""


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


def as_json(number: int) -> tuple[bytes | None, bytes | None]:
    return None, msgspec.json.encode(order(number))


def as_avro(number: int) -> tuple[bytes | None, bytes | None]:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, SCHEMA, order(number))
    return None, stream.getvalue()


def with_keys(number: int) -> tuple[bytes | None, bytes | None]:
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


def fill(address: str, topic: str, messages: int, make: Callable[[int], tuple[bytes | None, bytes | None]]) -> None:
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
    if producer.flush(60):
        sys.exit("the broker did not take all messages")


def loop(address: str, messages: int, *, decode: bool) -> None:
    """The peer: a program that reads a topic without the source, with the same settings of the client."""
    options: dict[str, Any] = {"bootstrap.servers": address, "group.id": "bench", "queued.max.messages.kbytes": 65_536}
    options |= {"enable.auto.commit": False, "fetch.message.max.bytes": 4 * 2**20, **ONE_RESPONSE}
    consumer = Consumer(options)
    consumer.assign([TopicPartition("orders", 0, 0)])
    decoder, count = msgspec.json.Decoder(), 0
    while count < messages:
        first = consumer.poll(0.25)
        if first is None:
            continue
        chunk = [message for message in [first, *consumer.consume(9_999, 0)] if message.error() is None]
        if decode:
            # type ignored: every message has a value
            _rows = [decoder.decode(message.value()) for message in chunk]  # type: ignore[arg-type]
        count += len(chunk)
    consumer.close()


def source(address: str, topic: str, **options: Any) -> None:
    config = {"bootstrap_servers": address, "topics": [topic], "options": ONE_RESPONSE, **options}
    made = KafkaSource(decode_config(config, KafkaConfig, location="benchmark"))
    for stream in made.streams():
        for part in stream.partitions({}):
            for payload in part.read({}):
                del payload
    made.disconnect()


def flow(address: str, folder: Path, topic: str, write_mode: str, **options: Any) -> None:
    lake = folder / "lake.duckdb"
    lake.unlink(missing_ok=True)
    config = {"bootstrap_servers": address, "topics": [topic], "options": ONE_RESPONSE, **options}
    run_flows(
        None,
        {
            "sources": {"shop": {"name": "kafka", "config": config}},
            "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{lake}"}},
            "flows": [{"from": "shop", "to": "lake", "write_mode": write_mode}],
        },
    )


def peer(python: str, script: str, *arguments: str) -> list[float]:
    """The seconds and the processor seconds that a peer prints, in an environment of its own."""
    command = [python, str(Path(__file__).parent / "peers" / script), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    taken: list[float] = json.loads(done.stdout.splitlines()[-1])
    return taken


def dlt(python: str, address: str, folder: Path) -> list[float]:
    shutil.rmtree(folder / "dlt", ignore_errors=True)
    (folder / "dlt.duckdb").unlink(missing_ok=True)
    return peer(python, "dlt_kafka.py", address, "few", str(kafka.PEER_MESSAGES), str(folder))


def main(folder: Path, messages: int, rounds: int, *peers: str) -> None:
    data, schema = folder / "broker", folder / "order.avsc"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    schema.write_text(json.dumps(SCHEMA))
    with broker(data) as address:
        for topic, make in (("orders", as_json), ("avro", as_avro)):
            fill(address, topic, messages, make)
        fill(address, "keys", kafka.TABLE_MESSAGES, with_keys)
        fill(address, "few", kafka.PEER_MESSAGES, as_json)
        contenders: dict[str, Callable[[], None]] = {
            kafka.LIMIT: lambda: loop(address, messages, decode=False),
            kafka.LOOP: lambda: loop(address, messages, decode=True),
            kafka.LOG: lambda: source(address, "orders"),
            kafka.AVRO: lambda: source(address, "avro", value={"format": "avro", "schema_file": str(schema)}),
            kafka.TABLE: lambda: source(address, "keys", mode="table"),
            kafka.FLOW: lambda: flow(address, folder, "orders", "append"),
            kafka.DEFAULT: lambda: flow(address, folder, "orders", "upsert"),
            kafka.UPSERT: lambda: flow(address, folder, "keys", "upsert", mode="table"),
        }
        for number in range(rounds + 1):
            for name, read in contenders.items():
                wall, cpu = time.perf_counter(), time.process_time()
                read()
                if number:
                    print(json.dumps([name, time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
            if peers and number:
                with_dlt, with_tap = peers
                print(json.dumps([kafka.DLT, *dlt(with_dlt, address, folder)]), flush=True)
                tap = peer(with_tap, "singer_kafka.py", address, "few")
                print(json.dumps([kafka.SINGER, *tap]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
