"""The commit record: every state, and the moves of the last commit. Replacing it is what commits."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError, State, StateError
from vdk.plugin.datasource_base.parts import CommitUnit, StateKey, StoredState

from ._disk import disk_errors, sync_folder, write_synced
from ._moves import Move, decoded, encoded

FORMAT = "vdk-ingest-arrow parquet"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What one commit leaves behind.

    :param moves: of the last commit; those before it have been made.
    :param forgotten: the highest version of the states that were forgotten: none is given twice.
    """

    states: Mapping[StateKey, StoredState] = field(default_factory=dict)
    moves: Sequence[Move] = ()
    forgotten: int = 0

    def swapped(self, unit: CommitUnit) -> tuple[Record, int]:
        """Compare the stored version with the unit's and change the state. Returns the version there is now.

        :raises ConcurrentRunError: it is another version.
        """
        stored = self.states.get(unit.key)
        version = stored.version if stored is not None else 0
        if version != unit.version:
            raise _concurrent(unit, stored)
        if unit.state is None:
            return self, version
        others = {key: one for key, one in self.states.items() if key != unit.key}
        if not unit.state and not unit.reset:
            return replace(self, states=others, forgotten=max(self.forgotten, version)), 0
        new = (version or self.forgotten) + 1
        states = {**others, unit.key: StoredState(unit.key, new, unit.state, unit.run_id)}
        return replace(self, states=states), new

    @classmethod
    def read(cls, path: Path) -> Record:
        """The record in a file; an empty one where there is none.

        :raises StateError: for one that is damaged, or newer than this program.
        """
        with disk_errors(path):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return cls()
        try:
            return _decoded(json.loads(content), path)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(
                f"the commit record {path} is damaged ({type(error).__name__}: {error}). Put back a copy of it, or "
                "move it away: every stream is then read from its beginning, and lands again beside what is there"
            ) from None

    def write(self, path: Path, aside: Path) -> None:
        """Replace the record in the file: when this returns it is durable, when it raises the old one stands."""
        # In ASCII: a state may hold half a surrogate pair, for which JSON has an escape and UTF-8 has nothing.
        content = json.dumps(self._encoded(), allow_nan=False, indent=1).encode("ascii")
        write_synced(aside, content)
        os.replace(aside, path)
        sync_folder(path.parent)

    def _encoded(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "v": VERSION,
            "written_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "forgotten": self.forgotten,
            "states": [
                {"key": asdict(one.key), "version": one.version, "run_id": one.run_id, "state": one.state}
                for one in self.states.values()
            ],
            "moves": [encoded(move) for move in self.moves],
        }


def check_state(unit: CommitUnit) -> None:
    """Raises ``DestinationError`` for a state that JSON cannot write."""
    try:
        json.dumps(unit.state, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DestinationError(
            f"stream {unit.key.stream!r}, partition {unit.key.partition!r}: the state is no JSON: {error}"
        ) from error


def _decoded(content: Mapping[str, Any], path: Path) -> Record:
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}")
    if content["v"] != VERSION:
        raise StateError(
            f"the commit record {path} has version {content['v']!r}, this program reads version {VERSION}: upgrade it"
        )
    stored = [_stored(one) for one in content["states"]]
    return Record(
        {one.key: one for one in stored}, [decoded(one) for one in content["moves"]], int(content["forgotten"])
    )


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
