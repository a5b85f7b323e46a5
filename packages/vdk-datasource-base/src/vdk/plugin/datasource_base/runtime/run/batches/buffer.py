# SPDX-License-Identifier: Apache-2.0
"""Collects payloads until their rows, their estimated bytes or the time passed make a batch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import pyarrow as pa

from ....contract import (
    COUNTER_PREFIX,
    DataSourceError,
    DataSourcePayload,
    RejectedRows,
    State,
    is_record_class,
    values_of_record,
)
from ....parts.destination import BatchKind
from ...options import Options
from ...states import copy_state

SAMPLE = 8
"""About as many rows are measured to estimate the size of a list."""


def rows_size(rows: Sequence[Any]) -> int:
    """Estimate the bytes of rows, from a sample of them."""
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    return sum(map(row_size, sample)) * len(rows) // len(sample) if sample else 0


def row_size(row: Any) -> int:
    """Estimate the bytes of one row, a mapping or a record."""
    values = row.values() if isinstance(row, Mapping) else values_of_record(row)
    try:
        return 64 + sum(map(_value_size, values))
    except RecursionError:  # records that refer to each other, in fields that the schema may leave out
        return 64 + sum(map(sys.getsizeof, values))


def _value_size(value: Any) -> int:
    if type(value) is dict:
        return sys.getsizeof(value) + sum(map(_value_size, value.values()))
    if type(value) is list:
        return sys.getsizeof(value) + sum(map(_value_size, value))
    if is_row_class(type(value)):
        return sys.getsizeof(value) + sum(map(_value_size, values_of_record(value)))
    return sys.getsizeof(value)


def is_row_class(cls: type) -> bool:
    """Whether instances of a class are rows that are records. The contract's own dataclasses are none."""
    return is_record_class(cls) and not issubclass(cls, (DataSourcePayload, RejectedRows))


KINDS = get_args(BatchKind)


@dataclass(slots=True)
class PayloadGroup:
    """Consecutive payloads for one table that have the same kind, the same form and the same metadata.

    :param rows: mappings and records.
    """

    table: str | None
    kind: BatchKind
    metadata: Mapping[str, Any]
    rows: list[Any] = field(default_factory=list)
    batches: list[pa.Table] = field(default_factory=list)
    rejected: list[Any] = field(default_factory=list)

    def accepts(self, other: PayloadGroup) -> bool:
        """Whether the payloads of another group can be appended to this one."""
        return (
            self.table == other.table
            and self.kind == other.kind
            and bool(self.rows) == bool(other.rows)
            and self.metadata == other.metadata
        )

    @property
    def count(self) -> int:
        """The number of its rows, or of its keys."""
        return len(self.rows) + sum(int(batch.num_rows) for batch in self.batches) + len(self.rejected)

    def extend(self, other: PayloadGroup) -> None:
        self.rows += other.rows
        self.batches += other.batches
        self.rejected += other.rejected


class PayloadGroups:
    """Groups in an order that preserves the order of each table's payloads.

    :param split_by_table: whether payloads that name different tables land in different tables.
    """

    def __init__(self, *, split_by_table: bool) -> None:
        self.groups: list[PayloadGroup] = []
        self._split_by_table = split_by_table
        self._last: dict[str | None, PayloadGroup] = {}

    def append(self, group: PayloadGroup) -> None:
        """Extend the last group of the same table if it accepts the payloads, or else append the group."""
        # names that differ in their case only are one table in some destinations
        table = group.table.lower() if self._split_by_table and group.table is not None else None
        last = self._last.get(table)
        if last is not None and last.accepts(group):
            last.extend(group)
        else:
            self.groups.append(group)
            self._last[table] = group

    def take(self) -> list[PayloadGroup]:
        """Remove all groups, and return them."""
        taken, self.groups, self._last = self.groups, [], {}
        return taken


class Buffer:
    """Collects the payloads of one partition.

    The last state covers the payloads up to it: they are committed together with it. Later payloads are uncovered:
    they wait for the next state.
    """

    def __init__(
        self, options: Options, *, stream: str, metadata_columns: Sequence[str] = (), split_by_table: bool = True
    ) -> None:
        self._options = options
        self._stream = stream
        self._columns = metadata_columns
        self._covered = PayloadGroups(split_by_table=split_by_table)
        self._uncovered = PayloadGroups(split_by_table=split_by_table)
        self._state: State | None = None
        self.rows = self.size = 0
        self._started = 0.0
        self.counters: dict[str, int] = {}
        self.metadata_seen: set[str] = set()
        self._in_sweep = False

    def add(self, payload: DataSourcePayload) -> int:
        """Add a payload, and return its number of rows. Raises ``DataSourceError`` for an invalid payload."""
        if self._append_row(payload):
            return 1
        group, rows, size = self._group_of(payload)
        # Every check precedes every change: after an error the covered payloads still land, and rows of the refused
        # payload among them would be delivered again.
        counters = self._counters_of(payload)
        state = copy_state(payload.state, stream=self._stream) if payload.state is not None else None
        self._check_sweep(payload)
        if rows:
            if not self.rows:
                self._started = time.monotonic()
            self._uncovered.append(group)
            self.rows += rows
            self.size += size
        elif group.batches:
            self._uncovered.append(group)  # an empty Arrow table still creates its table
        if state is not None:
            for uncovered in self._uncovered.take():
                self._covered.append(uncovered)
            self._state = state
        for name, amount in counters.items():
            self.counters[name] = self.counters.get(name, 0) + amount
        return rows

    def _append_row(self, payload: DataSourcePayload) -> bool:
        """Append a single row with a state to the last group. Returns False for every other payload.

        This is the short way for what a simple source yields most; ``add`` would have the same result.
        """
        group = self._covered.groups[-1] if self._covered.groups else None
        if (
            group is None
            or type(payload) is not DataSourcePayload
            or not (type(payload.data) is dict or is_row_class(type(payload.data)))
            or payload.state is None
            or payload.metadata
            or payload.kind != group.kind
            or payload.destination_table != group.table
            or not group.rows
            or group.metadata
            or self._uncovered.groups
            or self._in_sweep
        ):
            return False
        self._state = copy_state(payload.state, stream=self._stream)
        group.rows.append(payload.data)
        self.rows += 1
        self.size += row_size(payload.data)
        return True

    def _check_sweep(self, payload: DataSourcePayload) -> None:
        """A sweep must contain all keys of the table: a part of them would delete the rows of the others."""
        if self._in_sweep and payload.kind != "keys" and payload.data is not None:
            raise DataSourceError(
                f"stream {self._stream!r} yielded {payload.kind} among its keys; yield all keys one after the other, "
                "and the state with the last payload of keys"
            )
        self._in_sweep = (self._in_sweep or payload.kind == "keys") and payload.state is None

    def _check(self, payload: DataSourcePayload) -> None:
        table, kind, metadata = payload.destination_table, payload.kind, payload.metadata
        if kind not in KINDS:
            raise DataSourceError(f"stream {self._stream!r} yielded the kind {kind!r}: it must be {' or '.join(KINDS)}")
        if table is not None and not isinstance(table, str):
            raise DataSourceError(
                f"stream {self._stream!r} yielded rows for the table {table!r}: the name must be a string"
            )
        if not isinstance(metadata, Mapping):
            raise DataSourceError(
                f"stream {self._stream!r} yielded metadata of type {type(metadata).__name__}: it must be a mapping"
            )

    def _counters_of(self, payload: DataSourcePayload) -> Mapping[str, int]:
        counters: dict[str, int] = {}
        for name, amount in payload.metadata.items():
            if name.startswith(COUNTER_PREFIX):
                if not isinstance(amount, int):
                    raise DataSourceError(
                        f"stream {self._stream!r}: the counter {name!r} is {amount!r}: it must be an integer"
                    )
                counters[name.removeprefix(COUNTER_PREFIX)] = amount
        return counters

    @property
    def full(self) -> bool:
        """Whether the payloads make a batch."""
        options = self._options
        return self.rows > 0 and (
            self.rows >= options.batch_rows
            or self.size >= options.batch_bytes
            or time.monotonic() - self._started >= options.batch_seconds
        )

    @property
    def has_state(self) -> bool:
        return self._state is not None

    def take_covered(self) -> tuple[list[PayloadGroup], State | None]:
        """Remove the covered payloads. Returns them, and their state."""
        taken, state = self._covered.take(), self._state
        self._state = None
        self._update_size()
        return taken, state

    def take_all(self) -> tuple[list[PayloadGroup], State | None]:
        """Remove all payloads. Returns them, and their last state, which may not cover the last of them."""
        covered, state = self.take_covered()
        uncovered = self._uncovered.take()
        self._update_size()
        return [*covered, *uncovered], state

    def _update_size(self) -> None:
        left = [*self._covered.groups, *self._uncovered.groups]
        self.rows = sum(group.count for group in left)
        self.size = sum(_size(group) for group in left)
        self._started = time.monotonic()

    def _group_of(self, payload: DataSourcePayload) -> tuple[PayloadGroup, int, int]:
        if not isinstance(payload, DataSourcePayload):
            raise DataSourceError(
                f"stream {self._stream!r} yielded {type(payload).__name__}: it must yield DataSourcePayload"
            )
        self._check(payload)
        metadata = {name: payload.metadata.get(name) for name in self._columns} if self._columns else {}
        self.metadata_seen.update(name for name in metadata if name in payload.metadata)
        group = PayloadGroup(payload.destination_table, payload.kind, metadata)
        data = payload.data
        if data is None:
            return group, 0, 0
        if isinstance(data, Mapping) or is_row_class(type(data)):
            group.rows = [data]
            return group, 1, row_size(data)
        if isinstance(data, pa.RecordBatch):
            group.batches = [pa.Table.from_batches([data])]
        elif isinstance(data, pa.Table):
            group.batches = [data]
        elif isinstance(data, RejectedRows):
            group.rejected = list(data.rows)
        elif isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
            group.rows = list(data)
            for kind in set(map(type, group.rows)):
                if not issubclass(kind, Mapping) and not is_row_class(kind):
                    raise DataSourceError(
                        f"stream {self._stream!r} yielded a list with a {kind.__name__} in it: each row must be a "
                        "mapping or a record (dataclass, msgspec.Struct, attrs)"
                    )
        else:
            raise DataSourceError(
                f"stream {self._stream!r} yielded data of type {type(data).__name__}: it must be a row "
                "(mapping, dataclass, msgspec.Struct, attrs), a list of rows, an Arrow batch or table, or None"
            )
        return group, group.count, _size(group)


def _size(group: PayloadGroup) -> int:
    rejected = rows_size([row for row, _ in group.rejected]) if group.rejected else 0
    return sum(int(batch.nbytes) for batch in group.batches) + rows_size(group.rows) + rejected
