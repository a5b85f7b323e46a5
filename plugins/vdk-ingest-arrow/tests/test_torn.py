"""Processes killed in the middle, and disks that are full: what is there is what was committed, in every database."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from lakes import DuckDBLake, Lake, SqliteLake
from landing import APPEND, land, opened, partition, query, rows, states, tables, unit
from processes import ENVIRONMENT, FILL, consistent, run

pytestmark = pytest.mark.heavy


def test_killed_at_any_instant_rows_and_state_agree(lake: Lake) -> None:
    """Three kills in a row, each run going on from what the one before it left."""
    chance = random.Random(7)
    seen = 0
    for _ in range(3):
        script = FILL.replace(
            "version = 0\n", "version = next((s.version for s in destination.load_states('shop')), 0)\n"
        )
        script = script.replace("range(1000)", "range(version, 1000)")
        with subprocess.Popen(
            [sys.executable, "-c", script, lake.target(), "0"], env=ENVIRONMENT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
            told = [seen, *map(int, process.stdout.read().split())]
        assert process.returncode == -signal.SIGKILL
        lake.settle()
        there = consistent(lake)
        assert there >= max(told)
        assert there > seen
        seen = there


REPLACING = """
import sys
from landing import REPLACE, connected, partition, rows, unit
from vdk.plugin.datasource_base.parts import TableSnapshot

destination = connected(sys.argv[1])
versions = {s.key.partition: s.version for s in destination.load_states("shop")}
for number in range(max(versions.values(), default=0) + 1, 10_000):
    destination.discard(partition("*"))
    for name in "aab":
        data = {"id": list(range(2000)), "snapshot": [number] * 2000, f"c{number % 3}": [name] * 2000}
        destination.stage(partition(name), [rows(REPLACE, data)], f"run-{number}")
    units = [
        unit(state={"n": number}, version=number - 1, key=partition(name), run_id=f"run-{number}") for name in "ab"
    ]
    destination.publish(TableSnapshot([REPLACE], units))
    print(number, flush=True)
"""


def test_killed_at_any_instant_one_whole_generation_is_there(lake: Lake) -> None:
    chance = random.Random(11)
    land(lake, rows(APPEND, {"id": [1], "snapshot": [0]}))
    query(lake, "CREATE INDEX by_id ON orders (id)")
    query(lake, "CREATE VIEW seen AS SELECT snapshot FROM orders")
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", REPLACING, lake.target()], env=ENVIRONMENT, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            told = int(process.stdout.readline())
            time.sleep(chance.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            told = max([told, *map(int, process.stdout.read().split())])
        lake.settle()
        ((count, first, last),) = query(lake, "SELECT count(*), min(snapshot), max(snapshot) FROM seen")
        assert (count, first) == (6000, last)
        assert last >= told
        assert states(lake) == [(name, last, f'{{"n": {last}}}') for name in "ab"]
        assert lake.indexes() == ["by_id"]
    destination = opened(lake)
    destination.discard(partition("*"))
    destination.close()
    assert tables(lake) == ["orders"]


def test_a_full_disk_is_told_and_what_was_committed_stays(lake: Lake) -> None:
    """The file may not grow over 8 MB, as on a disk that is full; afterwards there is room again."""
    if not isinstance(lake, (DuckDBLake, SqliteLake)):
        pytest.skip("the disk is the server's")
    ended = run(FILL, lake.target(), 8 * 2**20)
    *done, refused = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert refused.startswith(f"refused: {lake.path}: the disk is full")
    # The last commit may have been written whole before the error: then its rows and its state are both there.
    assert 0 < int(done[-1]) <= consistent(lake) <= int(done[-1]) + 1
    version = consistent(lake)
    destination = opened(lake)
    destination.commit(unit(rows(APPEND, {"id": [-1]}), state={"n": -1}, version=version))
    destination.close()
    assert query(lake, "SELECT count(*) FROM orders") == [(version * 10_000 + 1,)]
