# SPDX-License-Identifier: Apache-2.0
"""States in a local file, for destinations that cannot store them."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ...contract import ConcurrentRunError, ConnectionFailedError, State, StateError
from ..destination import TOMBSTONE, StateKey, StoredState
from .logged_document import LoggedDocument

FORMAT = "vdk-datasource-state"
VERSION = 1
LOCK_SECONDS = 30.0


class StateStore(Protocol):
    """Stores the states for a destination that cannot store them."""

    def load(self, source_id: str) -> Sequence[StoredState]:
        """Every state of a source."""

    def save(self, key: StateKey, state: State, *, version: int, run_id: str) -> int:
        """Compare and swap: durably store a state, or raise ``ConcurrentRunError``.

        ``{}`` removes the state. Returns the new version, 0 for a removed state.
        """


class Records:
    """The records of a store, by the key and destination of each; every store of records uses it."""

    def __init__(self, records: Iterable[dict[str, Any]] = ()) -> None:
        self._records = {_identity(record): record for record in records}

    def of_source(self, source_id: str, destination: str) -> list[StoredState]:
        """The states of a source at a destination."""
        return [
            StoredState(key, int(record["version"]), record["state"], record["run_id"])
            for (key, place), record in self._records.items()
            if key.source_id == source_id and place == destination
        ]

    def apply(self, change: Mapping[str, Any]) -> None:
        """Make a change that ``swap`` returned."""
        for removed in change["gone"]:
            self._records.pop(_identity(removed), None)
        for record in change["states"]:
            self._records[_identity(record)] = record

    def document(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON of the records after a change."""
        changed = Records(self._records.values())
        changed.apply(change)
        return _as_document(changed._records.values())

    def swap(
        self, key: StateKey, destination: str, state: State, version: int, run_id: str
    ) -> tuple[dict[str, list[dict[str, Any]]], int]:
        """Compare the versions, and return the change that stores a state, and the new version.

        :raises ConcurrentRunError: another version is stored.
        """
        record = self._records.get((key, destination))
        stored = int(record["version"]) if record else 0
        if stored != version:
            raise ConcurrentRunError(
                f"{key.place}: run {record['run_id'] if record else 'unknown'} stored version {stored} of the state, "
                f"but this run read version {version}; two runs of this flow overlapped: run it again, alone"
            )
        tombstone = self._records.get((TOMBSTONE, destination))
        removed_version = int(tombstone["version"]) if tombstone else 0
        if not state:
            if record is None:
                return {"gone": [], "states": []}, 0
            tombstone = _record(TOMBSTONE, destination, max(removed_version, version), {}, run_id)
            return {"gone": [{**_as_dict(key), "destination": destination}], "states": [tombstone]}, 0
        new = (version or removed_version) + 1
        return {"gone": [], "states": [_record(key, destination, new, state, run_id)]}, new


def _identity(record: Mapping[str, Any]) -> tuple[StateKey, str]:
    names = ("source_id", "source_identity", "stream", "partition", "destination_table")
    return StateKey(*(record[name] for name in names)), record["destination"]


def _record(key: StateKey, destination: str, version: int, state: State, run_id: str) -> dict[str, Any]:
    return {
        **_as_dict(key),
        "destination": destination,
        "version": version,
        "state": state,
        "run_id": run_id,
        "updated_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def check_records(content: Any, location: str) -> list[dict[str, Any]]:
    """The records in the JSON of a store. Raises ``StateError`` for any other content."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StateError(f"{location} is not a {FORMAT}: move it away to start from the beginning")
    if (version := content.get("v")) != VERSION:
        newer = isinstance(version, int) and version > VERSION
        remedy = "it was written by a newer program: upgrade this one, or move" if newer else "move"
        raise StateError(
            f"{location} has version {version!r}, this program reads version {VERSION}: {remedy} it away to start from "
            "the beginning"
        )
    records = content.get("states")
    if not isinstance(records, list) or not all(map(_is_valid, records)):
        raise StateError(f"{location} is damaged: move it away to start from the beginning")
    return records


def _is_valid(record: Any) -> bool:
    texts = ("source_id", "source_identity", "stream", "partition", "destination_table", "destination", "run_id")
    return (
        isinstance(record, dict)
        and all(isinstance(record.get(name), str) for name in texts)
        and isinstance(record.get("version"), int)
        and isinstance(record.get("state"), dict)
    )


class LocalFileStore:
    """One JSON file, replaced atomically under a lock: written aside, synced, renamed. A large one has a log beside it.

    :param path: the file; its folder is created.
    :param destination: the identity of the destination of the states, without secrets.
    """

    def __init__(self, path: Path, destination: str) -> None:
        self.path = path
        self.destination = destination
        self._records = Records()
        self._document = LoggedDocument(path, lambda: path.with_name(f"{path.name}.{os.getpid()}.tmp"))
        self._lock = threading.Lock()  # the flows of a run may share a store

    def load(self, source_id: str) -> list[StoredState]:
        with self._lock:
            self._read_changes()
            return self._records.of_source(source_id, self.destination)

    def save(self, key: StateKey, state: State, *, version: int, run_id: str) -> int:
        with self._lock, self._file_lock():
            self._read_changes()
            change, new = self._records.swap(key, self.destination, state, version, run_id)
            try:
                self._document.write(change, lambda: self._records.document(change))
            except OSError as error:
                raise StateError(f"state file {self.path} cannot be written: {error}") from error
            self._records.apply(change)
        return new

    def _read_changes(self) -> None:
        """Read what other processes have stored."""
        try:
            replaced, document, changes = self._document.refresh()
        except (OSError, UnicodeDecodeError) as error:
            raise StateError(f"state file {self.path} cannot be read: {error}") from error
        except ValueError as error:
            raise self._damaged(f" ({error})") from None
        try:
            if replaced:
                self._records = Records()
                if document is not None:
                    self._records = Records(check_records(document, f"state file {self.path}"))
            for change in changes:
                check_records(_as_document(change["states"]), f"state file {self.path}")
                self._records.apply(change)
        except (KeyError, TypeError) as error:
            self._document.invalidate()
            raise self._damaged(f": its log has {error}") from None
        except StateError:
            self._document.invalidate()
            raise

    def _damaged(self, why: str) -> StateError:
        return StateError(f"state file {self.path} is damaged{why}: move it away to start from the beginning")

    @contextmanager
    def _file_lock(self) -> Iterator[None]:
        from filelock import FileLock, Timeout  # late: most runs keep their states in the destination

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


def _as_document(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"format": FORMAT, "v": VERSION, "states": list(records)}


def _as_dict(key: StateKey) -> dict[str, str]:
    return {
        "source_id": key.source_id,
        "source_identity": key.source_identity,
        "stream": key.stream,
        "partition": key.partition,
        "destination_table": key.table,
    }
