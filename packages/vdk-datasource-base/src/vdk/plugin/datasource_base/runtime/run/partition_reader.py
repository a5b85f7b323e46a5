"""Reading one partition to its end, again from the last stored state where that may help."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Literal

from ...contract import BadRecordError, DataSourcePayload, State, StreamPartition
from ...parts import Destination, TableBatch
from ..retry import Retry
from ..states import copy_state
from .batching import build_batches
from .buffer import Buffer, Run
from .commit_groups import PendingUnit
from .reader_slots import ReaderSlot
from .stream_run import StreamRun


class RunCancelled(Exception):
    """The run was asked to stop; what was complete has landed."""


class _Attempt:
    """One reading of a partition. Once a piece of it failed, nothing later of it may land."""

    def __init__(self, start: State) -> None:
        self.error: BaseException | None = None
        self.start = start
        self.progressed = False  # the stored state has moved: the next attempt starts further on
        self.staged = False
        self.state: State | None = None  # the last one of a stream that is replaced: it waits for the end
        self.pending: list[Future[None]] = []

    def check(self) -> None:
        if self.error is not None:
            raise self.error


class PartitionReader:
    """Reads a partition, hands commit units to the writer and starts over after passing failures."""

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
        self._stop = stop
        self._retry = retry
        self._redact = redact
        self._name = f"{run.plan.source_id}.{run.plan.name}" + (f"[{partition.id}]" if partition.id else "")

    def read(self) -> None:
        """Returns when the partition's last row is committed (or staged, under ``replace``).

        :raises RunCancelled: where the run was asked to stop.
        :raises Exception: what failed, when it is not worth trying again.
        """
        first = True
        while True:
            attempt = _Attempt({})
            self._slot.enter()
            try:
                attempt.start = self._run.state_of(self._partition.id) if first else self._restart()
                first = False
                self._attempt(attempt)
                return
            except RunCancelled:
                self._settle(attempt)
                raise
            except Exception as error:
                self._settle(attempt)
                self._wait_after(attempt, attempt.error or error)

    def _wait_after(self, attempt: _Attempt, error: BaseException) -> None:
        """Wait until the next attempt, or raise the error where there is none."""
        if attempt.progressed:
            self._retry.progressed()
        self._retry.pause(error, what=self._name, stop=self._stop, redact=self._redact)
        self._run.report.count(retries=1)

    def _restart(self) -> State:
        return self._run.writer.call(lambda destination: self._run.restart(destination, self._partition.id))

    def _attempt(self, attempt: _Attempt) -> None:
        plan, whole = self._run.plan, self._run.plan.read_whole
        buffer = Buffer(
            plan.options, stream=plan.name, metadata_columns=plan.metadata_columns, apart="{table}" in plan.template
        )
        try:
            payloads = self._payloads(attempt)
            with closing_early(payloads):
                for payload in payloads:
                    rows, keys = buffer.add(payload), payload.kind == "keys"
                    if whole:
                        plan.check_whole(payload)
                    del payload  # its rows may be large, and are not needed twice while the destination works
                    if not keys:
                        self._run.report.count(rows_read=rows)
                    if buffer.full:
                        large = buffer.size > plan.options.batch_bytes * 9 // 8
                        self._flush(attempt, buffer)
                        if large:  # rows this large are in memory one at a time
                            self._run.writer.wait_until_idle()
                    attempt.check()
                    if self._stop.is_set():
                        raise RunCancelled
        except BaseException:
            # what a state covers is complete, whatever happened after it
            if attempt.error is None and buffer.has_state and self._run.mode != "replace":
                self._commit(attempt, buffer)
            raise
        finally:
            self._run.report.count_named(buffer.counters)
            self._run.metadata_seen.update(buffer.metadata_seen)
        self._end(attempt, buffer)
        self._slot.leave()  # the next partition is read while this one's last unit waits for others to land with
        self._wait(attempt)

    def _payloads(self, attempt: _Attempt) -> Iterator[DataSourcePayload]:
        """What the source yields. A ``BadRecordError`` that it raises says how its row could be rejected."""
        plan = self._run.plan
        try:
            # a copy: a source that changes what it is given must not change what is known to be stored
            payloads = iter(self._partition.read(copy_state(attempt.start, stream=plan.name)))
            with closing_early(payloads):
                yield from payloads
        except BadRecordError as error:
            if plan.options.on_bad_record != "reject":
                raise
            raise BadRecordError(
                f"{error.reason}. The source raised this error from read, which ends the reading; to reject a row and "
                "read on, the source does this instead: yield DataSourcePayload(RejectedRows([(row, error)]))",
                stream=error.stream or plan.name,
                column=error.column,
                key=error.key,
                value=error.value,
            ) from error

    def _flush(self, attempt: _Attempt, buffer: Buffer) -> None:
        """Hand over what is ready: committed where a state covers it, else staged if it is too much."""
        if self._run.mode != "replace" and buffer.has_state:
            self._commit(attempt, buffer)
        if buffer.full:
            self._stage(attempt, buffer)

    def _commit(self, attempt: _Attempt, buffer: Buffer) -> None:
        with self._room(attempt, buffer.size) as size:
            runs, state, _ = buffer.take_covered()
            batches, read = self._batches(runs)
            attempt.staged = False  # lands with this unit
            self._submit_unit(attempt, self._unit(attempt, "commit", batches, state, read), size)

    def _stage(self, attempt: _Attempt, buffer: Buffer) -> None:
        with self._room(attempt, buffer.size) as size:
            runs, state = _take_all(buffer)
            attempt.state = state if state is not None else attempt.state  # under replace, states wait for the end
            attempt.staged = True
            batches, read = self._batches(runs)
            self._submit(
                attempt, lambda destination: self._run.stage(destination, self._partition.id, batches, read), size
            )

    def _end(self, attempt: _Attempt, buffer: Buffer) -> None:
        """The partition is read: its last unit lands, or waits for the other partitions."""
        with self._room(attempt, buffer.size) as size:
            runs, state = _take_all(buffer)
            batches, read = self._batches(runs)
            if self._run.mode == "replace":
                last = state if state is not None else attempt.state
                self._submit_unit(attempt, self._unit(attempt, "hold", batches, last, read, ended=True), size)
            elif batches or state is not None or attempt.staged:
                self._submit_unit(attempt, self._unit(attempt, "commit", batches, state, read, ended=True), size)
            else:
                self._run.writer.release(size)

    @contextmanager
    def _room(self, attempt: _Attempt, size: int) -> Iterator[int]:
        """Wait for room in the writer's queue, before rows are converted. It is given back where nothing is queued."""
        attempt.check()
        writer = self._run.writer
        writer.reserve(size)
        try:
            attempt.check()
            yield size
        except BaseException:
            writer.release(size)
            raise

    def _batches(self, runs: list[Run]) -> tuple[list[TableBatch], int]:
        """The batches, and how many rows were read for them. The list is emptied: the rows, of which the batches are
        a copy, are freed before the destination works."""
        read = sum(run.count for run in runs if run.kind == "rows")
        batches = build_batches(self._run.plan, runs, self._run.mode, self._run.undeclared_keys)
        runs.clear()
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
            elif action == "commit":
                attempt.progressed |= state is not None and state != attempt.start

        return PendingUnit(action, self._partition.id, batches, state, read, ended, attempt.check, settle)

    def _submit_unit(self, attempt: _Attempt, unit: PendingUnit, size: int) -> None:
        def land(destination: Destination) -> None:
            (error,) = self._run.land_together(destination, [unit])
            if error is not None:
                raise error

        self._queue(attempt, land, size, unit)

    def _submit(self, attempt: _Attempt, work: Callable[[Destination], None], size: int) -> None:
        def guarded(destination: Destination) -> None:
            attempt.check()  # a gap must not be followed by later rows
            try:
                work(destination)
            except BaseException as error:
                attempt.error = error
                raise

        self._queue(attempt, guarded, size)

    def _queue(
        self, attempt: _Attempt, work: Callable[[Destination], None], size: int, unit: PendingUnit | None = None
    ) -> None:
        attempt.pending = [future for future in attempt.pending if not future.done()]
        attempt.pending.append(self._run.writer.submit(work, size, owner=self._run, lane=self._partition.id, unit=unit))

    def _wait(self, attempt: _Attempt) -> None:
        for future in attempt.pending:
            future.result()
        attempt.check()

    def _settle(self, attempt: _Attempt) -> None:
        """Wait until nothing of an attempt is under way any more."""
        for future in attempt.pending:
            future.exception()


def _take_all(buffer: Buffer) -> tuple[list[Run], State | None]:
    """What the last state covers and what came after it, and that state."""
    covered, state, _ = buffer.take_covered()
    rest, _ = buffer.take_open()
    return [*covered, *rest], state


@contextmanager
def closing_early(payloads: Iterator[Any]) -> Iterator[None]:
    """Close a generator early, so that it frees its connection now; other iterators have nothing to close."""
    try:
        yield
    finally:
        close = getattr(payloads, "close", None)
        if close is not None:
            close()
