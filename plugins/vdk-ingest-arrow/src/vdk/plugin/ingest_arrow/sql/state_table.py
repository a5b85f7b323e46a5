# SPDX-License-Identifier: Apache-2.0
"""The state table: states are read, compared and swapped, in the transaction of the rows they cover."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vdk.plugin.datasource_base.contract import DestinationError, StateError
from vdk.plugin.datasource_base.parts import TOMBSTONE, CommitUnit, StateKey, StoredState

from ..names import STATE_COLUMNS, STATE_KEY, STATE_TABLE
from ..state_encoding import encode_state, version_conflict
from .database import Database, SerializationConflict
from .framework_table import FrameworkTable

_Row = tuple[StateKey, int, str, str]
"""Key, version, encoded state and run."""
_COLUMNS = (*STATE_KEY, "version", "state", "run_id")

_CHUNK = 250
"""States in one statement. SQLite's limit of parameters is 32,766, PostgreSQL's 65,535."""


class StateTable:
    """The table ``_vdk_datasource_state``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = FrameworkTable(database, STATE_TABLE, stamp="updated_at")

    def prepare(self) -> None:
        """Create the table where it is missing.

        Its key is a constraint, unlike those of the data: no state is stored twice, whoever writes.

        :raises StateError: a table of this name has other columns.
        """
        if not self._table.exists(STATE_COLUMNS):
            types = self._database.types
            columns = {**dict.fromkeys(_COLUMNS, types.text), "version": types.bigint}
            self._table.create(columns, primary_key=STATE_KEY)

    def load(self, source_id: str) -> Sequence[StoredState]:
        """Every state of a source.

        :raises StateError: one of them is damaged.
        """
        if not self._table.exists(STATE_COLUMNS):
            return []
        return [self._stored(row) for row in self._table.select(_COLUMNS, {"source_id": source_id}, order=STATE_KEY)]

    def compare_and_swap(self, units: Sequence[CommitUnit]) -> list[int]:
        """Compare the stored version of each unit's state, and store the units' states.

        :param units: of one stream.
        :returns: the versions that are stored now.
        :raises ConcurrentRunError: a stored version is not the one that its unit expects.
        """
        stored = self._versions(units)
        for unit in units:
            version, run_id = stored.get(unit.key.partition, (0, None))
            if version != unit.version:
                raise version_conflict(unit, version, run_id)
        removed = 0
        if any(_keeps_row(unit) and not unit.version for unit in units):
            removed = self._removed_version()
        versions = []
        for unit in units:
            if unit.state is None:
                versions.append(unit.version)
            elif not _keeps_row(unit):
                versions.append(0)
                if unit.key.partition in stored:
                    self._remove(unit, unit.version)
            else:
                versions.append((unit.version or removed) + 1)
        new: list[_Row] = []
        for unit, version in zip(units, versions, strict=True):
            if _keeps_row(unit):
                row = (unit.key, version, encode_state(unit), unit.run_id)
                if unit.key.partition in stored:
                    self._update(row)
                else:
                    new.append(row)
        self._insert(new)
        return versions

    def _versions(self, units: Sequence[CommitUnit]) -> dict[str, tuple[int, str]]:
        """Partition → version and run, of the stored states. Their rows stay locked until the transaction ends."""
        versions: dict[str, tuple[int, str]] = {}
        for start in range(0, len(units), _CHUNK):
            chunk = units[start : start + _CHUNK]
            criteria = {**_criteria(chunk[0].key), "partition": [unit.key.partition for unit in chunk]}
            rows = self._table.select(("partition", "version", "run_id"), criteria, order=("partition",), lock=True)
            versions.update({row[0]: (int(row[1]), row[2]) for row in rows})
        return versions

    def _remove(self, unit: CommitUnit, version: int) -> None:
        """Delete a state, and keep its version: a later state must never get it again."""
        self._table.delete(_criteria(unit.key))
        highest = self._removed_version()
        row = (TOMBSTONE, max(highest, version), "{}", unit.run_id)
        if highest:
            self._update(row)
        else:
            self._insert([row])

    def _removed_version(self) -> int:
        """The highest version among the removed states; 0 without any."""
        rows = self._table.select(("version",), _criteria(TOMBSTONE))
        return int(rows[0][0]) if rows else 0

    def _update(self, row: _Row) -> None:
        key, version, state, run_id = row
        if not self._table.update({"version": version, "state": state, "run_id": run_id}, _criteria(key)):
            raise self._conflict()

    def _insert(self, rows: Sequence[_Row]) -> None:
        for start in range(0, len(rows), _CHUNK):
            chunk = [(*_criteria(key).values(), *others) for key, *others in rows[start : start + _CHUNK]]
            if self._table.insert(_COLUMNS, chunk, unless_exists=STATE_KEY) != len(chunk):
                raise self._conflict()

    def _conflict(self) -> SerializationConflict:
        return SerializationConflict(f"{self._database.location}: another run stored the same state at the same moment")

    def check_sole_writer(self, key: StateKey, table: str) -> None:
        """Refuse to sweep a table that other partitions or streams land rows in as well.

        :raises DestinationError: naming one of them.
        """
        table_, *owner = self._database.placeholders(4)
        others = self._database.execute(
            f"SELECT source_id, stream, partition FROM {self._database.qualified(STATE_TABLE)} "
            f"WHERE destination_table = {table_} AND (source_id, stream, partition) <> ({', '.join(owner)}) LIMIT 1",
            [table, key.source_id, key.stream, key.partition],
        )
        if others:
            raise DestinationError(
                f"table {table!r}: rows that stream {key.stream!r} of source {key.source_id!r} has deleted cannot be "
                f"distinguished from those of {others[0]!r}, which lands here too: give each its own destination_table"
            )

    def _stored(self, row: tuple[object, ...]) -> StoredState:
        key = StateKey(*(str(part) for part in row[:5]))
        version, text, run_id = int(str(row[5])), str(row[6]), str(row[7])
        try:
            state = json.loads(text)
        except ValueError:
            state = None
        if not isinstance(state, dict):
            raise StateError(
                f"{self._database.location}, table {STATE_TABLE}: the state of source {key.source_id!r}, stream "
                f"{key.stream!r}, partition {key.partition!r} is damaged: it must be a JSON object, and is "
                f"{text[:80]!r}. Correct it, or delete the row to read the stream from its beginning"
            )
        return StoredState(key, version, state, run_id)


def _keeps_row(unit: CommitUnit) -> bool:
    """Whether the unit's state is stored: a state that is not empty, or the empty one of a reset."""
    return bool(unit.state) or unit.reset


def _criteria(key: StateKey) -> dict[str, object]:
    values = (key.source_id, key.source_identity, key.stream, key.partition, key.table)
    return dict(zip(STATE_KEY, values, strict=True))
