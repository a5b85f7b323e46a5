"""A large document of states: what a change costs, and what a kill, a full disk and another process leave of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vdk.plugin.datasource_base import StateError
from vdk.plugin.datasource_base.contract import ConcurrentRunError
from vdk.plugin.datasource_base.parts import StateKey
from vdk.plugin.datasource_base.parts.states.local_store import LocalFileStore
from vdk.plugin.datasource_base.parts.states.logged_document import SMALL
from vdk.plugin.datasource_base.testing.faults import file_size_limit, run_child

FILLER = "x" * 200
MANY = 500


def key(number: int) -> StateKey:
    return StateKey("shop", "the data", "orders", f"p{number}", "orders")


def states(store: LocalFileStore) -> dict[str, Any]:
    return {stored.key.partition: stored.state["n"] for stored in store.load("shop")}


def fill(path: Path, count: int = MANY) -> LocalFileStore:
    """A store of so many states; where they are many, with a log that has a line."""
    store = LocalFileStore(path, "lake")
    store.save(key(0), {"n": 0, "filler": FILLER}, version=0, run_id="r")
    document = json.loads(path.read_text("utf-8"))
    (record,) = document["states"]
    for number in range(1, count - 1):
        state = {"n": number, "filler": FILLER}
        document["states"].append({**record, "partition": f"p{number}", "state": state})
    path.write_text(json.dumps(document), "utf-8")
    store.save(key(count - 1), {"n": count - 1, "filler": FILLER}, version=0, run_id="r")
    return store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def logs(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.log"))


def written(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> int:
    """Bytes that reached the disk: each file's growth where it is synced, or all of a new one."""
    total, sizes = [0], dict[int, int]()
    fsync = os.fsync

    def counted(handle: int) -> None:
        status = os.fstat(handle)
        total[0] += abs(status.st_size - sizes.get(status.st_ino, 0))
        sizes[status.st_ino] = status.st_size
        fsync(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", counted)
        work()
    return total[0]


def test_a_state_costs_the_same_among_ten_thousand_as_among_a_few(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes written for each, on average."""

    def moved(store: LocalFileStore, count: int) -> int:
        def work() -> None:
            for turn in range(count):
                number = turn % 10
                store.save(key(number), {"n": turn, "filler": FILLER}, version=1 + turn // 10, run_id="r")

        return written(monkeypatch, work) // count

    assert moved(fill(path.with_name("few.json"), 200), 30) * 2 >= moved(fill(path, 10_000), 30)
    assert len(states(LocalFileStore(path, "lake"))) == 10_000


def test_a_small_document_is_one_file(path: Path) -> None:
    """Which a person can read."""
    fill(path, 10)
    assert not logs(path)
    assert len(json.loads(path.read_text("utf-8"))["states"]) == 10


def test_a_large_one_has_one_log_and_both_together_are_the_states(path: Path) -> None:
    """Whoever reads it, from the beginning or going on."""
    reader = LocalFileStore(path, "lake")
    store = LocalFileStore(path, "lake")
    for number in range(120):
        store.save(key(number), {"n": number, "filler": FILLER}, version=0, run_id="r")
        if number % 10 == 0:
            assert states(reader) == states(store) == {f"p{index}": index for index in range(number + 1)}
    assert path.stat().st_size > SMALL
    assert len(logs(path)) == 1
    assert states(LocalFileStore(path, "lake")) == {f"p{index}": index for index in range(120)}


def test_forgotten_states_stay_forgotten_and_the_files_become_small_again(path: Path) -> None:
    """A version does not come again either."""
    count = 100
    store = fill(path, count)
    for number in range(count - 1):
        store.save(key(number), {}, version=1, run_id="r")
    fresh = LocalFileStore(path, "lake")
    assert states(fresh) == {f"p{count - 1}": count - 1}
    assert fresh.save(key(0), {"n": 7}, version=0, run_id="r") == 2
    for turn in range(100):
        fresh.save(key(0), {"n": turn, "filler": FILLER}, version=2 + turn, run_id="r")
    assert path.stat().st_size < SMALL
    assert sum(log.stat().st_size for log in logs(path)) < 2 * SMALL


def test_two_that_write_by_turns_see_each_other(path: Path) -> None:
    """Also where one of them puts document and log together."""
    fill(path)
    stores = [LocalFileStore(path, "lake") for _ in range(2)]
    versions = dict.fromkeys(range(MANY), 1)
    for turn in range(300):
        number = turn * 7 % MANY
        versions[number] = stores[turn % 2].save(
            key(number), {"n": turn, "filler": FILLER}, version=versions[number], run_id=f"r{turn % 2}"
        )
    with pytest.raises(ConcurrentRunError, match="run r1 stored version"):
        stores[0].save(key(number), {"n": -1}, version=1, run_id="r0")
    assert states(stores[0]) == states(stores[1]) == states(LocalFileStore(path, "lake"))


def test_a_line_that_was_cut_short_never_was_and_the_next_one_takes_its_place(path: Path) -> None:
    """At whatever byte."""
    store = fill(path)
    (log,) = logs(path)
    before = log.read_bytes()
    store.save(key(3), {"n": "three"}, version=1, run_id="r")
    after = log.read_bytes()
    line = after[len(before) :]
    for cut in (1, len(line) // 2, len(line) - 1):
        log.write_bytes(before + line[:cut])
        fresh = LocalFileStore(path, "lake")
        assert states(fresh)["p3"] == 3
        fresh.save(key(4), {"n": "four"}, version=1, run_id="r")
        assert states(LocalFileStore(path, "lake"))["p4"] == "four"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda log: log.unlink(), "its log .* is missing"),
        (lambda log: log.write_bytes(b"{}\n" + log.read_bytes()), "damaged"),
        (lambda log: log.write_bytes(b"[]\n" + log.read_bytes()), "damaged"),
        (lambda log: log.write_bytes(b"\0\0\0\n" + log.read_bytes()), "damaged"),
        (lambda log: log.write_bytes(b'{"gone": [], "states": [5]}\n'), "damaged"),
    ],
)
def test_a_log_that_is_damaged_or_missing_is_refused_and_kept(
    path: Path, damage: Callable[[Path], object], message: str
) -> None:
    """It holds states; without them rows would come again."""
    fill(path)
    (log,) = logs(path)
    damage(log)
    content = log.read_bytes() if log.exists() else None
    for store in (LocalFileStore(path, "lake"), LocalFileStore(path, "lake")):
        for _ in range(2):
            with pytest.raises(StateError, match=message):
                store.load("shop")
        with pytest.raises(StateError, match=message):
            store.save(key(1), {"n": 1}, version=1, run_id="r")
    assert (log.read_bytes() if log.exists() else None) == content


def fill_on_a_full_disk(path: Path, limit: int) -> None:
    store = LocalFileStore(path, "lake")
    with file_size_limit(limit):
        for turn in range(10_000):
            store.save(key(0), {"n": turn, "filler": FILLER}, version=1 + turn, run_id="r")


def test_a_disk_that_gets_full_within_a_line_leaves_what_was_stored(path: Path) -> None:
    """With room again, it goes on."""
    fill(path)
    (log,) = logs(path)
    ended = run_child(fill_on_a_full_disk, path, log.stat().st_size + 1000)
    assert "StateError: state file" in ended.output
    assert "cannot be written" in ended.output
    fresh = LocalFileStore(path, "lake")
    (stored,) = [stored for stored in fresh.load("shop") if stored.key == key(0)]
    assert stored.version > 1
    assert fresh.save(key(0), {"n": "on"}, version=stored.version, run_id="r") == stored.version + 1


KILLED = """
import sys
from pathlib import Path
from test_logged_document import FILLER, key
from vdk.plugin.datasource_base.parts.states.local_store import LocalFileStore
store = LocalFileStore(Path(sys.argv[1]), "lake")
version = next((stored.version for stored in store.load("shop") if stored.key == key(0)))
while True:
    version = store.save(key(0), {"n": version + 1, "filler": FILLER}, version=version, run_id="r")
    print(version, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_process_killed_while_it_writes_loses_no_state(path: Path) -> None:
    """Killed in the midst of some hundred lines, among which document and log are put together."""
    fill(path)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    for lines in (1, 90):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        printed = [int(process.stdout.readline()) for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        printed += map(int, process.stdout.read().split())
        process.stdout.close()
        process.wait()
        store = LocalFileStore(path, "lake")
        (stored,) = [stored for stored in store.load("shop") if stored.key == key(0)]
        assert stored.state["n"] == stored.version
        assert stored.version in (printed[-1], printed[-1] + 1)
        assert len(states(store)) == MANY
