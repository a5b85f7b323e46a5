# SPDX-License-Identifier: Apache-2.0
"""Lands units of several partitions of one stream in one commit.

For few rows, the commit costs a destination much more than the rows. While a commit runs, the units that other
partitions finish wait for the writer; those of one stream then land together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from ....contract import DestinationError, State
from ....parts import Destination, TableBatch, TableSpec
from ....parts.columns.deduplicate import Operations
from ..batches.batching import RejectedBatch, ordered
from ..batches.child_batches import ChildBatch
from ..plan.stream_plan import StreamPlan

MAX_UNITS = 500
"""The largest number of units in one commit. Together with the bytes that may wait, it bounds the time of a commit."""

MIN_STAGED_TOGETHER = 4
"""The smallest number of partitions that are staged together. Fewer gain little: each is staged under its own key."""
SHARED_PREFIX = "*"
"""This and a number name the key under which the rows of several partitions are staged."""


@dataclass(frozen=True, slots=True)
class PendingUnit:
    """Rows and deletes of a partition, and the state after them, on their way to the writer.

    :param action: ``commit`` it now, or ``hold`` it until every partition of a stream that is replaced is read.
    :param read: the number of rows read for it. :param ended: whether it is the partition's last unit.
    :param check: raises if an earlier unit of the same attempt has failed.
    :param settle: called with the error of the unit, or None once it has landed.
    """

    action: Literal["commit", "hold"]
    partition: str
    batches: list[TableBatch]
    state: State | None
    read: int
    ended: bool
    check: Callable[[], None]
    settle: Callable[[BaseException | None], None]

    @property
    def joinable(self) -> bool:
        """Whether the unit may land together with others.

        Not without a state: if the destination's answer is lost, only a stored state proves that a commit has landed.
        Not with a sweep: it would delete the rows of the other partitions.
        """
        return self.action == "hold" or (bool(self.state) and all(batch.kind != "keys" for batch in self.batches))


class BeingRead:
    """Counts the partitions that are being read: their last units may land together. A context, for each of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def __enter__(self) -> None:
        with self._lock:
            self.count += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self.count -= 1


def check_batches(plan: StreamPlan, destination: Destination, batches: Sequence[TableBatch]) -> None:
    """Raise ``DestinationError`` if the destination would ignore deletes, or cannot have a table."""
    for batch in batches:
        if isinstance(batch, ChildBatch):  # whose names are not known when the stream is planned
            destination.check_table(batch.table)
    if not destination.deletes and any(batch.kind != "rows" for batch in batches):
        raise DestinationError(
            f"stream {plan.name!r} yielded deletes, and {destination.identity()} cannot delete rows; write "
            'write_mode = "append" to land them as rows with _vdk_deleted_at'
        )


def merged_batches(units: Sequence[PendingUnit]) -> list[TableBatch]:
    """Merge the units' batches into as few as possible; those of one table stay in the order of the units."""
    tables: dict[tuple[str, bool], list[TableBatch]] = {}
    for unit in units:
        for batch in unit.batches:
            tables.setdefault((batch.table.name, isinstance(batch, RejectedBatch)), []).append(batch)
    return [batch for batches in tables.values() for batch in _merged(batches)]


def _merged(batches: list[TableBatch]) -> list[TableBatch]:
    spec = batches[0].table
    if len(batches) == 1 or any(_without_schema(batch.table) != _without_schema(spec) for batch in batches):
        return batches
    groups: dict[tuple[str, pa.Schema], list[tuple[int, pa.Table]]] = {}
    for turn, batch in enumerate(batches):
        groups.setdefault((batch.kind, batch.data.schema), []).append((turn, batch.data))
    parts = [
        Operations(
            "rows" if kind == "rows" else "deletes",
            pa.concat_tables([data for _, data in group]),
            pa.concat_arrays([pa.repeat(pa.scalar(turn, pa.int64()), data.num_rows) for turn, data in group]),
        )
        for (kind, _), group in groups.items()
    ]
    return [TableBatch(spec, part.kind, part.data) for part in ordered(parts, spec)]


def _without_schema(spec: TableSpec) -> TableSpec:
    return replace(spec, schema=None)
