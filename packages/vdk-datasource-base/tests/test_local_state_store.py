"""States in a local file: durable, compared and swapped, never overwritten when they are not ours."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from vdk.plugin.datasource_base import ConnectionFailedError, StateError
from vdk.plugin.datasource_base.contract import ConcurrentRunError
from vdk.plugin.datasource_base.parts import StateKey
from vdk.plugin.datasource_base.parts.states import local_store as local_state_store
from vdk.plugin.datasource_base.parts.states.local_store import LocalFileStore
from vdk.plugin.datasource_base.testing.faults import file_size_limit, run_child

NOBODY = 65534


def key(stream: str = "orders", partition: str = "", source: str = "shop") -> StateKey:
    return StateKey(source, "the data", stream, partition, stream)


@pytest.fixture
def store(tmp_path: Path) -> LocalFileStore:
    return LocalFileStore(tmp_path / "deep" / "state.json", "lake")


def test_a_state_comes_back_as_it_was_with_its_version(store: LocalFileStore) -> None:
    """Any JSON; the version grows by one with each."""
    assert store.load("shop") == []
    state: dict[str, Any] = {"at": "ü\n", "deep": [1, {"x": None}], "big": 2**60}
    assert store.save(key(), state, version=0, run_id="r1") == 1
    assert store.save(key(), {"next": 2}, version=1, run_id="r2") == 2
    (stored,) = store.load("shop")
    assert (stored.key, stored.version, stored.state, stored.run_id) == (key(), 2, {"next": 2}, "r2")


def test_keys_do_not_touch_each_other(store: LocalFileStore, tmp_path: Path) -> None:
    """Nor do sources, or destinations that share the file."""
    store.save(key("a"), {"n": 1}, version=0, run_id="r")
    store.save(key("a", "p"), {"n": 2}, version=0, run_id="r")
    store.save(key("a", source="other"), {"n": 3}, version=0, run_id="r")
    second = LocalFileStore(store.path, "another lake")
    second.save(key("a"), {"n": 4}, version=0, run_id="r")
    assert [stored.state for stored in store.load("shop")] == [{"n": 1}, {"n": 2}]
    assert [stored.state for stored in second.load("shop")] == [{"n": 4}]
    assert store.save(key("a"), {}, version=1, run_id="r") == 0
    assert [stored.state for stored in store.load("shop")] == [{"n": 2}]


@pytest.mark.parametrize("version", [0, 2])
def test_a_state_that_moved_meanwhile_is_refused(store: LocalFileStore, version: int) -> None:
    """The message names the run that moved it."""
    store.save(key(), {"n": 1}, version=0, run_id="the-other-run")
    with pytest.raises(ConcurrentRunError, match="run the-other-run stored version 1"):
        store.save(key(), {"n": 2}, version=version, run_id="r")


def test_no_version_comes_again(store: LocalFileStore) -> None:
    """A run that knows a state from before it was forgotten and made anew is refused; other destinations are apart."""
    version = store.save(key(), {"n": 1}, version=0, run_id="r")
    version = store.save(key(), {"n": 2}, version=version, run_id="r")
    store.save(key(), {}, version=version, run_id="r")
    assert store.load("shop") == []
    new = store.save(key(), {"n": 1}, version=0, run_id="r")
    assert new > version
    for stale in (1, version):
        with pytest.raises(ConcurrentRunError):
            store.save(key(), {"n": 3}, version=stale, run_id="stale")
    store.save(key(), {}, version=new, run_id="r")
    store.save(key("older"), {"n": 1}, version=0, run_id="r")
    store.save(key("older"), {}, version=new + 1, run_id="r")
    assert store.save(key(), {"n": 1}, version=0, run_id="r") == new + 2
    assert LocalFileStore(store.path, "another lake").save(key(), {"n": 1}, version=0, run_id="r") == 1


GOOD: dict[str, Any] = {
    "source_id": "s", "source_identity": "i", "stream": "t", "partition": "", "destination_table": "t",
    "destination": "lake", "version": 1, "state": {}, "run_id": "r",
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is damaged"),
        ('{"format": "vdk-data', "is damaged"),
        ("[]", "is not a vdk-datasource-state"),
        ('{"format": "other", "v": 1}', "is not a vdk-datasource-state"),
        ('{"format": "vdk-datasource-state", "v": 2, "states": []}', "has version 2, this program reads version 1"),
        ('{"format": "vdk-datasource-state", "v": 0, "states": []}', "has version 0, this program reads version 1"),
        ('{"format": "vdk-datasource-state", "v": 1}', "is damaged"),
        ('{"format": "vdk-datasource-state", "v": 1, "states": [5]}', "is damaged"),
        *[
            (json.dumps({"format": "vdk-datasource-state", "v": 1, "states": [{**GOOD, name: None}]}), "is damaged")
            for name in GOOD
        ],
    ],
)
def test_a_file_that_is_damaged_foreign_or_newer_is_refused_and_kept(
    store: LocalFileStore, content: str, message: str
) -> None:
    """It is neither read as empty nor overwritten; the message says what to do."""
    store.path.parent.mkdir()
    store.path.write_text(content, "utf-8")
    with pytest.raises(StateError, match=message):
        store.load("s")
    with pytest.raises(StateError, match=message) as caught:
        store.save(key(), {"n": 1}, version=0, run_id="r")
    assert "move" in str(caught.value)
    assert store.path.read_text("utf-8") == content


def test_a_file_that_is_no_text_is_refused(store: LocalFileStore) -> None:
    """With its path."""
    store.path.parent.mkdir()
    store.path.write_bytes(b"\xff\xfe")
    with pytest.raises(StateError, match=r"state\.json cannot be read"):
        store.load("s")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Here because a file is in its place; a read-only one is printed likewise."""
    (tmp_path / "file").write_text("", "utf-8")
    store = LocalFileStore(tmp_path / "file" / "state.json", "lake")
    with pytest.raises(StateError, match="cannot be written"):
        store.save(key(), {"n": 1}, version=0, run_id="r")


@pytest.mark.skipif(sys.platform == "win32", reason="folders are not read-only there")
def test_a_read_only_folder_is_told() -> None:
    """What is there stays, and can be read."""
    # not pytest's folder: nobody but its owner may enter that
    with tempfile.TemporaryDirectory() as home, without_rights(Path(home)):
        store = LocalFileStore(Path(home) / "states" / "state.json", "lake")
        store.save(key(), {"n": 1}, version=0, run_id="r")
        store.path.parent.chmod(0o500)
        try:
            with pytest.raises(StateError, match="cannot be written"):
                store.save(key(), {"n": 2}, version=1, run_id="r")
            assert store.load("shop")[0].state == {"n": 1}
        finally:
            store.path.parent.chmod(0o700)


@contextmanager
def without_rights(home: Path) -> Iterator[None]:
    """As the user nobody, whose the folder is then, if this is root, who writes read-only folders."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(home, NOBODY, -1)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_lock_that_is_held_for_long_is_away_not_broken(
    store: LocalFileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run tries again; nothing is written meanwhile."""
    monkeypatch.setattr(local_state_store, "LOCK_SECONDS", 0.1)
    store.save(key(), {"n": 1}, version=0, run_id="r")
    with (
        FileLock(f"{store.path}.lock"),
        pytest.raises(ConnectionFailedError, match="locked by another run"),
    ):
        LocalFileStore(store.path, "lake").save(key(), {"n": 2}, version=1, run_id="r")


def count_up(path: Path, partition: str, times: int) -> None:
    store = LocalFileStore(path, "lake")
    for number in range(times):
        store.save(key(partition=partition), {"n": number + 1}, version=number, run_id="r")


def test_threads_keep_every_state(store: LocalFileStore) -> None:
    """Eight at once, each with its own partition."""
    threads = [threading.Thread(target=count_up, args=(store.path, str(n), 15)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {stored.key.partition: stored.state for stored in store.load("shop")} == {
        str(n): {"n": 15} for n in range(8)
    }


@pytest.mark.heavy
def test_processes_keep_every_state(store: LocalFileStore) -> None:
    """Four at once."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=count_up, args=(store.path, str(n), 20)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert {stored.key.partition: stored.state for stored in store.load("shop")} == {
        str(n): {"n": 20} for n in range(4)
    }


WRITE_FOR_EVER = """
import sys
from pathlib import Path
from vdk.plugin.datasource_base.parts import StateKey
from vdk.plugin.datasource_base.parts.states.local_store import LocalFileStore
store = LocalFileStore(Path(sys.argv[1]), "lake")
key = StateKey("shop", "the data", "orders", "", "orders")
stored = store.load("shop")
version = stored[0].version if stored else 0
while True:
    version = store.save(key, {"n": version + 1, "filler": "x" * 200_000}, version=version, run_id="r")
    print(version, flush=True)
"""


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_process_killed_while_it_writes_leaves_a_whole_file(store: LocalFileStore) -> None:
    """Every state that was stored is there, at whatever instant the process dies."""
    for nth in range(8):
        process = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(store.path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        first = int(process.stdout.readline())
        time.sleep(0.002 * nth)
        process.send_signal(signal.SIGKILL)
        printed = [first, *map(int, process.stdout.read().split())]
        process.stdout.close()
        process.wait()
        (stored,) = store.load("shop")
        assert stored.version == stored.state["n"]
        assert stored.version in (printed[-1], printed[-1] + 1)


def save_on_a_full_disk(path: Path) -> None:
    with file_size_limit(100):
        LocalFileStore(path, "lake").save(key(), {"n": 2, "filler": "x" * 1000}, version=1, run_id="r")


def test_a_full_disk_is_told_and_the_old_states_stay(store: LocalFileStore) -> None:
    """Nothing is left beside the file, and with room again the same state can be stored."""
    store.save(key(), {"n": 1}, version=0, run_id="r")
    ended = run_child(save_on_a_full_disk, store.path)
    assert "StateError: state file" in ended.output
    assert "cannot be written: [Errno 27] File too large" in ended.output
    assert [stored.state for stored in store.load("shop")] == [{"n": 1}]
    assert sorted(path.suffix for path in store.path.parent.iterdir()) == [".json", ".lock"]
    store.save(key(), {"n": 2}, version=1, run_id="r")
