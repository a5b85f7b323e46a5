"""Locked files, full disks, memory limits, and processes killed in the middle."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from landing import APPEND, land, opened, partition, query, rows, states, tables, unit
from vdk.plugin.datasource_base.contract import ConnectionFailedError, DestinationError


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
    with duckdb.connect(str(lake), read_only=True), pytest.raises(ConnectionFailedError, match="this process has"):
        opened(lake, "?lock_timeout=10ms")


def test_the_lock_is_let_go_on_closing(lake: Path) -> None:
    land(lake, rows(APPEND, {"id": [1]}))
    with held(lake, 60):
        pass


FILL = """
import resource, sys
from pathlib import Path
from landing import APPEND, KEY, opened, rows, unit
from vdk.plugin.datasource_base.contract import DestinationError

if sys.argv[2] != "0":
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
destination = opened(Path(sys.argv[1]))
version = 0
try:
    for number in range(1000):
        ids = range(number * 10_000, number * 10_000 + 10_000)
        data = {"id": list(ids), "text": [f"{one * 2654435761 % 2**64:020d}" * 3 for one in ids]}
        version = destination.commit(unit(rows(APPEND, data), state={"n": number + 1}, version=version))
        print(number + 1, flush=True)
except DestinationError as error:
    print("refused:", error)
    destination.close()
"""


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}  # PYTHONSAFEPATH keeps the folder off the path


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script that imports these tests' helpers."""
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def consistent(lake: Path) -> int:
    """The state's number, after a look that exactly its rows are there."""
    if "orders" not in tables(lake):
        return 0
    ((_, version, state),) = states(lake)
    assert state == f'{{"n": {version}}}'
    assert query(lake, "SELECT count(*), count(DISTINCT id), max(id) + 1 FROM orders") == [(version * 10_000,) * 3]
    return version


def test_a_full_disk_is_told_and_what_was_committed_stays(lake: Path) -> None:
    """The file may not grow over 8 MB, as on a disk that is full; afterwards there is room again."""
    ended = run(FILL, lake, 8 * 2**20)
    *done, refused = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert refused.startswith(f"refused: {lake}: the disk is full")
    # The last commit may have been written whole before the error: then its rows and its state are both there.
    assert 0 < int(done[-1]) <= consistent(lake) <= int(done[-1]) + 1
    version = consistent(lake)
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [-1]}), state={"n": -1}, version=version))
    destination.close()
    assert query(lake, "SELECT count(*) FROM orders") == [(version * 10_000 + 1,)]


def test_killed_at_any_instant_rows_and_state_agree(lake: Path) -> None:
    """Five kills in a row, each run going on from what the one before it left."""
    chance = random.Random(7)
    seen = 0
    for _ in range(5):
        script = FILL.replace(
            "version = 0\n", "version = next((s.version for s in destination.load_states('shop')), 0)\n"
        )
        script = script.replace("range(1000)", "range(version, 1000)")
        with subprocess.Popen(
            [sys.executable, "-c", script, str(lake), "0"], env=ENVIRONMENT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
            told = [seen, *map(int, process.stdout.read().split())]
        assert process.returncode == -signal.SIGKILL
        there = consistent(lake)
        assert there >= max(told)
        assert there > seen
        seen = there


REPLACING = """
import sys
from pathlib import Path
from landing import REPLACE, opened, partition, rows, unit
from vdk.plugin.datasource_base.parts import Generation

destination = opened(Path(sys.argv[1]))
versions = {s.key.partition: s.version for s in destination.load_states("shop")}
for number in range(max(versions.values(), default=0) + 1, 10_000):
    destination.discard(partition("*"))
    for name in "aab":
        data = {"id": list(range(2000)), "generation": [number] * 2000, f"c{number % 3}": [name] * 2000}
        destination.stage(partition(name), [rows(REPLACE, data)], f"run-{number}")
    units = [
        unit(state={"n": number}, version=number - 1, key=partition(name), run_id=f"run-{number}") for name in "ab"
    ]
    destination.publish(Generation([REPLACE], units))
    print(number, flush=True)
"""


def test_killed_at_any_instant_one_whole_generation_is_there(lake: Path) -> None:
    chance = random.Random(11)
    land(lake, rows(APPEND, {"id": [1], "generation": [0]}))
    query(lake, "CREATE INDEX by_id ON orders (id)")
    query(lake, "CREATE VIEW seen AS SELECT generation FROM orders")
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", REPLACING, str(lake)], env=ENVIRONMENT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            told = int(process.stdout.readline())
            time.sleep(chance.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            told = max([told, *map(int, process.stdout.read().split())])
        ((count, first, last),) = query(lake, "SELECT count(*), min(generation), max(generation) FROM seen")
        assert (count, first) == (6000, last)
        assert last >= told
        assert states(lake) == [(name, last, f'{{"n": {last}}}') for name in "ab"]
        assert query(lake, "SELECT index_name FROM duckdb_indexes() WHERE table_name = 'orders'") == [("by_id",)]
    destination = opened(lake)
    destination.discard(partition("*"))
    destination.close()
    assert tables(lake) == ["orders"]


def test_an_interrupt_rolls_back_and_the_destination_can_go_on(lake: Path) -> None:
    destination = opened(lake)
    connection = destination._target._database.connection  # type: ignore[attr-defined]

    def interrupted() -> None:
        connection.rows("CREATE TABLE half (id INTEGER)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connection.transaction(interrupted)
    destination.commit(unit(rows(APPEND, {"id": [1]})))
    destination.close()
    assert tables(lake) == ["orders"]


WIDE = {
    f"c{number}": [f"{number * 7919 + one * 104729 % 1000003:09d}" for one in range(30_000)] for number in range(120)
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
    monkeypatch.setattr("vdk.plugin.ingest_arrow._duckdb._connection.FIRST_LIMIT", 16)
    destination = opened(lake)
    for _ in range(5):
        destination.commit(unit(rows(APPEND, WIDE)))
    destination.close()
    assert query(lake, "SELECT count(*) FROM orders") == [(150_000,)]


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
