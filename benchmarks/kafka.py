"""Compares reading a Kafka topic with a bare loop over confluent-kafka, with dlt, and with a Singer tap.

The tap of PyPI pins libraries that Python 3.11 cannot install (orjson 3.6.1), so it gets newer ones. It has no target:
its lines go nowhere.
"""

from __future__ import annotations

from pathlib import Path

from bench import Bench
from report import Comparison, Target

MESSAGES = 1_000_000
"""So many that the 0.2 processor seconds that any run takes matter little."""
TABLE_MESSAGES, PEER_MESSAGES = 300_000, 30_000
"""Of topics with keys, and what dlt and the Singer tap read: their figures are multiplied."""
LIMIT, LOOP, LOG, AVRO, TABLE, FLOW, DEFAULT, UPSERT, DLT, SINGER = (
    "consume, and drop",
    "bare loop: consume, msgspec to dicts",
    "log of JSON, to Arrow",
    "log of Avro, to Arrow",
    "table, a fifth of it deletes, to Arrow",
    "a flow: log of JSON into DuckDB, appended",
    "a flow: log of JSON into DuckDB, upserted, which is the default",
    "a flow: table, a fifth of it deletes, upserted into DuckDB",
    "dlt: value as text into DuckDB",
    "Singer: pipelinewise-tap-kafka, without a target",
)


def measure(bench: Bench) -> list[Comparison]:
    """Run all contenders in turns in one process, so that the broker and the page cache are warm for all of them."""
    python = bench.environments.ours("kafka", "noida-db==0.2.3", "fastavro", "polars") / "python"
    script, space = Path(__file__).with_name("kafka_read.py"), bench.space("kafka")
    dlt = bench.environments.peer("dlt-kafka", "dlt[duckdb]==1.31.0", "confluent-kafka") / "python"
    newer = Path(__file__).with_name("peers") / "singer_kafka.txt"
    tap = bench.environments.peer("singer-kafka", "--override", str(newer), "pipelinewise-tap-kafka==8.2.1") / "python"
    command = [str(python), str(script), str(space), str(MESSAGES), str(bench.runs), str(dlt), str(tap)]
    fewer = {DLT: PEER_MESSAGES, SINGER: PEER_MESSAGES, TABLE: TABLE_MESSAGES, UPSERT: TABLE_MESSAGES}
    measured = bench.measured_in(command, MESSAGES, {name: MESSAGES / read for name, read in fewer.items()})
    loop, log = measured[LOOP], measured[LOG]
    targets = [
        Target("messages a second of processor time, log of JSON / bare loop", loop.cpu / log.cpu, 0.6, least=True),
        Target("the same, flow into DuckDB / bare loop", loop.cpu / measured[FLOW].cpu, 0.6, least=True),
        Target("messages a second, flow into DuckDB / bare loop", loop.wall / measured[FLOW].wall, 0.6, least=True),
        Target("the same, Avro / JSON", log.cpu / measured[AVRO].cpu, 1.0, least=True),
        Target("the same, flow into DuckDB / dlt", measured[DLT].cpu / measured[FLOW].cpu, 1.0, least=True),
        Target("the same, flow into DuckDB / Singer tap", measured[SINGER].cpu / measured[FLOW].cpu, 1.0, least=True),
        Target("messages a second of processor time, upsert", MESSAGES / measured[UPSERT].cpu, 100_000, least=True),
        Target("messages a second, upsert", MESSAGES / measured[UPSERT].wall, 100_000, least=True),
    ]
    title = f"A Kafka topic, {MESSAGES:,} messages of 200 bytes, one partition"
    return [Comparison(title, list(measured.values()), LOOP, targets)]
