"""A destination that keeps everything in memory: small, transactional, and forgetful on purpose."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from ..contract import ConcurrentRunError, DestinationError
from ..parts import (
    DELETED_AT,
    CommitUnit,
    Destination,
    StateKey,
    StoredState,
    TableBatch,
    TableSnapshot,
    TableSpec,
    WriteMode,
)
from ..parts.rows import rows_of

Row = dict[str, Any]


class MemoryDestination(Destination):
    """Tables as lists of rows, one store per target name for as long as the process lives.

    ``MemoryDestination.tables("memory")`` gives what landed; ``schemas`` has the types it landed with. Use it in the
    tests of a source; use a database to keep data.
    """

    write_modes: frozenset[WriteMode] = frozenset({"append", "upsert", "replace"})
    deletes: bool = True
    transactional: bool = True
    _stores: ClassVar[dict[str, MemoryDestination]] = {}

    def __init__(self, target: str | None = None, *, folder: Path | None = None) -> None:
        super().__init__(target, folder=folder or Path())
        first = self._stores.setdefault(target or "memory", self)
        self.rows: dict[str, list[Row]] = first.rows if first is not self else {}
        self.schemas: dict[str, pa.Schema] = first.schemas if first is not self else {}
        self.states: dict[StateKey, StoredState] = first.states if first is not self else {}
        self.versions: dict[StateKey, int] = first.versions if first is not self else {}
        self.staged: dict[StateKey, list[TableBatch]] = first.staged if first is not self else {}
        self._mine: dict[StateKey, int] = {}  # how many batches this run has staged

    @classmethod
    def tables(cls, target: str = "memory") -> dict[str, list[Row]]:
        """The tables of a target: name → rows."""
        return cls(target).rows

    @classmethod
    def clear(cls, target: str = "memory") -> None:
        """Empty a target."""
        cls._stores.pop(target, None)

    def identity(self) -> str:
        return f"memory {self.target or 'memory'}"

    def load_states(self, source_id: str) -> list[StoredState]:
        return [state for key, state in self.states.items() if key.source_id == source_id]

    def has_table(self, name: str) -> bool:
        return name in self.rows

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        self.staged.setdefault(key, []).extend(batches)
        self._mine[key] = max(0, self._mine.get(key, 0)) + len(batches)

    def discard(self, key: StateKey) -> None:
        for one in {*self.staged, *self._mine}:
            if one == key or (key.partition == "*" and _stream(one) == _stream(key)):
                self._forget(one)

    def has_staged(self, key: StateKey, run_id: str) -> bool:
        return key in self.staged

    def commit(self, unit: CommitUnit) -> int:
        rows = copy.deepcopy(self.rows)
        self.rows_swept = 0
        for one in _together([*self._staged(unit.key), *unit.batches]):
            before = len(rows.setdefault(one.table.name, []))
            _land(rows[one.table.name], one)
            self._learn(one.table, one.data.schema if one.kind == "rows" else None)
            self.rows_swept += before - len(rows[one.table.name]) if one.kind == "keys" else 0
        version = self._swap(unit)
        self._take(rows)
        self._forget(unit.key)
        return version

    def publish(self, snapshot: TableSnapshot) -> list[int]:
        rows = {**self.rows, **{table.name: [] for table in snapshot.tables}}
        for table in snapshot.tables:
            self._learn(table, None)
        for unit in snapshot.units:
            for one in self._staged(unit.key):
                rows[one.table.name].extend(rows_of(one.data))
                self._learn(one.table, one.data.schema)
        versions = [self._swap(unit) for unit in snapshot.units]
        self._take(rows)
        for unit in snapshot.units:
            if self.staged.pop(unit.key, None):
                self._mine[unit.key] = -1  # the same snapshot again is refused, not published empty
        return versions

    def _learn(self, table: TableSpec, landed: pa.Schema | None) -> None:
        """The columns of a table so far, and what type each had last. Arrow's null type is that of a column which
        waits for a value, so any other one stands before it.
        """
        schemas = (self.schemas.get(table.name), table.schema, landed)
        known: dict[str, pa.Field] = {}
        for one in (field for schema in schemas for field in schema or ()):
            if one.name not in known or not pa.types.is_null(one.type):
                known[one.name] = one
        self.schemas[table.name] = pa.schema(list(known.values()))

    def _staged(self, key: StateKey) -> list[TableBatch]:
        """What this run staged, unless another run of the same flow has meddled with it."""
        staged = self.staged.get(key, [])
        if len(staged) != self._mine.get(key, 0):
            raise ConcurrentRunError(f"what this run staged for {key} was changed by another run at the same time")
        return staged

    def _forget(self, key: StateKey) -> None:
        self.staged.pop(key, None)
        self._mine.pop(key, None)

    def _take(self, rows: dict[str, list[Row]]) -> None:
        self.rows.clear()
        self.rows.update(rows)

    def _swap(self, unit: CommitUnit) -> int:
        stored = self.states.get(unit.key)
        version = stored.version if stored is not None else 0
        if version != unit.version:
            raise ConcurrentRunError(f"state of {unit.key} has version {version}, this run had read {unit.version}")
        if unit.state is None:
            return version
        if not unit.state and not unit.reset:
            self.states.pop(unit.key, None)
            return 0
        new = self.versions[unit.key] = self.versions.get(unit.key, 0) + 1  # goes on where a forgotten state ended
        self.states[unit.key] = StoredState(unit.key, new, unit.state, unit.run_id)
        return new


def _stream(key: StateKey) -> tuple[str, str, str]:
    return key.source_id, key.stream, key.table


def _together(batches: list[TableBatch]) -> list[TableBatch]:
    """Consecutive keys of one table as one slice."""
    joined: list[TableBatch] = []
    for batch in batches:
        if joined and batch.kind == "keys" == joined[-1].kind and batch.table.name == joined[-1].table.name:
            batch = TableBatch(batch.table, "keys", pa.concat_tables([joined.pop().data, batch.data]))
        joined.append(batch)
    return joined


def _land(rows: list[Row], one: TableBatch) -> None:
    data, spec = rows_of(one.data), one.table
    if one.kind == "keys":
        there = {_key(row, spec) for row in data}
        _delete(rows, [row for row in rows if _key(row, spec) not in there and not row.get(DELETED_AT)], spec)
        return
    if one.kind == "deletes":
        _delete(rows, data, spec)
        return
    if spec.write_mode == "upsert":
        keys = {_key(row, spec) for row in data}
        rows[:] = [row for row in rows if _key(row, spec) not in keys]
    elif spec.write_mode == "replace":
        raise DestinationError("a replaced table is published, not committed")
    rows.extend(data)


def _delete(rows: list[Row], keys: list[Row], spec: TableSpec) -> None:
    gone = {_key(row, spec) for row in keys}
    if not spec.soft_deletes:
        rows[:] = [row for row in rows if _key(row, spec) not in gone]
        return
    for row in rows:
        if _key(row, spec) in gone:
            row[DELETED_AT] = dt.datetime.now(dt.UTC)


def _key(row: Row, spec: TableSpec) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in spec.primary_key)
