"""Topics as logs: each message is a row, and the offsets are the state."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from support import (
    Broker,
    MakeSource,
    as_toml,
    flow_of,
    library,
    offsets,
    partition_of,
    read_partition,
    read_topic,
    send_with_header,
    without_facts,
)
from vdk.plugin.datasource_base import ConfigurationError, StateError, run_flows
from vdk.plugin.source_kafka.partition import TopicPartitionReader


def test_every_message_is_a_row_with_its_place(broker: Broker, source: MakeSource) -> None:
    """Values become columns, and each row has its partition, offset and time."""
    topic = broker.topic(2)
    broker.send(topic, {"id": 1, "name": "a"}, {"id": 2, "name": None})
    broker.send(topic, {"id": 3}, partition=1)
    result = read_topic(source(topic))
    assert without_facts(result.rows) == [{"id": 1, "name": "a"}, {"id": 2, "name": None}, {"id": 3}]
    places = [(row["_kafka_partition"], row["_kafka_offset"]) for row in result.rows]
    assert places == [(0, 0), (0, 1), (1, 0)]
    assert all(isinstance(one, dt.datetime) and one.tzinfo is not None for one in result.values("_kafka_timestamp"))
    assert offsets(result.states) == {"0": 2, "1": 1}


def test_the_next_run_reads_what_is_new(broker: Broker, source: MakeSource) -> None:
    """A run goes on at the stored offset; without new messages it reads nothing, from no partition."""
    topic = broker.topic(2)
    broker.send(topic, {"id": 1})
    first = read_topic(source(topic))
    (stream,) = source(topic).streams()
    assert list(stream.partitions(first.states)) == [], "partitions without new messages cost no consumer"
    broker.send(topic, {"id": 2}, {"id": 3}, partition=1)
    second = read_topic(source(topic), first.states)
    assert second.values("id") == [2, 3]
    assert offsets(second.states) == {"0": 1, "1": 2}


def test_an_empty_topic_has_a_state_from_its_first_run_on(broker: Broker, source: MakeSource) -> None:
    """So that ``start`` never applies again, and messages that come later are read from the first on."""
    topic = broker.topic(3)
    first = read_topic(source(topic, start="latest"))
    assert offsets(first.states) == {"0": 0, "1": 0, "2": 0}
    broker.send(topic, {"id": 1}, partition=2)
    assert read_topic(source(topic, start="latest"), first.states).values("id") == [1]


def test_a_partition_added_later_is_read_from_its_first_message(broker: Broker, source: MakeSource) -> None:
    """``start`` is for a stream without any state."""
    topic = broker.topic(1)
    first = read_topic(source(topic, start="latest"))
    broker.add_partitions(topic, 2)
    broker.send(topic, {"id": 1}, {"id": 2}, partition=1)
    assert read_topic(source(topic, start="latest"), first.states).values("id") == [1, 2]


def test_null_values_and_null_keys_are_rows_of_nulls(broker: Broker, source: MakeSource) -> None:
    """In a log nothing is deleted: a message without a value is a row without one."""
    topic = broker.topic()
    broker.send(topic, ("k", {"id": 1}), ("k", None), (None, {"id": 2}), ("", {"id": 3}))
    result = read_topic(source(topic, columns=["key"]))
    assert result.values("id") == [1, None, 2, 3]
    assert result.values("_kafka_key") == [b"k", b"k", None, b""]


def test_headers_keep_their_order_their_doubles_and_their_bytes(broker: Broker, source: MakeSource) -> None:
    """Header names repeat, and values that are not UTF-8 are Base64."""
    topic = broker.topic()
    producer = broker.producer()
    producer.produce(topic, b'{"id": 1}', headers=[("b", b"1"), ("a", b"\xff"), ("b", None)])
    producer.flush(10)
    extra = ["topic", "timestamp_type", "key", "headers"]
    (row,) = read_topic(source(topic, columns=extra)).rows
    assert row["_kafka_headers"] == '[{"key":"b","value":"1"},{"key":"a","base64":"/w=="},{"key":"b","value":null}]'
    assert (row["_kafka_topic"], row["_kafka_timestamp_type"], row["_kafka_key"]) == (topic, "create", None)
    (stream,) = source(topic, columns=["topic"]).streams()
    schema = stream.schema()
    assert schema is not None
    assert schema.primary_key == ("_kafka_topic", "_kafka_partition", "_kafka_offset")


def test_a_reading_begins_where_start_says(broker: Broker, source: MakeSource) -> None:
    """At the first message of a time; a time after the last message is the end."""
    topic = broker.topic()
    producer = broker.producer()
    for hour in range(4):
        moment = dt.datetime(2026, 1, 1, hour, tzinfo=dt.UTC)
        producer.produce(topic, b'{"hour": %d}' % hour, timestamp=int(moment.timestamp() * 1000))
    producer.flush(10)
    assert read_topic(source(topic, start="2026-01-01T03:00:00+01:00")).values("hour") == [2, 3]
    for before in ("1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z"):
        assert read_topic(source(topic, start=before)).values("hour") == [0, 1, 2, 3]
    later = read_topic(source(topic, start="2027-01-01T00:00:00Z"))
    assert later.rows == []
    assert offsets(later.states) == {"0": 4}


def test_a_message_without_a_timestamp_has_none(broker: Broker, source: MakeSource) -> None:
    """-1 stands for none, and any other number is a time, also before 1970."""
    topic, times = broker.topic(), [-1, -5_000, 1]
    producer = broker.producer()
    for time_ in times:
        producer.produce(topic, b"{}", timestamp=time_)
    producer.produce(topic, b"bad", timestamp=-1)
    assert producer.flush(30) == 0
    result = read_topic(source(topic))
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    moments = [None, epoch - dt.timedelta(seconds=5), epoch + dt.timedelta(milliseconds=1)]
    assert result.values("_kafka_timestamp") == moments
    assert [row["timestamp"] for row, _ in result.rejected] == [None]


def test_headers_that_the_client_cannot_read_stop_no_reading(broker: Broker, source: MakeSource) -> None:
    """The name of a header is not valid UTF-8: the message is bad only where headers are wanted."""
    topic = broker.topic()
    rdkafka = library()
    if rdkafka is None:
        pytest.skip("confluent-kafka lacks the library as a file of its own; its producer cannot send such names")
    send_with_header(rdkafka, broker.address, topic, b'{"id": 1}', b"trace")
    send_with_header(rdkafka, broker.address, topic, b'{"id": 2}', b"\xff")
    send_with_header(rdkafka, broker.address, topic, b'{"id": 3}', b"trace")
    assert read_topic(source(topic)).values("id") == [1, 2, 3]
    result = read_topic(source(topic, columns=["headers"]))
    assert result.values("_kafka_headers") == ['[{"key":"trace","value":"v"}]'] * 2
    ((row, reason),) = result.rejected
    assert (row["part"], row["value"]) == ("headers", b'{"id": 2}')
    assert "headers: the name of a header is not valid UTF-8" in reason


def test_messages_of_more_than_a_megabyte_are_read(broker: Broker, source: MakeSource) -> None:
    """Also the first of them after many small ones."""
    topic = broker.topic()
    sizes = [10, 1_500_000, 20, 3_000_000]
    for size in sizes:
        broker.send(topic, {"text": "x" * size})
    assert [len(text) for text in read_topic(source(topic)).values("text")] == sizes


def test_topics_are_chosen_by_pattern(broker: Broker, source: MakeSource) -> None:
    """Patterns choose, exclamation marks leave out, and Kafka's own topics are never meant by a pattern."""
    for name in ("shop.orders", "shop.items", "shop.audit"):
        broker.topic(name=name)
    names = [stream.name for stream in source(["shop.*", "!*.audit"]).streams()]
    assert names == ["shop.items", "shop.orders"]
    with pytest.raises(ConfigurationError, match=r"'shp\.\*' matches no topic"):
        source("shp.*").streams()
    assert all(not stream.name.startswith("__") for stream in source("*").streams())


def test_deleted_messages_are_a_gap(broker: Broker, source: MakeSource) -> None:
    """Retention that passes the stored offset is an error, or is counted with the offsets lost."""
    topic = broker.topic()
    broker.send(topic, *({"id": number} for number in range(10)))
    first = read_topic(source(topic))
    broker.send(topic, *({"id": number} for number in range(10, 20)))
    broker.delete_records(topic, 15)
    with pytest.raises(
        StateError, match=r"next offset is 10.* has the offset 15: 5 offsets were deleted.* on_gap = \"skip\""
    ):
        read_topic(source(topic), first.states)
    second = read_topic(source(topic, on_gap="skip"), first.states)
    assert second.values("id") == [15, 16, 17, 18, 19]
    assert second.counts["count:offsets_lost"] == 5
    assert offsets(second.states) == {"0": 20}


def test_all_messages_after_the_state_may_be_deleted(broker: Broker, source: MakeSource) -> None:
    """The gap then reaches to the end."""
    topic = broker.topic()
    broker.send(topic, {"id": 1})
    first = read_topic(source(topic))
    broker.send(topic, {"id": 2}, {"id": 3})
    broker.delete_records(topic, 3)
    second = read_topic(source(topic, on_gap="skip"), first.states)
    assert (second.rows, second.counts["count:offsets_lost"], offsets(second.states)) == ([], 2, {"0": 3})


def test_a_first_run_begins_at_the_oldest_message_that_is_kept(broker: Broker, source: MakeSource) -> None:
    """Messages that were deleted before the first run are not lost to it: nothing was promised."""
    topic = broker.topic()
    broker.send(topic, {"id": 1}, {"id": 2}, {"id": 3})
    broker.delete_records(topic, 2)
    result = read_topic(source(topic))
    assert result.values("id") == [3]
    assert result.counts == {}


def test_a_state_above_the_end_is_refused(broker: Broker, source: MakeSource) -> None:
    """The topic was created again, or its broker lost messages."""
    topic = broker.topic()
    broker.send(topic, {"id": 1})
    with pytest.raises(StateError, match="the state is at offset 7, and the partition ends at 1"):
        read_topic(source(topic), {"0": {"v": 1, "offset": 7, "topic_id": None, "partitions": 1}})


def test_the_id_of_another_topic_is_refused(
    broker: Broker, source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic that was deleted and created again has other messages at the same offsets."""
    topic = broker.topic()
    broker.send(topic, {"id": 1})
    ids = iter(["an-id", "another-id"])
    # this broker gives each topic an id of zeros, which is taken as unknown
    monkeypatch.setattr("vdk.plugin.source_kafka.client.Cluster.topic_id", lambda *_: next(ids))
    first = read_topic(source(topic))
    assert first.states["0"]["topic_id"] == "an-id"
    with pytest.raises(StateError, match=r"the state belongs to the topic with the id an-id.*deleted and created"):
        read_topic(source(topic), first.states)


def test_fewer_partitions_than_the_state_has_are_refused(broker: Broker, source: MakeSource) -> None:
    """Kafka never takes partitions away from a topic."""
    topic = broker.topic()
    with pytest.raises(ConfigurationError, match="no longer has the partition 5"):
        read_topic(source(topic), {"5": {"v": 1, "offset": 0, "topic_id": None, "partitions": 1}})


def test_a_source_serves_several_readers_at_once(broker: Broker, source: MakeSource) -> None:
    """Of the same partition, too: each reading has a consumer and decoders of its own."""
    topic = broker.topic(2)
    for partition in range(2):
        broker.send(topic, *({"id": number} for number in range(2_000)), partition=partition)
    (stream,) = source(topic).streams()
    parts = [part for part in stream.partitions({}) if isinstance(part, TopicPartitionReader)] * 2
    with ThreadPoolExecutor(len(parts)) as threads:
        for result in threads.map(lambda part: read_partition(part, {}), parts):
            assert result.values("id") == list(range(2_000))


def test_a_partition_is_read_in_another_process(broker: Broker, source: MakeSource) -> None:
    """Partitions are pickled for a cluster, with and without a limit."""
    topic = broker.topic()
    broker.send(topic, {"id": 1})
    for options in ({}, {"messages_per_second": 1_000_000}):
        part = pickle.loads(pickle.dumps(partition_of(source(topic, **options))))
        assert read_partition(part, {}).values("id") == [1]


def test_a_reading_between_two_states_can_be_repeated(broker: Broker, source: MakeSource) -> None:
    """A partition knows its end before it reads, and stops there whatever comes later."""
    topic = broker.topic()
    broker.send(topic, {"id": 1}, {"id": 2})
    part = partition_of(source(topic))
    end = part.end({})
    broker.send(topic, {"id": 3})
    for _ in range(2):
        result = read_partition(part, {}, end)
        assert (result.values("id"), result.states) == ([1, 2], {"0": end})
    assert part.end(end) == end
    assert (part.count({}, end), part.count({**end, "offset": 1}, end)) == (2, 1)
    assert part.share({"v": 1, "offset": 1, "topic_id": None, "partitions": 1}, end) == 0.5
    with pytest.raises(StateError, match="the end 2 lies before the state 3"):
        read_partition(part, {"v": 1, "offset": 3, "topic_id": None, "partitions": 1}, end)


def test_the_share_that_is_done_counts_from_the_oldest_message_that_is_kept(broker: Broker, source: MakeSource) -> None:
    """Offsets of an old topic begin far above 0: half of what is there is half."""
    topic = broker.topic()
    broker.send(topic, *({"id": number} for number in range(100)))
    broker.delete_records(topic, 90)
    part = partition_of(source(topic))
    end = part.end({})
    shares = [part.share({**end, "offset": offset}, end) for offset in (90, 95, 100)]
    assert shares == [0.0, 0.5, 1.0]
    assert part.share({}, end) == 0.0
    assert part.share({**end, "offset": 40}, end) == 0.0, "a state that retention has passed"
    assert part.share({}, {**end, "offset": 90}) == 1.0, "there is nothing to read"


@pytest.mark.parametrize("mode", ["log", "table"])
def test_topics_that_share_a_table_need_the_topic_as_a_column(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Their partitions and offsets are the same, so the rows of one topic would replace those of the other."""
    monkeypatch.chdir(tmp_path)
    topics = [broker.topic(), broker.topic()]
    for topic in topics:
        broker.send(topic, (topic, {"id": 1}))
    flow = flow_of(broker, topics[0], tmp_path, topics=topics, mode=mode)
    flow["flows"] = [{"from": "kafka", "to": "lake", "destination_table": "all", "shared_table": True}]
    with pytest.raises(ConfigurationError, match=r"share table 'all', .*; add columns = \[\"topic\"\] to the config"):
        run_flows(None, flow)
    flow["sources"]["kafka"]["config"]["columns"] = ["topic"]
    run_flows(None, flow)
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as lake:
        assert [name for (name,) in lake.execute('SELECT _kafka_topic FROM "all" ORDER BY 1').fetchall()] == topics


def test_partitions_in_another_process_share_a_limit_and_a_cache(broker: Broker, source: MakeSource) -> None:
    """A cluster pickles each of them by itself."""
    topic = broker.topic(2)
    made = source(topic, messages_per_second=5)
    pickled = [pickle.dumps(part) for stream in made.streams() for part in stream.partitions({})]
    first, second = (pickle.loads(part) for part in pickled)
    assert first._limit is second._limit
    assert first._limit._per_second == 5
    assert first._schemas is second._schemas
    again = list(made.streams())
    assert again[0]._limit is made.streams()[0]._limit  # type: ignore[attr-defined]  # of topics


def test_the_limit_of_messages_per_second_is_kept(broker: Broker, source: MakeSource) -> None:
    """The reading takes at least the time that the limit asks for."""
    topic = broker.topic()
    broker.send(topic, *({"id": number} for number in range(50)))
    begin = time.monotonic()
    assert len(read_topic(source(topic, messages_per_second=50)).rows) == 50
    assert time.monotonic() - begin > 0.9


@pytest.mark.heavy
def test_progress_is_in_percent(broker: Broker, tmp_path: Path) -> None:
    """Of all partitions with new messages: while the first of two is read, the other one counts as not begun."""
    topic = broker.topic(2)
    for partition in range(2):
        broker.send(topic, *({"id": number} for number in range(20)), partition=partition)
    flow = flow_of(broker, topic, tmp_path, messages_per_second=20)
    flow["flows"][0]["max_parallel_partitions"] = 1
    (tmp_path / "flow.toml").write_text(as_toml(flow))
    command = [sys.executable, "-m", "vdk.internal.cli_entry", "datasource", "run", "flow.toml"]
    environment = {"VDK_VERSION_CHECK_DISABLED": "true", "VDK_DATASOURCE_PROGRESS_SECONDS": "0.1"}
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    shares = [int(share) for share in re.findall(rf"kafka\.{topic}  (\d+)%  \d+ rows  ", done.stderr)]
    assert shares == sorted(shares)
    assert 50 in shares
