# SPDX-License-Identifier: Apache-2.0
"""Staged rows: they wait in tables of their own for the state that covers them, or for a complete snapshot.

Consecutive batches of one kind for one table are a *segment*: a table, and a row of ``_vdk_datasource_staging`` that
names its owner, so that the segments of a killed run are found again.

The partitions of a stream that replaces its table share one table, which is then published as it is: rows that are
staged apart would be written twice. From the second partition on the table has ``PART_COLUMN``, with the position of
each row's segment, by which the rows of a partition that is read again are deleted.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import BatchKind, CommitUnit, StateKey, TableSpec

from ..names import ALL_PARTITIONS, PART_COLUMN, STAGED_PREFIX, STAGING_TABLE
from ..state_encoding import staged_rows_dropped
from .database import Incoming
from .framework_table import FrameworkTable
from .tables import Tables

_COLUMNS = (
    "source_id",
    "stream",
    "partition",
    "destination_table",
    "run_id",
    "position",
    "target_table",
    "kind",
    "landing",
    "staged_table",
)


@dataclass(frozen=True, slots=True)
class Segment:
    """Staged rows or deletes in one table.

    :param spec: the table where they will land, without its declared columns.
    :param position: orders the segments of one partition; of those that share a table each has another one.
    """

    table: str
    spec: TableSpec
    kind: BatchKind
    position: int


class StagedTables:
    """The registry ``_vdk_datasource_staging`` and the tables that it names."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._database = tables.database
        self._registry = FrameworkTable(tables.database, STAGING_TABLE, stamp="staged_at")

    def prepare(self) -> None:
        """Create the registry where it is missing."""
        if self._registry.columns() is None:
            types = self._database.types
            self._registry.create({**dict.fromkeys(_COLUMNS, types.text), "position": types.bigint})

    def add(self, key: StateKey, spec: TableSpec, kind: BatchKind, incoming: Incoming, run_id: str) -> str:
        """Stage rows after those that are staged already. Returns the table that they are in.

        A staged upsert replaces earlier ones of the same key at once, so that a segment has every key once.
        """
        segments = [segment for segment in self.segments(key, run_id) if segment.spec.name == spec.name]
        last = segments[-1] if segments else None
        if last is not None and last.kind == kind:
            table, position = last.table, last.position
        else:
            shared = self._shared(key, spec, run_id) if last is None and self._may_share(spec, kind) else None
            table, position = shared or (f"{STAGED_PREFIX}{uuid.uuid4().hex}", last.position + 1 if last else 0)
            self._register(key, spec, kind, run_id, position, table)
        if self._may_share(spec, kind) and PART_COLUMN in (self._database.columns(table) or {}):
            incoming = incoming.with_constant(PART_COLUMN, position, self._database.types.bigint)
        upsert = spec.write_mode == "upsert" and kind == "rows"
        staged_spec = replace(
            spec,
            write_mode="upsert" if upsert else "append",
            schema=spec.schema if kind == "rows" else None,
            evolve=True,  # the rows' own table decides which types may change
        )
        self._tables.land(staged_spec, "rows", incoming, into=table)
        return table

    def _may_share(self, spec: TableSpec, kind: BatchKind) -> bool:
        return kind == "rows" and spec.write_mode == "replace" and self._database.drops_columns

    def _shared(self, key: StateKey, spec: TableSpec, run_id: str) -> tuple[str, int] | None:
        """The table where other partitions have staged rows of the same table, and the position after theirs."""
        rows = self._registry.select(
            ("staged_table", "position"),
            {
                "source_id": key.source_id,
                "stream": key.stream,
                "destination_table": key.table,
                "run_id": run_id,
                "target_table": spec.name,
                "kind": "rows",
                "landing": _landing(spec),
            },
            order=("position",),
        )
        if not rows:
            return None
        table, position = rows[-1]
        columns = self._database.columns(table)
        if columns is None:  # somebody has dropped it, which publication finds
            return None
        if PART_COLUMN not in columns:  # then all of its rows are those of one segment
            self._database.add_columns(table, {PART_COLUMN: f"{self._database.types.bigint} DEFAULT {position}"})
        return table, position + 1

    def _register(
        self, key: StateKey, spec: TableSpec, kind: BatchKind, run_id: str, position: int, table: str
    ) -> None:
        owner = (key.source_id, key.stream, key.partition, key.table, run_id)
        self._registry.insert(_COLUMNS, [(*owner, position, spec.name, kind, _landing(spec), table)])

    def lock_stream(self, key: StateKey) -> None:
        """Keep other runs from staging or dropping rows of this stream until the transaction ends: one could drop a
        table after this run has looked it up and before it lands it."""
        self._database.lock_table("\0".join([STAGING_TABLE, key.source_id, key.stream, key.table]))

    def segments(self, key: StateKey, run_id: str | None = None) -> list[Segment]:
        """The segments of a key, in order; of one run, or of all."""
        return [segment for _, segment in self._select(key, key.partition, run_id)]

    def segments_by_unit(self, units: Sequence[CommitUnit]) -> list[list[Segment]]:
        """For each unit, the segments that its run has staged for its key. All units are of one stream and one run."""
        if not units:
            return []
        partition = units[0].key.partition if len(units) == 1 else ALL_PARTITIONS
        by_partition: dict[str, list[Segment]] = {}
        for partition_, segment in self._select(units[0].key, partition, units[0].run_id):
            by_partition.setdefault(partition_, []).append(segment)
        return [by_partition.get(unit.key.partition, []) for unit in units]

    def _select(self, key: StateKey, partition: str, run_id: str | None) -> list[tuple[str, Segment]]:
        """The segments of a stream, in order, each with its partition."""
        criteria: dict[str, object] = {"source_id": key.source_id, "stream": key.stream, "destination_table": key.table}
        if partition != ALL_PARTITIONS:
            criteria["partition"] = partition
        if run_id is not None:
            criteria["run_id"] = run_id
        columns = ("partition", "staged_table", "target_table", "kind", "landing", "position")
        rows = self._registry.select(columns, criteria, order=("partition", "target_table", "position"))
        return [(partition_, _segment(*row)) for partition_, *row in rows]

    def check_intact(self, key: StateKey, expected: set[str], segments: Sequence[Segment]) -> None:
        """Check that everything that this run has staged still exists.

        :raises ConcurrentRunError: another run has dropped some of it. :raises DestinationError: somebody else has.
        """
        if expected - {segment.table for segment in segments}:
            raise staged_rows_dropped(key, self._database.location)
        if lost := expected - self._database.table_ids(expected).keys() if expected else set():
            raise DestinationError(
                f"{self._database.location}: the table {min(lost)!r}, of rows staged for stream {key.stream!r}, was "
                "dropped by another connection during the run. Nothing of this commit was kept: run again"
            )

    def drop(self, segment: Segment) -> None:
        """Drop a segment's table, or delete its rows from a table that others share, and its row of the registry."""
        if len(self._registry.select(("position",), {"staged_table": segment.table})) > 1:
            self._database.execute(
                f"DELETE FROM {self._database.qualified(segment.table)} WHERE {PART_COLUMN} = {segment.position}"
            )
            self._registry.delete({"staged_table": segment.table, "position": segment.position})
        else:
            self.drop_tables([segment])

    def drop_tables(self, segments: Sequence[Segment]) -> None:
        """Drop the segments' tables, where they still exist under these names, whatever else is in them."""
        for table in dict.fromkeys(segment.table for segment in segments):
            self._tables.drop(table)
            self._registry.delete({"staged_table": table})

    def only(self, segments: Sequence[Segment]) -> str:
        """The table that segments share, with no rows and columns but theirs."""
        table = segments[0].table
        if PART_COLUMN in (self._database.columns(table) or {}):
            name = self._database.qualified(table)
            positions = ", ".join(str(segment.position) for segment in segments)
            self._database.execute(f"DELETE FROM {name} WHERE {PART_COLUMN} NOT IN ({positions})")
            self._database.execute(f"ALTER TABLE {name} DROP COLUMN {PART_COLUMN}")
        return table

    def rows(self, segment: Segment) -> Incoming:
        """A segment's rows, to land them."""
        columns = self._database.columns(segment.table)
        if columns is None:
            raise DestinationError(
                f"{self._database.location}: the table {segment.table!r}, of rows staged for table "
                f"{segment.spec.name!r}, does not exist any more. Nothing of this commit was kept: run again"
            )
        relation = self._database.qualified(segment.table)
        if PART_COLUMN in columns:
            columns = {name: type_ for name, type_ in columns.items() if name != PART_COLUMN}
            relation = f"(SELECT * FROM {relation} WHERE {PART_COLUMN} = {segment.position})"
        return Incoming.of_table(relation, columns)


def _landing(spec: TableSpec) -> str:
    """How rows land, for the registry."""
    return json.dumps([spec.write_mode, spec.primary_key, spec.soft_deletes, spec.evolve])


def _segment(table: str, target: str, kind: BatchKind, landing: str, position: int) -> Segment:
    write_mode, primary_key, soft_deletes, evolve = json.loads(landing)
    spec = TableSpec(target, write_mode, tuple(primary_key), None, soft_deletes, evolve)
    return Segment(table, spec, kind, position)
