"""States in a local file, for destinations that cannot hold them."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from ..contract import ConcurrentRunError, ConnectionFailedError, State, StateError
from .destination import TOMBSTONE, StateKey, StoredState
from .logged_document import LoggedDocument

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


class Records:
    """The records of a store, found by what they belong to; shared by every store of records."""

    def __init__(self, records: Iterable[dict[str, Any]] = ()) -> None:
        self._records = {_identity(record): record for record in records}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._records.values())

    def take(self, change: Mapping[str, Any]) -> None:
        """Make a change that ``swap`` gave."""
        for one in change["gone"]:
            self._records.pop(_identity(one), None)
        for one in change["states"]:
            self._records[_identity(one)] = one

    def with_change(self, change: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The records as they are once a change is made."""
        changed = Records(self)
        changed.take(change)
        return list(changed)

    def swap(
        self, key: StateKey, destination: str, state: State, version: int, run_id: str
    ) -> tuple[dict[str, list[dict[str, Any]]], int]:
        """Compare a version and give the change that stores a state, and the state's version.

        :raises ConcurrentRunError: another version is stored.
        """
        mine = self._records.get((key, destination))
        stored = int(mine["version"]) if mine else 0
        if stored != version:
            raise ConcurrentRunError(
                f"source {key.source_id!r}, stream {key.stream!r}, partition {key.partition!r}: run "
                f"{mine['run_id'] if mine else 'unknown'} stored version {stored} of the state meanwhile, this run "
                f"had read version {version}; two runs of one flow were at work at once: run it again, alone"
            )
        mark = self._records.get((TOMBSTONE, destination))
        forgotten = int(mark["version"]) if mark else 0
        if not state:
            if mine is None:
                return {"gone": [], "states": []}, 0
            mark = _record(TOMBSTONE, destination, max(forgotten, version), {}, run_id)
            return {"gone": [{**_as_dict(key), "destination": destination}], "states": [mark]}, 0
        new = (version or forgotten) + 1
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


def stored_states(records: Iterable[dict[str, Any]], source_id: str, destination: str) -> list[StoredState]:
    """The states of a source at a destination, out of a store's records."""
    return [
        StoredState(
            StateKey(
                record["source_id"],
                record["source_identity"],
                record["stream"],
                record["partition"],
                record["destination_table"],
            ),
            int(record["version"]),
            record["state"],
            record["run_id"],
        )
        for record in records
        if record["source_id"] == source_id and record["destination"] == destination
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
    """One JSON file, replaced atomically under a lock: written aside, synced, renamed. A large one has a log beside it.

    :param path: the file; its folder is made.
    :param destination: which destination the states are for, without secrets.
    """

    def __init__(self, path: Path, destination: str) -> None:
        self.path = path
        self.destination = destination
        self._records = Records()
        self._file = LoggedDocument(path, lambda: path.with_name(f"{path.name}.{os.getpid()}.tmp"))
        self._turn = threading.Lock()  # a run's flows may share a store

    def load(self, source_id: str) -> list[StoredState]:
        with self._turn:
            self._refresh()
            return stored_states(self._records, source_id, self.destination)

    def save(self, key: StateKey, state: State, *, version: int, run_id: str) -> int:
        with self._turn, self._locked():
            self._refresh()
            change, new = self._records.swap(key, self.destination, state, version, run_id)
            try:
                self._file.write(change, lambda: _document(self._records.with_change(change)))
            except OSError as error:
                raise StateError(f"state file {self.path} cannot be written: {error}") from error
            self._records.take(change)
        return new

    def _refresh(self) -> None:
        """Know what others have stored."""
        try:
            another, document, changes = self._file.refresh()
        except (OSError, UnicodeDecodeError) as error:
            raise StateError(f"state file {self.path} cannot be read: {error}") from error
        except ValueError as error:
            raise self._damaged(f" ({error})") from None
        try:
            if another:
                self._records = Records()
                if document is not None:
                    self._records = Records(check_records(document, f"state file {self.path}"))
            for change in changes:
                check_records(_document(change["states"]), f"state file {self.path}")
                self._records.take(change)
        except (KeyError, TypeError) as error:
            self._file.forget()
            raise self._damaged(f": its log has {error}") from None
        except StateError:
            self._file.forget()
            raise

    def _damaged(self, why: str) -> StateError:
        return StateError(f"state file {self.path} is damaged{why}: move it away to start from the beginning")

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


def _document(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"format": FORMAT, "v": VERSION, "states": list(records)}


def _as_dict(key: StateKey) -> dict[str, str]:
    return {
        "source_id": key.source_id,
        "source_identity": key.source_identity,
        "stream": key.stream,
        "partition": key.partition,
        "destination_table": key.table,
    }
