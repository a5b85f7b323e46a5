"""A topic that is followed: messages land as they come, and nothing is lost or doubled however it ends."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from support import KILLS, OUTAGE, Broker, as_toml, flow_of, landed
from vdk.plugin.datasource_base import run_flows
from vdk.plugin.datasource_base.testing.faults import injected, run_with_random_kills

pytestmark = pytest.mark.heavy


def following(broker: Broker, topic: str, folder: Path, config: dict[str, Any] | None = None, **entry: Any) -> Any:
    flow = flow_of(broker, topic, folder, **(config or {}))
    flow["flows"][0] |= {"follow": "100ms", **entry}
    return flow


class Sender:
    """Sends numbered messages at all times, in a thread of its own. ``sent`` is how many the broker has."""

    def __init__(self, broker: Broker, topic: str, partitions: int, text: str = "") -> None:
        self._producer = broker.producer()
        self._topic, self._partitions, self._text = topic, partitions, text
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0

    def _run(self) -> None:
        numbers = itertools.count()
        while not self._ended.wait(0.02):
            for number in itertools.islice(numbers, 30):
                value = msgspec.json.encode({"id": number, "text": self._text})
                self._producer.produce(self._topic, value, partition=number % self._partitions)
            assert self._producer.flush(30) == 0
            self.sent += 30

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


@contextmanager
def command(flow: Any, folder: Path, every: str = "200ms") -> Iterator[subprocess.Popen[str]]:
    """``vdk datasource run`` over a flow file, with a summary beside it."""
    file = folder / "follow.json"
    file.with_suffix(".toml").write_text(as_toml(flow))
    arguments = ["datasource", "run", str(file.with_suffix(".toml")), "--summary", str(file), "--follow", every]
    environment = {**os.environ, "VDK_VERSION_CHECK_DISABLED": "true"}
    process = subprocess.Popen(
        [sys.executable, "-m", "vdk.internal.cli_entry", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=folder,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def rows_landed(summary: Path, count: str = "rows_landed") -> int:
    """A count of the only stream, as the summary has it by now."""
    if not summary.exists():
        return 0
    return int(json.loads(summary.read_text())["streams"][0].get(count, 0))


def memory(process: subprocess.Popen[str]) -> int:
    """Bytes that a process holds (Linux)."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_messages_land_while_the_command_runs_and_a_signal_ends_it_with_code_0(
    broker: Broker, tmp_path: Path, number: signal.Signals
) -> None:
    """Its summary counts them after each round, and says in the end that it was stopped."""
    topic = broker.topic(2)
    broker.send(topic, *({"id": number} for number in range(10)))
    summary = tmp_path / "follow.json"
    with command(flow_of(broker, topic, tmp_path), tmp_path) as process:
        wait_until(lambda: rows_landed(summary) == 10)
        broker.send(topic, *({"id": number} for number in range(10, 15)), partition=1)
        wait_until(lambda: rows_landed(summary) == 15)
        begin = time.monotonic()
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, output
        assert time.monotonic() - begin < 15
    assert json.loads(summary.read_text())["status"] == "stopped"
    assert landed(topic, tmp_path) == list(range(15))


def test_a_signal_ends_the_wait_for_the_next_round(broker: Broker, tmp_path: Path) -> None:
    """Also if that round would begin in a day."""
    topic, summary = broker.topic(), tmp_path / "follow.json"
    broker.send(topic, {"id": 1})
    with command(flow_of(broker, topic, tmp_path), tmp_path, every="1d") as process:
        wait_until(lambda: rows_landed(summary) == 1)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert (process.returncode, json.loads(summary.read_text())["status"]) == (0, "stopped"), output


def test_a_quiet_topic_costs_no_commits(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an open transaction holds messages back, which is looked at in every round."""
    monkeypatch.chdir(tmp_path)
    topic = broker.topic(2)
    broker.send(topic, {"id": 1})
    producer = broker.producer(**{"transactional.id": f"open-{topic}"})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b'{"id": 2}', partition=1)
    assert producer.flush(30) == 0
    with injected() as injection:
        summary = run_flows(None, following(broker, topic, tmp_path, idle_timeout="1500ms"))
    producer.abort_transaction(30)
    (stream,) = summary.streams
    assert stream.counters["rounds"] >= 4
    assert stream.counters["messages_held_back"] == 1
    commits = [passed for passed in injection.passed if "commit" in str(passed)]
    assert 0 < len(commits) <= 8, commits
    assert landed(topic, tmp_path) == [1]


def test_partitions_that_are_added_are_followed(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From their first message on, without a restart."""
    monkeypatch.chdir(tmp_path)
    topic = broker.topic()
    broker.send(topic, {"id": 0})

    def add() -> None:
        broker.add_partitions(topic, 2)
        broker.send(topic, {"id": 1}, {"id": 2}, partition=1)

    timer = threading.Timer(1, add)
    timer.start()
    run_flows(None, following(broker, topic, tmp_path, idle_timeout="3s"))
    timer.join()
    assert landed(topic, tmp_path) == [0, 1, 2]


def test_kill_9_while_following_loses_no_message_and_doubles_none(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By appending, while messages come all the time."""
    monkeypatch.chdir(tmp_path)
    topic = broker.topic(3)
    with Sender(broker, topic, 3) as sender:
        flow = following(broker, topic, tmp_path)
        run_with_random_kills(run_flows, None, flow, kills=KILLS, within=1.5, since="read")
    run_flows(None, flow_of(broker, topic, tmp_path))
    assert landed(topic, tmp_path) == list(range(sender.sent))


def test_an_outage_of_the_broker_is_survived(
    own_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped and started again while it is followed: every message once, by appending."""
    monkeypatch.chdir(tmp_path)
    topic = own_broker.topic(2)
    own_broker.send(topic, *({"id": number} for number in range(1_000)))

    def restart() -> None:
        own_broker.stop()
        time.sleep(OUTAGE)
        own_broker.start()
        own_broker.send(topic, *({"id": number} for number in range(1_000, 2_000)), partition=1)

    timer = threading.Timer(1.5, restart)
    timer.start()
    flow = following(own_broker, topic, tmp_path, {"timeout": "3s"}, idle_timeout=f"{OUTAGE + 10}s", retry_attempts=50)
    summary = run_flows(None, flow)
    timer.join()
    assert summary.status == "succeeded"
    assert landed(topic, tmp_path) == list(range(2_000))


def test_a_table_follows_its_keys(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are replaced and deleted as messages come."""
    monkeypatch.chdir(tmp_path)
    topic = broker.topic()
    broker.send(topic, ("a", {"n": 1}), ("b", {"n": 2}))
    timer = threading.Timer(1, lambda: broker.send(topic, ("a", {"n": 3}), ("b", None), ("c", {"n": 4})))
    timer.start()
    flow = following(broker, topic, tmp_path, {"mode": "table"}, idle_timeout="3s")
    del flow["flows"][0]["write_mode"]
    run_flows(None, flow)
    timer.join()
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as lake:
        assert lake.execute(f'SELECT _kafka_key, n FROM "{topic}" ORDER BY 1').fetchall() == [("a", 3), ("c", 4)]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_memory_of_a_process_that_follows_is_flat(broker: Broker, tmp_path: Path) -> None:
    """Each round makes consumers and closes them. Whatever they left behind would add up, round by round."""
    topic, summary = broker.topic(3), tmp_path / "follow.json"
    flow = flow_of(broker, topic, tmp_path, target="sqlite")
    rounds = max(200, 10 * KILLS)
    with Sender(broker, topic, 3, text="x" * 1_000), command(flow, tmp_path, every="10ms") as process:
        wait_until(lambda: rows_landed(summary, "rounds") > rounds // 3, seconds=120 + rounds)
        early, rows = memory(process), rows_landed(summary)
        wait_until(lambda: rows_landed(summary, "rounds") > rounds, seconds=120 + rounds)
        grown = memory(process) - early
        landed_since = rows_landed(summary) - rows
    print(f"{grown:,} bytes more after {landed_since:,} messages")
    assert landed_since > rounds
    assert grown < 24 * 2**20, f"{grown:,} bytes more, after {landed_since:,} messages"


def test_a_topic_of_200_partitions_is_read_with_a_few_consumers(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in the next round only those with news."""
    monkeypatch.chdir(tmp_path)
    topic = broker.topic(200)
    producer = broker.producer()
    for number in range(2_000):
        producer.produce(topic, msgspec.json.encode({"id": number}), partition=number % 200)
    assert producer.flush(30) == 0
    first = run_flows(None, flow_of(broker, topic, tmp_path))
    assert (first.streams[0].partitions, first.streams[0].rows_landed) == (200, 2_000)
    broker.send(topic, {"id": 2_000}, partition=7)
    second = run_flows(None, flow_of(broker, topic, tmp_path))
    assert (second.streams[0].partitions, second.streams[0].rows_landed) == (1, 1)
    assert landed(topic, tmp_path) == list(range(2_001))
