"""Units of several partitions of one stream, landed in one commit.

A commit costs a destination much more than its rows do, where they are few. While one commit runs, the units that other
partitions finish wait for the writer; those of one stream then go together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from ...contract import State
from ...parts import TableBatch, TableSpec
from ...parts.deduplicate import Operations
from .batching import RejectedBatch, ordered

MOST_TOGETHER = 500
"""Units of one commit: how long a commit may take is bounded by this, and by what may wait in bytes."""

FEWEST_STAGED = 4
"""Partitions that are staged together: fewer gain little, and are staged each under its own key."""
SHARED = "*"
"""Begins the names under which the rows of several partitions are staged; followed by a number."""


@dataclass(frozen=True, slots=True)
class PendingUnit:
    """What a partition hands to the writer: rows and deletes, and the state behind them.

    :param action: ``commit`` it now, or ``hold`` it until the other partitions of a stream that is replaced are read.
    :param read: the rows that were read for it. :param ended: whether it is the partition's last.
    :param check: raises where an earlier unit of the same reading has failed. :param settle: called with the outcome.
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
    def joins(self) -> bool:
        """Whether it may land together with others.

        A commit without a state leaves no trace by which it is known to have landed, once an answer is lost. Keys
        delete the rows of all others.
        """
        return self.action == "hold" or (bool(self.state) and all(batch.kind != "keys" for batch in self.batches))


def merged_batches(units: Sequence[PendingUnit]) -> list[TableBatch]:
    """The units' batches as few as possible, each table's in the order of the units."""
    tables: dict[tuple[str, bool], list[TableBatch]] = {}
    for unit in units:
        for batch in unit.batches:
            tables.setdefault((batch.table.name, isinstance(batch, RejectedBatch)), []).append(batch)
    return [one for batches in tables.values() for one in _merged(batches)]


def _merged(batches: list[TableBatch]) -> list[TableBatch]:
    spec = batches[0].table
    if len(batches) == 1 or any(_without_schema(batch.table) != _without_schema(spec) for batch in batches):
        return batches
    groups: dict[tuple[str, pa.Schema], list[tuple[int, pa.Table]]] = {}
    for turn, one in enumerate(batches):
        groups.setdefault((one.kind, one.data.schema), []).append((turn, one.data))
    parts = [
        Operations(
            "rows" if kind == "rows" else "deletes",
            pa.concat_tables([data for _, data in group]),
            pa.concat_arrays([pa.repeat(pa.scalar(turn, pa.int64()), data.num_rows) for turn, data in group]),
        )
        for (kind, _), group in groups.items()
    ]
    return [TableBatch(spec, one.kind, one.data) for one in ordered(parts, spec)]


def _without_schema(spec: TableSpec) -> TableSpec:
    return replace(spec, schema=None)
