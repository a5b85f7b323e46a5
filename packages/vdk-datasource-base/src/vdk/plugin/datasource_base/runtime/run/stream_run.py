"""One stream of one flow at work: what its partitions share, and how it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol, TypeVar

import pyarrow as pa

from ...contract import ConcurrentRunError, DataSourceError, DestinationError, State
from ...parts import CommitUnit, Destination, RefusedRowsError, StateKey, StoredState, TableBatch, TableSpec, WriteMode
from ..report.summary import StreamReport
from ..retry import RETRYABLE_ERRORS
from .batching import UndeclaredKeys, without_refused
from .commit_groups import FEWEST_STAGED, SHARED, PendingUnit, merged_batches
from .counters import Tally, Tolerance
from .ownership import Claims
from .plan import StreamPlan
from .publication import Publication, snapshot_of
from .warnings import warn_of_dropped_table, warn_of_metadata, warn_of_replaced_rows
from .writer import Writer

log = logging.getLogger(__name__)
T = TypeVar("T")


class Retrying(Protocol):
    """Does work, again where what it needs is away."""

    def __call__(self, work: Callable[[], None], *, what: str) -> None: ...


class StreamRun:
    """The stored states, the write mode and the staged partitions of a stream."""

    def __init__(
        self,
        plan: StreamPlan,
        report: StreamReport,
        writer: Writer,
        stored: Mapping[str, StoredState],
        claims: Claims,
        retrying: Retrying,
        on_stored: Callable[[str, str, State], None] = lambda stream, partition, state: None,
    ) -> None:
        self.plan = plan
        self.report = report
        self.writer = writer
        self.stored = dict(stored)
        self._claims = claims
        self._retrying = retrying
        self._on_stored = on_stored
        self.mode: WriteMode = plan.write_mode
        self.error: BaseException | None = None
        self.fed = False  # every partition was handed to a reader
        self._finished: list[CommitUnit] = []  # partitions that wait for the whole stream to succeed
        self._specs: dict[str, TableSpec] = {}
        self.undeclared_keys = UndeclaredKeys()
        self.metadata_seen: set[str] = set()  # of the metadata columns, those that a payload had
        self._publication: Publication | None = None
        self._landed_anything = self._begun = False
        self._shared = 0  # stagings of several partitions
        self._tally = Tally(report, Tolerance.parse(plan.options.max_rejected))
        self._lock = threading.Lock()

    @property
    def states(self) -> dict[str, State]:
        """Partition → state, as ``partitions`` and ``read`` get them; empty under ``replace``."""
        if self.mode == "replace":
            return {}
        return self.stored_states

    @property
    def stored_states(self) -> dict[str, State]:
        """Partition → state, as the destination has them."""
        # a copy first: the writer stores states of other partitions meanwhile
        return {partition: one.state for partition, one in dict(self.stored).items() if one.state}

    def state_of(self, partition: str) -> State:
        known = self.stored.get(partition) if self.mode != "replace" else None
        return known.state if known is not None else {}

    def fail(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error

    # What follows runs in the writer's thread, as work on the destination.

    def _begin(self, destination: Destination) -> None:
        """Before anything lands: drop what a run that was killed left staged, or it would land with it."""
        if not self._begun:
            self.discard_all(destination)
            self._begun = True
            if self.stored_states and self.mode != "replace" and destination.has_table(self.plan.table) is False:
                warn_of_dropped_table(self.plan)

    def land_together(self, destination: Destination, units: Sequence[PendingUnit]) -> list[BaseException | None]:
        """Land units, those of several partitions in one commit. One that fails does not fail the others.

        :returns: the error of each; None: it has landed.
        """
        errors: dict[int, BaseException] = {}
        ready: list[PendingUnit] = []
        try:
            self._begin(destination)
        except BaseException as error:
            errors = {id(unit): error for unit in units}
        for unit in units if not errors else ():
            try:
                unit.check()  # a gap must not be followed by later rows
                self._check_unit(destination, unit, ready)
                ready.append(unit)
            except BaseException as error:
                errors[id(unit)] = error
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

    def _check_unit(self, destination: Destination, unit: PendingUnit, beside: Sequence[PendingUnit]) -> None:
        """Raise where a unit cannot land, together with those that land with it."""
        self._check(
            destination,
            [batch for other in (*beside, unit) for batch in other.batches],
            sum(other.read for other in (*beside, unit)),
            ended=unit.ended and unit.action == "commit" and not self.plan.split,
        )
        if unit.action == "commit":
            for batch in unit.batches:
                self._claim(batch.table.name, batch.table.write_mode)

    def _land_group(
        self, destination: Destination, units: list[PendingUnit], errors: dict[int, BaseException]
    ) -> list[PendingUnit]:
        """Land units at once. Returns those that are to be landed one by one, since together they failed."""
        if units[0].action == "hold" and len(units) < FEWEST_STAGED:
            return units
        land = self._commit_group if units[0].action == "commit" else self._hold_group
        try:
            land(destination, units)
        except RETRYABLE_ERRORS as error:  # whether it has landed is found out by the readers, each for its own
            errors.update({id(unit): error for unit in units})
        except Exception as error:
            log.info(
                "%s.%s: %d partitions could not land together, so they land one by one: %s",
                self.plan.source_id, self.plan.name, len(units), type(error).__name__,
            )  # fmt: skip
            return units
        return []

    def _commit_group(self, destination: Destination, units: Sequence[PendingUnit]) -> None:
        keys = [self.plan.key(unit.partition) for unit in units]
        stored = [
            CommitUnit(key, (), unit.state, self._version(key.partition), self.plan.run_id)
            for key, unit in zip(keys, units, strict=True)
        ]
        versions = destination.commit_group(stored, merged_batches(units))
        self._landed_anything = True
        self._report_changes(destination)
        for key, unit, version in zip(keys, units, versions, strict=True):
            self._tally.land(unit.partition, unit.batches, unit.read)
            if unit.state is not None:
                self._remember(key, version, unit.state)

    def _hold_group(self, destination: Destination, units: Sequence[PendingUnit]) -> None:
        """Set the rows of whole partitions aside together, under a key of their own: none of them is read again."""
        batches = merged_batches(units)
        if batches or any(unit.read for unit in units):
            self._shared += 1
            shared = self.plan.key(f"{SHARED}{self._shared}")
            try:
                self._stage(destination, shared.partition, batches, sum(unit.read for unit in units))
            except Exception:
                with suppress(Exception):  # nothing of it is published: it is in no unit
                    destination.discard(shared)
                raise
            self._finished.append(CommitUnit(shared, (), None, 0, self.plan.run_id))
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
                f"stream {self.plan.name!r} yielded all its keys from partition {unit.partition!r}, and has more "
                "partitions, whose rows would be deleted; only a stream that is its own only partition can do that"
            )
        if last >= 0:  # keys of earlier batches are staged already, and only together do they say what is gone
            self._stage(destination, unit.partition, batches[: last + 1], read)
            read, batches = 0, batches[last + 1 :]
        key = self.plan.key(unit.partition)
        version = self._version(unit.partition)
        batches, version = self._taken(
            destination,
            batches,
            read,
            lambda fit: destination.commit(CommitUnit(key, fit, unit.state, version, self.plan.run_id)),
            ended=unit.ended and not self.plan.split,
        )
        self._landed_anything = True
        self._report_changes(destination)
        self._tally.land(unit.partition, batches, read, rows_swept=destination.rows_swept)
        if unit.state is not None:
            self._remember(key, version, unit.state)

    def _finish_partition(self, unit: PendingUnit) -> None:
        """A partition of a stream that is read whole is at its end: it waits for the others."""
        version = self._version(unit.partition)
        self._finished.append(CommitUnit(self.plan.key(unit.partition), (), unit.state, version, self.plan.run_id))

    def _version(self, partition: str) -> int:
        known = self.stored.get(partition)
        return known.version if known is not None else 0

    def stage(self, destination: Destination, partition: str, batches: list[TableBatch], read: int) -> None:
        """Set batches aside until a state covers them, or the stream is read."""
        self._begin(destination)
        self._check(destination, batches, read)
        self._stage(destination, partition, batches, read)

    def _stage(self, destination: Destination, partition: str, batches: list[TableBatch], read: int) -> None:
        key = self.plan.key(partition)
        batches, _ = self._taken(destination, batches, read, lambda fit: destination.stage(key, fit, self.plan.run_id))
        for batch in batches:
            self._specs.setdefault(batch.table.name, batch.table)
        self._tally.stage(partition, batches, read)

    def _taken(
        self,
        destination: Destination,
        batches: list[TableBatch],
        read: int,
        land: Callable[[list[TableBatch]], T],
        *,
        ended: bool = False,
    ) -> tuple[list[TableBatch], T]:
        """Land the rows that the destination takes; returns them, and what ``land`` returned for them."""
        while True:
            try:
                return batches, land(batches)
            except RefusedRowsError as error:
                batches = without_refused(self.plan, batches, error)
                self._check(destination, batches, read, ended=ended)

    def restart(self, destination: Destination, partition: str) -> State:
        """Drop what a failed attempt left and return the state to go on from.

        A commit that failed may have landed all the same (a connection that died after it), so the
        state is asked for again; a state that somebody else stored meanwhile is refused.
        """
        self._begin(destination)
        key = self.plan.key(partition)
        destination.discard(key)
        self._tally.drop(partition)
        self._finished = [unit for unit in self._finished if unit.key.partition != partition]
        if self.mode == "replace":
            return {}
        found = next((state for state in destination.load_states(key.source_id) if state.key == key), None)
        known = self.stored.get(partition)
        if found is not None and found.run_id != self.plan.run_id and (known is None or found.version != known.version):
            raise ConcurrentRunError(
                f"source {key.source_id!r}, stream {key.stream!r}, partition {partition!r}: run {found.run_id} "
                "stored state while this run was at work; run it again, alone"
            )
        if found is None:
            self.stored.pop(partition, None)
        else:
            self.stored[partition] = found
        return found.state if found is not None else {}

    def discard_all(self, destination: Destination) -> None:
        """Drop what any partition staged, in this run or in one that was killed."""
        destination.discard(self.plan.key("*"))

    def finish(self, destination: Destination) -> None:
        """Every partition is read: make a replaced table visible, or see that an empty table exists."""
        self._retrying(lambda: self._finish(destination), what=f"destination {self.report.destination!r}")
        if self.report.rows_read:
            warn_of_metadata(self.plan, self.metadata_seen)

    def _finish(self, destination: Destination) -> None:
        self._begin(destination)
        self._tally.judge(ended=True)
        if self.mode == "replace":
            self._publish(destination)
            return
        if not self._landed_anything and self.plan.schema is not None:
            self._make_table(destination)

    def _publish(self, destination: Destination) -> None:
        if self._publication is None:
            self._replace_incremental_rows()
            snapshot = snapshot_of(self.plan, self._specs, self._finished, self._claims, destination)
            self._publication = Publication(snapshot, self._tally.partitions_staged())
        versions = self._publication.attempt(destination)
        self._report_changes(destination)
        warn_of_replaced_rows(self.plan, destination)
        self._tally.land_all()
        for unit, version in zip(self._finished, versions, strict=True):
            if unit.state is not None:
                self._remember(unit.key, version, unit.state)

    def _replace_incremental_rows(self) -> None:
        """Where states were reset, rows have landed incrementally: only a snapshot that has rows replaces them, and
        they are forgotten then.

        :raises DataSourceError: it has none.
        """
        if not self.stored or not self.plan.read_whole:
            return
        if not any(self._tally.rows_staged(unit.key.partition) for unit in self._finished):
            raise DataSourceError(
                f"stream {self.plan.name!r} has no rows now, and rows of table {self.plan.table!r} landed while it was "
                "incremental: an empty table would replace them. Set `incremental = True` on the stream if it is; to "
                f'empty the table, set write_mode = "replace" in {self.plan.where}'
            )
        held = {unit.key.partition for unit in self._finished}
        self._finished = [unit if unit.state else replace(unit, state={}) for unit in self._finished]
        self._finished += [
            CommitUnit(one.key, (), {}, one.version, self.plan.run_id)
            for partition, one in self.stored.items()
            if partition not in held
        ]

    def _make_table(self, destination: Destination) -> None:
        """An empty table is data too: it says that there are no rows."""
        spec = self.plan.spec(None, self.mode)
        if spec.schema is None or all(pa.types.is_null(field.type) for field in spec.schema):
            return
        key = self.plan.key("")
        empty = TableBatch(spec, "rows", spec.schema.empty_table())
        destination.commit(CommitUnit(key, [empty], None, self._version(""), self.plan.run_id))

    def _report_changes(self, destination: Destination) -> None:
        """Say which columns the last commit gave another type: queries on the table may depend on it."""
        for change in destination.schema_changes:
            self.report.schema_changes.append(change)
            log.warning(
                "stream %r: column %r of table %r changes its type from %s to %s, which takes every value of both",
                self.plan.name, change.column, change.table, change.before, change.after,
            )  # fmt: skip

    def _claim(self, table: str, mode: WriteMode) -> None:
        self._claims.table(self.plan, self.writer.destination.identity(), table, mode)

    def _check(self, destination: Destination, batches: list[TableBatch], read: int, *, ended: bool = False) -> None:
        """Fail the stream before the destination ignores deletes, or more rows are rejected than the flow allows."""
        if not destination.deletes and any(batch.kind != "rows" for batch in batches):
            raise DestinationError(
                f"stream {self.plan.name!r} yielded deletes, and {destination.identity()} cannot delete rows; "
                'write_mode = "append" lands them as rows with _vdk_deleted_at'
            )
        self._tally.judge(batches, read, ended=ended)

    def _remember(self, key: StateKey, version: int, state: State) -> None:
        if state:
            self.stored[key.partition] = StoredState(key, version, state, self.plan.run_id)
            self._on_stored(key.stream, key.partition, state)
        else:
            self.stored.pop(key.partition, None)
