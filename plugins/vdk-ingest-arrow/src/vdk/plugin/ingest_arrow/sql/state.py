"""States: read, compared and swapped, in the transaction of the rows they cover."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError, StateError
from vdk.plugin.datasource_base.parts import TOMBSTONE, CommitUnit, StateKey, StoredState

from .database import Database, SerializationConflict
from .names import STATE_COLUMNS, STATE_KEY, STATE_TABLE

_AT_ONCE = 250
"""States that one statement is for. SQLite's limit of parameters is 32,766, PostgreSQL's 65,535."""


class States:
    """The table ``_vdk_datasource_state``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = database.rows

    @property
    def _table(self) -> str:
        return self._database.path(STATE_TABLE)

    def prepare(self) -> None:
        """Make the table where it is missing. Raises ``StateError`` where it is somebody else's.

        Its key is a constraint, unlike those of the data: no state is ever there twice, whoever writes.
        """
        if self._database.columns(STATE_TABLE) is None:
            self._make()
        self._check_shape()

    def _make(self) -> None:
        types = self._database.types
        listed = {**dict.fromkeys(STATE_COLUMNS, types.text), "version": types.big, "updated_at": types.zoned}
        self._rows(
            f"CREATE TABLE IF NOT EXISTS {self._table} ("
            + ", ".join(f"{name} {type_} NOT NULL" for name, type_ in listed.items())
            + f", PRIMARY KEY ({', '.join(STATE_KEY)}))"
        )

    def load(self, source_id: str) -> Sequence[StoredState]:
        """Every state of a source. Raises ``StateError`` for one that is damaged."""
        if self._database.columns(STATE_TABLE) is None:
            return []
        self._check_shape()
        rows = self._rows(
            f"SELECT {', '.join(STATE_KEY)}, version, state, run_id FROM {self._table} "
            f"WHERE source_id = {self._database.numbered(1)[0]} ORDER BY {', '.join(STATE_KEY)}",
            [source_id],
        )
        return [self._stored(row) for row in rows]

    def swap_all(self, units: Sequence[CommitUnit]) -> list[int]:
        """Compare the stored version of each unit's state, and store the units' states.

        :param units: of one stream. :returns: the versions stored now.
        :raises ConcurrentRunError: one of them is another.
        """
        found = self._versions(units)
        for unit in units:
            version, run_id = found.get(unit.key.partition, (0, None))
            if version != unit.version:
                raise _concurrent(unit, version, run_id)
        forgotten = 0
        if any(_keeps_row(unit) and not unit.version for unit in units):
            forgotten = self._forgotten()
        versions = []
        for unit in units:
            if unit.state is None:
                versions.append(unit.version)
            elif not _keeps_row(unit):
                versions.append(0)
                if unit.key.partition in found:
                    self._forget(unit, unit.version)
            else:
                versions.append((unit.version or forgotten) + 1)
        self._store_all(
            [
                (unit, version, _encoded(unit), unit.key.partition in found)
                for unit, version in zip(units, versions, strict=True)
                if _keeps_row(unit)
            ]
        )
        return versions

    def _versions(self, units: Sequence[CommitUnit]) -> dict[str, tuple[int, str]]:
        """Partition → version and run, of the states that are stored. The rows are held until the transaction ends."""
        found: dict[str, tuple[int, str]] = {}
        for start in range(0, len(units), _AT_ONCE):
            some = units[start : start + _AT_ONCE]
            key = some[0].key
            same = [key.source_id, key.source_identity, key.stream, key.table]
            listed = ", ".join(self._database.numbered(len(some), 5))
            names = ("source_id", "source_identity", "stream", "destination_table")
            where = " AND ".join(f"{a} = {b}" for a, b in zip(names, self._database.numbered(4), strict=True))
            rows = self._rows(
                f"SELECT partition, version, run_id FROM {self._table} WHERE {where} AND partition IN ({listed}) "
                f"ORDER BY partition{self._database.for_update}",
                [*same, *(unit.key.partition for unit in some)],
            )
            found.update({row[0]: (int(row[1]), row[2]) for row in rows})
        return found

    def _store_all(self, states: Sequence[tuple[CommitUnit, int, str, bool]]) -> None:
        """Store encoded states with their versions; the last of each says whether there is one already."""
        for unit, version, state, there in states:
            if there:
                self._store(unit.key, version, state, unit.run_id, there=True)
        new = [one for one in states if not one[3]]
        for start in range(0, len(new), _AT_ONCE):
            some = new[start : start + _AT_ONCE]
            width = len(STATE_KEY) + 3
            rows = ", ".join(
                f"({', '.join(self._database.numbered(width, 1 + width * index))}, {self._database.now})"
                for index in range(len(some))
            )
            done = self._database.changed(
                f"INSERT INTO {self._table} ({', '.join(STATE_COLUMNS)}) VALUES {rows} ON CONFLICT DO NOTHING",
                [value for unit, version, state, _ in some
                 for value in (*_values(unit.key), version, state, unit.run_id)],
            )  # fmt: skip
            if done != len(some):
                raise SerializationConflict(
                    f"{self._database.where}: another run stored the same state at the same moment"
                )

    def _forget(self, unit: CommitUnit, version: int) -> None:
        """Delete a state, and keep its version: no state that is made anew may come to have it again."""
        self._rows(f"DELETE FROM {self._table} WHERE {self._match()}", _values(unit.key))
        highest = self._forgotten()
        self._store(TOMBSTONE, max(highest, version), "{}", unit.run_id, there=highest > 0)

    def _forgotten(self) -> int:
        """The highest version of the states that were forgotten; 0: none was."""
        found = self._rows(f"SELECT version FROM {self._table} WHERE {self._match()}", _values(TOMBSTONE))
        return int(found[0][0]) if found else 0

    def _store(self, of: StateKey, version: int, state: str, run_id: str, *, there: bool) -> None:
        key = _values(of)
        if there:
            version_, state_, run_id_ = self._database.numbered(3)
            done = self._database.changed(
                f"UPDATE {self._table} SET version = {version_}, state = {state_}, run_id = {run_id_}, "
                f"updated_at = {self._database.now} WHERE {self._match(4)}",
                [version, state, run_id, *key],
            )
        else:
            listed = ", ".join(self._database.numbered(len(key) + 3))
            done = self._database.changed(
                f"INSERT INTO {self._table} ({', '.join(STATE_COLUMNS)}) VALUES ({listed}, {self._database.now}) "
                "ON CONFLICT DO NOTHING",
                [*key, version, state, run_id],
            )
        if not done:
            raise SerializationConflict(f"{self._database.where}: another run stored the same state at the same moment")

    def _match(self, first: int = 1) -> str:
        parameters = zip(STATE_KEY, self._database.numbered(len(STATE_KEY), first), strict=True)
        return " AND ".join(f"{name} = {parameter}" for name, parameter in parameters)

    def check_alone(self, key: StateKey, table: str) -> None:
        """Refuse to delete what is not among a partition's keys where others land rows in the same table.

        :raises DestinationError: naming one of them.
        """
        landing, *parts = self._database.numbered(4)
        others = self._rows(
            f"SELECT source_id, stream, partition FROM {self._table} WHERE destination_table = {landing} AND "
            f"(source_id, stream, partition) <> ({', '.join(parts)}) LIMIT 1",
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
                f"{self._database.where}, table {STATE_TABLE}: the state of source {key.source_id!r}, stream "
                f"{key.stream!r}, partition {key.partition!r} is damaged: it is no JSON object but {text[:80]!r}. "
                "Correct it, or delete the row: the stream is then read from its beginning"
            )
        return StoredState(key, version, state, run_id)

    def _check_shape(self) -> None:
        columns = self._database.columns(STATE_TABLE) or {}
        if missing := [name for name in STATE_COLUMNS if name not in columns]:
            raise StateError(
                f"{self._database.where}, table {STATE_TABLE}: the columns {missing} are missing, so it was "
                "made by something else or by another version. Rename it, or name another database"
            )


def _keeps_row(unit: CommitUnit) -> bool:
    """Whether the unit's state is stored: one that is not empty, and the empty one that a reset leaves."""
    return bool(unit.state) or unit.reset


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
