"""States in DuckDB: read, compared and swapped, in the transaction of the rows they cover."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError, StateError
from vdk.plugin.datasource_base.parts import CommitUnit, StateKey, StoredState
from vdk.plugin.datasource_base.parts._destination import FORGOTTEN

from ._duckdb_tables import DuckDBTables
from ._sql import STATE_COLUMNS, STATE_KEY, STATE_TABLE

_MATCH = " AND ".join(f"{name} = ?" for name in STATE_KEY)


class DuckDBStates:
    """The table ``_vdk_datasource_state``."""

    def __init__(self, tables: DuckDBTables) -> None:
        self._tables = tables
        self._rows = tables.connection.rows

    @property
    def _table(self) -> str:
        return self._tables.path(STATE_TABLE)

    def prepare(self) -> None:
        """Make the table where it is missing. Raises ``StateError`` where it is somebody else's.

        Its key is a constraint, unlike those of the data: no state is ever there twice, whoever writes.
        """
        self._rows(
            f"CREATE TABLE IF NOT EXISTS {self._table} ({', '.join(f'{name} VARCHAR NOT NULL' for name in STATE_KEY)}, "
            "version BIGINT NOT NULL, state VARCHAR NOT NULL, run_id VARCHAR NOT NULL, "
            f"updated_at TIMESTAMP WITH TIME ZONE NOT NULL, PRIMARY KEY ({', '.join(STATE_KEY)}))"
        )
        self._check_shape()

    def load(self, source_id: str) -> Sequence[StoredState]:
        """Every state of a source. Raises ``StateError`` for one that is damaged."""
        if self._tables.columns(STATE_TABLE) is None:
            return []
        self._check_shape()
        rows = self._rows(
            f"SELECT {', '.join(STATE_KEY)}, version, state, run_id FROM {self._table} "
            f"WHERE source_id = ? ORDER BY {', '.join(STATE_KEY)}",
            [source_id],
        )
        return [self._stored(row) for row in rows]

    def swap(self, unit: CommitUnit) -> int:
        """Compare the stored version with the unit's and store its state. Returns the version stored now.

        :raises ConcurrentRunError: it is another version.
        """
        key = _values(unit.key)
        found = self._rows(f"SELECT version, run_id FROM {self._table} WHERE {_MATCH}", key)
        version, run_id = found[0] if found else (0, None)
        if version != unit.version:
            raise _concurrent(unit, version, run_id)
        if unit.state is None:
            return unit.version
        if not unit.state:
            if found:
                self._forget(unit, int(version))
            return 0
        new = int(version or self._forgotten()) + 1
        self._store(unit.key, new, _encoded(unit), unit.run_id, there=bool(found))
        return new

    def _forget(self, unit: CommitUnit, version: int) -> None:
        """Delete a state, and keep its version: no state that is made anew may come to have it again."""
        self._rows(f"DELETE FROM {self._table} WHERE {_MATCH}", _values(unit.key))
        highest = self._forgotten()
        self._store(FORGOTTEN, max(highest, version), "{}", unit.run_id, there=highest > 0)

    def _forgotten(self) -> int:
        """The highest version of the states that were forgotten; 0: none was."""
        found = self._rows(f"SELECT version FROM {self._table} WHERE {_MATCH}", _values(FORGOTTEN))
        return int(found[0][0]) if found else 0

    def _store(self, key: StateKey, version: int, state: str, run_id: str, *, there: bool) -> None:
        values = [version, state, run_id]
        if there:
            self._rows(
                f"UPDATE {self._table} SET version = ?, state = ?, run_id = ?, updated_at = now() WHERE {_MATCH}",
                [*values, *_values(key)],
            )
            return
        marks = ", ".join("?" * (len(STATE_KEY) + len(values)))
        self._rows(
            f"INSERT INTO {self._table} ({', '.join(STATE_COLUMNS)}) VALUES ({marks}, now())", [*_values(key), *values]
        )

    def check_alone(self, key: StateKey, table: str) -> None:
        """Refuse to delete what is not among a partition's keys where others land rows in the same table.

        :raises DestinationError: naming one of them.
        """
        others = self._rows(
            f"SELECT source_id, stream, partition FROM {self._table} WHERE destination_table = ? AND "
            "(source_id, stream, partition) <> (?, ?, ?) LIMIT 1",
            [table, key.source_id, key.stream, key.partition],
        )
        if others:
            raise DestinationError(
                f"table {table!r}: rows whose keys stream {key.stream!r} of source {key.source_id!r} does not have any "
                f"more cannot be told from those of others: {others[0]!r} lands there too. Give each a table of its own"
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
                f"{self._tables.connection.path}, table {STATE_TABLE}: the state of source {key.source_id!r}, stream "
                f"{key.stream!r}, partition {key.partition!r} is damaged: it is no JSON object but {text[:80]!r}. "
                "Correct it, or delete the row: the stream is then read from its beginning"
            )
        return StoredState(key, version, state, run_id)

    def _check_shape(self) -> None:
        columns = self._tables.columns(STATE_TABLE) or {}
        if missing := [name for name in STATE_COLUMNS if name not in columns]:
            raise StateError(
                f"{self._tables.connection.path}, table {STATE_TABLE}: the columns {missing} are missing, so it was "
                "made by something else or by another version. Rename it, or name another database"
            )


def _values(key: StateKey) -> list[object]:
    return [key.source_id, key.source_identity, key.stream, key.partition, key.table]


def _encoded(unit: CommitUnit) -> str:
    try:
        return json.dumps(unit.state, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DestinationError(
            f"stream {unit.key.stream!r}, partition {unit.key.partition!r}: the state is no JSON: {error}"
        ) from error


def _concurrent(unit: CommitUnit, version: int, run_id: str | None) -> ConcurrentRunError:
    there = f"version {version}, by the run {run_id!r}" if run_id is not None else "none"
    return ConcurrentRunError(
        f"source {unit.key.source_id!r}, stream {unit.key.stream!r}, partition {unit.key.partition!r}: the run "
        f"{unit.run_id!r} continues from version {unit.version} of the state, but what is stored is {there}. Another "
        "run was at work on the same data, and nothing of this commit was kept. Let one run at a time use this source "
        "and destination, and start again: it continues from what is stored"
    )
