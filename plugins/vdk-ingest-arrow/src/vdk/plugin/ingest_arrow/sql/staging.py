"""Rows set aside until the state that covers them comes, or until a snapshot is whole.

Each run of batches of one kind for one table is a *segment*: a table of its own, and a row of
``_vdk_datasource_staging`` that says whose it is, so that what a killed run leaves behind is found again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vdk.plugin.datasource_base.contract import ConcurrentRunError, DestinationError
from vdk.plugin.datasource_base.parts import BatchKind, CommitUnit, StateKey, TableSpec

from .incoming import Incoming
from .names import STAGED_PREFIX, STAGING_TABLE
from .tables import Tables

ALL_PARTITIONS = "*"
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
    """Some staged rows or deletes. ``spec`` is the table they are for, without its declared columns."""

    table: str
    spec: TableSpec
    kind: BatchKind
    position: int


class Staging:
    """The table ``_vdk_datasource_staging`` and the tables it names."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._database = tables.database
        self._rows = tables.database.rows

    @property
    def _registry(self) -> str:
        return self._database.path(STAGING_TABLE)

    def prepare(self) -> None:
        """Make the registry where it is missing."""
        if self._database.columns(STAGING_TABLE) is not None:
            return
        types = self._database.types
        self._rows(
            f"CREATE TABLE IF NOT EXISTS {self._registry} ("
            + ", ".join(f"{name} {types.big if name == 'position' else types.text} NOT NULL" for name in _COLUMNS)
            + f", staged_at {types.zoned} NOT NULL)"
        )

    def add(self, key: StateKey, spec: TableSpec, kind: BatchKind, incoming: Incoming, run_id: str) -> str:
        """Set rows aside behind those that are already. Returns the table they are in.

        Staged upserts replace each other by key at once, so that a segment has every key once.
        """
        segments = [segment for segment in self.segments(key, run_id) if segment.spec.name == spec.name]
        last = segments[-1] if segments else None
        if last is not None and last.kind == kind:
            table = last.table
        else:
            table = f"{STAGED_PREFIX}{uuid.uuid4().hex}"
            self._register(key, spec, kind, run_id, last.position + 1 if last else 0, table)
        upsert = spec.write_mode == "upsert" and kind == "rows"
        aside = replace(
            spec,
            write_mode="upsert" if upsert else "append",
            schema=spec.schema if kind == "rows" else None,
            evolve=True,  # what may change is decided where the rows land
        )
        self._tables.land(aside, "rows", incoming, into=table)
        return table

    def _register(
        self, key: StateKey, spec: TableSpec, kind: BatchKind, run_id: str, position: int, table: str
    ) -> None:
        landing = json.dumps([spec.write_mode, spec.primary_key, spec.soft_deletes, spec.evolve])
        whose = [key.source_id, key.stream, key.partition, key.table, run_id]
        self._rows(
            f"INSERT INTO {self._registry} ({', '.join(_COLUMNS)}, staged_at) "
            f"VALUES ({', '.join(self._database.numbered(len(_COLUMNS)))}, {self._database.now})",
            [*whose, position, spec.name, kind, landing, table],
        )

    def hold(self, key: StateKey) -> None:
        """Until the transaction ends, no other run stages or drops rows of this stream: it would drop a table between
        the moments in which this run finds it and lands it."""
        self._database.hold("\0".join([STAGING_TABLE, key.source_id, key.stream, key.table]))

    def segments(self, key: StateKey, run_id: str | None = None) -> list[Segment]:
        """What is staged for a key, in order; of one run, or of any."""
        wanted: dict[str, object] = {"source_id": key.source_id, "stream": key.stream, "destination_table": key.table}
        if key.partition != ALL_PARTITIONS:
            wanted["partition"] = key.partition
        if run_id is not None:
            wanted["run_id"] = run_id
        parameters = zip(wanted, self._database.numbered(len(wanted)), strict=True)
        where = " AND ".join(f"{name} = {parameter}" for name, parameter in parameters)
        rows = self._rows(
            f"SELECT staged_table, target_table, kind, landing, position FROM {self._registry} WHERE {where} "
            "ORDER BY partition, target_table, position",
            list(wanted.values()),
        )
        return [_segment(*row) for row in rows]

    def segments_of(self, units: Sequence[CommitUnit]) -> list[list[Segment]]:
        """What the run of each unit has staged for its key. The units are those of one stream, in one run."""
        if len(units) == 1:
            return [self.segments(units[0].key, units[0].run_id)]
        if not units:
            return []
        key = units[0].key
        values = [key.source_id, key.stream, key.table, units[0].run_id]
        names = ("source_id", "stream", "destination_table", "run_id")
        where = " AND ".join(f"{a} = {b}" for a, b in zip(names, self._database.numbered(4), strict=True))
        rows = self._rows(
            f"SELECT partition, staged_table, target_table, kind, landing, position FROM {self._registry} "
            f"WHERE {where} ORDER BY partition, target_table, position",
            values,
        )
        found: dict[str, list[Segment]] = {}
        for partition, *row in rows:
            found.setdefault(partition, []).append(_segment(*row))
        return [found.get(unit.key.partition, []) for unit in units]

    def expect(self, key: StateKey, expected: set[str], segments: Sequence[Segment]) -> None:
        """Raises an error where what this run staged is gone: dropped by another run, or by somebody else."""
        if expected - {segment.table for segment in segments}:
            raise ConcurrentRunError(
                f"source {key.source_id!r}, stream {key.stream!r}, partition {key.partition!r}: rows that this run had "
                f"set aside in {self._database.where} are gone: another run of the same source has begun and "
                "dropped them. Nothing of this commit was kept. Let one run at a time use this source and destination"
            )
        if lost := expected - self._database.traces(expected).keys() if expected else set():
            raise DestinationError(
                f"{self._database.where}: the table {min(lost)!r}, of rows that were set aside for stream "
                f"{key.stream!r}, was dropped by another connection while the run was at work. Nothing of this commit "
                "was kept: run again"
            )

    def drop(self, segment: Segment) -> None:
        """Drop a segment's table, if it still has its name, and forget it."""
        self._tables.drop(segment.table)
        (table,) = self._database.numbered(1)
        self._rows(f"DELETE FROM {self._registry} WHERE staged_table = {table}", [segment.table])

    def columns(self, segment: Segment) -> Incoming:
        """A segment's rows, to land them."""
        columns = self._database.columns(segment.table)
        if columns is None:
            raise DestinationError(
                f"{self._database.where}: the table {segment.table!r}, of rows that were set aside for table "
                f"{segment.spec.name!r}, is gone. Nothing of this commit was kept: run again"
            )
        return Incoming.of_table(self._database.path(segment.table), columns)


def _segment(table: str, target: str, kind: BatchKind, landing: str, position: int) -> Segment:
    write_mode, primary_key, soft_deletes, evolve = json.loads(landing)
    spec = TableSpec(target, write_mode, tuple(primary_key), None, soft_deletes, evolve)
    return Segment(table, spec, kind, position)
