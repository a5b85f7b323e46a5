# SPDX-License-Identifier: Apache-2.0
"""The commit log: every state, and the file moves of the last commit. Writing to it is the commit.

A small log is one file that is replaced. A large one has a second file beside it, and a commit appends a line there, so
that its cost depends on what it changes and not on the number of states.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vdk.plugin.datasource_base.contract import State, StateError
from vdk.plugin.datasource_base.parts import CommitUnit, LoggedDocument, StateKey, StoredState

from ..filesystem import disk_errors
from ..state_encoding import version_conflict
from .file_moves import Move, decoded, encoded

FORMAT = "vdk-ingest-arrow parquet"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit changes.

    :param states: the new states. :param removed: the keys whose states are removed.
    :param removed_version: the highest version of all states that were ever removed.
    :param owners: table → the streams that have rows in it afterwards, of the tables whose owners change.
    """

    states: Sequence[StoredState] = ()
    removed: Sequence[StateKey] = ()
    removed_version: int = 0
    owners: Mapping[str, Collection[StateKey]] = field(default_factory=dict)


class CommitLog:
    """Every committed state, and what may be left to do of the last commit.

    :ivar moves: of the last commit; those of earlier commits have been made.
    :ivar removed_version: the highest version of the removed states: no version is used twice.
    :ivar owners: table → the streams that have rows in it.

    :param path: the log's file. :param aside: where a new one is written before it replaces the old one.
    """

    def __init__(self, path: Path, aside: Path) -> None:
        self._path = path
        self._file = LoggedDocument(path, lambda: aside)
        self.states: dict[StateKey, StoredState] = {}
        self.moves: Sequence[Move] = ()
        self.removed_version = 0
        self.owners: dict[str, set[StateKey]] = {}

    def refresh(self) -> bool:
        """Read what others have committed. Returns whether they have.

        :raises StateError: the log is damaged, or newer than this program.
        """
        try:
            with disk_errors(self._path):
                replaced, document, changes = self._file.refresh()
            if replaced:
                self.states, self.moves, self.removed_version, self.owners = {}, (), 0, {}
                if document is not None:
                    _check_format(document, self._path)
                    self._apply(document)
            for change in changes:
                self._apply(change)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._file.invalidate()
            raise StateError(
                f"the commit log {self._path} is damaged ({type(error).__name__}: {error}). Restore a copy of it, or "
                "move it elsewhere: every stream is then read from its beginning, and lands again beside existing rows"
            ) from None
        except StateError:
            self._file.invalidate()
            raise
        return replaced or bool(changes)

    def _apply(self, content: Mapping[str, Any]) -> None:
        for key in content.get("removed", ()):
            self.states.pop(StateKey(**key), None)
        for state in map(_stored, content["states"]):
            self.states[state.key] = state
        self.moves = [decoded(move) for move in content["moves"]]
        self.removed_version = int(content["removed_version"])
        for table, keys in content.get("owners", {}).items():
            self.owners[table] = {StateKey(**key) for key in keys}

    def compare_and_swap(self, units: Sequence[CommitUnit]) -> tuple[Change, list[int]]:
        """Compare the stored versions with the units'. Returns what the commit changes, and the versions after it.

        :raises ConcurrentRunError: a stored version is not the one that its unit expects.
        """
        states, removed, versions, removed_version = [], [], [], self.removed_version
        for unit in units:
            stored = self.states.get(unit.key)
            version = stored.version if stored is not None else 0
            if version != unit.version:
                raise version_conflict(unit, version, stored.run_id if stored is not None else None)
            if unit.state is None:
                versions.append(version)
            elif not unit.state and not unit.reset:
                removed.append(unit.key)
                removed_version = max(removed_version, version)
                versions.append(0)
            else:
                new = (version or self.removed_version) + 1
                states.append(StoredState(unit.key, new, unit.state, unit.run_id))
                versions.append(new)
        return Change(states, removed, removed_version), versions

    def commit(self, change: Change, moves: Sequence[Move]) -> None:
        """Write a change: it is durable when this returns; when it raises, the log is unchanged."""
        content = {
            "removed": [asdict(key) for key in change.removed],
            "states": list(map(_encoded, change.states)),
            "removed_version": change.removed_version,
            "moves": [encoded(move) for move in moves],
            **_owners(change.owners),
        }
        self._file.write(content, lambda: self._whole(change, content))
        for key in change.removed:
            self.states.pop(key, None)
        self.states.update({state.key: state for state in change.states})
        self.moves, self.removed_version = moves, change.removed_version
        self.owners.update({table: set(keys) for table, keys in change.owners.items()})

    def change_owners(
        self, change: Change, key: StateKey | None, tables: Collection[str], *, alone: Collection[str]
    ) -> Change:
        """The change, after which a stream has rows in these tables; alone in those of ``alone``."""
        if key is None or not key.source_id:  # a job's own rows belong to no stream
            return change
        owner = replace(key, partition="")
        owners = {table: {owner} | (set() if table in alone else self.owners.get(table, set())) for table in tables}
        return replace(change, owners={table: keys for table, keys in owners.items() if keys != self.owners.get(table)})

    def without_owner(self, key: StateKey) -> Change:
        """The change after which a stream has no rows: they are another stream's."""
        owner = replace(key, partition="")
        owners = {table: keys - {owner} for table, keys in self.owners.items() if owner in keys}
        return Change(removed_version=self.removed_version, owners=owners)

    def sync(self) -> None:
        """Make durable what another process has committed: it may have been killed before it had done so."""
        self._file.sync()

    def _whole(self, change: Change, content: Mapping[str, Any]) -> dict[str, Any]:
        states = {**self.states, **{state.key: state for state in change.states}}
        return {
            "format": FORMAT,
            "v": VERSION,
            "written_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "removed_version": change.removed_version,
            "states": [_encoded(state) for key, state in states.items() if key not in change.removed],
            "moves": content["moves"],
            **_owners({**self.owners, **change.owners}),
        }


def _check_format(content: Mapping[str, Any], path: Path) -> None:
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}")
    if content["v"] != VERSION:
        raise StateError(
            f"the commit log {path} has version {content['v']!r}, and this program reads version {VERSION}: "
            "install the release of vdk-ingest-arrow that wrote it, or a newer one"
        )


def _owners(owners: Mapping[str, Collection[StateKey]]) -> dict[str, Any]:
    return {"owners": {table: [asdict(key) for key in keys] for table, keys in owners.items()}} if owners else {}


def _encoded(state: StoredState) -> dict[str, Any]:
    return {"key": asdict(state.key), "version": state.version, "run_id": state.run_id, "state": state.state}


def _stored(content: Mapping[str, Any]) -> StoredState:
    state: State = content["state"]
    if not isinstance(state, dict):
        raise ValueError(f"a state is {str(state)[:80]!r}")
    return StoredState(StateKey(**content["key"]), int(content["version"]), state, str(content["run_id"]))
