"""A range of times of a topic, and what a full refresh must know of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import Broker, MakeSource, Read, encoded, flow_of, landed
from vdk.plugin.datasource_base import ConfigurationError, run_flows
from vdk.plugin.datasource_base.contract import StateError
from vdk.plugin.datasource_base.runtime import Environment, execute
from vdk.plugin.datasource_base.runtime.scope import RunScope

BEGIN = 1_767_225_600_000  # 2026-01-01T00:00:00Z


def test_a_range_is_read_by_the_timestamps(broker: Broker, source: MakeSource) -> None:
    """Half-open, of every partition; no payload has a state, and the end is that of the moment."""
    topic, producer = broker.topic(2), broker.producer()
    for number in range(10):
        producer.produce(topic, encoded({"id": number}), partition=number % 2, timestamp=BEGIN + number * 60_000)
    assert producer.flush(30) == 0
    (stream,) = source(topic).streams()
    for begin, end, ids in (
        ("2026-01-01T00:03:00Z", "2026-01-01T01:06:00+01:00", [3, 4, 5]),
        ("2026-01-01T00:08:00Z", None, [8, 9]),
        (None, "2026-01-01T00:01:00Z", [0]),
        ("1969-12-31T23:59:59.999Z", None, list(range(10))),  # -1 ms, which Kafka takes for the end
        ("2026-01-02T00:00:00Z", None, []),
    ):
        result = Read()
        for part in stream.between(begin, end).partitions({}):
            for payload in part.read({}):
                result.take(part.id, payload)
        assert (sorted(result.values("id")), result.states) == (ids, {})
    assert stream.count_rows() == 10


def test_what_cannot_be_read_is_refused(broker: Broker, source: MakeSource) -> None:
    (stream,) = source(topic := broker.topic()).streams()
    for bounds, problem in (
        (("2026-01-01", None), "--since: '2026-01-01' is not a time with a zone; write --since 2026-01-01T00:00:00Z"),
        (("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), "the range is empty"),
    ):
        with pytest.raises(ConfigurationError, match=problem):
            stream.between(*bounds)
    (table,) = source(topic, mode="table").streams()
    with pytest.raises(ConfigurationError, match=r"older ones would replace them.*--full-refresh"):
        table.between("2026-01-01T00:00:00Z", None)
    with pytest.raises(StateError, match="'first' is not a partition; write its number"):
        stream.check_state("first", {"offset": 1})


def test_a_full_refresh_of_a_topic_that_lost_messages_wants_yes(broker: Broker, tmp_path: Path) -> None:
    """It names how many rows would go, before it reads."""
    topic = broker.topic()
    broker.send(topic, *({"id": number} for number in range(10)))
    flow = flow_of(broker, topic, tmp_path)
    run_flows(None, flow)
    broker.delete_records(topic, 6)
    problem = "has 10 rows now, and the source has 4 at most: a full refresh would delete 6 rows"
    with pytest.raises(ConfigurationError, match=problem):
        execute(flow, Environment(scope=RunScope(full_refresh=True)))
    assert landed(topic, tmp_path) == list(range(10))
    execute(flow, Environment(scope=RunScope(full_refresh=True, confirmed=True)))
    broker.send(topic, {"id": 10})
    run_flows(None, flow)
    assert landed(topic, tmp_path) == [6, 7, 8, 9, 10]
