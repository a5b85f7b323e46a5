# SPDX-License-Identifier: Apache-2.0
"""Lands one stream: what its partitions share, their commits, and how the stream ends."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import pyarrow as pa

from ....contract import (
    ConcurrentRunError,
    DataSourceError,
    SnapshotLostError,
    State,
    VerificationError,
)
from ....parts import (
    CommitUnit,
    Destination,
    Expectations,
    RefusedRowsError,
    RunRecord,
    SchemaChange,
    StateKey,
    StoredState,
    TableBatch,
    WriteMode,
)
from ...report.planned import PlannedStream
from ...report.records import running_record
from ...report.summary import StreamReport
from ...retry import RETRYABLE_ERRORS
from ..batches.batching import RejectedBatch, UndeclaredColumns, without_refused
from ..plan.flow import Flow
from ..plan.reject_limit import RejectLimit
from ..plan.stream_plan import StreamPlan
from . import stream_warnings
from .commit_groups import MIN_STAGED_TOGETHER, SHARED_PREFIX, BeingRead, PendingUnit, check_batches, merged_batches
from .counters import RowCounters
from .publication import warn_of_replaced_rows
from .replacement import Replacement
from .writer import Writer

log = logging.getLogger(__name__)
T = TypeVar("T")
RECORD_SECONDS = 1.0
"""Seconds between two commits that also store the stream's record: for a few rows it costs a tenth of the commit."""
MOST_STARTS = 3
"""How often a stream is read from its beginning, if the snapshot that its partitions share is lost each time."""


class StreamRun:
    """The stored states, the write mode and the staged partitions of a stream.

    :param stored: the stored states, by partition.
    :param on_stored: gets stream, partition and state when a state is stored.
    """

    def __init__(
        self,
        flow: Flow,
        plan: StreamPlan,
        report: StreamReport,
        writer: Writer,
        stored: Mapping[str, StoredState],
        on_stored: Callable[[str, str, State], None] = lambda stream, partition, state: None,
    ) -> None:
        self.plan = plan
        self.report = report
        self._whole_report = report  # of all rounds
        self.writer = writer
        self.stored = dict(stored)
        self._flow = flow
        self._on_stored = on_stored
        self.mode: WriteMode = plan.write_mode
        self.error: BaseException | None = None
        self.all_partitions_started = False
        self._starts = 1
        self.undeclared_columns = UndeclaredColumns()
        self.metadata_seen: set[str] = set()  # the metadata columns that a payload has filled
        self._committed_once = self._begun = self._warned_of_metadata = False
        self._table_made = False  # whether the stream has ended once: then its table is there
        self._judged = False  # whether a commit with the last rows was judged
        self._shared = 0  # how often several partitions were staged together
        exact = plan.transform is None and self.mode != "upsert"
        self._counters = RowCounters(report, RejectLimit.parse(plan.options.max_rejected), exact=exact)
        self._replacement = Replacement(flow, plan, self.stored, self._counters)
        self._lock = threading.Lock()
        self.being_read = BeingRead()

    def planned(self) -> PlannedStream:
        """What was chosen for the stream."""
        plan, schema = self.plan, self.plan.schema
        return PlannedStream(
            plan.source_id,
            plan.name,
            plan.table,
            self.mode,
            schema.primary_key if schema is not None else (),
            schema.cursor if schema is not None else None,
            not plan.read_whole,
        )

    @property
    def states(self) -> dict[str, State]:
        """Partition → state, as the source gets them; empty if everything or a range is read."""
        if self._ignores_states:
            return {}
        return self.stored_states

    @property
    def stored_states(self) -> dict[str, State]:
        """Partition → state, as the destination has them."""
        # copied first: the writer thread stores states of other partitions meanwhile
        return {partition: stored.state for partition, stored in dict(self.stored).items() if stored.state}

    def state_of(self, partition: str) -> State:
        stored = self.stored.get(partition) if not self._ignores_states else None
        return stored.state if stored is not None else {}

    @property
    def _ignores_states(self) -> bool:
        return self.plan.replaces or self.plan.scope.is_range

    def fail(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error

    @property
    def expects_units(self) -> bool:
        """Whether partitions are being read, or will be."""
        return self.being_read.count > 0 or not self.all_partitions_started

    def is_lost(self, error: BaseException | None) -> bool:
        """Whether the rows that were read cannot land, since those that are left would be of another moment."""
        return self.plan.replaces and isinstance(error, SnapshotLostError)

    @property
    def can_start_over(self) -> bool:
        return self.is_lost(self.error) and self._starts < MOST_STARTS

    def next_round(self) -> StreamRun:
        """The stream for another round: from the states that are stored now, with a report of its own."""
        report = StreamReport(self.report.source, self.report.destination, self.plan.name, self.plan.table)
        run = StreamRun(self._flow, self.plan, report, self.writer, self.stored, self._on_stored)
        # nothing is staged, the table exists, and one warning is enough
        run._begun, run._table_made, run._warned_of_metadata = self._begun, True, self._warned_of_metadata
        report.is_round = True
        report.details = self._whole_report.details
        run._whole_report = self._whole_report
        return run

    # The methods below run in the writer's thread, as work on the destination.

    def _begin(self, destination: Destination) -> None:
        """Before the first rows land: discard the rows that a killed run left staged, which would land with them."""
        if not self._begun:
            self.discard_all(destination)
            self._begun = True
            if self.stored_states and not self.plan.replaces and destination.has_table(self.plan.table) is False:
                stream_warnings.warn_of_dropped_table(self.plan)

    def land_together(self, destination: Destination, units: Sequence[PendingUnit]) -> list[BaseException | None]:
        """Land units, those of several partitions in one commit. A unit that fails does not fail the others.

        :returns: the error of each unit; None: it has landed.
        """
        errors: dict[int, BaseException] = {}
        try:
            self._begin(destination)
        except BaseException as error:
            errors = {id(unit): error for unit in units}
        ready = self._ready(destination, units, errors) if not errors else []
        if len(ready) > 1:
            ready = self._land_group(destination, ready, errors)
        for unit in ready:
            try:
                self._land_alone(destination, unit)
            except BaseException as error:
                errors[id(unit)] = error
        for unit in units:
            unit.settle(errors.get(id(unit)))
        return [errors.get(id(unit)) for unit in units]

    def _ready(
        self, destination: Destination, units: Sequence[PendingUnit], errors: dict[int, BaseException]
    ) -> list[PendingUnit]:
        """The units that may land together; gets the errors of the others."""
        ready: list[PendingUnit] = []
        rejected: list[TableBatch] = []
        claimed: set[tuple[str, WriteMode]] = set()
        read = 0
        for unit in units:
            try:
                unit.check()  # a gap must not be followed by later rows
                ended = unit.ended and unit.action == "commit" and not self.plan.partitioned
                self._check(destination, [*rejected, *unit.batches], read + unit.read, ended=ended)
                if unit.action == "commit":
                    self._claim_tables(destination, unit.batches, claimed)
            except BaseException as error:
                errors[id(unit)] = error
                continue
            ready.append(unit)
            rejected += [batch for batch in unit.batches if isinstance(batch, RejectedBatch)]
            read += unit.read
        return ready

    def _claim_tables(
        self, destination: Destination, batches: Sequence[TableBatch], claimed: set[tuple[str, WriteMode]]
    ) -> None:
        """Raise if the rows of another stream are, or are about to be, in one of the tables.

        :param claimed: tables that are checked already, for the same commit; gets these.
        """
        for table, mode in {(batch.table.name, batch.table.write_mode): None for batch in batches}:
            if (table, mode) not in claimed:
                self._flow.owners.claim_table(self.plan, destination.identity(), table, mode)
                self._flow.owners.check_landed(self.plan, destination, table, mode)
                claimed.add((table, mode))

    def _land_group(
        self, destination: Destination, units: list[PendingUnit], errors: dict[int, BaseException]
    ) -> list[PendingUnit]:
        """Land units in one commit. Returns the units that must land one by one, since the common commit failed."""
        if units[0].action == "hold" and len(units) < MIN_STAGED_TOGETHER:
            return units
        land = self._commit_group if units[0].action == "commit" else self._stage_group
        try:
            land(destination, units)
        except RETRYABLE_ERRORS as error:  # each reader finds out whether its own unit has landed
            errors.update({id(unit): error for unit in units})
        except Exception as error:
            log.info(
                "%s.%s: the common commit of %d partitions failed, so they land one by one: %s",
                self.plan.source_id, self.plan.name, len(units), type(error).__name__,
            )  # fmt: skip
            return units
        return []

    def _commit_group(self, destination: Destination, units: Sequence[PendingUnit]) -> None:
        keys = [self.plan.state_key(unit.partition) for unit in units]
        commits = [
            CommitUnit(key, (), unit.state, self._version(key.partition), self.plan.run_id)
            for key, unit in zip(keys, units, strict=True)
        ]
        landing = self._counters.landing((unit.partition, unit.batches, unit.read) for unit in units)
        commits[-1] = replace(commits[-1], record=self._record(landing), expect=self._expected(ended=False))
        versions = destination.commit_group(commits, merged_batches(units))
        self._committed_once = True
        self._report_changes(destination)
        for key, unit, version in zip(keys, units, versions, strict=True):
            self._counters.commit(unit.partition, unit.batches, unit.read)
            if unit.state is not None:
                self._remember(key, version, unit.state)

    def _stage_group(self, destination: Destination, units: Sequence[PendingUnit]) -> None:
        """Stage the rows of complete partitions together, under a key of their own: none of them is read again."""
        batches = merged_batches(units)
        if batches or any(unit.read for unit in units):
            self._shared += 1
            shared = self.plan.state_key(f"{SHARED_PREFIX}{self._shared}")
            try:
                self._stage(destination, shared.partition, batches, sum(unit.read for unit in units))
            except Exception:
                with suppress(Exception):  # it is never published: no unit has its key
                    destination.discard(shared)
                raise
            self._replacement.add_unit(CommitUnit(shared, (), None, 0, self.plan.run_id))
        for unit in units:
            self._finish_partition(unit)

    def _land_alone(self, destination: Destination, unit: PendingUnit) -> None:
        if unit.action == "hold":
            if unit.batches or unit.read:
                self._stage(destination, unit.partition, unit.batches, unit.read)
            self._finish_partition(unit)
            return
        batches, read = unit.batches, unit.read
        last = max((index for index, batch in enumerate(batches) if batch.kind == "keys"), default=-1)
        if last >= 0 and self.report.partitions > 1:
            raise DataSourceError(
                f"stream {self.plan.name!r} yielded all its keys from partition {unit.partition!r}, which would delete "
                "the rows of its other partitions; yield keys from a stream without partitions only"
            )
        if last >= 0:  # keys of earlier batches are staged already, and only all keys show which rows are deleted
            self._stage(destination, unit.partition, batches[: last + 1], read)
            read, batches = 0, batches[last + 1 :]
        key = self.plan.state_key(unit.partition)
        version = self._version(unit.partition)
        ended = unit.ended and not self.plan.partitioned
        batches, version = self._land_accepted(
            destination,
            batches,
            read,
            lambda accepted: destination.commit(
                CommitUnit(
                    key,
                    accepted,
                    unit.state,
                    version,
                    self.plan.run_id,
                    record=self._record(self._counters.landing([(unit.partition, accepted, read)])),
                    expect=self._expected(ended=ended),
                )
            ),
            ended=ended,
        )
        self._committed_once = True
        self._judged = self._judged or ended
        self._report_changes(destination)
        self._counters.commit(unit.partition, batches, read, rows_swept=destination.rows_swept)
        if unit.state is not None:
            self._remember(key, version, unit.state)

    def _expected(self, *, ended: bool) -> Expectations | None:
        expect = self.plan.expect
        return None if expect is None else replace(expect, ended=ended)

    def _finish_partition(self, unit: PendingUnit) -> None:
        """A partition of a replaced table is read to its end, and waits for the others."""
        key = self.plan.state_key(unit.partition)
        self._replacement.add_unit(CommitUnit(key, (), unit.state, self._version(unit.partition), self.plan.run_id))

    def _record(self, landing: Mapping[str, int]) -> RunRecord | None:
        """The stream's record in the transaction that lands rows; None if there was one within ``RECORD_SECONDS``.

        :param landing: what the transaction adds to the counts.
        """
        report = self._whole_report
        if not self.writer.destination.keeps_records or time.monotonic() < report.next_record:
            return None
        report.next_record = time.monotonic() + RECORD_SECONDS
        added = Counter(landing)
        if self.report is not report:  # a round: its counts are added to those of the run at its end
            added.update({name: getattr(self.report, name) for name in landing})
        return running_record(report, self.plan.run_id, added, self._flow.redact)

    def _version(self, partition: str) -> int:
        stored = self.stored.get(partition)
        return stored.version if stored is not None else 0

    def stage(self, destination: Destination, partition: str, batches: list[TableBatch], read: int) -> None:
        """Stage batches until a state covers them, or the whole stream is read."""
        self._begin(destination)
        self._check(destination, batches, read)
        if not self.plan.replaces:  # what a snapshot replaces is claimed when it is published
            self._claim_tables(destination, batches, set())
        self._stage(destination, partition, batches, read)

    def _stage(self, destination: Destination, partition: str, batches: list[TableBatch], read: int) -> None:
        key = self.plan.state_key(partition)
        batches, _ = self._land_accepted(
            destination, batches, read, lambda accepted: destination.stage(key, accepted, self.plan.run_id)
        )
        self._replacement.add_batches(partition, batches)
        self._counters.stage(partition, batches, read)

    def _land_accepted(
        self,
        destination: Destination,
        batches: list[TableBatch],
        read: int,
        land: Callable[[list[TableBatch]], T],
        *,
        ended: bool = False,
    ) -> tuple[list[TableBatch], T]:
        """Land the rows that the destination accepts; returns them, and what ``land`` returned for them."""
        while True:
            try:
                return batches, land(batches)
            except RefusedRowsError as error:
                batches = without_refused(self.plan, batches, error)
                self._check(destination, batches, read, ended=ended)

    def restart(self, destination: Destination, partition: str) -> State:
        """Discard what a failed attempt staged, and return the state to continue from.

        A commit that raised may have landed (the connection broke after it), so the state is loaded again. A state
        that another run stored meanwhile is refused.
        """
        self._begin(destination)
        key = self.plan.state_key(partition)
        destination.discard(key)
        self._counters.rollback(partition)
        self._replacement.discard(partition)
        if self._ignores_states:
            return {}
        loaded = next((stored for stored in destination.load_states(key.source_id) if stored.key == key), None)
        if loaded is None:
            self.stored.pop(partition, None)
            return {}
        known = self.stored.get(partition)
        if loaded.run_id != self.plan.run_id and (known is None or loaded.version != known.version):
            raise ConcurrentRunError(
                f"{key.place}: run {loaded.run_id} stored state while this run was at work; run it again, alone"
            )
        self.stored[partition] = loaded
        return loaded.state

    def discard_all(self, destination: Destination) -> None:
        """Discard what any partition staged, in this run or in a killed one."""
        destination.discard(self.plan.state_key("*"))

    def start_over(self, destination: Destination) -> None:
        """Discard all that is read: the stream is read again from its beginning."""
        self.discard_all(destination)
        self._counters.rollback_all()
        self._replacement = Replacement(self._flow, self.plan, self.stored, self._counters)
        self._starts += 1
        self.report.partitions = 0
        self.report.counters.clear()
        self.report.read_share.start_over()
        self.all_partitions_started, self.error = False, None

    def finish(self, destination: Destination) -> None:
        """Every partition is read: publish a replaced table, or create a table that got no rows."""
        what = f"destination {self.report.destination!r}"
        self._flow.with_retries(lambda: self._finish(destination), what=what)
        if self.plan.replaces:  # on its own: what is published must not be published again
            self._flow.with_retries(lambda: warn_of_replaced_rows(self.plan, destination), what=what)
        if self.report.rows_read and not self._warned_of_metadata:
            self._warned_of_metadata = True
            stream_warnings.warn_of_metadata(self.plan, self.metadata_seen)
            stream_warnings.warn_of_columns(self.plan)

    def _finish(self, destination: Destination) -> None:
        self._begin(destination)
        self._counters.check_limit(ended=True)
        self._check_count_at_source()
        if self.plan.replaces:
            self._publish(destination)
            return
        if not self._table_made and self.plan.schema is not None:
            # A commit may have stored states alone, such as of a stream whose rows are all gone.
            has_table = destination.has_table(self.plan.table)
            is_up_to_date = self._committed_once or (has_table is True and self._is_as_declared(destination))
            if has_table is False or not is_up_to_date:
                self._create_empty_table(destination)
            self._table_made = True
        expected = self._expected(ended=True)
        if expected is not None and not self._judged:  # no commit was known to be the last one
            destination.check_expectations(replace(expected, landed=True))

    def _check_count_at_source(self) -> None:
        """Raise ``VerificationError`` if the source has counted other rows than were read, in the same snapshot."""
        count, report = self.report.counters.get("rows_at_source"), self.report
        if count is not None and not report.retries and count != report.rows_read:
            raise VerificationError(
                f"stream {self.plan.name!r}: the source has {count:,} rows, and {report.rows_read:,} of them were "
                "read. This is a bug: please report it"
            )

    def _publish(self, destination: Destination) -> None:
        landed = self._replacement.publish(destination, lambda: self._record(self._counters.landing_all()))
        self._report_changes(destination, self._replacement.gone_columns(destination))
        stream_warnings.warn_of_emptied_table(self.plan, self.report, self._replacement.rows_before)
        self._counters.commit_all()
        for unit, version in landed:
            if unit.state is not None:
                self._remember(unit.key, version, unit.state)

    def _is_as_declared(self, destination: Destination) -> bool:
        """Whether the table of an earlier run has all columns as they are declared: without new rows, there is nothing
        to commit."""
        return bool(self.stored_states) and not destination.column_changes(self.plan.table_spec(None, self.mode))

    def _create_empty_table(self, destination: Destination) -> None:
        """An empty table is data, too: the source has no rows."""
        spec = self.plan.table_spec(None, self.mode)
        if spec.schema is None or all(pa.types.is_null(field.type) for field in spec.schema):
            return
        key = self.plan.state_key("")
        empty = TableBatch(spec, "rows", spec.schema.empty_table())
        destination.commit(CommitUnit(key, [empty], None, self._version(""), self.plan.run_id))

    def _report_changes(self, destination: Destination, gone: Sequence[SchemaChange] = ()) -> None:
        """Report columns whose type the last commit changed, or that it left out: queries may depend on them."""
        changes = [*destination.schema_changes, *gone]
        self.report.schema_changes += changes
        stream_warnings.warn_of_changes(self.plan, changes)

    def _check(self, destination: Destination, batches: list[TableBatch], read: int, *, ended: bool = False) -> None:
        """Fail the stream if the destination would ignore deletes, or if too many rows are rejected."""
        check_batches(self.plan, destination, batches)
        self._counters.check_limit(batches, read, ended=ended)

    def _remember(self, key: StateKey, version: int, state: State) -> None:
        if state:
            self.stored[key.partition] = StoredState(key, version, state, self.plan.run_id)
            self._on_stored(key.stream, key.partition, state)
        else:
            self.stored.pop(key.partition, None)
