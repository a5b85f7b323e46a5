"""A Kafka broker in a process of its own, for as long as the example runs."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

SECONDS = 30


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Start a broker with its data in ``folder``; gives its address, and stops it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    command = [binary(), "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(folder)]
    with (folder / "broker.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(f"127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS)


def binary() -> str:
    """The broker's program: the command that pip installs is a wrapper, which a signal would end instead."""
    spec = find_spec("noida_db")
    if spec is None or spec.origin is None:
        sys.exit("The example needs a broker: pip install noida-db==0.2.3")
    return str(Path(spec.origin).with_name("noida-db"))


def wait_for(address: str) -> None:
    client = AdminClient({"bootstrap.servers": address, "log_level": 0})
    for _ in range(SECONDS * 5):
        try:
            client.list_topics(timeout=1)
            return
        except KafkaException:
            time.sleep(0.2)
    sys.exit("The broker did not start.")
