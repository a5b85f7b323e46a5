"""Locked files, full disks, memory limits, and processes killed in the middle."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from landing import APPEND, land, opened, query, rows, tables, unit
from processes import run
from vdk.plugin.datasource_base.contract import ConnectionFailedError, DestinationError

pytestmark = pytest.mark.heavy


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """A DuckDB file; what other databases do is in their own tests."""
    return tmp_path / "lake.duckdb"


HOLD = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def held(lake: Path, seconds: float) -> Iterator[int]:
    """Another process that has the file open; its id."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lake), str(seconds)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.kill()


def test_a_file_that_another_process_has_is_waited_for(lake: Path) -> None:
    with held(lake, 1.0):
        started = time.monotonic()
        destination = opened(lake)
        assert time.monotonic() - started > 0.5
        destination.commit(unit(rows(APPEND, {"id": [1]})))
        destination.close()
    assert query(lake, "SELECT * FROM orders") == [(1,)]


def test_a_file_that_stays_locked_is_an_error_with_the_process(lake: Path) -> None:
    with held(lake, 60) as process:
        started = time.monotonic()
        with pytest.raises(ConnectionFailedError) as caught:
            opened(lake, "?lock_timeout=400ms")
        assert 0.3 < time.monotonic() - started < 5
    for part in (f"the process {process} ", str(lake), "0.4 s", "lock_timeout"):
        assert part in str(caught.value)


def test_a_file_this_process_has_open_read_only_is_an_error(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    with duckdb.connect(str(lake), read_only=True), pytest.raises(ConnectionFailedError, match="already has"):
        opened(lake, "?lock_timeout=10ms")


def test_the_lock_is_let_go_on_closing(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    with held(lake, 60):
        pass


def test_an_interrupt_rolls_back_and_the_destination_can_go_on(lake: Path) -> None:
    destination = opened(lake)
    database = destination._database  # type: ignore[attr-defined]  # of destinations in databases

    def interrupted() -> None:
        database.execute("CREATE TABLE half (id INTEGER)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.transaction(interrupted)
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    destination.close()
    assert tables(lake) == ["orders"]


WIDE = {
    f"c{number}": [f"{number * 7919 + index * 104729 % 1000003:09d}" for index in range(30_000)]
    for number in range(120)
}


def test_a_memory_limit_that_a_person_set_is_kept(lake: Path) -> None:
    destination = opened(lake, "?memory_limit=16MiB")

    def fill() -> None:
        for _ in range(5):
            destination.commit(unit(rows(APPEND, WIDE)))

    with pytest.raises(DestinationError, match="memory_limit"):
        fill()
    destination.close()


def test_a_wide_table_gets_the_memory_it_needs(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vdk.plugin.ingest_arrow.duckdb.memory.FIRST_LIMIT", 16)
    destination = opened(lake)
    for _ in range(2):
        destination.commit(unit(rows(APPEND, WIDE)))
    destination.close()
    assert query(lake, "SELECT count(*) FROM orders") == [(60_000,)]


MEMORY = """
import sys
from pathlib import Path
import pyarrow as pa, pyarrow.compute as pc
from landing import APPEND, UPSERT, opened, rows, unit

destination = opened(Path(sys.argv[1]))
version = 0
for number in range(20):
    ids = pa.array(range(number * 50_000, number * 50_000 + 50_000))
    text = pc.cast(ids, pa.string())
    name = pc.binary_join_element_wise(text, text, "-customer-")
    real = pc.multiply(pc.cast(ids, pa.float64()), 0.37)
    time = pc.cast(pc.multiply(ids, 1_000_003), pa.timestamp("us", "UTC"))
    arrays = [ids, ids, real, real, text, name, name, time, time, pc.equal(pc.bit_wise_and(ids, 3), 0)]
    table = pa.table(arrays, names=["id", *(f"c{i}" for i in range(9))])
    spec = UPSERT if sys.argv[2] == "upsert" else APPEND
    version = destination.commit(unit(rows(spec, table), state={"n": number}, version=version))
destination.close()
# Not ru_maxrss, which begins with the size of the process that started this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_million_rows_land_in_less_than_300_megabytes(lake: Path, mode: str) -> None:
    ended = run(MEMORY, lake, mode)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 300
    assert query(lake, "SELECT count(*), count(DISTINCT id) FROM orders") == [(1_000_000, 1_000_000)]


def test_a_file_is_never_seen_half_made(tmp_path: Path) -> None:
    """Many who begin at once find no file or a whole one, and nothing is left beside it."""
    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            lake = tmp_path / f"lake{number}.duckdb"
            for destination in pool.map(lambda _, lake=lake: opened(lake), range(8)):
                destination.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"lake{number}.duckdb" for number in range(10)]
