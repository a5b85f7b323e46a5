"""Reading a source without the runtime, where a check looks at the reading itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from ...contract import DataSource, DataSourcePayload, DataSourceState, DataSourceStream, RejectedRows, StreamPartition
from ._suite import MakeSource

Row = dict[str, Any]
States = Mapping[str, Mapping[str, Any]]


@contextmanager
def opened(make: MakeSource, states: Mapping[str, States] | None = None) -> Iterator[DataSource[Any]]:
    """A source between ``connect`` and ``disconnect``."""
    source = make()
    source.connect(DataSourceState(states))
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


def rows_of(payloads: Sequence[DataSourcePayload]) -> list[Row]:
    """The rows in payloads, as Python values; deleted keys are not among them."""
    return [row for payload in payloads if payload.kind == "rows" for row in plain_rows(payload)]


def plain_rows(payload: DataSourcePayload) -> list[Row]:
    data = payload.data
    if data is None:
        return []
    if isinstance(data, (pa.Table, pa.RecordBatch)):
        return list(data.to_pylist())
    if isinstance(data, RejectedRows):
        return [dict(row) for row, _ in data.rows]
    return [dict(data)] if isinstance(data, Mapping) else [dict(row) for row in data]


def error_of(work: Callable[[], Any]) -> Exception | None:
    """What ``work`` raises; None where it returns."""
    try:
        work()
    except Exception as error:
        return error
    return None
