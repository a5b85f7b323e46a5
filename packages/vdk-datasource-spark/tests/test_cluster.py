"""Every source on a cluster of this machine, in batches and as a stream, and what kills do to it."""

from __future__ import annotations

import json
import os
import runpy
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # re-exported without saying so
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession

from cluster import landed, load, run_stream, spark_session, started
from vdk.plugin.datasource_base.testing import kafka, mariadb, postgresql
from vdk.plugin.datasource_spark.splits import PER_CORE

pytestmark = [
    pytest.mark.heavy,
    # py4j leaves its connection to the JVM to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PLANTED = "planted-4711"


@pytest.fixture(scope="module")
def cluster_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def spark(plugin_path: str, cluster_folder: Path) -> Iterator[SparkSession]:
    os.environ["MADE_TOKEN"] = PLANTED
    with spark_session(plugin_path, cluster_folder) as session:
        yield session


def made(folder: Path, **config: Any) -> dict[str, str]:
    values = {"folder": str(folder), "token": "${env:MADE_TOKEN}", **config}
    return {"source": "made", "stream": "numbers", "config": json.dumps(values)}


def numbers(partitions: int, rows: int) -> list[tuple[int, int]]:
    return [(part, number) for part in range(partitions) for number in range(rows)]


def check_source(spark: SparkSession, options: dict[str, str], folder: Path, ids: Sequence[int], more: Any) -> None:
    """All ids in a batch; then as a stream, before and after ``more`` has added one more row."""
    assert [row[0] for row in load(spark, options).select("id").orderBy("id").collect()] == list(ids)
    for expected in (list(ids), [*ids, ids[-1] + 1]):
        run_stream(spark, options, folder)
        assert [row[0] for row in landed(spark, folder, "id")] == expected
        more()


@pytest.mark.parametrize("source", ["sqlite", "sql"])
def test_sqlite(spark: SparkSession, tmp_path: Path, source: str) -> None:
    """By its own source, and by that of any database."""
    database = tmp_path / "shop.db"

    def execute(sql: str) -> None:
        with sqlite3.connect(database) as connection:
            connection.execute(sql)
        connection.close()

    config = f"database = {str(database)!r}"
    if source == "sql":
        config = f'url = "sqlite:///{database}"\ntables = {{ orders = {{ cursor = "updated_at" }} }}'
    options = {"source": source, "stream": "orders", "config": config, "range_rows": "1"}
    execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, updated_at TIMESTAMP NOT NULL)")
    execute("CREATE INDEX by_time ON orders (updated_at)")
    execute("INSERT INTO orders VALUES (1, '2026-01-01 00:00:01'), (2, '2026-01-01 00:00:02')")

    def more() -> None:
        execute("INSERT INTO orders SELECT max(id) + 1, '2026-01-01 00:00:09' FROM orders")

    check_source(spark, options, tmp_path, [1, 2], more)


def test_postgresql(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgresql.running() as server:
        server.query("postgres", "CREATE TABLE orders (id int PRIMARY KEY, updated_at timestamptz NOT NULL, note text)")
        insert = "INSERT INTO orders SELECT coalesce(max(id), 0) + 1, now(), 'x' FROM orders"
        server.query("postgres", insert)
        server.query("postgres", insert)
        server.query("postgres", "CREATE TABLE whole AS SELECT n AS id FROM generate_series(1, 120000) n")
        server.query("postgres", "ALTER TABLE whole ADD PRIMARY KEY (id)")
        server.query("postgres", "ANALYZE whole")
        config = f"url = {json.dumps(server.url('postgres'))}"
        options = {"source": "postgres", "stream": "orders", "config": config, "range_rows": "1"}
        check_source(spark, options, tmp_path, [1, 2], lambda: server.query("postgres", insert))
        whole = load(spark, {**options, "stream": "whole"})
        assert whole.rdd.getNumPartitions() == PER_CORE * spark.sparkContext.defaultParallelism
        assert (whole.count(), whole.selectExpr("sum(id)").collect()[0][0]) == (120_000, 120_000 * 120_001 // 2)


def test_mysql(spark: SparkSession, tmp_path: Path) -> None:
    """Where there is a server: the environment of Spark installs none."""
    try:
        with mariadb.running() as server:
            server.clear("shop")
            server.query(
                "shop", "CREATE TABLE orders (id INT PRIMARY KEY, updated_at DATETIME NOT NULL, KEY (updated_at))"
            )
            server.query("shop", "INSERT INTO orders VALUES (1, '2026-01-01 00:00:01'), (2, '2026-01-01 00:00:02')")
            more = "INSERT INTO orders SELECT max(id) + 1, '2026-01-01 00:00:09' FROM orders"
            config = f"url = {json.dumps(server.url('shop'))}"
            options = {"source": "mysql", "stream": "orders", "config": config, "range_rows": "1"}
            check_source(spark, options, tmp_path, [1, 2], lambda: server.query("shop", more))
    except LookupError as error:
        pytest.skip(str(error))


def test_kafka(spark: SparkSession, tmp_path: Path) -> None:
    with kafka.running(tmp_path / "broker") as broker:
        topic = NewTopic("orders", num_partitions=3)
        broker.admin.create_topics([topic])["orders"].result(60)
        broker.produce("orders", [{"id": 1}, {"id": 2}])
        options = {
            "source": "kafka",
            "stream": "orders",
            "config": f'bootstrap_servers = "{broker.address}"\ntopics = ["orders"]',
        }
        assert load(spark, options).rdd.getNumPartitions() == 3
        sent = iter(range(3, 9))
        check_source(spark, options, tmp_path, [1, 2], lambda: broker.produce("orders", [{"id": next(sent)}]))


class Api(BaseHTTPRequestHandler):
    """Three customers, and two orders of each."""

    def do_GET(self) -> None:
        parts = self.path.strip("/").split("/")
        rows: list[dict[str, Any]] = [{"id": number} for number in (1, 2, 3)]
        if len(parts) > 1:
            rows = [{"id": 10 * int(parts[1]) + number, "total": 1.5} for number in (1, 2)]
        body = json.dumps(rows).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_rest_reads_the_children_of_each_parent_as_partitions(spark: SparkSession) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "base_url": f"http://127.0.0.1:{server.server_port}",
        "streams": [
            {"name": "customers", "primary_key": "id"},
            {
                "name": "orders",
                "path": "/customers/{customer}/orders",
                "primary_key": "id",
                "parent": {"stream": "customers", "bind": {"customer": "id"}},
            },
        ],
    }
    orders = load(spark, {"source": "rest", "stream": "orders", "config": json.dumps(config)})
    assert sorted(map(tuple, orders.select("id", "total").collect())) == [
        (10 * customer + number, 1.5) for customer in (1, 2, 3) for number in (1, 2)
    ]
    assert orders.rdd.getNumPartitions() == 3
    server.shutdown()
    server.server_close()


def test_the_number_of_partitions_follows_the_cluster(spark: SparkSession, tmp_path: Path) -> None:
    rows = load(spark, made(tmp_path, partitions=100, rows=1))
    assert rows.rdd.getNumPartitions() == PER_CORE * spark.sparkContext.defaultParallelism
    assert rows.count() == 100


def test_an_executor_that_is_killed_repeats_no_row(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "kill").touch()
    run_stream(spark, made(tmp_path, partitions=4, rows=6), tmp_path)
    assert (tmp_path / "killed").exists()
    assert landed(spark, tmp_path, "part", "number") == numbers(4, 6)


def test_a_driver_that_is_killed_continues_from_the_checkpoint(
    spark: SparkSession, plugin_path: str, tmp_path: Path
) -> None:
    """It dies in its first batch, whose end is in the checkpoint. Rows that come later are in another batch."""
    (tmp_path / "kill").touch()
    options = made(tmp_path, partitions=3, rows=4)
    command = [sys.executable, str(Path(__file__).with_name("driver.py")), plugin_path, str(tmp_path)]
    subprocess.run([*command, json.dumps(options)], check=False, timeout=250, capture_output=True)
    assert (tmp_path / "killed").exists()
    run_stream(spark, options, tmp_path)
    assert landed(spark, tmp_path, "part", "number") == numbers(3, 4)


def test_a_failed_batch_is_replayed_exactly(spark: SparkSession, tmp_path: Path) -> None:
    """As a stream that is triggered by time; the source has grown before the second attempt."""
    options = made(tmp_path, partitions=2, rows=3)
    batches: list[list[Any]] = []

    def take(rows: DataFrame, number: int) -> None:
        batches.append(sorted(map(tuple, rows.collect())))
        if len(batches) == 1:
            raise RuntimeError("the sink is away")

    def run() -> None:
        stream = spark.readStream.format("vdk").options(**options).load()
        writer = stream.writeStream.foreachBatch(take).option("checkpointLocation", str(tmp_path / "checkpoint"))
        query = writer.trigger(processingTime="100 milliseconds").start()
        try:
            query.processAllAvailable()
        finally:
            query.stop()

    (tmp_path / "upto").write_text("3")
    with pytest.raises(StreamingQueryException, match="the sink is away"):
        started(run)
    (tmp_path / "upto").write_text("5")
    started(run)
    first, again, later = batches
    assert first == again == numbers(2, 3)
    assert later == [(part, number) for part in range(2) for number in (3, 4)]


def test_spark_keeps_no_secret(spark: SparkSession, cluster_folder: Path, tmp_path: Path) -> None:
    """Nor does an error, of the driver or of an executor, show one."""
    assert os.environ["MADE_TOKEN"] == PLANTED
    options = made(tmp_path, partitions=2)
    run_stream(spark, options, tmp_path)
    rows = load(spark, options)
    rows.collect()
    plan = rows._jdf.queryExecution().toString()
    with pytest.raises(Exception, match="401 for token") as caught:
        load(spark, {**options, "stream": "leaky", "retry_for": "0s"}).collect()
    api = f"{spark.sparkContext.uiWebUrl}/api/v1/applications/{spark.sparkContext.applicationId}"
    pages = [f"{api}/{page}" for page in ("sql?details=true", "jobs", "stages", "environment")]
    texts = [plan, str(caught.value), *(urllib.request.urlopen(page).read().decode() for page in pages)]
    files = [path for folder in (cluster_folder, tmp_path) for path in folder.rglob("*") if path.is_file()]
    assert any("offsets" in str(path) for path in files)
    assert any("events" in str(path) for path in files)
    for text in [*texts, *(path.read_text("utf-8", "replace") for path in files)]:
        assert PLANTED not in text


def test_the_example(spark: SparkSession, tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[3] / "examples" / "spark" / "spark_demo.py"
    module = runpy.run_path(str(example))
    landed_rows = module["run"](spark, tmp_path).collect()
    assert [tuple(row) for row in landed_rows] == [(0, 366), (1, 367), (2, 367)]
