"""What a destination promises, so that rows and state land together.

A destination is used by one thread, its writer; it needs no locks of its own. The runtime reads
partitions in parallel and hands over what is ready as *commit units*: some consecutive payloads of
one partition, and the state that covers them.

A destination is found by its method's name (entry-point group ``vdk.datasource.destinations``) and made as
``Destination(target, folder=…)``: the flow's target, and the folder relative paths start from. The entry point names
the class, or a function with these parameters that returns a destination.

A complete, if forgetful, destination is ``vdk.plugin.datasource_base.testing.MemoryDestination``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa

from ..contract import DestinationError, State

WriteMode = Literal["append", "upsert", "replace"]
Kind = Literal["rows", "deletes", "keys"]

RESERVED_PREFIX = "_vdk_"
"""Columns and tables that begin so belong to the framework."""
DELETED_AT = "_vdk_deleted_at"
"""When a row was told to be gone: set by soft deletes, and by deletes that are appended."""


@dataclass(frozen=True, slots=True)
class StateKey:
    """What a state belongs to. ``table`` is the stream's own table at the destination."""

    source_id: str
    source_identity: str
    stream: str
    partition: str
    table: str


TOMBSTONE = StateKey("", "", "", "", "")
"""Under this key, which no source can have, a store may keep the highest version of the states that it forgot."""


@dataclass(frozen=True, slots=True)
class StoredState:
    """A state as the store has it. ``run_id`` wrote it.

    ``version`` grows by one with each commit, and never comes again: a state that was forgotten and is made anew
    begins above every version that was forgotten, or a run that still knows the old one would take it for its own.
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
    :param schema: the declared columns; None: what the rows bring. One of Arrow's null type has no value yet that
        shows its type: it becomes a column when one comes, and a column that is there already stays.
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
class SchemaChange:
    """A column that has another type than before; the types are spelled as the destination spells them."""

    table: str
    column: str
    before: str
    after: str

    def as_dict(self) -> dict[str, str]:
        return {"table": self.table, "column": self.column, "from": self.before, "to": self.after}


@dataclass(frozen=True, slots=True)
class TableBatch:
    """Consecutive rows (or deleted keys, or all keys there are) for one table.

    Row data has any subset of the table's columns, in any order. The data of ``deletes`` has the
    primary key columns. Under ``upsert`` no key is NULL, and none is there twice.
    Under ``append``, deletes arrive as rows, with ``_vdk_deleted_at`` already set.
    ``keys`` are always staged before they are committed: consecutive ones for a table belong together, and
    the rows of the table whose key is not among them all are deleted.
    Types are scalar Arrow types, as ``normalize_types`` makes them, so a destination does not do it again: text and
    bytes have one type each, nothing is dictionary- or run-end-encoded, nested values arrive as ``JSON_TYPE``, which is
    the only extension type, and UUIDs as text.
    """

    table: TableSpec
    kind: Kind
    data: pa.Table


@dataclass(frozen=True, slots=True)
class CommitUnit:
    """What lands in one transaction: batches in their order, then the state behind them.

    :param state: None: the partition's state is unchanged. ``{}``: it is forgotten.
    :param version: of the state this run believes is stored; 0: none.
    :param reset: ``state`` is ``{}`` and is stored as such, with a version of its own: the next run reads from the
        beginning, and knows that rows of the stream have landed incrementally. A destination that can only append
        may forget the state instead, as it never replaces a table.
    """

    key: StateKey
    batches: Sequence[TableBatch]
    state: State | None
    version: int
    run_id: str
    reset: bool = False


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """A finished ``replace``: all of a stream's partitions are staged, and become visible at once.

    :param tables: every table to publish; one without staged rows becomes an empty table.
    :param units: the states of the partitions; their batches are empty. Their keys say whose staged
        rows belong to this snapshot.
    """

    tables: Sequence[TableSpec]
    units: Sequence[CommitUnit] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row whose values a destination does not take.

    :param slice: the index of its slice in what was to be committed or staged. :param row: its index in that slice.
    :param column: the column, where it is known.
    """

    slice: int
    row: int
    reason: str
    column: str | None = None


class RefusedRowsError(DestinationError):
    """A destination takes what it was given but for some rows: without them it may be given again. Nothing was kept."""

    def __init__(self, message: str, rows: Sequence[RefusedRow]) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


class Destination(ABC):
    """A place where rows land. Raises ``ConnectionFailedError`` where trying again may help,
    ``ConcurrentRunError`` where the stored version is not the expected one, ``RefusedRowsError`` from ``commit`` and
    ``stage`` where it does not take some of the rows, else ``DestinationError``.
    """

    # These four are per object and not per class: a destination with several kinds of targets answers for its own.
    write_modes: frozenset[WriteMode] = frozenset({"append"})
    deletes: bool = False
    """Whether ``deletes`` and ``keys`` batches (under ``upsert``) and ``_vdk_deleted_at`` are understood."""
    rows_swept: int = 0
    """Rows that the last commit deleted since their keys were not among the ``keys``."""
    schema_changes: Sequence[SchemaChange] = ()
    """Columns that got another type in the last ``commit`` or ``publish``."""
    transactional: bool = False
    """Whether ``commit`` lands rows and state together or not at all."""
    groups: bool = False
    """Whether there is ``commit_group``."""

    def __init__(self, target: str | None, *, folder: Path) -> None:
        """Keep the target. No I/O here. Raises ``ConfigurationError`` for a target it cannot read."""
        self.target = target
        self.folder = folder

    @abstractmethod
    def identity(self) -> str:
        """Which destination this is, without secrets: its method and target."""

    def open(self) -> None:
        """Connect. Called once, by the writer, before anything else."""
        return

    def close(self) -> None:
        """Free everything. Idempotent, and always called."""
        return

    @abstractmethod
    def load_states(self, source_id: str) -> Sequence[StoredState]:
        """Every stored state of a source, whatever its identity, stream or table."""

    def check(self) -> None:
        """Try what a run would do, and leave nothing of it: ``vdk datasource check`` asks, after ``open``.

        :raises DestinationError: it would not be allowed.
        """
        return

    def fold(self, name: str) -> str:
        """Equal for the names of tables that are one to the destination, once it is open; by default no two are."""
        return name

    def check_table(self, spec: TableSpec) -> None:
        """Refuse names that the destination cannot take, before anything is read. No I/O here.

        :raises DestinationError: naming the table, or the declared column.
        """
        return

    def has_table(self, name: str) -> bool | None:
        """Whether there is such a table; None: it cannot say."""
        return None

    @abstractmethod
    def commit(self, unit: CommitUnit) -> int:
        """Land what was staged for ``unit.key``, then ``unit``'s batches, and its state, together.

        Tables and columns that are missing are made; a slice without rows makes its table.
        Returns the stored state's version afterwards.
        """

    def commit_group(self, units: Sequence[CommitUnit], batches: Sequence[TableBatch]) -> list[int]:
        """Land what several partitions of one stream have ready in one transaction.

        For every unit what was staged for its key lands, and its state is compared and stored as ``commit`` does it;
        ``batches`` are the rows and deletes of all of them, and the units have none. Returns the versions of the states
        in the order of the units. Raises, with nothing of any unit kept, what ``commit`` raises: then the units are
        committed one by one.
        """
        raise DestinationError(f"{self.identity()} commits one unit at a time")

    @abstractmethod
    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        """Set batches aside, invisibly, until ``commit`` or ``publish`` takes them or ``discard`` drops them."""

    @abstractmethod
    def discard(self, key: StateKey) -> None:
        """Drop what was staged for ``key``, in this run or an earlier one. ``key.partition`` ``"*"``: for
        every partition of the stream."""

    def has_staged(self, key: StateKey, run_id: str) -> bool | None:
        """Whether what a run staged for ``key`` is still set aside; None: it cannot say.

        Asked when the destination was away while it published: it is told to do so again if this is true.
        """
        return None

    def publish(self, snapshot: TableSnapshot) -> list[int]:
        """Make a snapshot visible in one transaction. Returns the states' versions."""
        raise DestinationError(f"{self.identity()} cannot replace tables")
