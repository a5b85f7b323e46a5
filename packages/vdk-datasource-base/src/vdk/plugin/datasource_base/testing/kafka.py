# SPDX-License-Identifier: Apache-2.0
"""A Kafka broker for tests: noida-db, in a process of its own.

``pip install 'vdk-datasource-base[testing-kafka]'`` installs what it needs. It deletes messages by their timestamps, a
week old by default, about once a second: a topic for older ones needs ``retention.ms = -1``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import noida_db  # type: ignore[import-untyped]  # it has no types
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

# The binary itself: the command of the same name is a wrapper, which a signal would end instead.
_BINARY = Path(noida_db.__file__).with_name("noida-db")
SECONDS = 30
"""How long a broker may take to start, to end, or to take messages."""


class Broker:
    """One broker, which can be stopped, killed and started again at the same port, with its data in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.paused = False

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [str(_BINARY), "start", "--only", "kafka"]
        command += ["--kafka-port", str(self.port), "--data-dir", str(self._folder)]
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        for _ in range(SECONDS * 5):
            try:
                self.admin.list_topics(timeout=1)
                return
            except KafkaException:
                time.sleep(0.2)
        raise AssertionError("the broker does not start")

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM keeps what was acknowledged; SIGKILL may lose the last seconds of it."""
        assert self._process is not None
        self.resume()
        self._process.send_signal(with_signal)
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        assert self._process is not None
        self.paused = True
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGCONT)

    def produce(self, topic: str, messages: Sequence[Any]) -> None:
        """Send JSON messages; the topic is created by the first."""
        producer = Producer({"bootstrap.servers": self.address})
        for message in messages:
            producer.produce(topic, json.dumps(message).encode())
        assert producer.flush(SECONDS) == 0


@contextmanager
def running(folder: Path) -> Iterator[Broker]:
    """A broker, which ends with the block."""
    broker = Broker(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
