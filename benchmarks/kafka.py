"""Compares reading a Kafka topic with a bare loop over confluent-kafka that decodes messages to dicts, and with dlt.

No Singer tap is among the peers: that of PyPI (pipelinewise-tap-kafka 8.2) needs orjson 3.6.1, which Python 3.11 cannot
install.
"""

from __future__ import annotations

from pathlib import Path

from bench import Bench
from report import Comparison, Target

MESSAGES = 300_000
DLT_MESSAGES = MESSAGES // 10
"""dlt reads fewer, and its figures are multiplied."""
LIMIT, LOOP, LOG, AVRO, TABLE, FLOW, UPSERT, DLT = (
    "consume, and drop",
    "bare loop: consume, msgspec to dicts",
    "log of JSON, to Arrow",
    "log of Avro, to Arrow",
    "table, a fifth of it deletes, to Arrow",
    "a flow: log of JSON into DuckDB",
    "a flow: table, a fifth of it deletes, upserted into DuckDB",
    "dlt: value as text into DuckDB",
)


def measure(bench: Bench) -> list[Comparison]:
    """Run all contenders in turns in one process, so that the broker and the page cache are warm for all of them."""
    python = bench.environments.ours("kafka", "noida-db==0.2.3", "fastavro", "polars") / "python"
    script, space = Path(__file__).with_name("kafka_read.py"), bench.space("kafka")
    dlt = bench.environments.peer("dlt-kafka", "dlt[duckdb]==1.31.0", "confluent-kafka") / "python"
    command = [str(python), str(script), str(space), str(MESSAGES), str(bench.runs), str(dlt)]
    measured = bench.measured_in(command, MESSAGES, {DLT: MESSAGES / DLT_MESSAGES})
    loop, log = measured[LOOP], measured[LOG]
    targets = [
        Target("messages a second of processor time, log of JSON / bare loop", loop.cpu / log.cpu, 0.6, least=True),
        Target("the same, flow into DuckDB / bare loop", loop.cpu / measured[FLOW].cpu, 0.6, least=True),
        Target("messages a second, flow into DuckDB / bare loop", loop.wall / measured[FLOW].wall, 0.6, least=True),
        Target("the same, Avro / JSON", log.cpu / measured[AVRO].cpu, 1.0, least=True),
        Target("the same, flow into DuckDB / dlt", measured[DLT].cpu / measured[FLOW].cpu, 1.0, least=True),
        Target("messages a second of processor time, upsert", MESSAGES / measured[UPSERT].cpu, 100_000, least=True),
        Target("messages a second, upsert", MESSAGES / measured[UPSERT].wall, 100_000, least=True),
    ]
    title = f"A Kafka topic, {MESSAGES:,} messages of 200 bytes, one partition"
    return [Comparison(title, list(measured.values()), LOOP, targets)]
