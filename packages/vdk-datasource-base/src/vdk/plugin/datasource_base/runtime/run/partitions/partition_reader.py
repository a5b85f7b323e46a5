# SPDX-License-Identifier: Apache-2.0
"""Reads one partition to its end; after a failure that may pass, again from the last stored state."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Literal

from ....contract import BadRecordError, DataSourceError, DataSourcePayload, State, StreamPartition, VerificationError
from ....parts import Destination, TableBatch
from ....parts.backoff import waits_limited
from ....parts.closing import closing_early
from ...retry import Retry
from ..batches.batching import build_batches
from ..batches.buffer import Buffer, PayloadGroup
from ..landing.commit_groups import PendingUnit
from ..landing.counters import GAUGE
from ..landing.stream_run import StreamRun
from .bounded import Reading
from .reader_slots import ReaderSlot


class RunCancelled(Exception):
    """The run was asked to stop. All rows that a state covers have landed."""


class _Attempt:
    """One attempt to read a partition. After a unit of it has failed, no later unit may land."""

    def __init__(self, start: State) -> None:
        self.error: BaseException | None = None
        self.start = start
        self.progressed = False  # a new state is stored, from which the next attempt starts
        self.staged = False
        self.state: State | None = None  # the last state under replace, which is stored at the end
        self.pending: list[Future[None]] = []
        self.rows_read = 0
        self.rows_settled = 0  # of these, those that the writer has committed or staged

    def check_count(self, name: str) -> None:
        """Raise ``VerificationError`` unless every row that was read has reached the destination."""
        if self.rows_read != self.rows_settled:
            raise VerificationError(
                f"{name}: {self.rows_read:,} rows were read, and {self.rows_settled:,} reached the destination. This "
                "is a bug: please report it. The state may be ahead of the rows: reset it (vdk datasource state "
                "reset FLOW)"
            )

    def check(self) -> None:
        if self.error is not None:
            raise self.error


class PartitionReader:
    """Reads a partition, submits its units to the writer, and retries after failures that may pass."""

    def __init__(
        self,
        run: StreamRun,
        partition: StreamPartition,
        *,
        stop: threading.Event,
        retry: Retry,
        redact: Callable[[str], str],
        slot: ReaderSlot,
    ) -> None:
        self._slot = slot
        self._run = run
        self._partition = partition
        self._reading = Reading(partition, run.plan.name, run.report.read_share)
        self._stop = stop
        self._retry = retry
        # under "append", deletes land as rows
        self._counted = ("rows", "deletes") if run.mode == "append" else ("rows",)
        self._gauges: dict[str, int] = {}
        self._redact = redact
        self._name = f"{run.plan.source_id}.{run.plan.name}" + (f"[{partition.id}]" if partition.id else "")
        self._steps = self._read()
        self.has_begun = False

    def step(self) -> Future[None] | None:
        """Read the partition to its end; afterwards, see whether its last row is committed (staged, under ``replace``).

        :returns: what to wait for before the next step, so that no thread waits; None: the partition has landed. If it
            ended well, the next step takes no time; otherwise the partition is read again.
        :raises RunCancelled: if the run was asked to stop.
        :raises Exception: the failure, if it is not retried.
        """
        self.has_begun = True
        return next(self._steps, None)

    def _read(self) -> Iterator[Future[None]]:
        first = True
        while True:
            attempt = _Attempt({})
            self._slot.enter()
            try:
                attempt.start = self._run.state_of(self._partition.id) if first else self._restart()
                first = False
                with self._run.being_read:
                    self._read_once(attempt)
                self._slot.leave()  # lets the next partition start while the last unit of this one waits
                if attempt.pending:
                    yield attempt.pending[-1]  # units land in their order, and none after one that failed
                    attempt.pending[-1].result()
                attempt.check()
                attempt.check_count(self._name)
                self._reading.ended()
                return
            except RunCancelled:
                self._drain(attempt)
                raise
            except Exception as error:
                self._drain(attempt)
                self._wait_after(attempt, attempt.error or error)

    def _wait_after(self, attempt: _Attempt, error: BaseException) -> None:
        """Wait until the next attempt, or raise the error if it is not retried."""
        if self._run.is_lost(error):  # another attempt would fail in the same way
            raise error from error.__cause__
        if attempt.progressed:
            self._retry.progressed()
        self._retry.pause(error, what=self._name, stop=self._stop, redact=self._redact)
        self._run.report.count(retries=1)

    def _restart(self) -> State:
        return self._run.writer.call(lambda destination: self._run.restart(destination, self._partition.id))

    def _read_once(self, attempt: _Attempt) -> None:
        plan, whole = self._run.plan, self._run.plan.read_whole
        buffer = Buffer(
            plan.options,
            stream=plan.name,
            metadata_columns=plan.metadata_columns,
            split_by_table="{table}" in plan.template,
        )
        try:
            payloads = self._payloads(attempt)
            with closing_early(payloads):
                for payload in payloads:
                    if plan.scope.is_range:
                        plan.check_range(payload)  # before a state can cover rows
                    rows, kind = buffer.add(payload), payload.kind
                    if whole:
                        plan.check_whole(payload)
                    if payload.state is not None:
                        self._reading.reached(payload.state)
                    del payload  # frees its rows, which may be large, while the destination works
                    if kind != "keys":
                        self._run.report.count(rows_read=rows)
                    if kind in self._counted:
                        attempt.rows_read += rows
                    if buffer.full:
                        large = buffer.size > plan.options.large_bytes
                        self._flush(attempt, buffer)
                        if large:  # keep only one batch of such rows in memory
                            self._run.writer.wait_until_idle()
                    attempt.check()
                    if self._stop.is_set() or self._run.is_lost(self._run.error):
                        raise RunCancelled
        except BaseException:
            # rows that a state covers are complete, whatever failed after it
            if attempt.error is None and buffer.has_state and not plan.replaces:
                self._commit(attempt, buffer)
            raise
        finally:
            self._count(buffer.counters)
            self._run.metadata_seen.update(buffer.metadata_seen)
        self._end(attempt, buffer)

    def _count(self, counters: Mapping[str, int]) -> None:
        """Count what an attempt counted. What waits at the source waited for the attempt before, too."""
        gauges = {name: amount for name, amount in counters.items() if name.endswith(GAUGE)}
        added = {name: amount - self._gauges.get(name, 0) for name, amount in gauges.items()}
        self._run.report.count_named({**counters, **added})
        self._gauges |= gauges

    def _payloads(self, attempt: _Attempt) -> Iterator[DataSourcePayload]:
        """Iterate over the source's payloads. To an error about a row, add how to reject the row instead."""
        plan = self._run.plan
        try:
            with waits_limited(self._retry.has_time):
                payloads = self._retry.bounded(iter(self._reading.payloads(attempt.start)))
            with closing_early(payloads):
                yield from payloads
        except BadRecordError as error:
            if plan.policy is not None:
                error = plan.policy.error(error)
            if plan.options.on_bad_record != "reject":
                raise error from None
            raise BadRecordError(
                f"{error.reason}. The source raised this error from read, which ends the stream. To reject the row and "
                "continue, change the source: yield DataSourcePayload(RejectedRows([(row, error)]))",
                stream=error.stream or plan.name,
                column=error.column,
                key=error.key,
                value=error.value,
            ) from error
        except (DataSourceError, OSError, MemoryError):
            raise
        except Exception as error:
            error.add_note(
                f"raised by read() after {attempt.rows_read:,} rows; to skip such a row, yield DataSourcePayload("
                'RejectedRows([(row, BadRecordError(str(error)))])) for it, and run with on_bad_record = "reject"'
            )
            raise

    def _flush(self, attempt: _Attempt, buffer: Buffer) -> None:
        """Commit the rows that a state covers; stage the others if they are too many to wait for a state."""
        if not self._run.plan.replaces and buffer.has_state:
            self._commit(attempt, buffer)
        if buffer.full:
            self._stage(attempt, buffer)

    def _commit(self, attempt: _Attempt, buffer: Buffer) -> None:
        with self._reserved(attempt, buffer.size) as size:
            groups, state = buffer.take_covered()
            batches, read = self._batches(groups)
            attempt.staged = False  # the staged rows land with this unit
            self._submit_unit(attempt, self._unit(attempt, "commit", batches, state, read), size)

    def _stage(self, attempt: _Attempt, buffer: Buffer) -> None:
        with self._reserved(attempt, buffer.size) as size:
            groups, state = buffer.take_all()
            attempt.state = state if state is not None else attempt.state  # a state under replace waits for the end
            attempt.staged = True
            batches, read = self._batches(groups)
            self._submit(
                attempt, lambda destination: self._run.stage(destination, self._partition.id, batches, read), size, read
            )

    def _end(self, attempt: _Attempt, buffer: Buffer) -> None:
        """Submit the last unit of the partition; under ``replace`` it waits for the other partitions."""
        with self._reserved(attempt, buffer.size) as size:
            groups, state = buffer.take_all()
            batches, read = self._batches(groups)
            if self._run.plan.replaces:
                last = state if state is not None else attempt.state
                self._submit_unit(attempt, self._unit(attempt, "hold", batches, last, read, ended=True), size)
            elif batches or state is not None or attempt.staged:
                self._submit_unit(attempt, self._unit(attempt, "commit", batches, state, read, ended=True), size)
            else:
                self._run.writer.release(size)

    @contextmanager
    def _reserved(self, attempt: _Attempt, size: int) -> Iterator[int]:
        """Reserve bytes in the writer's queue, before rows are converted; release them if nothing is submitted."""
        attempt.check()
        writer = self._run.writer
        writer.reserve(size)
        try:
            attempt.check()
            yield size
        except BaseException:
            writer.release(size)
            raise

    def _batches(self, groups: list[PayloadGroup]) -> tuple[list[TableBatch], int]:
        """Build the batches of groups, and count the rows read for them.

        Empties the list: the batches are a copy of the rows, which are freed before the destination works.
        """
        read = sum(group.count for group in groups if group.kind in self._counted)
        batches = build_batches(self._run.plan, groups, self._run.mode, self._run.undeclared_columns)
        groups.clear()
        return batches, read

    def _unit(
        self,
        attempt: _Attempt,
        action: Literal["commit", "hold"],
        batches: list[TableBatch],
        state: State | None,
        read: int,
        *,
        ended: bool = False,
    ) -> PendingUnit:
        def settle(error: BaseException | None) -> None:
            if error is not None:
                attempt.error = error
                return
            attempt.rows_settled += read
            if action == "commit":
                attempt.progressed |= state is not None and state != attempt.start

        return PendingUnit(action, self._partition.id, batches, state, read, ended, attempt.check, settle)

    def _submit_unit(self, attempt: _Attempt, unit: PendingUnit, size: int) -> None:
        def land(destination: Destination) -> None:
            (error,) = self._run.land_together(destination, [unit])
            if error is not None:
                raise error

        self._queue(attempt, land, size, unit)

    def _submit(self, attempt: _Attempt, work: Callable[[Destination], None], size: int, read: int) -> None:
        def checked(destination: Destination) -> None:
            attempt.check()  # a gap must not be followed by later rows
            try:
                work(destination)
                attempt.rows_settled += read
            except BaseException as error:
                attempt.error = error
                raise

        self._queue(attempt, checked, size)

    def _queue(
        self, attempt: _Attempt, work: Callable[[Destination], None], size: int, unit: PendingUnit | None = None
    ) -> None:
        attempt.pending = [future for future in attempt.pending if not future.done()]
        attempt.pending.append(self._run.writer.submit(work, size, owner=self._run, lane=self._partition.id, unit=unit))

    def _drain(self, attempt: _Attempt) -> None:
        """Wait until no work of the attempt is pending, whatever its outcome."""
        for future in attempt.pending:
            future.exception()
