# SPDX-License-Identifier: Apache-2.0
"""Runs one flow: plans its streams, reads their partitions in parallel, and ends each stream."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any

from ...contract import (
    ConcurrentRunError,
    ConfigurationError,
    DataSource,
    FlowFailedError,
    StreamPartition,
    VerifiableStream,
    VerificationError,
)
from ...parts import Destination
from ...parts.closing import closing_early
from ..report.logs import error_message, format_error, log_fields
from ..report.records import ended_record
from ..report.summary import StreamReport
from ..report.verification import Verification
from ..retry import RETRYABLE_ERRORS
from ..states import CommittedStates
from .landing.stream_run import StreamRun
from .landing.writer import Writer
from .partitions.partition_reader import PartitionReader, RunCancelled
from .partitions.reader_slots import ReaderSlot, ReaderSlots
from .partitions.reader_threads import ReaderThreads
from .plan.flow import Flow
from .planner import Planning
from .verifier import Compared, after_whole_read, verify_stream

log = logging.getLogger(__name__)

RECORD_SECONDS = 1.0
"""Seconds between two transactions that store the records of streams that have ended."""


class FlowRun:
    """Runs one flow, a source's streams into a destination. Call ``plan``, ``run`` and ``end``, in this order."""

    def __init__(self, flow: Flow, source: DataSource[Any]) -> None:
        self.flow = flow
        self._source = source
        self._stop = flow.stop
        self._committed = CommittedStates(source, flow.redact)
        self._runs: Sequence[StreamRun] = ()
        self._connected = False
        self._endings: list[Future[None]] = []  # work of the writer that ends streams
        self._recorded: set[int] = set()  # reports whose end the destination has recorded
        self._record_time = time.monotonic()
        self.is_recorded = True
        """Whether the destination records how the streams end."""
        self.reports: list[StreamReport] = []
        self.errors: list[BaseException] = []

    def plan(self, writer: Writer) -> None:
        """Connect the source and plan its streams. No row is read.

        :raises Exception: what prevents the whole flow from starting.
        """
        self._writer = writer
        self._connected = True
        with log_fields(source=self.flow.entry.from_):
            planning = Planning(
                self.flow,
                self._source,
                writer,
                reports=self.reports,
                on_error=self._record_error,
                on_stored=self._committed.stored,
            )
            self._runs = planning.runs()

    def run(self, on_stream_started: Callable[[StreamReport], None]) -> None:
        """Read every stream with a bounded number of readers; errors of single streams are collected in ``errors``.

        Interrupted (Ctrl-C), the readers end at their next payload. What is complete by then lands; a table that is
        being replaced stays as it was.

        :param on_stream_started: gets each stream's report when the stream starts, to show progress.
        """
        slots, self._threads = ReaderSlots(self.flow.options.max_parallel_partitions), ReaderThreads()
        readers: dict[StreamRun, set[Future[None]]] = {}
        try:
            for run in self._runs:
                on_stream_started(run.report)
                readers[run] = set()
                with self._log_fields(run):
                    self._start_partitions(run, slots, readers[run])
                self._end_finished(readers, slots)
            while readers:
                wait(
                    {future for futures in readers.values() for future in futures if not future.done()},
                    return_when=FIRST_COMPLETED,
                )
                self._end_finished(readers, slots)
        except BaseException:
            self.flow.interruption.begin()
            self._end_interrupted(readers)
            raise
        finally:
            self._threads.close()
        self._threads.join()

    @property
    def streams(self) -> Sequence[StreamRun]:
        return self._runs

    def begin_round(self) -> Sequence[StreamRun]:
        """Prepare the streams for another ``run``."""
        self._runs = [run.next_round() for run in self._runs]
        self._endings.clear()
        return self._runs

    def end(self, reason: str = "the flow ended before this stream") -> None:
        """Disconnect the source, and report the streams that have not ended as stopped. Idempotent."""
        for report in self.reports:
            if report.status == "running":
                report.end("stopped", reason)
        if self._connected:
            self._connected = False
            recorded = self._writer.submit(self._record_ended)
            wait([recorded], timeout=self.flow.interruption.left(0.75))
            self.flow.interruption.within(self._committed.close)
            self.flow.interruption.within(self._disconnect)

    def _disconnect(self) -> None:
        try:
            self._source.disconnect()
        except Exception as error:  # everything is read: what landed stays valid
            log.warning(
                "source %r could not be disconnected: %s", self.flow.entry.from_, self.flow.redact(error_message(error))
            )

    def _end_interrupted(self, readers: dict[StreamRun, set[Future[None]]]) -> None:
        """Wait a limited time for the readers, and end every stream that has started."""
        # the destination needs time, too, to land what they have read
        wait({future for futures in readers.values() for future in futures}, timeout=self.flow.interruption.left(0.75))
        for run, futures in readers.items():
            late = not all(future.done() for future in futures)
            if late and (run.error is None or isinstance(run.error, RunCancelled)):
                run.error = RunCancelled("interrupted, and its source did not return in time")
            with self._log_fields(run):
                self._end(run)
        wait(self._endings, timeout=self.flow.interruption.left())

    def _log_fields(self, run: StreamRun, **others: str) -> AbstractContextManager[None]:
        return log_fields(source=run.plan.source_id, stream=run.plan.name, **others)

    def _start_partitions(self, run: StreamRun, slots: ReaderSlots, futures: set[Future[None]]) -> None:
        run.report.start()
        if self.flow.entry.verify and isinstance(run.plan.stream, VerifiableStream):
            run.plan.stream.counts_rows = True
        try:
            for partition in self._partitions(run):
                slot = slots.acquire()  # waits: the next partition is requested only when a reader is free
                futures.add(self._start_reader(run, partition, slot))
                if should_stop(run):
                    break
            run.all_partitions_started = True
            run.report.read_share.partitions = run.report.partitions
        except Exception as error:
            self._failed(run, error)
        except BaseException:
            run.fail(RunCancelled("interrupted before all partitions were read"))
            raise

    def _partitions(self, run: StreamRun) -> Iterator[StreamPartition]:
        """The stream's partitions. After a retryable error the source is asked again, and started ones are skipped."""
        retry = self.flow.retry()
        started: set[str] = set()
        stream = run.plan.stream
        if run.mode == "append" and not run.plan.replaces and stream.unsplit is not None:
            stream = stream.unsplit
        while True:
            seen: set[str] = set()
            try:
                listed = stream.partitions(run.states)
                if isinstance(listed, Sized):  # a generator is asked for the next one only when a reader is free
                    run.report.read_share.partitions = len(listed)
                partitions = retry.bounded(iter(listed))
                with closing_early(partitions):
                    for partition in partitions:
                        _check_partition(partition, seen, run.plan.name)
                        if partition.id in started:
                            continue
                        if self._stop.is_set():
                            # not the end of the stream: without this, half a table would be published
                            raise RunCancelled("stopped before all partitions were read")
                        started.add(partition.id)
                        run.report.count(partitions=1)
                        yield partition
                if self._stop.is_set() and not started:
                    raise RunCancelled("stopped before this stream began")
                return
            except RETRYABLE_ERRORS as error:
                if run.is_lost(error):  # other partitions would be of another moment than those that have started
                    raise
                self.flow.pause(retry, error)

    def _start_reader(self, run: StreamRun, partition: StreamPartition, slot: ReaderSlot) -> Future[None]:
        reader = PartitionReader(
            run, partition, stop=self._stop, retry=self.flow.retry(), redact=self.flow.redact, slot=slot
        )
        done: Future[None] = Future()
        name, threads = f"reader-{run.plan.name}", self._threads

        def read() -> None:
            if (landing := self._read(run, partition, reader)) is not None:
                landing.add_done_callback(landed)
                return
            slot.release()
            done.set_result(None)

        def landed(landing: Future[None]) -> None:  # in the writer's thread
            if landing.exception() is None:
                Context().run(read)  # which ends at once
            else:
                threads.start(name, read)

        threads.start(name, read)
        return done

    def _read(self, run: StreamRun, partition: StreamPartition, reader: PartitionReader) -> Future[None] | None:
        """Read a partition. Returns what to wait for before this is called again; None: it has landed, or failed."""
        try:
            if not reader.has_begun and (should_stop(run) or self._stop.is_set()):
                raise RunCancelled("stopped before this partition began")
            with self._log_fields(run, partition=partition.id):
                return reader.step()
        except RunCancelled as error:
            run.fail(error)
        except BaseException as error:
            self._failed(run, error)
        return None

    def _end_finished(self, readers: dict[StreamRun, set[Future[None]]], slots: ReaderSlots) -> None:
        """End the streams whose readers have all ended, or read them again if their snapshot was lost."""
        for run in [run for run, futures in readers.items() if all(future.done() for future in futures)]:
            with self._log_fields(run):
                if self._start_over(run):
                    readers[run] = set()
                    self._start_partitions(run, slots, readers[run])
                    continue
                del readers[run]
                if run.error is not None and run.is_lost(run.error):
                    self._record_error(run.error)
                self._end(run)

    def _start_over(self, run: StreamRun) -> bool:
        """Discard what a stream staged, if it is to be read again from its beginning."""
        if not run.can_start_over or self._stop.is_set():
            return False
        reason = self.flow.redact(error_message(run.error)) if run.error is not None else ""
        log.warning("%s.%s is read again from its beginning: %s", run.plan.source_id, run.plan.name, reason)
        try:
            self.flow.with_retries(lambda: self._writer.call(run.start_over))
        except Exception as error:
            self._record_error(error)
            return False
        run.report.count(retries=1)
        return True

    def _end(self, run: StreamRun) -> None:
        """Publish what the stream staged, or discard it; in the writer's thread, which no signal interrupts."""
        if not run.all_partitions_started:  # not the end of the stream: without this, half a table would be published
            run.fail(RunCancelled("interrupted before all partitions were read"))
        self._endings.append(self._writer.submit(lambda destination: self._land_all(run, destination)))
        wait(self._endings[-1:], timeout=self.flow.interruption.left())
        verifies = self.flow.entry.verify and not run.plan.scope.is_range  # the states claim nothing of a range
        if verifies and self._endings[-1].done() and run.error is None and not self._stop.is_set():
            self._verify(run)
        self._endings.append(self._writer.submit(lambda destination: self._conclude(run, destination)))
        wait(self._endings[-1:], timeout=self.flow.interruption.left())

    def _land_all(self, run: StreamRun, destination: Destination) -> None:
        try:
            if run.error is None:
                run.finish(destination)
            else:
                run.discard_all(destination)
        except BaseException as error:
            self._failed(run, error)

    def _verify(self, run: StreamRun) -> None:
        """Prove that the rows have landed. A difference fails the stream; rows and state stay."""
        compared: Compared = "values" if self.flow.entry.verify == "values" else "keys"
        try:
            verification = self.flow.with_retries(lambda: verify_stream(run, compared, should_stop=self._stop.is_set))
            if verification.status == "different" and verification.whole:
                verification = self.flow.with_retries(lambda: after_whole_read(run, verification))
        except Exception as error:
            self._failed(run, error)
            return
        run.report.verification = verification
        level = logging.INFO if verification.status == "verified" else logging.WARNING
        log.log(level, "%s.%s: %s", verification.source, verification.stream, verification.text)
        if verification.status == "different":
            self._failed(run, VerificationError(f"{verification.text}. {_remedy(verification)}"))

    def _conclude(self, run: StreamRun, destination: Destination) -> None:
        report = run.report
        report.state_after = run.stored_states
        if run.error is None:
            report.end("succeeded")
        elif isinstance(run.error, RunCancelled):
            report.end("stopped", str(run.error) or "the run was stopped")
        else:
            report.end("failed", self.flow.redact(format_error(run.error)))
        log.log(
            logging.DEBUG if report.is_round and report.error is None else logging.INFO,
            "%s.%s: %s, %d rows read, %d landed in %s.%s, %.1f s",
            report.source, report.stream, report.status, report.rows_read, report.rows_landed,
            report.destination, report.table, report.seconds,
        )  # fmt: skip
        if self.flow.entry.follow is None and time.monotonic() - self._record_time >= RECORD_SECONDS:
            self._record_ended(destination)

    def _record_ended(self, destination: Destination) -> None:
        """Let the destination record the streams that have ended since the last time."""
        ended = [report for report in self.reports if report.status != "running" and id(report) not in self._recorded]
        self._recorded.update(map(id, ended))
        self._record_time = time.monotonic()
        if not (ended and self.is_recorded and destination.keeps_records):
            return
        try:
            destination.record_runs([ended_record(report, self.flow.run_id, self.flow.redact) for report in ended])
        except Exception as error:  # the rows have landed
            log.warning("the run is not recorded in %s: %s", destination.identity(), self.flow.redact(str(error)))

    def _failed(self, run: StreamRun, error: BaseException) -> None:
        run.fail(error)
        # a lost snapshot is an error of the run only if the stream does not start over; what fails after it may follow
        # from it, or comes again
        if not isinstance(error, RunCancelled) and not run.is_lost(run.error) and not run.is_lost(error):
            self._record_error(error)

    def _record_error(self, error: BaseException) -> None:
        self.errors.append(error)
        if self.flow.options.on_error == "stop":
            self._stop.set()


def _remedy(verification: Verification) -> str:
    if verification.missing or verification.different:
        return f"To read these rows again, write: vdk datasource repair FLOW --stream {verification.stream}"
    return f"To land everything again, write: vdk datasource run FLOW --stream {verification.stream} --full-refresh"


def should_stop(run: StreamRun) -> bool:
    """Whether to start no further partition: the table is replaced as a whole, or the error concerns all partitions."""
    error = run.error
    if error is None:
        return False
    return run.plan.replaces or isinstance(
        error, (*RETRYABLE_ERRORS, ConfigurationError, ConcurrentRunError, RunCancelled)
    )


def _check_partition(partition: StreamPartition, seen: set[str], stream: str) -> None:
    if partition.id in seen:
        raise FlowFailedError(
            f"stream {stream!r} has more than one partition with the id {partition.id!r}; ids must differ"
        )
    if re.fullmatch(r"\*\d*", partition.id):
        raise FlowFailedError(
            f"stream {stream!r} has a partition with the id {partition.id!r}, which is reserved: an asterisk, alone or "
            "before a number, stands for several partitions; give it another id"
        )
    seen.add(partition.id)
