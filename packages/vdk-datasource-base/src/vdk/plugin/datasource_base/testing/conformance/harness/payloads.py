"""Reading a source without the runtime, where a check looks at the reading itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

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
from .sources import MakeSource

Row = dict[str, Any]


@dataclass(slots=True)
class Table:
    """What was read for one table."""

    schema: StreamSchema | None
    rows: list[Row] = field(default_factory=list)

    @property
    def keys(self) -> list[tuple[Any, ...]]:
        """The primary keys of the rows; none where there is no primary key."""
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
    """Everything after ``state``, which is handed over as it would come out of a store."""
    return list(partition.read(json.loads(json.dumps(dict(state or {})))))


def tables_in(source: DataSource[Any]) -> dict[str, Table]:
    """Every table of a connected source, read from the beginning; a stream without rows has its own."""
    tables: dict[str, Table] = {}
    for stream in source.streams():
        tables.setdefault(stream.name, Table(stream.schema()))
        for partition in stream.partitions({}):
            for payload in read(partition):
                name = payload.destination_table
                table = tables[stream.name] if name is None else tables.setdefault(name, Table(stream.schema(name)))
                table.rows += plain_rows(payload)
    return tables


def read_tables(make: MakeSource) -> dict[str, Table]:
    """Every table of a new source, read from the beginning."""
    with opened(make) as source:
        return tables_in(source)


def rows_of(payloads: Sequence[DataSourcePayload]) -> list[Row]:
    """The rows in payloads, as Python values."""
    return [row for payload in payloads for row in plain_rows(payload)]


def plain_rows(payload: DataSourcePayload) -> list[Row]:
    """The rows of a payload, rejected ones too; deleted keys are none."""
    data = payload.data
    if data is None or payload.kind != "rows":
        return []
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        return list(data.to_pylist())
    if isinstance(data, RejectedRows):
        return [dict(row) for row, _ in data.rows]
    return [dict(data)] if isinstance(data, Mapping) else [dict(row) for row in data]


def error_of(work: Callable[..., Any], *arguments: Any, **options: Any) -> Exception | None:
    """What ``work`` raises; None where it returns."""
    try:
        work(*arguments, **options)
    except Exception as error:
        return error
    return None
