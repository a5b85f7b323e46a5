"""Topics as tables: the last message of a key is its row, and a message without a value deletes it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from support import Broker, MakeSource, offsets, read_topic, without_facts
from vdk.plugin.datasource_base import run_flows

INTEGER_KEY = {"format": "json", "columns": {"id": "integer"}}


def test_the_last_message_of_a_key_is_its_row(broker: Broker, source: MakeSource) -> None:
    """Within a chunk each key is delivered once, as a row or as a delete."""
    topic = broker.topic()
    broker.send(topic, ("a", {"n": 1}), ("b", {"n": 2}), ("a", {"n": 3}), ("b", None), ("c", None), ("c", {"n": 4}))
    result = read_topic(source(topic, mode="table"))
    assert [(row["_kafka_key"], row["n"]) for row in result.rows] == [("a", 3), ("c", 4)]
    assert result.deletes == [{"_kafka_key": "b"}]
    assert result.counts == {"count:messages_superseded": 3}
    (stream,) = source(topic, mode="table").streams()
    schema = stream.schema()
    assert schema is not None
    assert schema.primary_key == ("_kafka_key",)


def test_two_texts_of_one_json_key_are_one_row(broker: Broker, source: MakeSource) -> None:
    """A delete whose key has other blanks than a later row must not take that row away."""
    topic = broker.topic()
    broker.send(topic, ('{"id":1}', None), ('{ "id": 1 }', {"n": 2}), ('{"id":3}', {"n": 3}), ('{"id": 3}', None))
    result = read_topic(source(topic, mode="table", key=INTEGER_KEY))
    assert without_facts(result.rows) == [{"id": 1, "n": 2}]
    assert result.deletes == [{"id": 3}]


def test_a_key_without_a_value_for_its_columns_is_rejected(broker: Broker, source: MakeSource) -> None:
    """Null keys, keys that lack a field, have another one, or contradict the value; the others land."""
    topic = broker.topic()
    broker.send(
        topic,
        (None, {"n": 1}),
        ('{"id": null}', {"n": 2}),
        ('{"id": 3, "region": "eu"}', {"n": 3}),
        ('{"id": "x"}', {"n": 4}),
        ('{"id": 5}', {"id": 6, "n": 5}),
        ('{"id": 7}', {"id": 7, "n": 6}),
        (None, None),
    )
    result = read_topic(source(topic, mode="table", key=INTEGER_KEY))
    assert without_facts(result.rows) == [{"id": 7, "n": 6}]
    assert result.deletes == []
    reasons = {row["offset"]: error for row, error in result.rejected}
    assert sorted(reasons) == [0, 1, 2, 3, 4, 6]
    assert "the key has no value for 'id'" in reasons[0]
    assert "the key has the field 'region', which key.columns lacks" in reasons[2]
    assert "field 'id': Expected `int | null`, got `str`" in reasons[3]
    assert "the field 'id' is 6, and the key has 5" in reasons[4]


def test_a_new_partition_is_registered_before_it_is_read(broker: Broker, source: MakeSource) -> None:
    """Its keys may have older messages in other partitions, which this run reads first."""
    topic = broker.topic(1)
    broker.send(topic, ("a", {"n": 1}))
    first = read_topic(source(topic, mode="table"))
    broker.add_partitions(topic, 2)
    broker.send(topic, ("a", {"n": 2}))
    broker.send(topic, ("a", {"n": 3}), partition=1)
    second = read_topic(source(topic, mode="table"), first.states)
    assert second.values("n") == [2]
    assert second.counts == {"count:partitions_registered": 1}
    assert offsets(second.states) == {"0": 2, "1": 0}
    third = read_topic(source(topic, mode="table"), second.states)
    assert third.values("n") == [3]


def test_a_partition_that_an_interrupted_first_run_left_out_is_read(broker: Broker, source: MakeSource) -> None:
    """It was there in that run, so it is not a new one."""
    topic = broker.topic(2)
    broker.send(topic, ("a", {"n": 1}))
    broker.send(topic, ("b", {"n": 2}), partition=1)
    first = read_topic(source(topic, mode="table"))
    assert read_topic(source(topic, mode="table"), {"0": first.states["0"]}).values("n") == [2]


def test_keys_that_are_bytes_or_any_json_are_whole_keys(broker: Broker, source: MakeSource) -> None:
    """A scalar key lands in ``_kafka_key``, or in a column with a name of its own."""
    topic = broker.topic()
    broker.send(topic, (b"\xff\x00", {"n": 1}), (b"7", {"n": 2}))
    result = read_topic(source(topic, mode="table", key={"format": "bytes", "columns": ["id"]}))
    assert result.values("id") == [b"\xff\x00", b"7"]
    result = read_topic(source(topic, mode="table", key="json"))
    assert result.values("_kafka_key") == ["7"]
    assert [row["key"] for row, _ in result.rejected] == [b"\xff\x00"]


def test_a_table_in_a_database_is_what_the_messages_leave(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, changes and deletes over several runs, with small commits."""
    monkeypatch.chdir(tmp_path)
    topic = broker.topic(3)
    model: dict[str, int] = {}
    numbers = itertools.count()
    for _ in range(3):
        for number in itertools.islice(numbers, 300):
            key, value = f"k{number * 7 % 90}", None if number % 5 == 0 else number
            broker.send(topic, (key, None if value is None else {"n": value}), partition=hash_of(key))
            model[key] = -1 if value is None else value
        run_flows(None, flow_of(broker, topic, tmp_path, mode="table"))
        with duckdb.connect(str(tmp_path / "lake.duckdb")) as lake:
            landed = dict(lake.execute(f'SELECT _kafka_key, n FROM "{topic}"').fetchall())
        assert landed == {key: value for key, value in model.items() if value >= 0}


def hash_of(key: str) -> int:
    return int(key[1:]) % 3


def flow_of(broker: Broker, topic: str, folder: Path, **config: Any) -> Mapping[str, Any]:
    given = {"bootstrap_servers": broker.address, "topics": [topic], **config}
    flow = {
        "sources": {"kafka": {"name": "kafka", "config": given}},
        "destinations": {"lake": {"method": "arrow", "target": f"duckdb:///{folder}/lake.duckdb"}},
        "flows": [{"from": "kafka", "to": "lake", "batch_rows": 100}],
    }
    assert json.dumps(flow)
    return flow
