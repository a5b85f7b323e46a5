# SPDX-License-Identifier: Apache-2.0
"""The interface of destinations, and what they are given: rows and state that land together.

Only one thread, the writer, uses a destination, so it needs no locks. The runtime reads partitions in
parallel and passes what is ready as *commit units*: consecutive payloads of one partition, and the
state that covers them.

A destination is looked up by the name of its method (entry-point group ``vdk.datasource.destinations``) and
created as ``Destination(target, folder=…)``: the flow's target, and the base of relative paths. The entry point names
the class, or a function with these parameters that returns a destination.

A complete destination, in memory, is ``vdk.plugin.datasource_base.testing.MemoryDestination``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from ..contract import DestinationError, State
from .comparison import Comparison, ComparisonSpec
from .expectations import Expectations
from .run_records import RunRecord

WriteMode = Literal["append", "upsert", "replace"]
BatchKind = Literal["rows", "deletes", "keys"]
ColumnAction = Literal["keep", "hash", "mask", "drop", "refuse"]
"""What a flow's ``columns`` says of a column."""

RESERVED_PREFIX = "_vdk_"
"""Columns and tables with this prefix belong to the framework."""
DELETED_AT = "_vdk_deleted_at"
"""The time at which a row was reported as deleted: set by soft deletes, and by deletes that are appended."""

LANDING_COLUMNS = frozenset(
    {DELETED_AT, *(f"{RESERVED_PREFIX}{name}" for name in ("synced_at", "run_id", "source", "stream"))}
)
"""Columns that describe how a row has landed. A source that reads what landed leaves them out."""


@dataclass(frozen=True, slots=True)
class StateKey:
    """The partition that a state belongs to. ``table`` is the stream's own table at the destination."""

    source_id: str
    source_identity: str
    stream: str
    partition: str
    table: str

    @property
    def place(self) -> str:
        """As errors name it; a stream that is not split has the partition of no name."""
        partition = f", partition {self.partition!r}" if self.partition else ""
        return f"source {self.source_id!r}, stream {self.stream!r}{partition}"


TOMBSTONE = StateKey("", "", "", "", "")
"""Under this key, which no source can have, a store may keep the highest version of the states that were reset."""


@dataclass(frozen=True, slots=True)
class StoredState:
    """A state as it is stored, and the run that wrote it.

    ``version`` grows by one with each commit and is never reused: a state that is created again after a reset begins
    above every version before the reset. Otherwise a run that still holds the old version would overwrite the new
    state.
    """

    key: StateKey
    version: int
    state: State
    run_id: str


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table at the destination, and how rows land in it.

    :param name: any text; a destination quotes it.
    :param write_mode: how rows land.
    :param primary_key: empty under ``append``; never empty under ``upsert``.
    :param schema: the declared columns; None: the columns of the rows. A column of Arrow's null type has no value yet:
        it is created with its first value, and an existing column stays.
    :param soft_deletes: under ``upsert``, deleted rows stay and get ``_vdk_deleted_at``.
    :param evolve: columns may change their type; otherwise a new type is refused. New columns are
        added either way.
    """

    name: str
    write_mode: WriteMode
    primary_key: tuple[str, ...] = ()
    schema: pa.Schema | None = None
    soft_deletes: bool = False
    evolve: bool = True


@dataclass(frozen=True, slots=True)
class TableOwner:
    """A stream whose rows are in a table.

    :param table: the name of the table.
    :param key: the stream, with an empty partition; ``key.table`` is its own table.
    """

    table: str
    key: StateKey


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """A column whose type changed; the types are spelled as the destination spells them.

    :param after: None: the table was replaced, and has no such column any more.
    """

    table: str
    column: str
    before: str
    after: str | None

    @property
    def text(self) -> str:
        changed = "is gone" if self.after is None else f"changed its type from {self.before} to {self.after}"
        return f"column {self.column!r} of table {self.table!r} {changed}"

    def as_dict(self) -> dict[str, str | None]:
        return {"table": self.table, "column": self.column, "from": self.before, "to": self.after}


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A declared column that a run would add, or whose type it would change; types as the destination spells them.

    :param before: None: the table has no such column.
    """

    column: str
    before: str | None
    after: str

    def as_dict(self) -> dict[str, str | None]:
        return {"column": self.column, "from": self.before, "to": self.after}


@dataclass(frozen=True, slots=True)
class TableBatch:
    """Consecutive rows (or deleted keys, or all keys of the source) for one table.

    Row data has any subset of the table's columns, in any order. The data of ``deletes`` has the
    primary key columns. Under ``upsert`` no key is NULL, and none is repeated.
    Under ``append``, deletes arrive as rows, with ``_vdk_deleted_at`` already set.
    ``keys`` are always staged before they are committed: consecutive batches of them for a table belong together, and
    the rows of the table whose key is in none of them are deleted.
    Types are scalar Arrow types, as ``normalize_types`` makes them, so a destination does not do it again: text and
    bytes have one type each, nothing is dictionary- or run-end-encoded, nested values arrive as ``JSON_TYPE``, which is
    the only extension type, and UUIDs as text.
    """

    table: TableSpec
    kind: BatchKind
    data: pa.Table


@dataclass(frozen=True, slots=True)
class CommitUnit:
    """What lands in one transaction: batches in their order, and the state after them.

    :param state: None: the partition's state is unchanged. ``{}``: it is reset.
    :param version: of the state that this run expects to be stored; 0: none.
    :param reset: ``state`` is ``{}`` and is stored as such, with its own version: the next run reads from the
        beginning, and knows that rows of the stream have landed incrementally. A destination that can only append
        may remove the state instead, as it never replaces a table.
    :param record: the stream's record once this unit has landed, which is stored in the same transaction if the
        destination keeps records. Rows that the unit sweeps are not among its ``rows_deleted``.
    :param expect: what must hold of the table once the unit has landed; otherwise nothing of it lands.
    """

    key: StateKey
    batches: Sequence[TableBatch]
    state: State | None
    version: int
    run_id: str
    reset: bool = False
    record: RunRecord | None = None
    expect: Expectations | None = None


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """A finished ``replace``: all partitions of a stream are staged, and become visible together.

    The staged rows and deletes of a table land in it in their order, each as its own ``TableSpec.write_mode`` says:
    rows of "replace" are added, those of "upsert" replace earlier ones of the snapshot.

    :param tables: every table to publish; one without staged rows becomes an empty table.
    :param units: the states of the partitions; their batches are empty. The staged rows of their keys
        belong to this snapshot.
    :param record: as of a ``CommitUnit``, whose own it replaces. :param expect: as of a ``CommitUnit``.
    :param key: the stream, if it has no units: without partitions its tables become empty.
    """

    tables: Sequence[TableSpec]
    units: Sequence[CommitUnit] = field(default_factory=tuple)
    record: RunRecord | None = None
    expect: Expectations | None = None
    key: StateKey | None = None

    @property
    def owner(self) -> StateKey | None:
        """The stream, which owns the tables afterwards."""
        return self.units[0].key if self.units else self.key


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row with a value that a destination refuses.

    :param batch: the index of its batch in the commit or stage. :param row: its index in that batch.
    :param column: the column, if it is known.
    """

    batch: int
    row: int
    reason: str
    column: str | None = None


class RefusedRowsError(DestinationError):
    """A destination refuses some rows, and landed nothing: without those rows the same may be committed again."""

    def __init__(self, message: str, rows: Sequence[RefusedRow]) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


class Destination(ABC):
    """A place where rows land.

    It raises ``ConnectionFailedError`` if another attempt may succeed, ``ConcurrentRunError`` if the stored version
    differs from the expected one, ``RefusedRowsError`` from ``commit`` and ``stage`` if it refuses some of the rows,
    ``ExpectationError`` from ``commit`` and ``publish`` if they do not meet ``expect``, else ``DestinationError``.
    """

    # Attributes of the object, not of the class: one destination class may have several kinds of targets.
    write_modes: frozenset[WriteMode] = frozenset({"append"})
    deletes: bool = False
    """Whether it supports ``deletes`` and ``keys`` batches (under ``upsert``) and ``_vdk_deleted_at``."""
    rows_swept: int = 0
    """Rows that the last commit deleted because their keys were not among the ``keys``."""
    schema_changes: Sequence[SchemaChange] = ()
    """Columns whose type the last ``commit`` or ``publish`` changed."""
    transactional: bool = False
    """Whether ``commit`` lands rows and state together or not at all."""
    groups: bool = False
    """Whether it implements ``commit_group``."""
    child_tables: bool = True
    """Whether the lists in a stream's rows may land in tables of their own. Under "upsert" they need ``deletes``,
    also by some columns of their key, and ``load_owners``."""
    expectations: frozenset[str] = frozenset()
    """The ``EXPECTATIONS`` that it judges, before rows become visible."""
    keeps_records: bool = False
    """Whether it keeps the records of runs: it then implements ``record_runs`` and ``load_records``."""

    def __init__(self, target: str | None, *, folder: Path) -> None:
        """Keep the target. No I/O here. Raises ``ConfigurationError`` for a target that it cannot parse."""
        self.target = target
        self.folder = folder

    @abstractmethod
    def identity(self) -> str:
        """The name of this destination, without secrets: its method and target."""

    def open(self) -> None:
        """Connect. Called once, by the writer, before anything else."""
        return

    def close(self) -> None:
        """Release all resources. Idempotent, and always called."""
        return

    @abstractmethod
    def load_states(self, source_id: str) -> Sequence[StoredState]:
        """Every stored state of a source, whatever its identity, stream or table."""

    def load_owners(self) -> Sequence[TableOwner] | None:
        """Which streams have rows in which table; None: unknown.

        ``commit`` adds the unit's stream to the owners of each table that it lands rows in, ``publish`` makes the
        stream the only one, and so does ``commit`` for a table that it creates. It is stored together with the rows.
        """
        return None

    def remove_owner(self, key: StateKey) -> None:
        """Forget that a stream has rows in tables: another one has adopted its states."""
        return

    def relations(self, name: str) -> Collection[str]:
        """Names that no other table of any database has, as ``DataSourceStream.relations``; none: unknown."""
        return ()

    def check(self) -> None:
        """Try what a run would do, without a trace: ``vdk datasource check`` calls it, after ``open``.

        :raises DestinationError: permission is denied.
        """
        return

    def fold(self, name: str) -> str:
        """A form of a table name that is equal for names of the same table, once the destination is open."""
        return name

    def check_table(self, spec: TableSpec) -> None:
        """Refuse names that the destination does not support, before anything is read. No I/O here.

        :raises DestinationError: naming the table, or the declared column.
        """
        return

    def has_table(self, name: str) -> bool | None:
        """Whether the table exists; None: unknown."""
        return None

    def count_rows(self, name: str) -> int | None:
        """The rows of a table, without those that are marked as deleted; 0 if it does not exist; None: unknown."""
        return None

    def columns(self, name: str) -> Mapping[str, str] | None:
        """The columns of a table and their types, as the destination spells them; None: there is no table, or it is
        unknown. Nothing is changed."""
        return None

    def column_types(self, spec: TableSpec) -> Mapping[str, str]:
        """The declared columns that have a type, as the destination spells it. No I/O here."""
        return {}

    def column_changes(self, spec: TableSpec) -> Sequence[ColumnChange]:
        """The declared columns that landing rows would add or widen; all of them if there is no table. Nothing is
        changed."""
        existing = self.columns(spec.name) or {}
        return [
            ColumnChange(name, existing.get(name), type_)
            for name, type_ in self.column_types(spec).items()
            if existing.get(name) != type_
        ]

    def first_values(self, table: str, column: str, count: int) -> Sequence[Any] | None:
        """A column's values in the first rows of a table, those that landed first if it keeps them in order; None:
        unknown."""
        return None

    def exists(self) -> bool:
        """Whether the target exists; False: ``open`` would create it, as a file. Called before ``open``."""
        return True

    @abstractmethod
    def commit(self, unit: CommitUnit) -> int:
        """Land what was staged for ``unit.key``, then ``unit``'s batches, and its state, together.

        Missing tables and columns are created; a batch without rows creates its table.
        Returns the new version of the stored state.
        """

    def commit_group(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        """Land units of several partitions of one stream in one transaction.

        For every unit, what was staged for its key lands, and its state is compared and stored as by ``commit``;
        ``batches`` are the rows and deletes of all units, which have none themselves; the record of the last unit
        counts. Returns the versions of the
        states in the order of the units. Raises what ``commit`` raises, with nothing landed: then the units are
        committed one by one.
        """
        raise DestinationError(f"{self.identity()} commits one unit at a time")

    @abstractmethod
    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        """Store batches invisibly until ``commit`` or ``publish`` lands them, or ``discard`` drops them."""

    @abstractmethod
    def discard(self, key: StateKey) -> None:
        """Drop what was staged for ``key``, in this run or an earlier run. ``key.partition`` ``"*"``: for
        every partition of the stream."""

    def has_staged(self, key: StateKey, run_id: str) -> bool | None:
        """Whether what a run staged for ``key`` is still staged; None: unknown.

        Called after the connection failed during ``publish``, which is repeated if this is true.
        """
        return None

    def publish(self, snapshot: TableSnapshot) -> list[int]:
        """Make a snapshot visible in one transaction. Returns the states' versions."""
        raise DestinationError(f"{self.identity()} cannot replace tables")

    def compare(self, spec: ComparisonSpec) -> Comparison | None:
        """Begin to compare a source with a table; None: the destination cannot.

        :raises DestinationError: the table does not exist, or lacks a column of the key.
        """
        return None

    def check_expectations(self, expected: Expectations) -> None:
        """Judge what must hold of a table as it is. Raises ``ExpectationError``."""
        return

    def undo(self, units: Sequence[CommitUnit], table: str, run_id: str, rows: int) -> None:
        """Delete the rows of a table that a run has appended (``_vdk_run_id``), and what it has rejected, and store the
        units' states, in one transaction.

        :param rows: how many rows the run has landed.
        :raises DestinationError: the table has not as many, or the destination cannot undo; nothing is changed.
        """
        raise DestinationError(f"{self.identity()} cannot delete the rows of a run")

    def record_runs(self, records: Sequence[RunRecord]) -> None:
        """Store records of streams that have ended, each in the place of the one with its key, and delete old ones.

        ``run_records.KEPT_RUNS`` is the rule. An error is logged: the rows have landed, and the run has not failed.
        """
        return

    def load_records(self, source_ids: Sequence[str]) -> Sequence[RunRecord]:
        """The records of these sources' streams, newest first."""
        return ()
