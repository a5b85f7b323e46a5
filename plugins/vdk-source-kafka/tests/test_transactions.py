"""Transactions: what was aborted is not read, and what is open holds the reading back."""

from __future__ import annotations

from typing import Any

import pytest

from support import Broker, MakeSource, offsets, read_topic
from vdk.plugin.source_kafka import partition


def transactional(broker: Broker, name: str) -> Any:
    producer = broker.producer(**{"transactional.id": name, "transaction.timeout.ms": 60_000})
    producer.init_transactions(20)
    producer.begin_transaction()
    return producer


def test_aborted_messages_are_not_read(broker: Broker, source: MakeSource) -> None:
    """Markers and aborted messages take offsets, and the reading ends behind them all the same."""
    topic = broker.topic()
    broker.send(topic, {"id": 1})
    producer = transactional(broker, f"{topic}-aborted")
    producer.produce(topic, b'{"id": 2}', partition=0)
    producer.flush(10)
    producer.abort_transaction(20)
    producer.begin_transaction()
    producer.produce(topic, b'{"id": 3}', partition=0)
    producer.commit_transaction(20)
    result = read_topic(source(topic))
    assert result.values("id") == [1, 3]
    (last,) = offsets(result.states).values()
    assert last > result.rows[-1]["_kafka_offset"] + 1, "the state is the end, which is a marker further"
    (stream,) = source(topic).streams()
    assert list(stream.partitions(result.states)) == []


def test_a_topic_of_aborted_messages_alone_has_an_end(broker: Broker, source: MakeSource) -> None:
    """The last offsets of a partition may all be markers."""
    topic = broker.topic()
    producer = transactional(broker, f"{topic}-nothing")
    producer.produce(topic, b'{"id": 1}', partition=0)
    producer.flush(10)
    producer.abort_transaction(20)
    result = read_topic(source(topic))
    assert (result.rows, offsets(result.states)) == ([], {"0": 2})


def test_an_open_transaction_holds_messages_back(broker: Broker, source: MakeSource) -> None:
    """Also those of others that came after its first message; they are counted, and come in a later run."""
    topic = broker.topic()
    broker.send(topic, {"id": 1})
    producer = transactional(broker, f"{topic}-open")
    producer.produce(topic, b'{"id": 2}', partition=0)
    producer.flush(10)
    broker.send(topic, {"id": 3}, {"id": 4})
    first = read_topic(source(topic))
    assert first.values("id") == [1]
    assert first.counts == {"count:messages_held_back": 3}
    again = read_topic(source(topic), first.states)
    assert (again.rows, again.counts) == ([], {"count:messages_held_back": 3}), "an idle run counts them too"
    producer.commit_transaction(20)
    second = read_topic(source(topic), again.states)
    assert second.values("id") == [2, 3, 4]


def test_gaps_as_compaction_leaves_them_are_no_loss_and_no_end(
    broker: Broker, source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No broker of the tests compacts, so each message that a later one of its key supersedes is aborted instead."""
    monkeypatch.setattr(partition, "MAX_MESSAGES", 3)
    topic = broker.topic()
    keys = ["hot" if number % 5 else f"k{number}" for number in range(31)]
    newest = {key: number for number, key in enumerate(keys)}
    producer = transactional(broker, f"{topic}-compacted")
    for number, key in enumerate(keys):
        if newest[key] == number:
            broker.send(topic, (key, {"n": number}))
        else:
            producer.produce(topic, b'{"n": %d}' % number, key, partition=0)
            producer.flush(10)
            producer.abort_transaction(20)
            producer.begin_transaction()
    for options in ({"mode": "table", "key": "bytes"}, {"columns": ["key"]}):
        result = read_topic(source(topic, **options))
        assert {row["_kafka_key"].decode(): row["n"] for row in result.rows} == newest
        (after_25,) = [row["_kafka_offset"] + 1 for row in result.rows if row["n"] == 25]
        assert (result.counts, offsets(result.states)) == ({}, {"0": 54})
        for offset in (after_25, after_25 + 3):  # as after a run, and as if more was compacted since
            state = {"0": {**result.states["0"], "offset": offset}}
            assert read_topic(source(topic, **options), state).values("n") == [29, 30]


@pytest.mark.parametrize("committed", [True, False])
def test_uncommitted_messages_are_read_where_that_is_asked_for(
    broker: Broker, source: MakeSource, committed: bool
) -> None:
    """``isolation = "read_uncommitted"`` reads aborted and open transactions, and holds nothing back."""
    topic = broker.topic()
    producer = transactional(broker, f"{topic}-dirty-{committed}")
    producer.produce(topic, b'{"id": 1}', partition=0)
    producer.flush(10)
    if not committed:
        producer.abort_transaction(20)
    result = read_topic(source(topic, isolation="read_uncommitted"))
    assert (result.values("id"), result.counts) == ([1], {})
    if committed:
        producer.commit_transaction(20)
