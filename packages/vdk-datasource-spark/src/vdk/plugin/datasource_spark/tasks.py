# SPDX-License-Identifier: Apache-2.0
"""What a task does on an executor: the base's readers read a split, and its rows leave as record batches.

Rows that were handed to Spark cannot be taken back. If reading fails after them, the task fails. Spark runs it again
from the same states and drops what it got before.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import (
    BoundedPartition,
    ConfigurationError,
    DataSource,
    DataSourceConfig,
    DataSourceError,
    DataSourcePayload,
    DataSourceStream,
    FlowFailedError,
    StreamPartition,
    StreamSchema,
)
from vdk.plugin.datasource_base.parts import StateKey, StoredState, TableBatch
from vdk.plugin.datasource_base.runtime import (
    CheckedPartition,
    ConfiguredSource,
    Environment,
    HandoverEnvironment,
    HandoverSink,
    Options,
    Outbox,
    execute,
    redacted_errors,
)

from . import splits
from .options import ReadOptions
from .session import connected
from .splits import Piece, Split

ToBatches = Callable[[Sequence[TableBatch]], Iterable[pa.RecordBatch]]
WAITING_BATCHES = 2
"""Batches that wait for Spark, beside those in the writer's queue."""
FULL_ROWS = 10_000
FULL_BYTES = 8 << 20
"""What a batch has before it leaves, unless the rows end."""
SOURCE = "spark"


@dataclass(frozen=True, slots=True)
class Task:
    """What is read: the options, the folder of relative paths, and what makes record batches of rows."""

    options: ReadOptions
    folder: str
    to_batches: ToBatches

    def read(self, split: Split) -> Iterator[pa.RecordBatch]:
        """The rows of a split. Raises what the source raises, without secrets."""
        with ExitStack() as stack:
            try:
                configured, stream = self._prepare(split, stack)
            except (ImportError, ConfigurationError) as error:
                raise type(error)(f"executor {socket.gethostname()!r}: {error}{_remedy(error)}") from None
            stack.enter_context(redacted_errors(configured.redact))
            yield from _joined(read_stream(TaskSource(configured, stream), self.options, self.to_batches))

    def _prepare(self, split: Split, stack: ExitStack) -> tuple[ConfiguredSource, DataSourceStream]:
        if split.content is None:
            session = stack.enter_context(connected(self.options, self.folder))
            return session.configured, whole_stream(session.stream, session.schemas(), self.options)
        configured = self.options.configured(self.folder)
        content = splits.load(split.content, configured.secrets)
        return configured, TaskStream(self.options, content.pieces, content.schemas)


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Small batches as fewer ones: each state ends a batch, and Spark pays for every batch."""
    small: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        small.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= FULL_ROWS or size >= FULL_BYTES:
            yield pa.concat_batches(small) if len(small) > 1 else batch
            small, rows, size = [], 0, 0
    if small:
        yield pa.concat_batches(small)


def read_stream(
    source: TaskSource, options: ReadOptions, to_batches: ToBatches, *, batch_rows: int | None = None
) -> Generator[pa.RecordBatch, None, None]:
    """The rows of a source's stream, as ``to_batches`` makes them.

    :param batch_rows: rows of a batch; None: as in a flow.
    """
    limits = Options() if batch_rows is None else Options(batch_rows=batch_rows)
    yield from _Reading(source, options, to_batches, limits).batches()


def _remedy(error: Exception) -> str:
    if isinstance(error, ImportError) or isinstance(error.__cause__, ImportError):
        return "; install the same packages on every executor as on the driver, as with spark.archives"
    return ""


def whole_stream(
    stream: DataSourceStream, schemas: Mapping[str | None, StreamSchema | None], options: ReadOptions
) -> TaskStream:
    """All partitions of a stream, read by one task. The source stays connected while it reads."""
    stream = stream.unsplit or stream
    return TaskStream(options, (Piece(partition, {}) for partition in stream.partitions({})), schemas)


class TaskStream(DataSourceStream):
    """The pieces of a stream that one task reads."""

    def __init__(
        self, options: ReadOptions, pieces: Iterable[Piece], schemas: Mapping[str | None, StreamSchema | None]
    ) -> None:
        self.name = options.stream
        self.incremental = True  # whatever it is at the source: its rows are added to what Spark has
        self._options = options
        self._pieces = pieces
        self._schemas = schemas

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._schemas.get(table)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        return (CheckedPartition(_PiecePartition(piece), self._accept) for piece in self._pieces)

    def _accept(self, payload: DataSourcePayload) -> DataSourcePayload:
        """The payload as it is read. Raises ``DataSourceError`` for what a data frame has no place for."""
        table, options = payload.destination_table or self.name, self._options
        if table != (options.table or self.name):
            if options.table is None and payload.data is not None:
                raise DataSourceError(
                    f"stream {self.name!r} has rows for the table {table!r}, too, and a data frame is one table; write "
                    f'option("table", "{table}") to read them, and option("table", "{self.name}") to read the others'
                )
            return replace(payload, data=None, kind="rows", destination_table=None)
        if payload.kind == "rows":
            return payload
        if options.deletes == "skip":
            return replace(payload, data=None, kind="rows")
        if payload.kind == "keys":
            raise DataSourceError(
                f"stream {self.name!r} lists all its keys, so that a destination deletes every other row, and Spark "
                'has no table to compare them with; write option("deletes", "skip") to leave them out'
            )
        if options.deletes == "fail":
            raise DataSourceError(
                f'stream {self.name!r} yields the keys of deleted rows; write option("deletes", "column") to get them '
                'as rows with _vdk_deleted, or option("deletes", "skip") to leave them out'
            )
        return payload


class _PiecePartition(StreamPartition):
    """Reads a piece. After a failure the runtime passes the last state whose rows were handed over."""

    def __init__(self, piece: Piece) -> None:
        self.id = piece.partition.id
        self._piece = piece

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        partition, end = self._piece.partition, self._piece.end
        start = dict(state or self._piece.start)
        if end is not None and isinstance(partition, BoundedPartition):
            return partition.read(start, dict(end))
        return partition.read(start)


class TaskSource(DataSource[DataSourceConfig]):
    """The source as the runtime sees it: one stream, whose partitions open their own connections."""

    source_name = SOURCE

    def __init__(self, configured: ConfiguredSource, stream: DataSourceStream) -> None:
        super().__init__(configured.source.config)
        self._stream = stream

    def streams(self) -> Sequence[DataSourceStream]:
        return [self._stream]


class _BatchSink(HandoverSink):
    """Puts what is committed and staged into the outbox, as record batches."""

    write_modes = frozenset({"append"})

    def __init__(self, outbox: Outbox, to_batches: ToBatches) -> None:
        super().__init__()
        self._outbox = outbox
        self._to_batches = to_batches

    def identity(self) -> str:
        return SOURCE

    def hand_over(self, key: StateKey, batches: Sequence[TableBatch], state: StoredState | None) -> None:
        for batch in list(self._to_batches(batches)):  # rows that are refused are named before any row is handed over
            self._outbox.put(batch)


class _Reading:
    """The run of one task, in a thread of its own. Closing ``batches`` ends it."""

    def __init__(self, source: TaskSource, options: ReadOptions, to_batches: ToBatches, limits: Options) -> None:
        self._outbox = Outbox(WAITING_BATCHES, cancelled="Spark has stopped reading")
        self._stop = threading.Event()
        self._limits = limits
        self._environment = HandoverEnvironment(
            options=self._limits,
            stop=self._stop,
            draw=False,
            on_summary=lambda summary: None,
            lookups={} if options.salt is None else Environment().lookups,
        )
        self._environment.source = source
        self._environment.sink = _BatchSink(self._outbox, to_batches)
        self._flow = {
            "sources": {SOURCE: {"name": SOURCE}},
            "destinations": {SOURCE: {"method": SOURCE}},
            "flows": [{"from": SOURCE, "to": SOURCE, **options.flow_options()}],
        }
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="spark-task", daemon=True)

    def batches(self) -> Iterator[pa.RecordBatch]:
        self._thread.start()
        try:
            yield from self._outbox.messages()
            self._thread.join(self._limits.stop_seconds)
            if self._error is not None:
                raise _single(self._error)
        finally:
            self._stop.set()
            self._outbox.cancel()
            self._thread.join(self._limits.stop_seconds)

    def _run(self) -> None:
        try:
            execute(self._flow, self._environment)
        except BaseException as error:
            self._error = error
        finally:
            self._outbox.finish()


def _single(error: BaseException) -> BaseException:
    """The error of the stream, rather than that of a run of one stream."""
    while isinstance(error, FlowFailedError) and len(error.errors) == 1:
        error = error.errors[0]
    return error
