# SPDX-License-Identifier: Apache-2.0
"""Sources as the suite reads them: without the runtime, or through it with a callback for each payload."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import pyarrow as pa

from ....contract import (
    DataSource,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    RejectedRows,
    StreamPartition,
    StreamSchema,
)
from ....parts.closing import closing_early
from ....parts.columns.records import to_rows
from ...faults.proxy import StreamProxy

MakeSource: TypeAlias = Callable[[], DataSource[Any]]
"""Makes a new source each time, configured and not connected."""


OnPayload = Callable[[str, str, DataSourcePayload], None]
"""Called with stream, partition and payload before the payload is yielded. The source raises what it raises."""


def watched(make: MakeSource, on_payload: OnPayload = lambda *_: None, *, hidden: Collection[str] = ()) -> MakeSource:
    """Makes sources that call ``on_payload`` for each payload and leave out the streams named in ``hidden``."""

    def make_watched() -> DataSource[Any]:
        source = make()
        streams = source.streams
        source.streams = lambda: [  # type: ignore[method-assign]  # all the rest stays the source's own
            StreamProxy(stream, partial(_watch, stream.name, on_payload))
            for stream in streams()
            if stream.name not in hidden
        ]
        return source

    return make_watched


def _watch(
    stream: str, on_payload: OnPayload, partition: StreamPartition, payloads: Iterator[DataSourcePayload]
) -> Iterator[DataSourcePayload]:
    with closing_early(payloads):
        for payload in payloads:
            on_payload(stream, partition.id, payload)
            yield payload


Row = dict[str, Any]


@dataclass(slots=True)
class Table:
    """The rows that were read for one table, and its schema."""

    schema: StreamSchema | None
    rows: list[Row] = field(default_factory=list)

    @property
    def keys(self) -> list[tuple[Any, ...]]:
        """The primary keys of the rows; empty without a primary key."""
        key = self.schema.primary_key if self.schema is not None else ()
        return [tuple(row.get(name) for name in key) for row in self.rows] if key else []


@contextmanager
def opened(make: MakeSource) -> Iterator[DataSource[Any]]:
    """A source between ``connect`` and ``disconnect``, without a state."""
    source = make()
    source.connect(DataSourceState())
    try:
        yield source
    finally:
        source.disconnect()


def partitions_of(source: DataSource[Any]) -> list[tuple[DataSourceStream, StreamPartition]]:
    """All partitions of all streams, as a first run reads them."""
    return [(stream, partition) for stream in source.streams() for partition in stream.partitions({})]


def read(partition: StreamPartition, state: Mapping[str, Any] | None = None) -> list[DataSourcePayload]:
    """Everything after ``state``, which is passed as a store would return it."""
    return list(partition.read(json.loads(json.dumps(dict(state or {})))))


def tables_in(source: DataSource[Any]) -> dict[str, Table]:
    """Every table of a connected source, read from the beginning, including the table of a stream without rows."""
    tables: dict[str, Table] = {}
    for stream in source.streams():
        tables.setdefault(stream.name, Table(stream.schema()))
        for partition in stream.partitions({}):
            for payload in read(partition):
                name = payload.destination_table
                table = tables[stream.name] if name is None else tables.setdefault(name, Table(stream.schema(name)))
                table.rows += plain_rows(payload, table.schema)
    return tables


def read_tables(make: MakeSource) -> dict[str, Table]:
    """Every table of a new source, read from the beginning."""
    with opened(make) as source:
        return tables_in(source)


def read_everything(make: MakeSource, on_payload: Callable[[DataSourcePayload], object] = lambda payload: None) -> None:
    """Every payload of a new source, of which none is kept."""
    with opened(make) as source:
        for _, partition in partitions_of(source):
            for payload in partition.read({}):
                on_payload(payload)


def rows_of(payloads: Sequence[DataSourcePayload]) -> list[Row]:
    """The rows in payloads, as Python values."""
    return [row for payload in payloads for row in plain_rows(payload)]


def plain_rows(payload: DataSourcePayload, schema: StreamSchema | None = None) -> list[Row]:
    """The rows of a payload, including rejected ones; keys that are deleted are not rows.

    :param schema: whose resolvers apply to records; None: the fields of their class.
    """
    data = payload.data
    if data is None or payload.kind != "rows":
        return []
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        return list(data.to_pylist())
    if isinstance(data, RejectedRows):
        return [dict(row) for row, _ in data.rows]
    rows, failed = to_rows(data if isinstance(data, Sequence) else [data], schema, stream="")
    return [dict(row) for row in [*rows, *(row for row, _ in failed)]]


def error_of(work: Callable[..., Any], *arguments: Any, **options: Any) -> Exception | None:
    """The exception that ``work`` raises; None if it returns."""
    try:
        work(*arguments, **options)
    except Exception as error:
        return error
    return None
