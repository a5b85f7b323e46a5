"""dlt reads a topic into DuckDB.

    python dlt_kafka.py SERVERS TOPIC MESSAGES FOLDER

``dlt init`` downloads dlt's own source from a repository, so this has its structure: ``consume`` with its default batch
and timeout, a dict for each message with the value as text, offsets in dlt's state. It ends after so many messages.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dlt
from confluent_kafka import Consumer, TopicPartition

servers, topic, messages, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]


def topic_rows() -> Iterator[list[dict[str, Any]]]:
    """The rows of one partition, a batch at a time."""
    offsets = dlt.current.resource_state().setdefault("offsets", {})
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "bench", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    read = 0
    while read < messages:
        batch = []
        for message in consumer.consume(min(3_000, messages - read), timeout=3):
            kind, milliseconds = message.timestamp()
            batch.append(
                {
                    "partition": message.partition(),
                    "offset": message.offset(),
                    "key": message.key(),
                    "timestamp_type": kind,
                    "timestamp": datetime.fromtimestamp(milliseconds / 1e3, UTC),
                    "data": (message.value() or b"").decode(),
                }
            )
            offsets[str(message.partition())] = message.offset()
        read += len(batch)
        yield batch
    consumer.close()


pipeline = dlt.pipeline(
    "bench_kafka", pipelines_dir=f"{folder}/dlt", destination=dlt.destinations.duckdb(f"{folder}/dlt.duckdb")
)
pipeline.run(dlt.resource(topic_rows, name="orders", write_disposition="append"))
