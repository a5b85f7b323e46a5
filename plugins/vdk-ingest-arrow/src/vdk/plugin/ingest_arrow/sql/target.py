"""A target that is an SQL database: rows and states of a run in one transaction."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import (
    CommitUnit,
    Destination,
    SchemaChange,
    StateKey,
    StoredState,
    TableBatch,
    TableSnapshot,
    TableSpec,
    WriteMode,
)

from ..refused_rows import refusal
from ..values import UnfitValueError, plain_table
from .database import Database
from .incoming import Incoming
from .names import STAGED_PREFIX, STAGING_TABLE, STATE_TABLE, check_distinct, is_reserved
from .staging import ALL_PARTITIONS, Segment, Staging
from .state import States
from .tables import Tables
from .traces import Traces
from .types import Columns

log = logging.getLogger(__name__)
T = TypeVar("T")

_PUBLISHED = ""
"""Is staged nowhere: stands for what was published, so that the same snapshot again is refused, not empty."""


class _Undone(Exception):
    """Ends a transaction that is not to be kept."""


class SqlTarget(Destination):
    """One schema of one database."""

    write_modes = frozenset[WriteMode](("append", "upsert", "replace"))
    deletes = True
    transactional = True
    groups = True

    def __init__(self, target: str | None, *, folder: Path, database: Database) -> None:
        super().__init__(target, folder=folder)
        self._database = database
        self._tables = Tables(database)
        self._states = States(database)
        self._staging = Staging(self._tables)
        self._traces = Traces(database)
        self._staged: dict[StateKey, set[str]] = {}
        self._prepared = False

    def open(self) -> None:
        self._database.open()

    def close(self) -> None:
        self._database.close()
        self._traces.forget()
        self._prepared = False

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        with self._database.translated():
            return self._states.load(source_id)

    def check(self) -> None:
        """Make a table and undo it, which a run needs for tables that are missing and for rows that are set aside."""
        ours = [name for name in (STATE_TABLE, STAGING_TABLE) if self.has_table(name)]
        self._attempt(lambda: [self._database.changed(f"DELETE FROM {self._path(name)} WHERE 1 = 0") for name in ours])
        try:
            self._attempt(self._make_any_table)
        except DestinationError as error:
            if len(ours) < 2:
                raise
            log.warning("%s. Rows can be appended to tables that are there, in units that are one batch", error)
        self._database.check_writable()

    def _path(self, name: str) -> str:
        return self._database.path(name)

    def _make_any_table(self) -> None:
        self._database.make_schema()
        name = f"{STAGED_PREFIX}{uuid.uuid4().hex}"
        self._database.rows(f"CREATE TABLE {self._path(name)} (id {self._database.types.big})")

    def _attempt(self, work: Callable[[], object]) -> None:
        """Run ``work`` in a transaction, and undo it."""

        def undone() -> None:
            work()
            raise _Undone

        with self._database.translated(), suppress(_Undone):
            self._database.transaction(undone)

    def fold(self, name: str) -> str:
        return self._database.fold(name)

    def check_table(self, spec: TableSpec) -> None:
        self._database.check_name(spec.name, "a table named")
        names = spec.schema.names if spec.schema is not None else []
        for name in names:
            self._database.check_column(name, spec.name)
        check_distinct(names, spec.name, self._database.fold)

    def has_table(self, name: str) -> bool:
        try:
            self._database.check_name(name, "a table named")
        except DestinationError:
            return False
        with self._database.translated():
            return self._database.columns(name) is not None

    def commit(self, unit: CommitUnit) -> int:
        return self._commit([unit], unit.batches)[0]

    def commit_group(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        return self._commit(units, batches)

    def _commit(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        for one in batches:
            if one.table.write_mode == "replace":
                raise DestinationError(f"table {one.table.name!r}: a replaced table is staged and published")

        landing = [
            batch for batch in batches if batch.data.num_rows or _has_type(batch.data.schema, batch.table.schema)
        ]

        def land(incoming: Sequence[Incoming]) -> tuple[list[int], int, Mapping[str, Hashable]]:
            self._traces.check({one.table.name for one in landing})
            if any(self._staged.get(unit.key) for unit in units):
                self._staging.hold(units[0].key)
            versions = self._states.swap_all(units)
            names, swept = {one.table.name for one in landing}, 0
            for unit, segments in zip(units, self._staging.segments_of(units), strict=True):
                self._staging.expect(unit.key, self._staged.get(unit.key, set()) - {_PUBLISHED}, segments)
                self._traces.check({one.spec.name for one in segments})
                swept += sum(self._land_segment(unit.key, segment) for segment in segments)
                names |= {one.spec.name for one in segments}
            for one, rows in zip(landing, incoming, strict=True):
                self._tables.land(one.table, one.kind, rows)
            return versions, swept, self._traces.after(names)

        def trial(one: TableBatch, rows: Incoming) -> None:
            self._tables.land(one.table, one.kind, rows)

        versions, self.rows_swept, traces = self._write(landing, land, trial, of=batches)
        self._traces.keep(traces)
        for unit in units:
            self._staged.pop(unit.key, None)
        return versions

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        def aside(incoming: Sequence[Incoming]) -> set[str]:
            self._staging.hold(key)
            self._traces.check(())
            return {
                self._staging.add(key, batch.table, batch.kind, rows, run_id)
                for batch, rows in zip(batches, incoming, strict=True)
            }

        def trial(one: TableBatch, rows: Incoming) -> None:
            self._staging.add(key, one.table, one.kind, rows, run_id)

        given = batches
        batches = [one for one in given if one.data.num_rows or _has_type(one.data.schema, one.table.schema)]
        staged = self._write(batches, aside, trial, of=given)
        self._staged[key] = (self._staged.get(key, set()) | staged) - {_PUBLISHED}

    def discard(self, key: StateKey) -> None:
        def drop(_: Sequence[Incoming]) -> None:
            self._staging.hold(key)
            for segment in self._staging.segments(key):
                self._staging.drop(segment)

        self._write((), drop)
        for mine in list(self._staged):
            same = (mine.source_id, mine.stream, mine.table) == (key.source_id, key.stream, key.table)
            if same and key.partition in (mine.partition, ALL_PARTITIONS):
                del self._staged[mine]

    def has_staged(self, key: StateKey, run_id: str) -> bool:
        with self._database.translated():
            return self._database.columns(STAGING_TABLE) is not None and bool(self._staging.segments(key, run_id))

    def publish(self, snapshot: TableSnapshot) -> list[int]:
        def swap(_: Sequence[Incoming]) -> tuple[list[int], Mapping[str, Hashable]]:
            self._traces.check(())
            if snapshot.units:
                self._staging.hold(snapshot.units[0].key)
            versions = self._states.swap_all(snapshot.units)
            segments = []
            for unit, mine in zip(snapshot.units, self._staging.segments_of(snapshot.units), strict=True):
                self._staging.expect(unit.key, self._staged.get(unit.key, set()), mine)
                segments += mine
            names = {table.name for table in snapshot.tables}
            if stray := sorted({segment.spec.name for segment in segments} - names):
                raise DestinationError(f"rows are staged for the tables {stray}, which are not among those to publish")
            for table in snapshot.tables:
                self._replace(table, [segment for segment in segments if segment.spec.name == table.name])
            return versions, self._traces.after(names, replaced=True)

        versions, traces = self._write((), swap)
        self._traces.keep(traces)
        for unit in snapshot.units:
            if self._staged.get(unit.key):
                self._staged[unit.key] = {_PUBLISHED}
        return versions

    def _land_segment(self, key: StateKey, segment: Segment) -> int:
        """Land what is staged; returns how many rows were deleted since their keys are not among the staged ones."""
        name = segment.spec.name
        swept = 0
        self._database.hold(name)
        if segment.kind == "keys":
            self._states.check_alone(key, name)
            swept = self._tables.keep_only(segment.spec, self._staging.columns(segment))
        elif segment.kind == "rows" and self._database.columns(name) is None:
            self._database.rename(segment.table, name)
        else:
            self._tables.land(segment.spec, segment.kind, self._staging.columns(segment))
        self._staging.drop(segment)
        return swept

    def _replace(self, spec: TableSpec, segments: Sequence[Segment]) -> None:
        """Put a new table in the place of ``spec``'s."""
        self._database.hold(spec.name)
        old = self._database.columns(spec.name)
        new, rest = self._begin_generation(spec, segments, old or {})
        for segment in rest:
            rows = self._staging.columns(segment)
            self._tables.land(replace(segment.spec, write_mode="append"), "rows", rows, into=new)
        if self._database.columns(new) is not None:
            self._keep_columns(spec, old or {}, new)
            self._note_changes(spec, old or {}, self._database.columns(new) or {})
            if old is None:
                self._database.rename(new, spec.name)
            else:
                self._database.put_in_place(new, spec.name)
        for segment in segments:
            self._staging.drop(segment)

    def _begin_generation(
        self, spec: TableSpec, segments: Sequence[Segment], old: Columns
    ) -> tuple[str, Sequence[Segment]]:
        """The table that becomes the new one, and the segments that are not in it yet."""
        declared = self._database.types.declared(spec)
        frozen = not spec.evolve and (old or declared)
        if segments and not frozen:
            return segments[0].table, segments[1:]
        new = f"{STAGED_PREFIX}{uuid.uuid4().hex}"
        self._tables.create(spec, (old or declared) if frozen else (declared or old), into=new)
        return new, segments

    def _keep_columns(self, spec: TableSpec, old: Columns, new: str) -> None:
        """Columns that are declared, or were there before and have no value this time, stay columns."""
        fold = self._database.fold
        present = {fold(name) for name in self._database.columns(new) or {}}
        declared = self._database.types.declared(spec)
        waiting = {field.name for field in spec.schema or () if field.name not in declared}
        kept = {name: type_ for name, type_ in old.items() if name in waiting or not (declared or is_reserved(name))}
        kept |= declared
        missing = {name: type_ for name, type_ in kept.items() if fold(name) not in present}
        self._tables.add_columns(spec, missing, into=new)

    def _note_changes(self, spec: TableSpec, old: Columns, new: Columns) -> None:
        for name, type_ in new.items():
            if old.get(name, type_) != type_:
                self._tables.changes.append(SchemaChange(spec.name, name, old[name], type_))

    def _write(
        self,
        batches: Sequence[TableBatch],
        work: Callable[[Sequence[Incoming]], T],
        trial: Callable[[TableBatch, Incoming], None] | None = None,
        *,
        of: Sequence[TableBatch] = (),
    ) -> T:
        """Run ``work`` in a transaction, with the batches' rows to select from.

        :param trial: lands a part of one slice, to find the rows that are refused.
        :param of: what was given, of which ``batches`` are those that have something to land.
        :raises RefusedRowsError: naming them.
        """
        try:
            return self._written(batches, work)
        except UnfitValueError as error:
            if trial is None:
                raise
            found = refusal(of, lambda part: self._tried(part, trial), error)
            raise found from error.__cause__

    def _tried(self, part: TableBatch, trial: Callable[[TableBatch, Incoming], None]) -> None:
        def undone(incoming: Sequence[Incoming]) -> None:
            trial(part, incoming[0])
            raise _Undone

        with suppress(_Undone):
            self._written([part], undone)

    def _written(self, batches: Sequence[TableBatch], work: Callable[[Sequence[Incoming]], T]) -> T:
        with self._database.translated():
            self._prepare()
            with self._database.readable([self._plain(batch) for batch in batches]) as incoming:

                def attempt() -> T:
                    self._tables.changes.clear()  # of an attempt that was undone
                    return work(incoming())

                result = self._database.transaction(attempt)
        self.schema_changes = tuple(self._tables.changes)
        return result

    def _plain(self, one: TableBatch) -> pa.Table:
        if one.data.num_rows and not one.data.num_columns:
            raise DestinationError(f"table {one.table.name!r}: rows without any column cannot land")
        check_distinct(one.data.schema.names, one.table.name, self._database.fold)
        table = plain_table(one.data, one.table.name)
        self._database.check_values(table)
        return table

    def _prepare(self) -> None:
        if not self._prepared:

            def make() -> Mapping[str, Hashable]:
                self._database.make_schema()
                self._database.hold(STATE_TABLE)
                self._states.prepare()
                self._staging.prepare()
                return self._traces.after((STATE_TABLE, STAGING_TABLE))

            self._traces.keep(self._database.transaction(make))
            self._prepared = True


def _has_type(*schemas: pa.Schema | None) -> bool:
    """Whether a column has a type yet, so that a table can be made."""
    return any(not pa.types.is_null(field.type) for schema in schemas for field in schema or ())
