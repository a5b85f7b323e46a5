"""A Kafka broker in a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

SECONDS = 30


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """The address of a broker with its data in ``folder``."""
    spec = find_spec("noida_db")
    assert spec is not None
    assert spec.origin is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    command = [str(Path(spec.origin).with_name("noida-db")), "start", "--only", "kafka"]
    with (folder / "broker.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--kafka-port", str(port), "--data-dir", str(folder)], stdout=log, stderr=log
        )
    try:
        _wait_for(f"127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS)


def _wait_for(address: str) -> None:
    client = AdminClient({"bootstrap.servers": address, "log_level": 0})
    for _ in range(SECONDS * 5):
        try:
            client.list_topics(timeout=1)
            return
        except KafkaException:
            time.sleep(0.2)
    raise AssertionError("the broker did not start")


def produce(address: str, topic: str, messages: Sequence[Any]) -> None:
    """Send JSON messages; the topic is created by the first."""
    producer = Producer({"bootstrap.servers": address})
    for message in messages:
        producer.produce(topic, json.dumps(message).encode())
    assert producer.flush(SECONDS) == 0
