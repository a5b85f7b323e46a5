# SPDX-License-Identifier: Apache-2.0
"""Spark's interfaces: the data source ``vdk``, its reader of batches and its reader of a stream.

Spark makes a reader in several processes, more than once, and pickles it for the executors: it holds options alone.
``commit`` and ``stop`` do nothing, because Spark does not always call them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.datasource import DataSource, DataSourceReader, DataSourceStreamReader, Filter, InputPartition
from pyspark.sql.streaming.datasource import ReadLimit, SupportsTriggerAvailableNow
from pyspark.sql.types import StructType

from vdk.plugin.datasource_base.contract import (
    BoundedPartition,
    ConfigurationError,
    DataSourceStream,
    State,
    StateError,
    StreamPartition,
)

from . import offsets
from .columns import SchemaFit, check_schema, spark_schema
from .filters import range_of
from .options import ReadOptions
from .sampling import sampled_fields
from .session import Session, connected
from .splits import DEFAULT_SPLITS, PER_CORE, Piece, Split, make_splits
from .tasks import Task

NAME = "vdk"
END_THREADS = 8
"""Partitions that are asked for their ends in parallel."""


def register(spark: SparkSession) -> None:
    """Make ``format("vdk")`` known to a session.

    Call it again when the cluster has grown: the number of Spark's partitions follows the cores that it has now.
    """
    count = PER_CORE * _cores(spark)

    class Registered(VdkDataSource):
        """Spark pickles it with the size of the cluster, which the processes that plan cannot look up."""

        splits = count

    spark.dataSource.register(Registered)


def _cores(spark: SparkSession) -> int:
    try:
        return max(1, spark.sparkContext.defaultParallelism)
    except Exception:  # Spark Connect has no context
        return DEFAULT_SPLITS // PER_CORE


class VdkDataSource(DataSource):
    """A stream of a source as a data frame. No I/O until Spark asks for the schema."""

    splits: ClassVar[int] = DEFAULT_SPLITS
    """The largest number of Spark's partitions, unless the option ``partitions`` says otherwise."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._texts = dict(options)
        self._folder = os.getcwd()

    @classmethod
    def name(cls) -> str:
        return NAME

    def schema(self) -> StructType:
        options = ReadOptions.parse(self._texts)
        with connected(options, self._folder) as session:
            return spark_schema(sampled_fields(session), options)

    def reader(self, schema: StructType) -> DataSourceReader:
        options = ReadOptions.parse(self._texts)
        kind = FilteringReader if options.pushdown else BatchReader
        return kind(options, self._folder, schema, options.partitions or self.splits)

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:
        options = ReadOptions.parse(self._texts)
        for name in ("since", "until", "pushdown"):
            if getattr(options, name):
                raise ConfigurationError(f"option {name}: it is for spark.read; a stream reads what is new")
        return StreamReader(options, self._folder, schema, options.partitions or self.splits)


class _Reader:
    """What both readers have."""

    def __init__(self, options: ReadOptions, folder: str, schema: StructType, splits: int) -> None:
        check_schema(schema, options)
        self._options = options
        self._folder = folder
        self._schema = schema
        self._splits = splits

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        if not isinstance(partition, Split):  # Spark's own, where there is nothing to read
            return iter(())
        fit = SchemaFit.of(self._schema, self._options)
        return Task(self._options, self._folder, fit.batches).read(partition)

    def _pieces(self, session: Session, pieces: Sequence[Piece]) -> list[Piece]:
        """The pieces, of which large ones are split, as long as that gives Spark more partitions."""
        parts = self._splits // max(1, len(pieces))
        return [part for piece in pieces for part in self._parts_of(session, piece, parts)] if parts > 1 else [*pieces]

    def _parts_of(self, session: Session, piece: Piece, parts: int) -> list[Piece]:
        def split() -> Sequence[StreamPartition]:
            return piece.partition.split(piece.start, piece.end, parts=parts, min_rows=self._options.range_rows)

        return [Piece(part, {}) for part in session.retried(split)] or [piece]

    def _make_splits(self, session: Session, pieces: Sequence[Piece]) -> list[InputPartition]:
        return list(make_splits(pieces, session.schemas(), session.configured.secrets, self._splits))


class BatchReader(_Reader, DataSourceReader):
    """Reads a stream from the beginning; each partition to where it ends when it is read."""

    def partitions(self) -> Sequence[InputPartition]:
        with connected(self._options, self._folder) as session:
            stream = self._ranged(session)
            if stream.unsplit is not None:
                # its own parts share what the source holds only while it is connected
                pieces = self._pieces(session, [Piece(stream, {})])
                return self._make_splits(session, pieces) if len(pieces) > 1 else [Split(None)]
            partitions = session.retried(lambda: list(stream.partitions({})))
            return self._make_splits(session, self._pieces(session, [Piece(part, {}) for part in partitions]))

    def _ranged(self, session: Session) -> DataSourceStream:
        return session.stream


class FilteringReader(BatchReader):
    """Reads the range of the cursor that the filters of a query ask for.

    Its own class: without ``spark.sql.python.filterPushdown.enabled`` Spark refuses a reader with ``pushFilters``.
    """

    def __init__(self, options: ReadOptions, folder: str, schema: StructType, splits: int) -> None:
        super().__init__(options, folder, schema, splits)
        self._filters: list[Filter] = []

    def pushFilters(self, filters: list[Filter]) -> Iterable[Filter]:
        self._filters = list(filters)
        return filters  # Spark applies them, too

    def _ranged(self, session: Session) -> DataSourceStream:
        stream, filters, self._filters = session.stream, self._filters, []
        schema = session.retried(stream.schema)
        if schema is None or schema.cursor is None or stream.backfill:
            return stream
        begin, end = range_of(filters, schema.cursor)
        if begin is None and end is None:
            return stream
        try:
            return stream.between(begin, end)
        except ConfigurationError:  # it cannot be read by a range: Spark applies the filters to all rows
            return stream


class StreamReader(_Reader, DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Reads what is new, in batches between two offsets, each of which holds the states of all partitions.

    A batch that failed is planned again from the same two offsets, in another process or on another day.
    """

    def __init__(self, options: ReadOptions, folder: str, schema: StructType, splits: int) -> None:
        super().__init__(options, folder, schema, splits)
        self._available_now = False
        self._target: dict[str, Any] | None = None

    def initialOffset(self) -> dict[str, Any]:
        return offsets.encode({})

    def prepareForTriggerAvailableNow(self) -> None:
        self._available_now, self._target = True, None

    def latestOffset(self, start: dict[str, Any], limit: ReadLimit) -> dict[str, Any]:
        """Where a batch from ``start`` ends that begins now; ``start`` itself where nothing is new."""
        if self._target is not None:
            return self._target
        states = offsets.decode(start)
        with connected(self._options, self._folder, states) as session:
            identity = session.retried(session.source.identity)
            offsets.decode(start, identity)
            ends = self._ends(session, states)
        changed = any(ends[partition] != states.get(partition, {}) for partition in ends)
        latest = offsets.encode({**states, **ends}, identity) if changed else start
        if self._available_now:
            self._target = latest
        return latest

    def _ends(self, session: Session, states: Mapping[str, State]) -> dict[str, State]:
        partitions = session.retried(lambda: list(_bounded(session, states)))

        def end_of(partition: BoundedPartition) -> State:
            return session.retried(lambda: partition.end(dict(states.get(partition.id, {}))))

        with ThreadPoolExecutor(END_THREADS) as threads:
            return {part.id: end for part, end in zip(partitions, threads.map(end_of, partitions), strict=True)}

    def partitions(self, start: dict[str, Any], end: dict[str, Any]) -> Sequence[InputPartition]:
        states = offsets.decode(start)
        with connected(self._options, self._folder, states) as session:
            ends = offsets.decode(end, session.retried(session.source.identity))
            moved = {partition for partition, state in ends.items() if state != states.get(partition)}
            if not moved:
                return []
            known = session.retried(lambda: {each.id: each for each in _bounded(session, states)})
            if missing := sorted(moved - known.keys()):
                raise StateError(
                    f"stream {self._options.stream!r}: the checkpoint has a batch with the partition {missing[0]!r}, "
                    "which the source no longer has, so its rows cannot be read; name another checkpointLocation to "
                    "read from the beginning"
                )
            pieces = [Piece(known[each], states.get(each, {}), ends[each]) for each in sorted(moved)]
            return self._make_splits(session, self._pieces(session, pieces))


def _bounded(session: Session, states: Mapping[str, State]) -> Iterator[BoundedPartition]:
    """The partitions of a stream. Raises ``ConfigurationError`` if one does not know its end."""
    stream = session.stream
    for partition in stream.partitions(states):
        if not isinstance(partition, BoundedPartition):
            raise ConfigurationError(_unbounded(session, partition))
        yield partition


def _unbounded(session: Session, partition: StreamPartition) -> str:
    name, source = session.stream.name, session.options.source
    if session.stream.unsplit is not None or not session.retried(lambda: _has_cursor(session.stream)):
        reason = "it has no cursor, so each read returns all rows; name one in config"
    else:
        reason = f"{type(partition).__name__} does not implement BoundedPartition.end"
    return (
        f"stream {name!r} of source {source!r} cannot be read by readStream: Spark needs the end of a batch before it "
        f"reads it, and {reason}, or read it whole with spark.read"
    )


def _has_cursor(stream: DataSourceStream) -> bool:
    schema = stream.schema()
    return bool(stream.incremental) or (schema is not None and schema.cursor is not None)
