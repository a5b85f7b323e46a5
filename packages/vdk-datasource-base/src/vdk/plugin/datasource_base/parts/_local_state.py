"""States in a local file, for destinations that cannot hold them."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from ..contract import ConcurrentRunError, ConnectionFailedError, State, StateError
from ._destination import FORGOTTEN, StateKey, StoredState

FORMAT = "vdk-datasource-state"
VERSION = 1
LOCK_SECONDS = 30.0


class StateStore(Protocol):
    """Where states are kept beside a destination that cannot hold them."""

    def load(self, source_id: str) -> Sequence[StoredState]:
        """Every state of a source."""

    def save(self, key: StateKey, state: State, *, version: int, run_id: str) -> int:
        """Compare and swap: durably store a state, or raise ``ConcurrentRunError``.

        ``{}`` forgets the key. Returns the new version, 0 for a forgotten key.
        """


def swap(
    records: list[dict[str, Any]], key: StateKey, destination: str, state: State, version: int, run_id: str
) -> tuple[list[dict[str, Any]], int]:
    """The records with one state changed, and its version; shared by every store of records."""
    mine, others = _apart(records, key, destination)
    stored = int(mine[0]["version"]) if mine else 0
    if stored != version:
        raise ConcurrentRunError(
            f"source {key.source_id!r}, stream {key.stream!r}, partition {key.partition!r}: run "
            f"{mine[0]['run_id'] if mine else 'unknown'} stored version {stored} of the state meanwhile, this run "
            f"had read version {version}; two runs of one flow were at work at once: run it again, alone"
        )
    marks, rest = _apart(others, FORGOTTEN, destination)
    forgotten = int(marks[0]["version"]) if marks else 0
    if not state:
        mark = _record(FORGOTTEN, destination, max(forgotten, version), {}, run_id)
        return ([*rest, mark] if mine else others), 0
    new = (version or forgotten) + 1
    return [*others, _record(key, destination, new, state, run_id)], new


def _apart(
    records: list[dict[str, Any]], key: StateKey, destination: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The records of a key at a destination, and the others."""
    identity = {**_as_dict(key), "destination": destination}
    mine = [one for one in records if {name: one.get(name) for name in identity} == identity]
    return mine, [one for one in records if one not in mine]


def _record(key: StateKey, destination: str, version: int, state: State, run_id: str) -> dict[str, Any]:
    return {
        **_as_dict(key),
        "destination": destination,
        "version": version,
        "state": state,
        "run_id": run_id,
        "updated_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def stored_states(records: Sequence[dict[str, Any]], source_id: str, destination: str) -> list[StoredState]:
    """The states of a source at a destination, out of a store's records."""
    return [
        StoredState(
            StateKey(
                one["source_id"], one["source_identity"], one["stream"], one["partition"], one["destination_table"]
            ),
            int(one["version"]),
            one["state"],
            one["run_id"],
        )
        for one in records
        if one["source_id"] == source_id and one["destination"] == destination
    ]


def check_records(content: Any, where: str) -> list[dict[str, Any]]:
    """The records of a store's JSON; raises ``StateError`` for anything that is not ours."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StateError(f"{where} is no {FORMAT}: move it away to start from the beginning")
    if (version := content.get("v")) != VERSION:
        newer = isinstance(version, int) and version > VERSION
        remedy = "it was written by a newer program: upgrade this one, or move" if newer else "move"
        raise StateError(
            f"{where} has version {version!r}, this program reads version {VERSION}: {remedy} it away to start from "
            "the beginning"
        )
    records = content.get("states")
    if not isinstance(records, list) or not all(map(_whole, records)):
        raise StateError(f"{where} is damaged: move it away to start from the beginning")
    return records


def _whole(record: Any) -> bool:
    texts = ("source_id", "source_identity", "stream", "partition", "destination_table", "destination", "run_id")
    return (
        isinstance(record, dict)
        and all(isinstance(record.get(name), str) for name in texts)
        and isinstance(record.get("version"), int)
        and isinstance(record.get("state"), dict)
    )


class LocalFileStore:
    """One JSON file, replaced atomically: written aside, synced, renamed, under a lock.

    :param path: the file; its folder is made.
    :param destination: which destination the states are for, without secrets.
    """

    def __init__(self, path: Path, destination: str) -> None:
        self.path = path
        self.destination = destination

    def load(self, source_id: str) -> list[StoredState]:
        return stored_states(self._read(), source_id, self.destination)

    def save(self, key: StateKey, state: State, *, version: int, run_id: str) -> int:
        with self._locked():
            records, new = swap(self._read(), key, self.destination, state, version, run_id)
            self._write(records)
        return new

    def _read(self) -> list[dict[str, Any]]:
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise StateError(f"state file {self.path} cannot be read: {error}") from error
        try:
            content = json.loads(text)
        except ValueError as error:
            raise StateError(
                f"state file {self.path} is damaged ({error}): move it away to start from the beginning"
            ) from None
        return check_records(content, f"state file {self.path}")

    def _write(self, records: list[dict[str, Any]]) -> None:
        text = json.dumps({"format": FORMAT, "v": VERSION, "states": records}, indent=1, ensure_ascii=False)
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        try:
            with aside.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise StateError(f"state file {self.path} cannot be written: {error}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(f"{self.path}.lock", timeout=LOCK_SECONDS)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise ConnectionFailedError(
                f"state file {self.path} was locked by another run for {LOCK_SECONDS:.0f} s"
            ) from None
        except OSError as error:
            raise StateError(f"state file {self.path} cannot be written: {error}") from error
        try:
            yield
        finally:
            lock.release()


def _as_dict(key: StateKey) -> dict[str, str]:
    return {
        "source_id": key.source_id,
        "source_identity": key.source_identity,
        "stream": key.stream,
        "partition": key.partition,
        "destination_table": key.table,
    }


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; the systems that cannot sync a folder need not."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
