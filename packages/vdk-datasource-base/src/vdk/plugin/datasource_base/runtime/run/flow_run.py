"""One flow: its streams planned, read in parallel, and ended one by one."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from ...contract import ConcurrentRunError, ConfigurationError, DataSource, FlowFailedError, StreamPartition
from ...parts import Destination
from ..report.logs import message_of
from ..report.logs import told as told_of
from ..report.summary import StreamReport
from ..retry import RETRYABLE_ERRORS
from ..states import CommittedStates
from .flow import Flow
from .partition_reader import PartitionReader, RunCancelled, closing_early
from .planning import Planning
from .reader_slots import ReaderSlot, ReaderSlots
from .stream_run import StreamRun
from .writer import Writer

log = logging.getLogger(__name__)


class FlowRun:
    """Runs one flow: a source's streams into a destination. ``plan``, ``run`` and ``end`` are called in this order."""

    def __init__(self, flow: Flow, source: DataSource[Any]) -> None:
        self.flow = flow
        self._source = source
        self._stop = flow.stop
        self._committed = CommittedStates(source, flow.redact)
        self._runs: Sequence[StreamRun] = ()
        self._connected = False
        self._ending: list[Future[None]] = []  # work of the writer that ends streams
        self.reports: list[StreamReport] = []
        self.errors: list[BaseException] = []

    def plan(self, writer: Writer) -> None:
        """Connect the source and settle where each stream lands and how. No row is read.

        :raises Exception: what keeps the flow as a whole from starting.
        """
        self._writer = writer
        self._connected = True
        planning = Planning(
            self.flow, self._source, writer, reports=self.reports, failed=self._note, stored=self._committed.stored
        )
        self._runs = planning.runs()

    def run(self, told: Callable[[StreamReport], None]) -> None:
        """Read every stream; errors of single streams are kept in ``errors``.

        :param told: called with each stream's report as it begins, to show progress.
        """
        try:
            self._read(self._runs, told)
        except BaseException:
            self.flow.interruption.begin()
            raise

    @property
    def streams(self) -> Sequence[StreamRun]:
        return self._runs

    def begin_round(self) -> Sequence[StreamRun]:
        """Make the streams ready for ``run`` to read them once more."""
        self._runs = [run.next_round() for run in self._runs]
        self._ending.clear()
        return self._runs

    def end(self, why: str = "the flow ended before this stream") -> None:
        """Disconnect the source, and tell of the streams that have not ended that they will not. Idempotent."""
        self.stop_the_rest(why)
        if self._connected:
            self._connected = False
            self.flow.interruption.within(self._committed.close)
            self.flow.interruption.within(self._disconnect)

    def stop_the_rest(self, why: str) -> None:
        """Streams that have not ended are stopped."""
        for report in self.reports:
            if report.status == "running":
                report.end("stopped", why)

    def _disconnect(self) -> None:
        try:
            self._source.disconnect()
        except Exception as error:  # everything is read: what landed is not put in question
            log.warning(
                "source %r could not be disconnected: %s", self.flow.entry.from_, self.flow.redact(message_of(error))
            )

    def _read(self, runs: Sequence[StreamRun], told: Callable[[StreamReport], None]) -> None:
        """Feed partitions to a bounded number of readers; each stream ends when its last partition has.

        Interrupted (Ctrl-C), the readers end at their next payload. What was complete by then lands,
        and streams that are read whole and were not are dropped.
        """
        slots = ReaderSlots(self.flow.options.max_parallel_partitions)
        waiting: dict[StreamRun, set[Future[None]]] = {}
        try:
            for run in runs:
                told(run.report)
                waiting[run] = set()
                self._feed(run, slots, waiting[run])
                self._end_those_done(waiting)
            while waiting:
                wait(
                    {future for futures in waiting.values() for future in futures if not future.done()},
                    return_when=FIRST_COMPLETED,
                )
                self._end_those_done(waiting)
        except BaseException:
            self.flow.interruption.begin()
            self._give_up(waiting)
            raise

    def _give_up(self, waiting: dict[StreamRun, set[Future[None]]]) -> None:
        """Interrupted: wait for those who come back in time, and end every stream that has begun."""
        # the destination needs time, too, to land what they have read
        wait({future for futures in waiting.values() for future in futures}, timeout=self.flow.interruption.left(0.75))
        for run in list(waiting):
            late = not all(one.done() for one in waiting[run])
            if late and (run.error is None or isinstance(run.error, RunCancelled)):
                run.error = RunCancelled("interrupted, and its source did not come back in time")
            self._end(run)
        wait(self._ending, timeout=self.flow.interruption.left())

    def _feed(self, run: StreamRun, slots: ReaderSlots, futures: set[Future[None]]) -> None:
        run.report.started = time.monotonic()
        try:
            for partition in self._partitions(run):
                slot = slots.acquire()  # lazily: the next partition is asked for when a reader is free
                futures.add(self._start(run, partition, slot))
                if should_stop(run):
                    break
            run.fed = True
        except Exception as error:
            self._failed(run, error)
        except BaseException:
            run.fail(RunCancelled("interrupted before all partitions were read"))
            raise

    def _partitions(self, run: StreamRun) -> Iterator[StreamPartition]:
        """The stream's partitions; those still missing are asked for again where the source is away."""
        retry = self.flow.retry()
        fed: set[str] = set()
        while True:
            seen: set[str] = set()
            try:
                partitions = iter(run.plan.stream.partitions(run.states))
                with closing_early(partitions):
                    for partition in partitions:
                        _check_partition(partition, seen, run.plan.name)
                        if partition.id in fed:
                            continue
                        if self._stop.is_set():
                            # not the end of the stream: without this, half a table would be published
                            raise RunCancelled("stopped before all partitions were read")
                        fed.add(partition.id)
                        run.report.count(partitions=1)
                        yield partition
                if self._stop.is_set() and not fed:
                    raise RunCancelled("stopped before this stream began")
                return
            except RETRYABLE_ERRORS as error:
                self.flow.pause(retry, error)

    def _start(self, run: StreamRun, partition: StreamPartition, slot: ReaderSlot) -> Future[None]:
        """Read a partition in a thread of its own: one that a source holds must not hold the process, as those of
        a ``ThreadPoolExecutor`` do."""
        done: Future[None] = Future()

        def read() -> None:
            try:
                self._read_one(run, partition, slot)
            finally:
                done.set_result(None)

        threading.Thread(target=read, name=f"reader-{run.plan.name}", daemon=True).start()
        return done

    def _read_one(self, run: StreamRun, partition: StreamPartition, slot: ReaderSlot) -> None:
        try:
            if should_stop(run) or self._stop.is_set():
                raise RunCancelled("stopped before this partition began")
            PartitionReader(
                run, partition, stop=self._stop, retry=self.flow.retry(), redact=self.flow.redact, slot=slot
            ).read()
        except RunCancelled as error:
            run.fail(error)
        except BaseException as error:
            self._failed(run, error)
        finally:
            slot.release()

    def _end_those_done(self, waiting: dict[StreamRun, set[Future[None]]]) -> None:
        for run in [run for run, futures in waiting.items() if all(future.done() for future in futures)]:
            del waiting[run]
            self._end(run)

    def _end(self, run: StreamRun) -> None:
        """Publish what the stream staged, or drop it; told by the writer, so that no interruption comes between."""
        if not run.fed:  # not the end of the stream: without this, half a table would be published
            run.fail(RunCancelled("interrupted before all partitions were read"))
        self._ending.append(self._writer.submit(lambda destination: self._conclude(run, destination)))
        wait(self._ending[-1:], timeout=self.flow.interruption.left())

    def _conclude(self, run: StreamRun, destination: Destination) -> None:
        report = run.report
        try:
            if run.error is None:
                run.finish(destination)
            else:
                run.discard_all(destination)
        except BaseException as error:
            self._failed(run, error)
        report.state_after = run.stored_states
        if run.error is None:
            report.end("succeeded")
        elif isinstance(run.error, RunCancelled):
            report.end("stopped", str(run.error) or "the run was stopped")
        else:
            report.end("failed", self.flow.redact(told_of(run.error)))
        log.log(
            logging.DEBUG if report.is_round and report.error is None else logging.INFO,
            "%s.%s: %s, %d rows read, %d landed in %s.%s, %.1f s",
            report.source, report.stream, report.status, report.rows_read, report.rows_landed,
            report.destination, report.table, report.seconds,
        )  # fmt: skip

    def _failed(self, run: StreamRun, error: BaseException) -> None:
        run.fail(error)
        if not isinstance(error, RunCancelled):
            self._note(error)

    def _note(self, error: BaseException) -> None:
        self.errors.append(error)
        if self.flow.options.on_error == "stop":
            self._stop.set()


def should_stop(run: StreamRun) -> bool:
    """Whether to begin no further partition: it is replaced as a whole, or what failed is no partition's own."""
    error = run.error
    if error is None:
        return False
    return run.mode == "replace" or isinstance(
        error, (*RETRYABLE_ERRORS, ConfigurationError, ConcurrentRunError, RunCancelled)
    )


def _check_partition(partition: StreamPartition, seen: set[str], stream: str) -> None:
    if partition.id in seen:
        raise FlowFailedError(f"stream {stream!r} has more than one partition with the id {partition.id!r}")
    if re.fullmatch(r"\*\d*", partition.id):
        raise FlowFailedError(
            f"stream {stream!r}: a partition cannot have the id {partition.id!r}: an asterisk, alone or before a "
            "number, stands for several partitions"
        )
    seen.add(partition.id)
