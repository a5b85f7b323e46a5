# SPDX-License-Identifier: Apache-2.0
"""A source of which one stream is read, without what a program cannot do with its rows: deletes, sweeps, other tables.

``committed`` is not passed on: rows that a program has taken are not known to be durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...contract import (
    ConfigurationError,
    DataSource,
    DataSourceConfig,
    DataSourceError,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    SnapshotLostError,
    StreamPartition,
    StreamSchema,
)
from ...contract.remedies import suggest
from ...parts.closing import closing_early

Deletes = Literal["fail", "rows", "skip"]
"""What becomes of deletes: an error, rows with ``_vdk_deleted_at``, or nothing."""


@dataclass(frozen=True, slots=True)
class Remedies:
    """What to do about an error, in the words of whatever reads: ``read``, a bridge to another system, a command.

    :param tables: rows for another table; ``{table}`` and ``{stream}`` are the names. :param deletes: deletes that were
        not asked for. :param keys: all keys of the source. :param uncovered: rows that were handed out and that no
        state covers.
    """

    tables: str = "write read(…, tables=[{table!r}]) to read them, and take them from .to_tables()"
    deletes: str = (
        'write read(…, deletes="rows") to get them as rows with _vdk_deleted_at, or deletes="skip" to leave them out'
    )
    keys: str = 'write read(…, deletes="skip") to leave them out'
    uncovered: str = "call read(…, states=reader.states) to continue from the last state"


@dataclass(slots=True)
class Selection:
    """What is read.

    :param names: spellings of the stream, the most likely first. :param tables: other tables whose rows are read;
        None: all. :param errors: the last error of each partition, which the log has otherwise.
    """

    names: Sequence[str]
    tables: Sequence[str] | None = ()
    deletes: Deletes = "fail"
    remedies: Remedies = field(default_factory=Remedies)
    errors: dict[str, BaseException] = field(default_factory=dict)

    def accept(self, stream: str, payload: DataSourcePayload) -> DataSourcePayload:
        """The payload as it is read. Raises ``DataSourceError`` for what was not asked for."""
        table = payload.destination_table
        if self.tables is not None and table not in (None, stream, *self.tables):
            remedy = self.remedies.tables.format(table=table, stream=stream)
            raise DataSourceError(f"stream {stream!r} has rows for the table {table!r}, too; {remedy}")
        if payload.kind == "rows" or (payload.kind == "deletes" and self.deletes == "rows"):
            return payload
        if self.deletes == "skip":
            return replace(payload, kind="rows", data=None)
        if payload.kind == "deletes":
            raise DataSourceError(f"stream {stream!r} yields the keys of deleted rows; {self.remedies.deletes}")
        raise DataSourceError(
            f"stream {stream!r} lists all its keys, so that a destination deletes every other row, and a program that "
            f"reads has no table to compare them with; {self.remedies.keys}"
        )


class SelectedSource(DataSource[DataSourceConfig]):
    """A source with the selected stream only."""

    source_name = "read"

    def __init__(self, source: DataSource[Any], selection: Selection) -> None:
        super().__init__(source.config)
        self._source = source
        self._selection = selection

    def identity(self) -> str:
        return self._source.identity()

    def connect(self, state: DataSourceState) -> None:
        self._source.connect(state)

    def streams(self) -> Sequence[DataSourceStream]:
        """The stream. Raises ``ConfigurationError`` if the source has none of that name."""
        streams = {stream.name: stream for stream in self._source.streams()}
        for name in self._selection.names:
            if name in streams:
                return [_SelectedStream(streams[name], self._selection)]
        name = self._selection.names[-1]
        raise ConfigurationError(f"the source has no stream {name!r}; {suggest(name, streams)}")

    def disconnect(self) -> None:
        self._source.disconnect()


class _SelectedStream(DataSourceStream):
    def __init__(self, stream: DataSourceStream, selection: Selection) -> None:
        self._stream = stream
        self._selection = selection
        self.name = stream.name
        self.incremental = stream.incremental
        self.backfill = stream.backfill
        self.state_columns = stream.state_columns

    def schema(self, table: str | None = None) -> StreamSchema | None:
        return self._stream.schema(table)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        partitions = iter(self._stream.partitions(state))
        with closing_early(partitions):
            for partition in partitions:
                yield CheckedPartition(partition, self._accept, on_error=self._note(partition.id))

    def _accept(self, payload: DataSourcePayload) -> DataSourcePayload:
        return self._selection.accept(self.name, payload)

    def _note(self, partition: str) -> Callable[[Exception], None]:
        def note(error: Exception) -> None:
            self._selection.errors[partition] = error
            if isinstance(error, SnapshotLostError) and self._stream.unsplit is not None:
                raise DataSourceError(
                    f"stream {self.name!r}: the snapshot that its partitions share is lost: {error}; read it again"
                ) from error

        return note


class CheckedPartition(StreamPartition):
    """A partition whose payloads pass a function, which may change them or raise.

    :param on_error: gets what reading raises.
    """

    def __init__(
        self,
        partition: StreamPartition,
        accept: Callable[[DataSourcePayload], DataSourcePayload],
        *,
        on_error: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self.id = partition.id
        self._partition = partition
        self._accept = accept
        self._on_error = on_error

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        payloads = iter(self._partition.read(state))
        with closing_early(payloads):
            try:
                for payload in payloads:
                    yield self._accept(payload)
            except Exception as error:
                self._on_error(error)
                raise
