"""Brokers that stop, come back, and lose messages, while they are read."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support import KILLS, OUTAGE, TARGETS, Broker, MakeSource, flow_of, landed, offsets, partition_of, read_topic
from vdk.plugin.datasource_base import ConnectionFailedError, StateError, run_flows
from vdk.plugin.datasource_base.testing.faults import run_with_random_kills

pytestmark = pytest.mark.heavy


@contextmanager
def after(seconds: float, action: Callable[[], object]) -> Iterator[None]:
    timer = threading.Timer(seconds, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_a_broker_that_pauses_and_comes_back_is_waited_for(own_broker: Broker, source: MakeSource) -> None:
    """A network that is cut for less than ``timeout`` costs time and nothing else."""
    topic = own_broker.topic()
    own_broker.send(topic, *({"id": number} for number in range(30_000)))
    made = source(topic, servers=own_broker.address, timeout="60s", options={"queued.max.messages.kbytes": 100})
    part = partition_of(made)
    ids: list[int] = []
    for payload in part.read({}):
        if payload.data is not None:
            ids += payload.data.column("id").to_pylist()  # type: ignore[union-attr]  # the payloads are batches
            if not own_broker.paused and len(ids) < 20_000:
                own_broker.pause()
                resuming = threading.Timer(OUTAGE, own_broker.resume)
                resuming.start()
    assert own_broker.paused, "the test is of no use if everything was read at once"
    assert ids == list(range(30_000))


def test_a_broker_that_stays_away_is_named(own_broker: Broker, source: MakeSource) -> None:
    """After ``timeout``, with the offset that was waited for; meanwhile the run can be stopped any second."""
    topic = own_broker.topic()
    own_broker.send(topic, {"id": 1})
    part = partition_of(source(topic, servers=own_broker.address, timeout="3s"))
    reading = part.read({}, {"v": 1, "offset": 2, "topic_id": None, "partitions": 1})
    next(reading)
    own_broker.pause()
    payloads: list[Any] = []
    with pytest.raises(ConnectionFailedError, match="no message arrived for 3 s at offset 1, and the end is 2"):
        payloads.extend(reading)
    assert len(payloads) >= 5, "a payload without rows each quarter of a second lets the run stop, or land what it has"


def test_a_waiting_reading_closes_within_seconds(own_broker: Broker, source: MakeSource) -> None:
    """Also while the broker does not answer."""
    topic = own_broker.topic()
    own_broker.send(topic, {"id": 1})
    part = partition_of(source(topic, servers=own_broker.address, timeout="10m"))
    reading: Any = part.read({}, {"v": 1, "offset": 2, "topic_id": None, "partitions": 1})
    next(reading)
    own_broker.pause()
    next(reading)
    begin = time.monotonic()
    with closing(reading):
        pass
    assert time.monotonic() - begin < 15


def test_acknowledged_messages_that_a_broker_lost_are_an_error(own_broker: Broker, source: MakeSource) -> None:
    """A broker that is killed loses its last seconds: the state lies above its end, and nothing is read twice."""
    topic = own_broker.topic()
    own_broker.send(topic, {"id": 1})
    time.sleep(6)  # this is on disk from here on
    own_broker.send(topic, *({"id": number} for number in range(2, 50)))
    first = read_topic(source(topic, servers=own_broker.address))
    assert offsets(first.states) == {"0": 49}
    own_broker.stop(signal.SIGKILL)
    own_broker.start()
    with pytest.raises(StateError, match=r"the state is at offset 49, and the partition ends at \d+"):
        read_topic(source(topic, servers=own_broker.address), first.states)


def test_messages_that_are_deleted_while_they_are_read_are_a_gap(
    broker: Broker, source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reading fails at the offset that went away, and the next attempt does what ``on_gap`` says."""
    topic = broker.topic()
    broker.send(topic, *({"id": number} for number in range(10)))
    made = source(topic, on_gap="skip")
    state = read_topic(made).states["0"]
    broker.send(topic, *({"id": number} for number in range(10, 20)))
    (stream,) = made.streams()
    (part,) = stream.partitions({"0": state})
    broker.delete_records(topic, 15)
    with monkeypatch.context() as patched:  # as if they had been there when the reading began
        patched.setattr("vdk.plugin.source_kafka.partition._Reading._skip_gap", lambda *_: iter(()))
        with pytest.raises(ConnectionFailedError, match="offset 10 does not exist"):
            list(part.read(state))
    assert len([payload for payload in part.read(state) if payload.metadata.get("count:offsets_lost") == 5]) == 1


def test_a_broker_that_restarts_in_mid_run_is_read_on(
    own_broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every message once, by appending: what came after the restart goes on where the state was."""
    monkeypatch.chdir(tmp_path)
    topic = own_broker.topic()
    own_broker.send(topic, *({"id": number} for number in range(5_000)))

    def restart() -> None:
        own_broker.stop()
        time.sleep(1)
        own_broker.start()

    flow = flow_of(own_broker, topic, tmp_path, messages_per_second=1_500)
    with after(3, restart):
        run_flows(None, flow)
    assert landed(topic, tmp_path) == list(range(5_000))


@pytest.mark.parametrize("target", [*TARGETS, "postgresql"])
def test_kill_9_loses_no_message_and_doubles_none(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, target: str
) -> None:
    """At random instants, by appending, while messages come between the runs."""
    server = request.getfixturevalue("postgresql") if target == "postgresql" else None
    monkeypatch.chdir(tmp_path)
    topic = broker.topic(3)
    numbers = itertools.count()
    sent = 0

    def more(kills: int) -> None:
        nonlocal sent
        for partition in range(3):
            broker.send(topic, *({"id": number} for number in itertools.islice(numbers, 3_000)), partition=partition)
        sent += 9_000

    flow = flow_of(broker, topic, tmp_path, target=server.url("lake") if server is not None else target)
    more(0)
    begin = time.monotonic()
    run_flows(None, flow)
    run_with_random_kills(
        run_flows, None, flow, kills=KILLS, within=time.monotonic() - begin, since="read", between=more
    )
    run_flows(None, flow)
    if server is not None:
        ids = [number for (number,) in server.query("lake", f'SELECT id FROM "{topic}" ORDER BY id')]
    else:
        ids = landed(topic, tmp_path, target)
    assert ids == list(range(sent))
