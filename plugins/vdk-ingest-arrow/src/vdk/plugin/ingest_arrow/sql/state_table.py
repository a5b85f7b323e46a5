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

_CHUNK = 250
"""States in one statement. SQLite's limit of parameters is 32,766, PostgreSQL's 65,535."""


class StateTable:
    """The table ``_vdk_datasource_state``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _table(self) -> str:
        return self._database.qualified(STATE_TABLE)

    def prepare(self) -> None:
        """Create the table where it is missing.

        Its key is a constraint, unlike those of the data: no state is stored twice, whoever writes.

        :raises StateError: a table of this name has other columns.
        """
        if self._database.columns(STATE_TABLE) is None:
            self._create()
        self._check_shape()

    def _create(self) -> None:
        types = self._database.types
        listed = {**dict.fromkeys(STATE_COLUMNS, types.text), "version": types.bigint, "updated_at": types.timestamp_tz}
        self._database.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} ("
            + ", ".join(f"{name} {type_} NOT NULL" for name, type_ in listed.items())
            + f", PRIMARY KEY ({', '.join(STATE_KEY)}))"
        )

    def load(self, source_id: str) -> Sequence[StoredState]:
        """Every state of a source.

        :raises StateError: one of them is damaged.
        """
        if self._database.columns(STATE_TABLE) is None:
            return []
        self._check_shape()
        rows = self._database.execute(
            f"SELECT {', '.join(STATE_KEY)}, version, state, run_id FROM {self._table} "
            f"WHERE source_id = {self._database.placeholders(1)[0]} ORDER BY {', '.join(STATE_KEY)}",
            [source_id],
        )
        return [self._stored(row) for row in rows]

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
        self._store_all(
            [
                (unit, version, encode_state(unit), unit.key.partition in stored)
                for unit, version in zip(units, versions, strict=True)
                if _keeps_row(unit)
            ]
        )
        return versions

    def _versions(self, units: Sequence[CommitUnit]) -> dict[str, tuple[int, str]]:
        """Partition → version and run, of the stored states. Their rows stay locked until the transaction ends."""
        versions: dict[str, tuple[int, str]] = {}
        for start in range(0, len(units), _CHUNK):
            chunk = units[start : start + _CHUNK]
            key = chunk[0].key
            stream = [key.source_id, key.source_identity, key.stream, key.table]
            listed = ", ".join(self._database.placeholders(len(chunk), 5))
            names = ("source_id", "source_identity", "stream", "destination_table")
            parameters = zip(names, self._database.placeholders(4), strict=True)
            condition = " AND ".join(f"{name} = {parameter}" for name, parameter in parameters)
            rows = self._database.execute(
                f"SELECT partition, version, run_id FROM {self._table} WHERE {condition} AND partition IN ({listed}) "
                f"ORDER BY partition{self._database.row_lock}",
                [*stream, *(unit.key.partition for unit in chunk)],
            )
            versions.update({row[0]: (int(row[1]), row[2]) for row in rows})
        return versions

    def _store_all(self, states: Sequence[tuple[CommitUnit, int, str, bool]]) -> None:
        """Store encoded states with their versions; the last item of each says whether it replaces one."""
        for unit, version, state, exists in states:
            if exists:
                self._store(unit.key, version, state, unit.run_id, exists=True)
        new = [state for state in states if not state[3]]
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            width = len(STATE_KEY) + 3
            rows = ", ".join(
                f"({', '.join(self._database.placeholders(width, 1 + width * index))}, {self._database.now})"
                for index in range(len(chunk))
            )
            stored = self._database.rows_affected(
                f"INSERT INTO {self._table} ({', '.join(STATE_COLUMNS)}) VALUES {rows} ON CONFLICT DO NOTHING",
                [value for unit, version, state, _ in chunk
                 for value in (*_values(unit.key), version, state, unit.run_id)],
            )  # fmt: skip
            if stored != len(chunk):
                raise self._conflict()

    def _remove(self, unit: CommitUnit, version: int) -> None:
        """Delete a state, and keep its version: a later state must never get it again."""
        self._database.execute(f"DELETE FROM {self._table} WHERE {self._match()}", _values(unit.key))
        highest = self._removed_version()
        self._store(TOMBSTONE, max(highest, version), "{}", unit.run_id, exists=highest > 0)

    def _removed_version(self) -> int:
        """The highest version among the removed states; 0 without any."""
        rows = self._database.execute(f"SELECT version FROM {self._table} WHERE {self._match()}", _values(TOMBSTONE))
        return int(rows[0][0]) if rows else 0

    def _store(self, key: StateKey, version: int, state: str, run_id: str, *, exists: bool) -> None:
        key_values = _values(key)
        if exists:
            version_, state_, run_id_ = self._database.placeholders(3)
            stored = self._database.rows_affected(
                f"UPDATE {self._table} SET version = {version_}, state = {state_}, run_id = {run_id_}, "
                f"updated_at = {self._database.now} WHERE {self._match(4)}",
                [version, state, run_id, *key_values],
            )
        else:
            listed = ", ".join(self._database.placeholders(len(key_values) + 3))
            stored = self._database.rows_affected(
                f"INSERT INTO {self._table} ({', '.join(STATE_COLUMNS)}) VALUES ({listed}, {self._database.now}) "
                "ON CONFLICT DO NOTHING",
                [*key_values, version, state, run_id],
            )
        if not stored:
            raise self._conflict()

    def _conflict(self) -> SerializationConflict:
        return SerializationConflict(f"{self._database.location}: another run stored the same state at the same moment")

    def _match(self, first: int = 1) -> str:
        parameters = zip(STATE_KEY, self._database.placeholders(len(STATE_KEY), first), strict=True)
        return " AND ".join(f"{name} = {parameter}" for name, parameter in parameters)

    def check_sole_writer(self, key: StateKey, table: str) -> None:
        """Refuse to sweep a table that other partitions or streams land rows in as well.

        :raises DestinationError: naming one of them.
        """
        table_, *owner = self._database.placeholders(4)
        others = self._database.execute(
            f"SELECT source_id, stream, partition FROM {self._table} WHERE destination_table = {table_} AND "
            f"(source_id, stream, partition) <> ({', '.join(owner)}) LIMIT 1",
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

    def _check_shape(self) -> None:
        columns = self._database.columns(STATE_TABLE) or {}
        if missing := [name for name in STATE_COLUMNS if name not in columns]:
            raise StateError(
                f"{self._database.location}, table {STATE_TABLE}: the columns {missing} are missing, so another "
                "program or version created it. Rename it, or name another database or schema"
            )


def _keeps_row(unit: CommitUnit) -> bool:
    """Whether the unit's state is stored: a state that is not empty, or the empty one of a reset."""
    return bool(unit.state) or unit.reset


def _values(key: StateKey) -> list[object]:
    return [key.source_id, key.source_identity, key.stream, key.partition, key.table]
