# SPDX-License-Identifier: Apache-2.0
"""The smallest destination there is: what one stream yields, without the runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import (
    COUNTER_PREFIX,
    DataSource,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    RejectedRows,
    StreamPartition,
)


class Landed:
    """Rows in the order they came, the rejected, counters, and the last state."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.keys: list[dict[str, Any]] = []
        self.rejected: list[Any] = []
        self.counters: dict[str, int] = {}
        self.state: dict[str, Any] = dict(state or {})

    def add(self, payload: DataSourcePayload) -> None:
        data = payload.data
        if isinstance(data, RejectedRows):
            self.rejected += data.rows
        elif isinstance(data, pa.Table):
            if payload.kind == "keys":
                self.keys += data.to_pylist()
            elif payload.kind == "rows":
                self.rows += data.to_pylist()
        for name, count in payload.metadata.items():
            name = name.removeprefix(COUNTER_PREFIX)
            # type ignored: counters are numbers
            self.counters[name] = self.counters.get(name, 0) + int(count)  # type: ignore[arg-type]
        if payload.state is not None:
            self.state = json.loads(json.dumps(payload.state))

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def run(
    partition: StreamPartition, state: Mapping[str, Any] | None = None, end: Mapping[str, Any] | None = None
) -> Landed:
    """All of a partition, such as a stream that is its own only one; to an end, if one is given."""
    landed = Landed(state)
    bounds = [landed.state] if end is None else [landed.state, end]
    for payload in partition.read(*bounds):
        landed.add(payload)
    return landed


def run_part(stream: DataSourceStream, payloads: int) -> Landed:
    """A first run that is stopped after some payloads."""
    landed = Landed()
    reading = iter(stream.read({}))
    for _, payload in zip(range(payloads), reading, strict=False):
        landed.add(payload)
    reading.close()  # type: ignore[attr-defined]  # it is a generator
    return landed


@contextmanager
def opened(source: DataSource[Any], name: str) -> Iterator[DataSourceStream]:
    """One stream of a source that is connected, and disconnected at the end."""
    source.connect(DataSourceState())
    try:
        yield next(stream for stream in source.streams() if stream.name == name)
    finally:
        source.disconnect()
