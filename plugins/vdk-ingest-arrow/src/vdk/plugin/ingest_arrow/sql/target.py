# SPDX-License-Identifier: Apache-2.0
"""A destination that is an SQL database: rows and states are committed in one transaction."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import (
    EXPECTATIONS,
    ColumnChange,
    CommitUnit,
    Comparison,
    ComparisonSpec,
    Destination,
    Expectations,
    RunRecord,
    StateKey,
    StoredState,
    TableBatch,
    TableOwner,
    TableSnapshot,
    TableSpec,
    WriteMode,
    judge,
    quoted,
)

from ..names import OWNER_TABLE, STAGED_PREFIX, STAGING_TABLE, STATE_TABLE, check_distinct, covers
from ..values import RefusedValueError, find_refused_rows, fit_types
from .comparison import SqlComparison
from .database import Database, Incoming
from .facts import SqlTableFacts
from .new_tables import NewTables
from .owner_table import OwnerTable
from .run_table import NotRecorded, RunTable
from .staging import Segment, StagedTables
from .state_table import StateTable
from .tables import TableIdentities, Tables
from .types import Columns
from .undo import delete_run

log = logging.getLogger(__name__)
T = TypeVar("T")

TableIds = Mapping[str, Hashable]
_FRAMEWORK_TABLES = (STATE_TABLE, STAGING_TABLE, OWNER_TABLE)
"""Those that a run needs."""
_PUBLISHED = ""
"""Stands for a published snapshot among the staged tables: the same snapshot again is then refused, not empty."""


class _Rollback(Exception):
    """Ends a transaction that is not committed."""


class SqlTarget(Destination):
    """One schema of one database.

    A batch goes through ``commit_group`` (or ``stage``) and ``_write``, which runs the work in a transaction;
    ``Tables.land`` then makes the table fit and calls ``Database.insert``.
    """

    write_modes = frozenset[WriteMode](("append", "upsert", "replace"))
    deletes = True
    transactional = True
    groups = True
    keeps_records = True
    expectations = frozenset(EXPECTATIONS)

    def __init__(self, target: str | None, *, folder: Path, database: Database) -> None:
        super().__init__(target, folder=folder)
        self._database = database
        self._tables = Tables(database)
        self._states = StateTable(database)
        self._staging = StagedTables(self._tables)
        self._new_tables = NewTables(database, self._tables, self._staging)
        self._owners = OwnerTable(database)
        self._runs = RunTable(database)
        self._identities = TableIdentities(database)
        self._staged: dict[StateKey, set[str]] = {}
        self._rows_before: dict[str, int] = {}  # table → its rows before the run, where that is expected of it
        self._prepared = False

    def open(self) -> None:
        self._database.open()

    def close(self) -> None:
        self._database.close()
        self._identities.clear()
        self._owners.reset()
        self._runs.reset()
        self._rows_before.clear()
        self._prepared = False

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        with self._database.translate_errors():
            return self._states.load(source_id)

    def load_owners(self) -> Sequence[TableOwner]:
        with self._database.translate_errors():
            return self._owners.load()

    def remove_owner(self, key: StateKey) -> None:
        self._write((), lambda _: self._owners.remove(key))

    def fold(self, name: str) -> str:
        return self._database.fold(name)

    def check_table(self, spec: TableSpec) -> None:
        self._database.check_name(spec.name, "a table named")
        names = spec.schema.names if spec.schema is not None else []
        for name in names:
            self._database.check_column(name, spec.name)
        check_distinct(names, spec.name, self._database.fold)

    def has_table(self, name: str) -> bool:
        return self.columns(name) is not None

    def check(self) -> None:
        """Create a table and roll back: a run needs that for tables that are missing and for rows that are staged."""
        existing = [name for name in _FRAMEWORK_TABLES if self.has_table(name)]
        self._try(self._delete_nothing, existing)
        try:
            self._try(self._create_any_table)
        except DestinationError as error:
            if len(existing) < len(_FRAMEWORK_TABLES):
                raise
            log.warning("%s. Rows can be appended to existing tables, in units of one batch", error)
        self._database.check_writable()

    def _delete_nothing(self, tables: Sequence[str]) -> None:
        for name in tables:
            self._database.rows_affected(f"DELETE FROM {self._database.qualified(name)} WHERE 1 = 0")

    def _create_any_table(self) -> None:
        self._database.create_schema()
        name = self._database.qualified(f"{STAGED_PREFIX}{uuid.uuid4().hex}")
        self._database.execute(f"CREATE TABLE {name} (id {self._database.types.bigint})")

    def _try(self, work: Callable[..., object], *arguments: object) -> None:
        """Run ``work`` in a transaction, and roll back."""

        def attempt() -> None:
            work(*arguments)
            raise _Rollback

        with self._database.translate_errors(), suppress(_Rollback):
            self._database.transaction(attempt)

    def count_rows(self, name: str) -> int:
        with self._database.translate_errors():
            return self._tables.count_rows(name)

    def columns(self, name: str) -> Columns | None:
        try:
            self._database.check_name(name, "a table named")
        except DestinationError:
            return None
        with self._database.translate_errors():
            return self._database.columns(name)

    def column_types(self, spec: TableSpec) -> Columns:
        return self._database.types.declared_columns(spec)

    def column_changes(self, spec: TableSpec) -> list[ColumnChange]:
        types = self._database.types
        changes = []
        for change in super().column_changes(spec):
            if change.before is not None:
                widened = [
                    *types.candidates(change.before, change.after),
                    types.fallback_type(change.before, change.after),
                ]
                change = replace(change, after=widened[0])
            if change.before != change.after:
                changes.append(change)
        return changes

    def first_values(self, table: str, column: str, count: int) -> list[object]:
        with self._database.translate_errors():
            relation = self._database.qualified(table)
            return [
                value for (value,) in self._database.execute(f"SELECT {quoted(column)} FROM {relation} LIMIT {count}")
            ]

    def exists(self) -> bool:
        return self._database.exists()

    # Commit.

    def commit(self, unit: CommitUnit) -> int:
        return self._commit([unit], unit.batches)[0]

    def commit_group(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        return self._commit(units, batches)

    def _commit(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        for batch in batches:
            if batch.table.write_mode == "replace":
                raise DestinationError(f"table {batch.table.name!r}: a replaced table is staged and published")
        landing = _landing(batches)
        versions, self.rows_swept, table_ids = self._write_rows(
            landing,
            partial(self._land_units, units, landing),
            self._land_batch,
            given=batches,
            record=units[-1].record,
            rows_swept=lambda landed: landed[1],
        )
        self._identities.remember(table_ids)
        for unit in units:
            self._staged.pop(unit.key, None)
        return versions

    def _land_units(
        self, units: Sequence[CommitUnit], batches: Sequence[TableBatch], incoming: Sequence[Incoming]
    ) -> tuple[list[int], int, TableIds]:
        """Land what is staged for the units, then the batches. Returns the states' versions, and the rows swept."""
        names = {batch.table.name for batch in batches}
        self._identities.check(names)
        self._owners.join(units[0].key, names)
        if any(self._staged.get(unit.key) for unit in units):
            self._staging.lock_stream(units[0].key)
        versions = self._states.compare_and_swap(units)
        self._count_before(units[-1].expect)
        swept = 0
        for unit, segments in zip(units, self._staging.segments_by_unit(units), strict=True):
            self._staging.check_intact(unit.key, self._staged.get(unit.key, set()) - {_PUBLISHED}, segments)
            if segment_names := {segment.spec.name for segment in segments}:
                self._identities.check(segment_names)
                self._owners.join(unit.key, segment_names)
                swept += sum(self._land_segment(unit.key, segment) for segment in segments)
                names |= segment_names
        for batch, rows in zip(batches, incoming, strict=True):
            self._land_batch(batch, rows)
        self._judge(units[-1].expect)
        return versions, swept, self._identities.current(names)

    def _land_batch(self, batch: TableBatch, rows: Incoming) -> None:
        self._tables.land(batch.table, batch.kind, rows)

    def _land_segment(self, key: StateKey, segment: Segment) -> int:
        """Land staged rows; returns how many rows were swept: those whose keys are not among the staged ones."""
        name = segment.spec.name
        swept = 0
        self._database.lock_table(name)
        if segment.kind == "keys":
            self._states.check_sole_writer(key, name)
            swept = self._tables.sweep(segment.spec, self._staging.rows(segment))
        elif segment.kind == "rows" and self._database.columns(name) is None:
            self._database.rename(segment.table, name)
        else:
            self._tables.land(segment.spec, segment.kind, self._staging.rows(segment))
        self._staging.drop(segment)
        return swept

    # Staging.

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        landing = _landing(batches)
        staged = self._write_rows(
            landing,
            partial(self._stage_batches, key, landing, run_id),
            lambda batch, rows: self._staging.add(key, batch.table, batch.kind, rows, run_id),
            given=batches,
        )
        self._staged[key] = (self._staged.get(key, set()) | staged) - {_PUBLISHED}

    def _stage_batches(
        self, key: StateKey, batches: Sequence[TableBatch], run_id: str, incoming: Sequence[Incoming]
    ) -> set[str]:
        """Returns the tables that the rows are staged in."""
        self._staging.lock_stream(key)
        self._identities.check(())
        return {
            self._staging.add(key, batch.table, batch.kind, rows, run_id)
            for batch, rows in zip(batches, incoming, strict=True)
        }

    def has_staged(self, key: StateKey, run_id: str) -> bool:
        with self._database.translate_errors():
            return self._database.columns(STAGING_TABLE) is not None and bool(self._staging.segments(key, run_id))

    def discard(self, key: StateKey) -> None:
        if self._prepared and not self._has_segments(key):
            return  # each stream of a run begins with this
        self._write((), partial(self._drop_staged, key))
        self._staged = {staged: tables for staged, tables in self._staged.items() if not covers(key, staged)}

    def _has_segments(self, key: StateKey) -> bool:
        if any(covers(key, staged) for staged, tables in self._staged.items() if tables):
            return True
        with self._database.translate_errors():
            return bool(self._staging.segments(key))

    def _drop_staged(self, key: StateKey, _: Sequence[Incoming]) -> None:
        self._staging.lock_stream(key)
        for segment in self._staging.segments(key):
            self._staging.drop(segment)

    # Publish.

    def publish(self, snapshot: TableSnapshot) -> list[int]:
        versions, table_ids = self._write((), partial(self._replace_tables, snapshot), record=snapshot.record)
        self._identities.remember(table_ids)
        for unit in snapshot.units:
            if self._staged.get(unit.key):
                self._staged[unit.key] = {_PUBLISHED}
        return versions

    def _replace_tables(self, snapshot: TableSnapshot, _: Sequence[Incoming]) -> tuple[list[int], TableIds]:
        self._identities.check(())
        if snapshot.units:
            self._staging.lock_stream(snapshot.units[0].key)
        versions = self._states.compare_and_swap(snapshot.units)
        self._count_before(snapshot.expect)
        staged: list[Segment] = []
        for unit, segments in zip(snapshot.units, self._staging.segments_by_unit(snapshot.units), strict=True):
            self._staging.check_intact(unit.key, self._staged.get(unit.key, set()), segments)
            staged += segments
        names = {table.name for table in snapshot.tables}
        if stray := sorted({segment.spec.name for segment in staged} - names):
            raise DestinationError(f"rows are staged for the tables {stray}, which are not among those to publish")
        if snapshot.owner is not None:
            self._owners.replace(snapshot.owner, names)
        for table in snapshot.tables:
            self._new_tables.replace(table, [segment for segment in staged if segment.spec.name == table.name])
        self._judge(snapshot.expect)
        return versions, self._identities.current(names, replaced=True)

    # Expectations.

    def check_expectations(self, expected: Expectations) -> None:
        def judge_now() -> None:
            self._count_before(expected)
            self._judge(expected)

        with self._database.translate_errors():
            self._database.transaction(judge_now)

    def _count_before(self, expected: Expectations | None) -> None:
        if expected is not None and expected.table not in self._rows_before:
            self._rows_before[expected.table] = self._tables.count_rows(expected.table)

    def _judge(self, expected: Expectations | None) -> None:
        """Raise ``ExpectationError``, which rolls the transaction back, unless the table meets the expectations."""
        if expected is not None:
            judge(expected, SqlTableFacts(self._tables, expected.table, self._rows_before[expected.table]))

    def undo(self, units: Sequence[CommitUnit], table: str, run_id: str, rows: int) -> None:
        self._write((), lambda _: delete_run(self._database, self._states, units, table, run_id, rows))

    # Transactions.

    def _write_rows(
        self,
        batches: Sequence[TableBatch],
        work: Callable[[Sequence[Incoming]], T],
        land: Callable[[TableBatch, Incoming], object],
        *,
        given: Sequence[TableBatch],
        record: RunRecord | None = None,
        rows_swept: Callable[[T], int] = lambda result: 0,
    ) -> T:
        """``_write``, where the database may refuse some rows.

        :param land: lands a part of one batch, to find the refused rows.
        :param given: all batches, of which ``batches`` are those with something to land.
        :raises RefusedRowsError: naming the rows.
        """
        try:
            return self._write(batches, work, record=record, rows_swept=rows_swept)
        except RefusedValueError as error:
            refused = find_refused_rows(given, partial(self._try_batch, land), error)
            raise refused from error.__cause__

    def _try_batch(self, land: Callable[[TableBatch, Incoming], object], part: TableBatch) -> None:
        """Land a part of a batch, and roll back."""

        def attempt(incoming: Sequence[Incoming]) -> None:
            land(part, incoming[0])
            raise _Rollback

        with suppress(_Rollback):
            self._write([part], attempt)

    def _write(
        self,
        batches: Sequence[TableBatch],
        work: Callable[[Sequence[Incoming]], T],
        *,
        record: RunRecord | None = None,
        rows_swept: Callable[[T], int] = lambda result: 0,
    ) -> T:
        """Run ``work`` in a transaction, with the batches' rows to select from.

        :param record: stored in the same transaction. :param rows_swept: how many rows ``work`` has swept.
        """
        with self._database.translate_errors():
            self._prepare()
            recorded = record is not None and self._runs.prepare()

            def recorded_work(incoming: Sequence[Incoming]) -> T:
                result = work(incoming)
                if record is not None:
                    self._runs.attempt(lambda: self._runs.store(record, rows_swept(result)))
                return result

            with self._database.incoming([self._fitted(batch) for batch in batches]) as incoming:
                try:
                    attempt = partial(self._attempt, recorded_work if recorded else work, incoming)
                    result = self._database.transaction(attempt)
                except NotRecorded as error:
                    self._runs.give_up(error)
                    result = self._database.transaction(partial(self._attempt, work, incoming))
        self.schema_changes = tuple(self._tables.changes)
        self._owners.committed()
        return result

    def _attempt(self, work: Callable[[Sequence[Incoming]], T], incoming: Sequence[Incoming]) -> T:
        self._tables.changes.clear()  # of an attempt that was rolled back
        self._owners.restart()
        for rows in incoming:
            rows.restart()
        return work(incoming)

    def compare(self, spec: ComparisonSpec) -> Comparison:
        return SqlComparison(self._database, spec)

    def record_runs(self, records: Sequence[RunRecord]) -> None:
        self._runs.store_ended(records)

    def load_records(self, source_ids: Sequence[str]) -> Sequence[RunRecord]:
        with self._database.translate_errors():
            return self._runs.load(source_ids)

    def _fitted(self, batch: TableBatch) -> pa.Table:
        """A batch's rows in types that the database has."""
        if batch.data.num_rows and not batch.data.num_columns:
            raise DestinationError(f"table {batch.table.name!r}: rows without any column cannot land")
        check_distinct(batch.data.schema.names, batch.table.name, self._database.fold)
        table = fit_types(batch.data, batch.table.name)
        self._database.check_values(table)
        return table

    def _prepare(self) -> None:
        """Create the framework's tables where they are missing, once."""
        if not self._prepared:
            self._identities.remember(self._database.transaction(self._create_framework_tables))
            self._prepared = True

    def _create_framework_tables(self) -> TableIds:
        self._database.create_schema()
        self._database.lock_table(STATE_TABLE)
        self._states.prepare()
        self._staging.prepare()
        self._owners.prepare()
        return self._identities.current((STATE_TABLE, STAGING_TABLE))


def _landing(batches: Sequence[TableBatch]) -> list[TableBatch]:
    """The batches that have rows, or a column that has a type, so that their table can be created."""
    return [batch for batch in batches if batch.data.num_rows or _has_type(batch.data.schema, batch.table.schema)]


def _has_type(*schemas: pa.Schema | None) -> bool:
    return any(not pa.types.is_null(field.type) for schema in schemas for field in schema or ())
