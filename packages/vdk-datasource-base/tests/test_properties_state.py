"""States in VDK's properties, on the client of vdk-properties-fs and on VDK's own double in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from vdk.plugin.properties_fs.fs_properties_client import FileSystemPropertiesServiceClient
from vdk.plugin.test_utils import util_plugins

from vdk.plugin.datasource_base import StateError
from vdk.plugin.datasource_base.contract import ConcurrentRunError
from vdk.plugin.datasource_base.integration.properties_state_store import PROPERTY, PropertiesStore
from vdk.plugin.datasource_base.parts import StateKey


def key(partition: str = "") -> StateKey:
    return StateKey("shop", "the data", "orders", partition, "orders")


@dataclass
class Properties:
    """A job's properties, whole, as ``job_input`` gives and takes them."""

    client: Any

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.read_properties("job", "team")
        return found

    def write(self, properties: dict[str, Any]) -> None:
        self.client.write_properties("job", "team", properties)

    def store(self, destination: str = "lake") -> PropertiesStore:
        return PropertiesStore(self.read, self.write, destination)


@pytest.fixture(params=["file", "memory"])
def properties(request: pytest.FixtureRequest, tmp_path: Path) -> Properties:
    if request.param == "file":
        return Properties(FileSystemPropertiesServiceClient(str(tmp_path), "properties.json"))
    return Properties(util_plugins.TestPropertiesServiceClient())


def test_a_state_comes_back_as_it_was_among_the_jobs_own_properties(properties: Properties) -> None:
    """Each destination has its own."""
    properties.write({"mine": [1]})
    state: dict[str, Any] = {"at": "ü\n", "deep": [1, {"x": None}]}
    assert properties.store().save(key(), state, version=0, run_id="r1") == 1
    properties.store("other").save(key(), {"n": 9}, version=0, run_id="r1")
    (found,) = properties.store().load("shop")
    assert (found.key, found.version, found.state, found.run_id) == (key(), 1, state, "r1")
    assert properties.read()["mine"] == [1]


def test_of_two_runs_in_one_process_the_loser_is_told(properties: Properties) -> None:
    """Nothing of it is stored."""
    properties.store().save(key(), {"n": 1}, version=0, run_id="the-other-run")
    with pytest.raises(ConcurrentRunError, match="the-other-run"):
        properties.store().save(key(), {"n": 2}, version=0, run_id="r")
    assert [one.state for one in properties.store().load("shop")] == [{"n": 1}]


def test_threads_keep_every_state_and_read_no_half_of_one(properties: Properties) -> None:
    """Neither client is made for threads: readers take turns with writers, too."""
    failed: list[BaseException] = []

    def working(work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def write(partition: str) -> None:
        for number in range(30):
            properties.store().save(key(partition), {"n": number + 1}, version=number, run_id="r")

    def read() -> None:
        while not done.is_set():
            properties.store().load("shop")

    done = threading.Event()
    readers = [working(read) for _ in range(2)]
    # type ignored: a default binds the loop's value
    for writer in [working(lambda name=str(number): write(name)) for number in range(4)]:  # type: ignore[misc]
        writer.join()
    done.set()
    for reader in readers:
        reader.join()
    assert not failed
    assert {one.key.partition: one.state for one in properties.store().load("shop")} == {
        str(number): {"n": 30} for number in range(4)
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        (5, "is damaged|is not a vdk-datasource-state"),
        ("[]", "is not a vdk-datasource-state"),
        (json.dumps({"format": "vdk-datasource-state", "v": 2, "states": []}), "by a newer program"),
        (json.dumps({"format": "vdk-datasource-state", "v": 0, "states": []}), "has version 0"),
        (json.dumps({"format": "vdk-datasource-state", "v": 1, "states": [{}]}), "is damaged"),
    ],
)
def test_what_is_not_ours_is_refused_and_kept(properties: Properties, content: Any, message: str) -> None:
    """It is neither read as empty nor overwritten."""
    properties.write({PROPERTY: content})
    with pytest.raises(StateError, match=message):
        properties.store().load("shop")
    with pytest.raises(StateError, match=message):
        properties.store().save(key(), {"n": 1}, version=0, run_id="r")
    assert properties.read() == {PROPERTY: content}
