# SPDX-License-Identifier: Apache-2.0
"""A transactional destination that keeps its tables in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from ..contract import ConcurrentRunError, DestinationError
from ..parts import (
    DELETED_AT,
    CommitUnit,
    Destination,
    RunRecord,
    StateKey,
    StoredState,
    TableBatch,
    TableOwner,
    TableSnapshot,
    TableSpec,
    WriteMode,
    kept_records,
)
from .arrow_tables import ArrowTables, Row


class MemoryDestination(Destination):
    """Tables in memory, one store for each target name, until the process ends.

    ``MemoryDestination.tables("memory")`` returns the rows that landed, ``schemas`` their types. Use it in the tests of
    a source; use a database to keep data.
    """

    write_modes: frozenset[WriteMode] = frozenset({"append", "upsert", "replace"})
    deletes: bool = True
    transactional: bool = True
    keeps_records: bool = True
    _stores: ClassVar[dict[str, MemoryDestination]] = {}

    def __init__(self, target: str | None = None, *, folder: Path | None = None) -> None:
        super().__init__(target, folder=folder or Path())
        first = self._stores.setdefault(target or "memory", self)
        self.rows: ArrowTables = first.rows if first is not self else ArrowTables()
        self.schemas: dict[str, pa.Schema] = first.schemas if first is not self else {}
        self.states: dict[StateKey, StoredState] = first.states if first is not self else {}
        self.versions: dict[StateKey, int] = first.versions if first is not self else {}
        self.staged: dict[StateKey, list[TableBatch]] = first.staged if first is not self else {}
        self.owners: dict[str, set[StateKey]] = first.owners if first is not self else {}
        self.records: dict[tuple[object, ...], RunRecord] = first.records if first is not self else {}
        self._staged_counts: dict[StateKey, int] = {}  # how many batches this run has staged

    @classmethod
    def tables(cls, target: str = "memory") -> dict[str, list[Row]]:
        """The rows of a target, by table."""
        return cls(target).rows

    @classmethod
    def clear(cls, target: str = "memory") -> None:
        """Delete the tables and states of a target."""
        cls._stores.pop(target, None)

    def identity(self) -> str:
        return f"memory {self.target or 'memory'}"

    def load_states(self, source_id: str) -> list[StoredState]:
        return [state for key, state in self.states.items() if key.source_id == source_id]

    def load_owners(self) -> list[TableOwner]:
        return [TableOwner(table, key) for table, keys in self.owners.items() for key in sorted(keys, key=str)]

    def remove_owner(self, key: StateKey) -> None:
        for keys in self.owners.values():
            keys.discard(replace(key, partition=""))

    def has_table(self, name: str) -> bool:
        return name in self.rows

    def count_rows(self, name: str) -> int:
        return sum(not row.get(DELETED_AT) for row in self.rows.get(name, ()))

    def columns(self, name: str) -> dict[str, str] | None:
        schema = self.schemas.get(name)
        return None if schema is None else {field.name: str(field.type) for field in schema}

    def column_types(self, spec: TableSpec) -> dict[str, str]:
        return {field.name: str(field.type) for field in spec.schema or () if not pa.types.is_null(field.type)}

    def first_values(self, table: str, column: str, count: int) -> list[Any]:
        return [row.get(column) for row in self.rows.get(table, ())][:count]

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        self.staged.setdefault(key, []).extend(batches)
        self._staged_counts[key] = max(0, self._staged_counts.get(key, 0)) + len(batches)

    def discard(self, key: StateKey) -> None:
        for staged in {*self.staged, *self._staged_counts}:
            if staged == key or (key.partition == "*" and _stream(staged) == _stream(key)):
                self._unstage(staged)

    def has_staged(self, key: StateKey, run_id: str) -> bool:
        return key in self.staged

    def commit(self, unit: CommitUnit) -> int:
        batches = _merge_keys([*self._staged_batches(unit.key), *unit.batches])
        changes = self.rows.landed(batches)
        for batch in batches:
            self._update_schema(batch.table, batch.data.schema if batch.kind == "rows" else None)
        version = self._store_state(unit)
        for name in {batch.table.name for batch in batches}:
            self._own(name, unit.key, alone=name not in self.rows)
        self.rows.put(changes)
        self.rows_swept = changes.rows_swept
        self._unstage(unit.key)
        if unit.record is not None:
            self._record(replace(unit.record, rows_deleted=unit.record.rows_deleted + self.rows_swept))
        return version

    def publish(self, snapshot: TableSnapshot) -> list[int]:
        staged = [batch for unit in snapshot.units for batch in _merge_keys(self._staged_batches(unit.key))]
        changes = self.rows.landed(staged, published=[table.name for table in snapshot.tables])
        for table in snapshot.tables:
            self._update_schema(table, None)
        for batch in staged:
            self._update_schema(batch.table, batch.data.schema if batch.kind == "rows" else None)
        versions = [self._store_state(unit) for unit in snapshot.units]
        if snapshot.owner is not None:
            for table in snapshot.tables:
                self._own(table.name, snapshot.owner, alone=True)
        self.rows.put(changes)
        for unit in snapshot.units:
            if self.staged.pop(unit.key, None):
                self._staged_counts[unit.key] = -1  # publishing the same snapshot again is refused, and not empty
        if snapshot.record is not None:
            self._record(snapshot.record)
        return versions

    def undo(self, units: Sequence[CommitUnit], table: str, run_id: str, rows: int) -> None:
        kept = [row for row in self.rows.get(table, ()) if row.get("_vdk_run_id") != run_id]
        if len(self.rows.get(table, ())) - len(kept) != rows:
            raise DestinationError(
                f"table {table!r}: run {run_id} has landed {rows:,} rows, and other rows are there now"
            )
        for unit in units:
            self._store_state(unit)
        self.rows[table] = kept

    def record_runs(self, records: Sequence[RunRecord]) -> None:
        for record in records:
            self._record(record)
        kept = kept_records(list(self.records.values()))
        self.records.clear()
        for record in kept:
            self._record(record)

    def load_records(self, source_ids: Sequence[str]) -> list[RunRecord]:
        return [record for record in kept_records(list(self.records.values())) if record.source_id in source_ids]

    def _record(self, record: RunRecord) -> None:
        self.records[record.key] = record

    def _own(self, table: str, key: StateKey, *, alone: bool) -> None:
        earlier = set() if alone else self.owners.get(table, set())
        self.owners[table] = {*earlier, replace(key, partition="")}

    def _update_schema(self, table: TableSpec, landed: pa.Schema | None) -> None:
        """Add the columns to the schema of a table, each with its latest type. Arrow's null type is that of a column
        without a value, so any other type replaces it, and it replaces no other.
        """
        schemas = (self.schemas.get(table.name), table.schema, landed)
        fields: dict[str, pa.Field] = {}
        for field in (field for schema in schemas for field in schema or ()):
            if field.name not in fields or not pa.types.is_null(field.type):
                fields[field.name] = field
        self.schemas[table.name] = pa.schema(list(fields.values()))

    def _staged_batches(self, key: StateKey) -> list[TableBatch]:
        """The batches that this run staged. Raises ``ConcurrentRunError`` if another run has changed them."""
        staged = self.staged.get(key, [])
        if len(staged) != self._staged_counts.get(key, 0):
            raise ConcurrentRunError(f"another run changed the rows that this run staged for {key}: run it again")
        return staged

    def _unstage(self, key: StateKey) -> None:
        self.staged.pop(key, None)
        self._staged_counts.pop(key, None)

    def _store_state(self, unit: CommitUnit) -> int:
        stored = self.states.get(unit.key)
        version = stored.version if stored is not None else 0
        if version != unit.version:
            raise ConcurrentRunError(
                f"the state of {unit.key} has version {version}, expected {unit.version} as this run has read: run it "
                "again"
            )
        if unit.state is None:
            return version
        if not unit.state and not unit.reset:
            self.states.pop(unit.key, None)
            return 0
        new = self.versions[unit.key] = self.versions.get(unit.key, 0) + 1  # continues the count of a deleted state
        self.states[unit.key] = StoredState(unit.key, new, unit.state, unit.run_id)
        return new


def _stream(key: StateKey) -> tuple[str, str, str]:
    return key.source_id, key.stream, key.table


def _merge_keys(batches: list[TableBatch]) -> list[TableBatch]:
    """Merge consecutive batches of keys of one table."""
    merged: list[TableBatch] = []
    for batch in batches:
        if merged and batch.kind == "keys" == merged[-1].kind and batch.table.name == merged[-1].table.name:
            batch = TableBatch(batch.table, "keys", pa.concat_tables([merged.pop().data, batch.data]))
        merged.append(batch)
    return merged
