"""The ingestion method ``arrow`` in ordinary VDK jobs, by a real ``vdk run``."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from click.testing import Result
from vdk.plugin.test_utils.util_funcs import CliEntryBasedTestRunner, cli_assert_equal

from lakes import Lake
from landing import columns, query, tables
from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.ingest_arrow import plugin_entry
from vdk.plugin.ingest_arrow.ingester import ArrowIngester


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A DuckDB file; what other databases do is in their own tests."""
    return tmp_path / "lake.duckdb"


# vdk-core adds its options to one command object again with every invocation in a process.
pytestmark = pytest.mark.filterwarnings("ignore:The parameter .* is used more than once")

STEP = """
import datetime

def run(job_input):
    for number in range(500):
        row = {"id": number, "price": number / 4, "tags": ["a", {"b": number}], "on": number % 2 == 0}
        if number >= 400:
            row["late"] = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc).isoformat()
        job_input.send_object_for_ingestion(payload=row, destination_table="orders", method="arrow"TARGET)
"""


@pytest.fixture
def ingester() -> Iterator[ArrowIngester]:
    made = ArrowIngester()
    yield made
    made.close()


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job whose one step sends 500 rows to ``lake.duckdb`` in the working directory."""
    monkeypatch.setenv("VDK_VERSION_CHECK_DISABLED", "true")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "send-orders"
    folder.mkdir()
    (folder / "10_send.py").write_text(STEP.replace("TARGET", ', target="duckdb:///lake.duckdb"'))
    return folder


def vdk(*arguments: str) -> Result:
    return CliEntryBasedTestRunner(plugin_entry).invoke(list(arguments))


def check_orders(lake: Path) -> None:
    assert columns(lake) == {"id": "BIGINT", "price": "DOUBLE", "tags": "JSON", "on": "BOOLEAN", "late": "VARCHAR"}
    assert query(lake, "SELECT count(*), count(DISTINCT id), count(late) FROM orders") == [(500, 500, 100)]
    assert query(lake, "SELECT price, tags->>'$[1].b' FROM orders WHERE id = 7") == [(1.75, "7")]


def test_a_job_sends_rows_and_they_are_there_when_it_ends(job: Path, lake: Path) -> None:
    cli_assert_equal(0, vdk("run", str(job)))
    check_orders(lake)
    assert not lake.with_name("lake.duckdb.wal").exists()


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_job_sends_rows_to_the_other_databases(job: Path, request: pytest.FixtureRequest, kind: str) -> None:
    lake: Lake = request.getfixturevalue(kind)
    (job / "10_send.py").write_text(STEP.replace("TARGET", f", target={lake.target()!r}"))
    cli_assert_equal(0, vdk("run", str(job)))
    documented = {"id": "BIGINT", "price": "DOUBLE", "tags": "JSON", "on": "BOOLEAN", "late": "VARCHAR"}
    assert columns(lake) == lake.spelled(documented)
    assert query(lake, "SELECT count(*), count(DISTINCT id), count(late) FROM orders") == [(500, 500, 100)]
    assert query(lake, 'SELECT price, "on" FROM orders WHERE id = 7') == [(1.75, False)]
    assert [name for name in tables(lake) if name != "orders"] == []


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_threads_may_send_to_the_other_databases(
    ingester: ArrowIngester, request: pytest.FixtureRequest, kind: str
) -> None:
    lake: Lake = request.getfixturevalue(kind)

    def send(number: int) -> None:
        for turn in range(10):
            payload = [{"id": number * 10 + turn, f"from_{number}": turn}]
            ingester.ingest_payload(payload=payload, destination_table="orders", target=lake.target())

    threads = [threading.Thread(target=send, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ingester.close()
    assert query(lake, "SELECT count(*), count(DISTINCT id) FROM orders") == [(50, 50)]


def test_the_target_may_come_from_the_configuration(job: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDK_INGEST_TARGET_DEFAULT", "duckdb:///lake.duckdb")
    (job / "10_send.py").write_text(STEP.replace("TARGET", ""))
    cli_assert_equal(0, vdk("run", str(job)))
    check_orders(lake)


def test_a_job_without_a_target_fails_and_says_what_to_set(job: Path) -> None:
    (job / "10_send.py").write_text(STEP.replace("TARGET", ""))
    result = vdk("run", str(job))
    cli_assert_equal(1, result)


@pytest.mark.skipif(
    "vdk-ingest-arrow" not in {point.name for point in importlib.metadata.entry_points(group="vdk.plugin.run")},
    reason="the distribution is not installed",
)
def test_the_installed_plugin_is_found_by_vdk(job: Path, lake: Path) -> None:
    vdk_command = Path(sys.executable).with_name("vdk")
    ended = subprocess.run(
        [vdk_command, "run", job], capture_output=True, text=True, env=dict(os.environ), timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    check_orders(lake)


def test_vdk_starts_without_loading_duckdb_or_pyarrow() -> None:
    script = "import sys, vdk.plugin.ingest_arrow.plugin_entry; print(sorted({'duckdb', 'pyarrow'} & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "[]"


def test_the_columns_are_those_of_all_rows(ingester: ArrowIngester, lake: Path) -> None:
    payload = [
        {"id": 1, "amount": Decimal("1.50"), "at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC)},
        {"id": 2, "note": "x", "raw": b"\0", "day": dt.date(2026, 1, 2), "nothing": None},
    ]
    before = [dict(row) for row in payload]
    ingester.ingest_payload(payload=payload, destination_table="orders", target=f"duckdb:///{lake}")
    ingester.close()
    assert payload == before
    assert columns(lake) == {
        "id": "BIGINT",
        "amount": "DECIMAL(38,2)",
        "at": "TIMESTAMP WITH TIME ZONE",
        "note": "VARCHAR",
        "raw": "BLOB",
        "day": "DATE",
    }
    assert query(lake, "SELECT id, amount, note, raw FROM orders ORDER BY id") == [
        (1, Decimal("1.50"), None, None),
        (2, None, "x", b"\0"),
    ]


def test_threads_may_send_at_once(ingester: ArrowIngester, lake: Path) -> None:
    def send(number: int) -> None:
        for turn in range(20):
            payload = [{"id": number * 20 + turn, f"from_{number}": turn}]
            ingester.ingest_payload(payload=payload, destination_table="orders", target=f"duckdb:///{lake}")

    threads = [threading.Thread(target=send, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ingester.close()
    assert query(lake, "SELECT count(*), count(DISTINCT id) FROM orders") == [(200, 200)]
    assert tables(lake) == ["orders"]


@pytest.mark.parametrize("target", [None, ""])
def test_a_missing_target_is_the_configurations_fault(ingester: ArrowIngester, target: str | None) -> None:
    with pytest.raises(ConfigurationError, match="VDK_INGEST_TARGET_DEFAULT"):
        ingester.ingest_payload(payload=[{"id": 1}], destination_table="orders", target=target)


def test_a_missing_table_is_an_error(ingester: ArrowIngester, lake: Path) -> None:
    with pytest.raises(ConfigurationError, match="need a table: pass destination_table="):
        ingester.ingest_payload(payload=[{"id": 1}], destination_table=None, target=f"duckdb:///{lake}")


def test_no_rows_are_no_table(ingester: ArrowIngester, lake: Path) -> None:
    ingester.ingest_payload(payload=[], destination_table="orders", target=f"duckdb:///{lake}")
    ingester.close()
    assert tables(lake) == []


def test_a_closed_ingester_opens_again(ingester: ArrowIngester, lake: Path) -> None:
    for number in (1, 2):
        ingester.ingest_payload(payload=[{"id": number}], destination_table="orders", target=f"duckdb:///{lake}")
        ingester.close()
    assert query(lake, "SELECT id FROM orders") == [(1,), (2,)]


def test_rows_may_be_sent_to_a_folder_of_files(ingester: ArrowIngester, tmp_path: Path) -> None:
    """Each payload is a commit; columns come as they come."""
    target = f"parquet:///{tmp_path}/lake"
    for number in range(3):
        payload = [{"id": number, "tags": ["a", {"b": number}]}, {"id": number + 10, "price": Decimal("1.50")}]
        ingester.ingest_payload(payload=payload, destination_table="orders", target=target)
    ingester.close()
    sql = f"SELECT id, tags->>'$[1].b', price FROM read_parquet('{tmp_path}/lake/orders/*.parquet') ORDER BY id"
    with duckdb.connect() as connection:
        found = connection.execute(sql).fetchall()
    assert found == [
        *((number, str(number), None) for number in range(3)),
        *((number + 10, None, Decimal("1.50")) for number in range(3)),
    ]
