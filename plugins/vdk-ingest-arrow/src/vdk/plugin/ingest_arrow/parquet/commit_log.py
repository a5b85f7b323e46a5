"""The commit record: every state, and the moves of the last commit. Writing it is what commits.

A small record is a file that is replaced. A large one has a log beside it, and a commit is a line there, so that it
costs what it changes and not what there is.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError, State, StateError
from vdk.plugin.datasource_base.parts import CommitUnit, LoggedDocument, StateKey, StoredState

from .file_moves import Move, decoded, disk_errors, encoded

FORMAT = "vdk-ingest-arrow parquet"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit changes: states that are stored and forgotten, and the highest version of those ever forgotten."""

    states: Sequence[StoredState] = ()
    gone: Sequence[StateKey] = ()
    forgotten: int = 0


class Record:
    """What was committed: every state, and what is left to do of the last commit.

    :ivar moves: of the last commit; those before it have been made.
    :ivar forgotten: the highest version of the states that were forgotten: none is given twice.

    :param path: the record's file. :param aside: where another one is written.
    """

    def __init__(self, path: Path, aside: Path) -> None:
        self._path = path
        self._file = LoggedDocument(path, lambda: aside)
        self.states: dict[StateKey, StoredState] = {}
        self.moves: Sequence[Move] = ()
        self.forgotten = 0

    def refresh(self) -> bool:
        """Know what others have committed; whether they have.

        :raises StateError: the record is damaged, or newer than this program.
        """
        try:
            with disk_errors(self._path):
                another, document, changes = self._file.refresh()
            if another:
                self.states, self.moves, self.forgotten = {}, (), 0
                if document is not None:
                    _check_format(document, self._path)
                    self._take(document)
            for change in changes:
                self._take(change)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._file.invalidate()
            raise StateError(
                f"the commit record {self._path} is damaged ({type(error).__name__}: {error}). Put back a copy of it, "
                "or move it away: every stream is then read from its beginning, and lands again beside what is there"
            ) from None
        except StateError:
            self._file.invalidate()
            raise
        return another or bool(changes)

    def _take(self, content: Mapping[str, Any]) -> None:
        for key in content.get("gone", ()):
            self.states.pop(StateKey(**key), None)
        for one in map(_stored, content["states"]):
            self.states[one.key] = one
        self.moves = [decoded(move) for move in content["moves"]]
        self.forgotten = int(content["forgotten"])

    def swapped(self, units: Sequence[CommitUnit]) -> tuple[Change, list[int]]:
        """Compare the stored versions with the units' and give what changes, and the versions there are then.

        :raises ConcurrentRunError: one is another version.
        """
        states, gone, versions, forgotten = [], [], [], self.forgotten
        for unit in units:
            stored = self.states.get(unit.key)
            version = stored.version if stored is not None else 0
            if version != unit.version:
                raise _concurrent(unit, stored)
            if unit.state is None:
                versions.append(version)
            elif not unit.state and not unit.reset:
                gone.append(unit.key)
                forgotten = max(forgotten, version)
                versions.append(0)
            else:
                new = (version or self.forgotten) + 1
                states.append(StoredState(unit.key, new, unit.state, unit.run_id))
                versions.append(new)
        return Change(states, gone, forgotten), versions

    def commit(self, change: Change, moves: Sequence[Move]) -> None:
        """Write a change: when this returns it is durable, when it raises the record is as it was."""
        content = {
            "gone": [asdict(key) for key in change.gone],
            "states": list(map(_encoded, change.states)),
            "forgotten": change.forgotten,
            "moves": [encoded(move) for move in moves],
        }
        self._file.write(content, lambda: self._whole(change, content))
        for key in change.gone:
            self.states.pop(key, None)
        self.states.update({state.key: state for state in change.states})
        self.moves, self.forgotten = moves, change.forgotten

    def synced(self) -> None:
        """Make durable what another process has committed; it may have been killed while it did."""
        self._file.sync()

    def _whole(self, change: Change, content: Mapping[str, Any]) -> dict[str, Any]:
        states = {**self.states, **{state.key: state for state in change.states}}
        return {
            "format": FORMAT,
            "v": VERSION,
            "written_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "forgotten": change.forgotten,
            "states": [_encoded(one) for key, one in states.items() if key not in change.gone],
            "moves": content["moves"],
        }


def check_state(unit: CommitUnit) -> None:
    """Raises ``DestinationError`` for a state that JSON cannot write."""
    try:
        json.dumps(unit.state, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DestinationError(
            f"stream {unit.key.stream!r}, partition {unit.key.partition!r}: the state is no JSON: {error}"
        ) from error


def _check_format(content: Mapping[str, Any], path: Path) -> None:
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}")
    if content["v"] != VERSION:
        raise StateError(
            f"the commit record {path} has version {content['v']!r}, this program reads version {VERSION}: upgrade it"
        )


def _encoded(one: StoredState) -> dict[str, Any]:
    return {"key": asdict(one.key), "version": one.version, "run_id": one.run_id, "state": one.state}


def _stored(content: Mapping[str, Any]) -> StoredState:
    state: State = content["state"]
    if not isinstance(state, dict):
        raise ValueError(f"a state is {str(state)[:80]!r}")
    return StoredState(StateKey(**content["key"]), int(content["version"]), state, str(content["run_id"]))


def _concurrent(unit: CommitUnit, stored: StoredState | None) -> ConcurrentRunError:
    there = f"version {stored.version}, by the run {stored.run_id!r}" if stored is not None else "none"
    return ConcurrentRunError(
        f"source {unit.key.source_id!r}, stream {unit.key.stream!r}, partition {unit.key.partition!r}: the run "
        f"{unit.run_id!r} continues from version {unit.version} of the state, but what is stored is {there}. Another "
        "run was at work on the same data, and nothing of this commit was kept. Let one run at a time use this source "
        "and destination, and start again: it continues from what is stored"
    )
