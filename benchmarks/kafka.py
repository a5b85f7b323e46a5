"""Reading a Kafka topic into DuckDB: ours, a bare loop over confluent-kafka, and the peers.

The tap of PyPI pins libraries that Python 3.11 cannot install (orjson 3.6.1), so it gets newer ones. Its messages go
nowhere: target-duckdb refuses them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench import Bench, emptied, lands, ours, removing
from measure import Command, Contender
from report import OURS, Comparison, Target, ahead
from rivals import INGESTR, OFFLINE, SLOW, sizes

LIMIT, LOOP = "consume, msgspec → Arrow → DuckDB (limit)", "consume and msgspec, dropped (limit)"
APPEND, AVRO, TABLE = f"{OURS}, append", f"{OURS}, Avro", f"{OURS}, a table, a fifth of it deletes"
ONE_RESPONSE = '"receive.message.max.bytes" = 1073741824'
"""This broker answers a request with all messages that follow, whatever the client asks for."""


def measure(bench: Bench) -> list[Comparison]:
    """A cold process reads all messages. The broker runs before, in a process of its own."""
    folder, rows = bench.space("kafka"), bench.rows
    with bench.server("kafka_server.py", folder, *sizes(rows)) as servers:
        avro = f', value = {{ format = "avro", schema_file = "{folder / "order.avsc"}" }}'
        measured = bench.measure(
            *limits(bench, servers),
            _ours(bench, OURS, servers, f"orders{rows}"),
            _ours(bench, APPEND, servers, f"orders{rows}", mode="append"),
            _ours(bench, AVRO, servers, f"avro{rows}", avro),
            _ours(bench, TABLE, servers, f"keys{rows}", ', mode = "table"'),
            dlt(bench, servers),
            ingestr(bench, servers),
            singer(bench, servers),
        )
    title = f"{rows:,} messages of 200 bytes, one partition, Kafka → DuckDB, cold process"
    comparison = Comparison(title, measured, LIMIT)
    we, json, avro_run = (comparison.of(name) for name in (OURS, APPEND, AVRO))
    targets = [
        Target("times the limit, upsert, which is the default", we.wall / comparison.of(LIMIT).wall, 1.7),
        Target("times the limit, append", json.wall / comparison.of(LIMIT).wall, 1.7),
        Target("processor seconds, Avro / JSON", avro_run.cpu / we.cpu, 1.0),
        Target("messages a second of the table, thousands", rows / comparison.of(TABLE).wall / 1000, 100, least=True),
        ahead(measured, we),
    ]
    return [Comparison(title, measured, LIMIT, targets)]


def limits(bench: Bench, servers: str) -> list[Contender]:
    python = bench.environments.peer("kafka", "confluent-kafka", "msgspec", "pyarrow", "duckdb") / "python"
    lake, script = bench.space("kafka-limit") / "lake.duckdb", bench.peers / "kafka_to_duckdb.py"
    topic = [servers, f"orders{bench.rows}", str(bench.rows)]
    check = lands(bench, lake, f"count(*) = {bench.rows}")
    return [
        Contender(LOOP, [python, script, *topic], rows=bench.rows),
        Contender(LIMIT, [python, script, *topic, lake], prepare=removing(lake), check=check, rows=bench.rows),
    ]


def _ours(bench: Bench, name: str, servers: str, topic: str, more: str = "", mode: str = "") -> Contender:
    config = f'bootstrap_servers = "{servers}", topics = ["{topic}"], options = {{ {ONE_RESPONSE} }}{more}'
    made = ours(bench, name, "kafka", config, rows=bench.rows, table=topic, more=f'write_mode = "{mode}"' * bool(mode))
    return replace(made, check=bool) if topic.startswith("keys") else made


def dlt(bench: Bench, servers: str) -> Contender:
    rows = bench.rows // SLOW
    python = bench.environments.peer("dlt-kafka", "dlt[duckdb]", "confluent-kafka") / "python"
    space = bench.space("kafka-dlt")

    def command(count: int) -> list[str]:
        script = bench.peers / "dlt_kafka.py"
        return [str(each) for each in (python, script, servers, f"orders{count}", count, space)]

    return Contender(
        "dlt, value as text",
        command(rows),
        environment=OFFLINE,
        prepare=emptied(space),
        check=lands(bench, space / "dlt.duckdb", f"count(*) = {rows}", "bench_kafka_dataset.orders"),
        runs=2,
        rows=bench.rows,
        scale=bench.rows / rows,
        start=command(1),
        note=f"extrapolated from {rows:,} messages",
    )


def ingestr(bench: Bench, servers: str) -> Contender:
    """It waits three seconds for further messages, as it does by default."""
    rows = bench.rows // SLOW
    program = bench.environments.peer("ingestr", INGESTR) / "ingestr"
    space = bench.space("kafka-ingestr")
    lake = space / "lake.duckdb"

    def command(count: int) -> list[str]:
        source = f"kafka://?bootstrap_servers={servers}&group_id=bench&batch_size=3000&batch_timeout=3"
        target = ["--dest-uri", f"duckdb:///{lake}", "--dest-table", "main.orders", "--progress", "log", "--yes"]
        return [str(program), "ingest", "--source-uri", source, "--source-table", f"orders{count}", *target]

    return Contender(
        "ingestr, value as text",
        command(rows),
        cwd=space,
        environment={**OFFLINE, "HOME": str(space)},
        prepare=emptied(space),
        check=lands(bench, lake, f"count(*) = {rows}"),
        runs=2,
        rows=bench.rows,
        scale=bench.rows / rows,
        start=command(1),
        note=f"extrapolated from {rows:,} messages",
    )


def singer(bench: Bench, servers: str) -> Contender:
    rows = bench.rows // SLOW
    newer = Path(__file__).with_name("peers") / "singer_kafka.txt"
    home = bench.environments.peer("singer-kafka", "--override", str(newer), "pipelinewise-tap-kafka==8.2.1")
    command: Command = [home / "python", bench.peers / "singer_kafka.py", servers]
    return Contender(
        "Singer: pipelinewise-tap-kafka, into nothing",
        [*command, f"orders{rows}"],
        runs=1,
        rows=bench.rows,
        scale=bench.rows / rows,
        start=[*command, "orders1"],
        note=f"extrapolated from {rows:,} messages",
    )
