"""How many bytes rows hold, estimated: what bounds a batch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import pyarrow as pa

from ...contract import COUNTER_PREFIX, DataSourceError, DataSourcePayload, RejectedRows, State
from ...parts.destination import BatchKind
from ..options import Options
from ..states import copy_state

SAMPLE = 8


def rows_size(rows: Sequence[Mapping[str, Any]]) -> int:
    """Bytes of all; of many rows, a few are measured."""
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    return sum(map(row_size, sample)) * len(rows) // len(sample) if sample else 0


def row_size(row: Mapping[str, Any]) -> int:
    return 64 + sum(map(_value_size, row.values()))


def _value_size(value: Any) -> int:
    if type(value) is dict:
        return sys.getsizeof(value) + sum(map(_value_size, value.values()))
    if type(value) is list:
        return sys.getsizeof(value) + sum(map(_value_size, value))
    return sys.getsizeof(value)


KINDS = get_args(BatchKind)


@dataclass(slots=True)
class Run:
    """Consecutive payloads for one table, of one kind and one form, waiting as they came."""

    table: str | None
    kind: BatchKind
    metadata: Mapping[str, Any]
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    batches: list[pa.Table] = field(default_factory=list)
    rejected: list[Any] = field(default_factory=list)

    def joins(self, other: Run) -> bool:
        return (
            self.table == other.table
            and self.kind == other.kind
            and bool(self.rows) == bool(other.rows)
            and self.metadata == other.metadata
        )

    @property
    def count(self) -> int:
        """Its rows, or keys."""
        return len(self.rows) + sum(int(batch.num_rows) for batch in self.batches) + len(self.rejected)

    def extend(self, other: Run) -> None:
        self.rows += other.rows
        self.batches += other.batches
        self.rejected += other.rejected


class Runs:
    """Runs in an order that keeps that of every table: a payload joins the last run of its table, if it can.

    :param apart: whether payloads that name different tables land in different ones.
    """

    def __init__(self, *, apart: bool) -> None:
        self.all: list[Run] = []
        self._apart = apart
        self._last: dict[str | None, Run] = {}

    def append(self, run: Run) -> None:
        # destinations may tell names apart by more than their case, or not
        table = run.table.lower() if self._apart and run.table is not None else None
        last = self._last.get(table)
        if last is not None and last.joins(run):
            last.extend(run)
        else:
            self.all.append(run)
            self._last[table] = run

    def take(self) -> list[Run]:
        taken, self.all, self._last = self.all, [], {}
        return taken


class Buffer:
    """Collects payloads until rows, bytes or time make a batch.

    What a state covers and what came after the last state are kept apart: only the former can be
    committed, since a state must never run ahead of its rows nor rows behind an older state.
    """

    def __init__(
        self, options: Options, *, stream: str, metadata_columns: Sequence[str] = (), apart: bool = True
    ) -> None:
        self._options = options
        self._stream = stream
        self._columns = metadata_columns
        self._covered = Runs(apart=apart)
        self._open = Runs(apart=apart)
        self._state: State | None = None
        self.rows = self.size = 0
        self._since = 0.0
        self.counters: dict[str, int] = {}
        self.metadata_seen: set[str] = set()
        self._in_inventory = False

    def add(self, payload: DataSourcePayload) -> int:
        """Take a payload in; returns its number of rows. Raises ``DataSourceError`` for garbage."""
        if self._is_one_more(payload):
            return 1
        run, rows, size = self._run_of(payload)
        # Whatever can be wrong is found before anything is taken in: what is complete by then lands, and rows of
        # a refused payload among it would come again.
        counters = self._counters_of(payload)
        state = copy_state(payload.state, stream=self._stream) if payload.state is not None else None
        self._check_inventory(payload)
        if rows:
            if not self.rows:
                self._since = time.monotonic()
            self._open.append(run)
            self.rows += rows
            self.size += size
        elif run.batches:
            self._open.append(run)  # an empty table says that it exists
        if state is not None:
            for one in self._open.take():
                self._covered.append(one)
            self._state = state
        for name, amount in counters.items():
            self.counters[name] = self.counters.get(name, 0) + amount
        return rows

    def _is_one_more(self, payload: DataSourcePayload) -> bool:
        """Take in what a simple source yields most: one row with a state, behind others of its kind. It is half of
        the work to see that it is no more than that."""
        run = self._covered.all[-1] if self._covered.all else None
        if (
            run is None
            or type(payload) is not DataSourcePayload
            or type(payload.data) is not dict
            or payload.state is None
            or payload.metadata
            or payload.kind != run.kind
            or payload.destination_table != run.table
            or not run.rows
            or run.metadata
            or self._open.all
            or self._in_inventory
        ):
            return False
        self._state = copy_state(payload.state, stream=self._stream)
        run.rows.append(payload.data)
        self.rows += 1
        self.size += row_size(payload.data)
        return True

    def _check_inventory(self, payload: DataSourcePayload) -> None:
        """Keys must come together: a part of them would delete the rows of the others."""
        if self._in_inventory and payload.kind != "keys" and payload.data is not None:
            raise DataSourceError(
                f"stream {self._stream!r} yielded {payload.kind} among its keys: all keys follow each other, and the "
                "last payload of them carries the state"
            )
        self._in_inventory = (self._in_inventory or payload.kind == "keys") and payload.state is None

    def _check(self, payload: DataSourcePayload) -> None:
        table, kind, metadata = payload.destination_table, payload.kind, payload.metadata
        if kind not in KINDS:
            raise DataSourceError(f"stream {self._stream!r} yielded the kind {kind!r}: it is {' or '.join(KINDS)}")
        if table is not None and not isinstance(table, str):
            raise DataSourceError(f"stream {self._stream!r} yielded rows for the table {table!r}: a name is text")
        if not isinstance(metadata, Mapping):
            raise DataSourceError(
                f"stream {self._stream!r} yielded metadata of type {type(metadata).__name__}: it is a mapping"
            )

    def _counters_of(self, payload: DataSourcePayload) -> Mapping[str, int]:
        counters: dict[str, int] = {}
        for name, amount in payload.metadata.items():
            if name.startswith(COUNTER_PREFIX):
                if not isinstance(amount, int):
                    raise DataSourceError(f"stream {self._stream!r}: the counter {name!r} is {amount!r}, no integer")
                counters[name.removeprefix(COUNTER_PREFIX)] = amount
        return counters

    @property
    def full(self) -> bool:
        options = self._options
        return self.rows > 0 and (
            self.rows >= options.batch_rows
            or self.size >= options.batch_bytes
            or time.monotonic() - self._since >= options.batch_seconds
        )

    @property
    def has_state(self) -> bool:
        return self._state is not None

    def take_covered(self) -> tuple[list[Run], State | None, int]:
        """What the last state covers, that state, and the size of it all."""
        taken, state, size = self._covered.take(), self._state, self.size
        self._state = None
        self._measure_again()
        return taken, state, size

    def take_open(self) -> tuple[list[Run], int]:
        """What no state covers yet."""
        taken, size = self._open.take(), self.size
        self._measure_again()
        return taken, size

    def _measure_again(self) -> None:
        left = [*self._covered.all, *self._open.all]
        self.rows = sum(run.count for run in left)
        self.size = sum(_size(run) for run in left)
        self._since = time.monotonic()

    def _run_of(self, payload: DataSourcePayload) -> tuple[Run, int, int]:
        if not isinstance(payload, DataSourcePayload):
            raise DataSourceError(
                f"stream {self._stream!r} yielded {type(payload).__name__}: it must yield DataSourcePayload"
            )
        self._check(payload)
        metadata = {name: payload.metadata.get(name) for name in self._columns} if self._columns else {}
        self.metadata_seen.update(name for name in metadata if name in payload.metadata)
        run = Run(payload.destination_table, payload.kind, metadata)
        data = payload.data
        if data is None:
            return run, 0, 0
        if isinstance(data, Mapping):
            run.rows = [data]
            return run, 1, row_size(data)
        if isinstance(data, pa.RecordBatch):
            run.batches = [pa.Table.from_batches([data])]
        elif isinstance(data, pa.Table):
            run.batches = [data]
        elif isinstance(data, RejectedRows):
            run.rejected = list(data.rows)
        elif isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
            run.rows = list(data)
            if not all(isinstance(row, Mapping) for row in run.rows):
                wrong = next(row for row in run.rows if not isinstance(row, Mapping))
                raise DataSourceError(
                    f"stream {self._stream!r} yielded a list with a {type(wrong).__name__} in it: rows are mappings"
                )
        else:
            raise DataSourceError(
                f"stream {self._stream!r} yielded data of type {type(data).__name__}: it must be a row, "
                "a list of rows, an Arrow batch or table, or None"
            )
        return run, run.count, _size(run)


def _size(run: Run) -> int:
    rejected = rows_size([row for row, _ in run.rejected]) if run.rejected else 0
    return sum(int(batch.nbytes) for batch in run.batches) + rows_size(run.rows) + rejected
