# SPDX-License-Identifier: Apache-2.0
"""What a stream has staged of a table that is replaced: it waits until all of the stream is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ....contract import DataSourceError
from ....parts import (
    RESERVED_PREFIX,
    CommitUnit,
    Destination,
    RunRecord,
    SchemaChange,
    StoredState,
    TableBatch,
    TableSpec,
)
from ..plan.flow import Flow
from ..plan.stream_plan import StreamPlan
from .counters import RowCounters
from .publication import Publication, build_snapshot, check_states_known, check_tables_kept, emptied_tables


class Replacement:
    """The staged partitions of one stream, which are published together.

    :param stored: the stored states of the stream, by partition, as they are when it is published.
    """

    def __init__(self, flow: Flow, plan: StreamPlan, stored: Mapping[str, StoredState], counters: RowCounters) -> None:
        self._flow = flow
        self._plan = plan
        self._stored = stored
        self._counters = counters
        self._units: list[CommitUnit] = []  # partitions that are read, and wait for the whole stream
        self._specs: dict[str, TableSpec] = {}
        self._rows: dict[str, Counter[str]] = {}  # partition → table → staged rows
        self._publication: Publication | None = None
        self._columns: Mapping[str, str] = {}  # of the stream's own table before
        self.rows_before = 0
        """The rows that the stream's own table had, if it has none now."""

    def add_batches(self, partition: str, batches: Iterable[TableBatch]) -> None:
        """Batches of a partition are staged."""
        for batch in batches:
            self._specs.setdefault(batch.table.name, batch.table)
            if batch.kind == "rows":
                self._rows.setdefault(partition, Counter())[batch.table.name] += batch.data.num_rows

    def add_unit(self, unit: CommitUnit) -> None:
        """All of a partition is staged; the unit has its last state."""
        self._units.append(unit)

    def discard(self, partition: str) -> None:
        """The staged rows of a partition are gone."""
        self._rows.pop(partition, None)
        self._units = [unit for unit in self._units if unit.key.partition != partition]

    def publish(
        self, destination: Destination, record: Callable[[], RunRecord | None]
    ) -> Sequence[tuple[CommitUnit, int]]:
        """Publish, and return each unit with the version of its state. Called again after an error that may pass.

        :param record: the stream's record, which lands in the same transaction.
        :raises ConfigurationError: if rows would go that nobody confirmed.
        :raises DataSourceError: if an empty table would replace rows of an incremental stream.
        """
        if self._publication is None:
            self._publication = self._checked(destination, record)
        return list(zip(self._units, self._publication.attempt(destination), strict=True))

    def _checked(self, destination: Destination, record: Callable[[], RunRecord | None]) -> Publication:
        plan = self._plan
        self._check_rows(destination)
        check_states_known(plan, {*self._stored, *(unit.key.partition for unit in self._units)}, destination)
        if self._stored and (plan.read_whole or plan.scope.full_refresh):
            self._forget_unread_states()
        self._columns = destination.columns(plan.table) or {}
        if not any(self._counters.rows_staged(unit.key.partition) for unit in self._units):
            self.rows_before = destination.count_rows(plan.table) or 0
        snapshot = build_snapshot(plan, self._specs, self._units, self._flow.owners, destination)
        return Publication(replace(snapshot, record=record(), expect=plan.expect), self._counters.partitions_staged())

    def gone_columns(self, destination: Destination) -> list[SchemaChange]:
        """The columns that the stream's own table had before it was published, and has no more."""
        table = self._plan.table
        if not self._columns:
            return []
        kept = {destination.fold(name) for name in destination.columns(table) or self._columns}
        return [
            SchemaChange(table, name, type_, None)
            for name, type_ in self._columns.items()
            if destination.fold(name) not in kept and not name.lower().startswith(RESERVED_PREFIX)
        ]

    def _check_rows(self, destination: Destination) -> None:
        """Refuse to publish fewer rows than the table has, unless the run is confirmed."""
        plan = self._plan
        rows = sum(self._counters.rows_staged(unit.key.partition) for unit in self._units)
        if plan.loses_rows and not plan.scope.confirmed:
            read = sum((self._rows.get(unit.key.partition, Counter()) for unit in self._units), Counter())
            emptied = emptied_tables(plan, self._specs, self._flow.owners, destination)
            check_tables_kept(plan, {*self._specs, *emptied}, read, destination)
        if self._stored and plan.read_whole and not rows:
            raise DataSourceError(
                f"stream {plan.name!r} has no rows now, and an empty table would replace the rows of table "
                f"{plan.table!r}, which landed while the stream was incremental. Set `incremental = True` on the "
                f'stream if it is; to empty the table, write write_mode = "replace" in {plan.location}'
            )

    def _forget_unread_states(self) -> None:
        """Remove the states that this run has not written: the rows before them are replaced."""
        read = {unit.key.partition for unit in self._units}
        self._units = [unit if unit.state else replace(unit, state={}) for unit in self._units]
        self._units += [
            CommitUnit(stored.key, (), {}, stored.version, self._plan.run_id)
            for partition, stored in self._stored.items()
            if partition not in read
        ]
