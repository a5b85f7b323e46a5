"""One flow: its streams planned, read in parallel, and ended one by one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from ..contract import (
    ConfigurationError,
    DataSource,
    DataSourceState,
    DataSourceStream,
    FlowFailedError,
    StateError,
    StreamPartition,
)
from ..parts import Destination, StoredState, WriteMode
from ..parts._flow_file import FlowEntry, select_streams
from ..parts._transform import load_transform
from ._options import Options
from ._partition import PartitionReader, Stopped
from ._plan import StreamPlan, check_template, table_name
from ._retry import AWAY, Retry
from ._stream_run import StreamRun
from ._summary import StreamReport
from ._writer import Writer

log = logging.getLogger(__name__)


class FlowRun:
    """Runs one ``[[flows]]`` entry: a source's streams into a destination.

    :param claimed: the keys that earlier flows of the file took, to refuse a second flow with the same.
    :param told: called with each stream's report as it begins, to show progress.
    :param redact: takes secrets out of a text.
    """

    def __init__(
        self,
        entry: FlowEntry,
        source: DataSource[Any],
        writer: Writer,
        *,
        where: str,
        folder: Path,
        options: Options,
        run_id: str,
        stop: threading.Event,
        claimed: dict[tuple[str, str, str, str], str],
        told: Callable[[StreamReport], None],
        redact: Callable[[str], str],
    ) -> None:
        self._entry = entry
        self._source = source
        self._writer = writer
        self._where = where
        self._options = options.for_flow(entry)
        self._run_id = run_id
        self._stop = stop
        self._claimed = claimed
        self._told = told
        self._redact = redact
        self._template = check_template(entry.destination_table or "{table}", where)
        self._transform = load_transform(entry.transform, folder=folder, where=where)
        self.reports: list[StreamReport] = []
        self.errors: list[BaseException] = []

    def run(self) -> None:
        """Read every stream; errors of single streams are kept in ``errors``.

        :raises Exception: what kept the flow as a whole from starting.
        """
        stored = self._writer.call(lambda destination: destination.load_states(self._entry.from_))
        try:
            runs = self._prepare(stored)
            self._read(runs)
        finally:
            self._source.disconnect()

    def _prepare(self, stored: Sequence[StoredState]) -> list[StreamRun]:
        identity = self._source.identity()
        self._retrying(lambda: self._source.connect(_source_state(stored, identity)))
        streams = self._retrying(self._source.streams)
        _check_unique([stream.name for stream in streams], self._where)
        chosen = select_streams(
            [stream.name for stream in streams], self._entry.streams, where=f"{self._where}.streams"
        )
        by_name = {stream.name: stream for stream in streams}
        runs = [self._stream_run(by_name[name], identity, stored) for name in chosen]
        self._check_shared_tables(runs)
        self._warn_of_modes(runs)
        return runs

    def _stream_run(self, stream: DataSourceStream, identity: str, stored: Sequence[StoredState]) -> StreamRun:
        table = table_name(self._template, stream.name, None)
        claim = (self._entry.from_, identity, stream.name, f"{self._writer.destination.identity()} {table}")
        if claim in self._claimed:
            raise ConfigurationError(
                f"{self._where}: stream {stream.name!r} goes from {self._entry.from_!r} to table {table!r} of this "
                f"destination already, in {self._claimed[claim]}; give one of the two another destination_table"
            )
        self._claimed[claim] = self._where
        mine = _stored_for(stored, self._entry.from_, identity, stream.name, table)
        schema = stream.schema()
        plan = StreamPlan(
            source_id=self._entry.from_,
            identity=identity,
            stream=stream,
            where=self._where,
            template=self._template,
            table=table,
            schema=schema,
            write_mode=self._mode(schema, bool(mine)),
            explicit=self._entry.write_mode is not None,
            soft_deletes=self._entry.deletes == "soft",
            evolve=self._entry.on_schema_change == "evolve",
            transform=self._transform,
            metadata_columns=tuple(self._entry.metadata_columns),
            options=self._options,
            run_id=self._run_id,
            facts={"run_id": self._run_id, "source": self._entry.from_, "stream": stream.name},
        )
        if self._entry.write_mode == "upsert":
            plan.spec(None, "upsert")  # refuses a stream without a primary key
        report = StreamReport(self._entry.from_, self._entry.to, stream.name, table)
        report.state_before = {partition: one.state for partition, one in mine.items()}
        self.reports.append(report)
        return StreamRun(plan, report, self._writer, mine)

    def _mode(self, schema: Any, has_state: bool) -> WriteMode | None:
        """The write mode, where it is known before reading; see ``StreamPlan.write_mode``."""
        destination = self._writer.destination
        said = self._entry.write_mode
        if said is not None:
            if said not in destination.write_modes:
                raise ConfigurationError(
                    f"{self._where}: write_mode = {said!r} is not possible on {destination.identity()}, "
                    f"which can {', '.join(sorted(destination.write_modes))}"
                )
            return said
        incremental = has_state or (schema is not None and schema.cursor is not None)
        wanted: WriteMode | None = None
        if incremental:
            wanted = "upsert" if schema is not None and schema.primary_key else "append"
        if destination.write_modes == {"append"}:
            return "append"
        return wanted

    def _warn_of_modes(self, runs: Sequence[StreamRun]) -> None:
        if runs and self._entry.write_mode is None and self._writer.destination.write_modes == {"append"}:
            log.warning(
                "%s can only append: streams that are read whole land again in each run, and changed rows land "
                'beside their older versions; write_mode = "append" in %s says that this is wanted',
                self._writer.destination.identity(), self._where,
            )  # fmt: skip

    def _check_shared_tables(self, runs: Sequence[StreamRun]) -> None:
        first: dict[str, StreamRun] = {}
        for run in runs:
            other = first.setdefault(run.plan.table.lower(), run)
            if other is not run and "replace" in (run.mode or "replace", other.mode or "replace"):
                raise ConfigurationError(
                    f"{self._where}: streams {other.plan.name!r} and {run.plan.name!r} would replace the same table "
                    f"{run.plan.table!r} by turns; use {{stream}} in destination_table, or a write_mode that adds rows"
                )

    def _read(self, runs: Sequence[StreamRun]) -> None:
        """Feed partitions to a bounded pool; each stream ends when its last partition has."""
        slots = threading.BoundedSemaphore(self._options.max_parallel_partitions)
        with ThreadPoolExecutor(self._options.max_parallel_partitions, thread_name_prefix="reader") as pool:
            waiting: dict[StreamRun, set[Future[None]]] = {}
            try:
                for run in runs:
                    self._told(run.report)
                    waiting[run] = self._feed(run, pool, slots)
                    self._end_those_done(waiting)
                while waiting:
                    wait(
                        {one for futures in waiting.values() for one in futures if not one.done()},
                        return_when=FIRST_COMPLETED,
                    )
                    self._end_those_done(waiting)
            except BaseException:
                self._stop.set()  # readers end at their next payload; what is complete has landed
                raise

    def _feed(self, run: StreamRun, pool: ThreadPoolExecutor, slots: threading.BoundedSemaphore) -> set[Future[None]]:
        futures: set[Future[None]] = set()
        run.report.started = time.monotonic()
        if self._stop.is_set():
            run.fail(Stopped("the run was stopped before this stream began"))
            return futures
        try:
            futures.add(self._writer.submit(lambda destination: self._begin(run, destination)))
            seen: set[str] = set()
            for partition in run.plan.stream.partitions(run.states):
                _check_partition(partition, seen, run.plan.name)
                run.report.count(partitions=1)
                slots.acquire()  # lazily: the next partition is asked for when a reader is free
                if self._stop.is_set():
                    slots.release()
                    break
                futures.add(pool.submit(self._read_one, run, partition, slots))
        except Exception as error:
            self._failed(run, error)
        return futures

    def _begin(self, run: StreamRun, destination: Destination) -> None:
        try:
            run.begin(destination)
        except Exception as error:
            self._failed(run, error)

    def _read_one(self, run: StreamRun, partition: StreamPartition, slots: threading.BoundedSemaphore) -> None:
        try:
            if run.error is not None or self._stop.is_set():
                raise Stopped("stopped before this partition began")
            PartitionReader(run, partition, self._stop, self._retry()).read()
        except Stopped as error:
            run.fail(error)
        except BaseException as error:
            self._failed(run, error)
        finally:
            slots.release()

    def _end_those_done(self, waiting: dict[StreamRun, set[Future[None]]]) -> None:
        for run in [run for run, futures in waiting.items() if all(one.done() for one in futures)]:
            del waiting[run]
            self._end(run)

    def _end(self, run: StreamRun) -> None:
        report = run.report
        try:
            if run.error is None:
                self._writer.call(run.finish)
            else:
                self._writer.call(run.discard_all)
        except Exception as error:
            self._failed(run, error)
        report.state_after = {partition: one.state for partition, one in run.stored.items()}
        if run.error is None:
            report.end("succeeded")
        elif isinstance(run.error, Stopped):
            report.end("stopped", str(run.error) or "the run was stopped")
        else:
            report.end("failed", self._redact(f"{type(run.error).__name__}: {run.error}"))
        log.info(
            "%s.%s: %s, %d rows read, %d landed in %s.%s, %.1f s",
            report.source, report.stream, report.status, report.rows_read, report.rows_landed,
            report.destination, report.table, report.seconds,
        )  # fmt: skip

    def _failed(self, run: StreamRun, error: BaseException) -> None:
        log.debug("%s.%s failed", run.plan.source_id, run.plan.name)
        run.fail(error)
        self.errors.append(error)
        if self._options.on_error == "stop":
            self._stop.set()

    def _retry(self) -> Retry:
        options = self._options
        return Retry(options.retry_attempts, options.retry_seconds, options.retry_delay)

    def _retrying(self, work: Callable[[], Any]) -> Any:
        retry = self._retry()
        while True:
            try:
                return work()
            except AWAY as error:
                pause = retry.wait_after(error)
                if pause is None:
                    raise
                log.warning(
                    "source %r: attempt %d of %d failed, the next one in %.1f s: %s",
                    self._entry.from_, retry.failures, retry.attempts, pause, self._redact(str(error)),
                )  # fmt: skip
                self._stop.wait(pause)


def _source_state(stored: Sequence[StoredState], identity: str) -> DataSourceState:
    states: dict[str, dict[str, Any]] = {}
    for one in stored:
        if one.key.source_identity == identity:
            states.setdefault(one.key.stream, {})[one.key.partition] = one.state
    return DataSourceState(states)


def _stored_for(
    stored: Sequence[StoredState], source_id: str, identity: str, stream: str, table: str
) -> dict[str, StoredState]:
    """The states of one stream into one table. Raises ``StateError`` where another set of data left them."""
    mine: dict[str, StoredState] = {}
    for one in stored:
        if one.key.stream != stream or one.key.table != table:
            continue
        if one.key.source_identity != identity:
            raise StateError(
                f"source {source_id!r} reads {identity}, but the state of stream {stream!r} in table {table!r} was "
                f"written for {one.key.source_identity}; give the new data another id under [sources], "
                "or reset the state if it is the same data in another place"
            )
        mine[one.key.partition] = one
    return mine


def _check_unique(names: Sequence[str], where: str) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise FlowFailedError(f"{where}: the source has more than one stream called {doubled[0]!r}")


def _check_partition(partition: StreamPartition, seen: set[str], stream: str) -> None:
    if partition.id in seen:
        raise FlowFailedError(f"stream {stream!r} has more than one partition with the id {partition.id!r}")
    if partition.id == "*":
        raise FlowFailedError(f'stream {stream!r}: a partition cannot have the id "*"')
    seen.add(partition.id)
