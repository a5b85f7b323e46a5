"""The limit: a bare loop consumes a topic, decodes its JSON, and inserts it into a new DuckDB table. No state.

    python kafka_to_duckdb.py SERVERS TOPIC MESSAGES [LAKE]

Without LAKE its messages are decoded and dropped.
"""

import sys
from collections.abc import Iterator
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
from confluent_kafka import Consumer, TopicPartition

servers, topic, messages, *lake = sys.argv[1:]
KINDS = {"id": pa.int64(), "quantity": pa.int64(), "total": pa.float64(), "paid": pa.bool_()}
NAMES = ("id", "customer", "email", "total", "quantity", "paid", "created", "note", "country")
SCHEMA = pa.schema([(name, KINDS.get(name, pa.string())) for name in NAMES])


def chunks() -> Iterator[list[dict[str, Any]]]:
    options: dict[str, Any] = {"bootstrap.servers": servers, "group.id": "bench", "enable.auto.commit": False}
    # this broker answers a request with all messages that follow, whatever the client asks for
    options |= {"fetch.message.max.bytes": 4 * 2**20, "receive.message.max.bytes": 2**30}
    consumer = Consumer({**options, "queued.max.messages.kbytes": 65_536})
    consumer.assign([TopicPartition(topic, 0, 0)])
    decode, count = msgspec.json.Decoder().decode, 0
    while count < int(messages):
        first = consumer.poll(0.25)
        if first is None:
            continue
        chunk = [message for message in [first, *consumer.consume(9_999, 0)] if message.error() is None]
        yield [decode(message.value() or b"null") for message in chunk]
        count += len(chunk)
    consumer.close()


if lake:
    with duckdb.connect(lake[0]) as target:
        batches = (pa.RecordBatch.from_pylist(chunk, SCHEMA) for chunk in chunks())
        reader = pa.RecordBatchReader.from_batches(SCHEMA, batches)
        target.execute("CREATE TABLE orders AS SELECT * FROM reader")
else:
    print(sum(map(len, chunks())))
