"""A source that reads a journal from a file: every operation on three tables, in the order of their partitions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from vdk.plugin.datasource_base import (
    DataSource,
    DataSourceConfig,
    DataSourcePayload,
    DataSourceStream,
    StreamPartition,
    StreamSchema,
    data_source,
)

PARTITIONS = 2
WHOLE = ("snapshot", "swept")
COLUMNS = pa.schema([("id", pa.int64()), ("v", pa.int64())])
Operation: TypeAlias = tuple[int, int | None]
"""A key and its new value; None: the row is deleted."""


class JournalConfig(DataSourceConfig):
    path: str
    """A JSON file: for each partition its operations."""
    page: int = 4
    """Operations of a payload; every other one has a state."""


def key_of(partition: int, key: int) -> int:
    """Keys of different partitions differ."""
    return partition * 1000 + key


def current(operations: Iterable[Operation], before: Mapping[int, int] | None = None) -> dict[int, int]:
    """What the operations leave of a table."""
    table = dict(before or {})
    for key, value in operations:
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    return table


class Part(StreamPartition):
    def __init__(self, stream: str, number: int, operations: Sequence[Operation], page: int) -> None:
        self.id = f"p{number}"
        self._stream, self._operations, self._page = stream, operations, page

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        if self._stream in WHOLE:
            yield from self._whole()
            return
        begin, end = state.get("n", 0), len(self._operations)
        for number, start in enumerate(range(begin, end, self._page)):
            stop = min(start + self._page, end)
            covered = {"n": stop} if number % 2 or stop == end else None
            yield from self._payloads(start, stop, covered)

    def _whole(self) -> Iterator[DataSourcePayload]:
        rows = [{"id": key, "v": value} for key, value in current(self._operations).items()]
        yield DataSourcePayload(rows)
        if self._stream == "swept":
            keys = pa.table({"id": pa.array([row["id"] for row in rows], pa.int64())})
            yield DataSourcePayload(keys, kind="keys", state={"n": len(self._operations)})

    def _payloads(self, start: int, stop: int, covered: Mapping[str, Any] | None) -> Iterator[DataSourcePayload]:
        if self._stream == "events":  # every operation is an event, with its number as its key
            yield DataSourcePayload(
                [{"id": number, "v": self._operations[number][1] or 0} for number in range(start, stop)], state=covered
            )
            return
        for number in range(start, stop):
            key, value = self._operations[number]
            row = {"id": key} if value is None else {"id": key, "v": value}
            state = covered if number == stop - 1 else None
            yield DataSourcePayload([row], kind="deletes" if value is None else "rows", state=state)


class Journal(DataSourceStream):
    def __init__(self, name: str, config: JournalConfig) -> None:
        self.name = name
        self._config = config

    def schema(self, table: str | None = None) -> StreamSchema:
        return StreamSchema(COLUMNS, ("id",), None if self.name in WHOLE else "v")

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        journal = json.loads(Path(self._config.path).read_text("utf-8"))
        if self.name == "swept":
            journal = journal[:1]
        for number, operations in enumerate(journal):
            yield Part(self.name, number, [(key, value) for key, value in operations], self._config.page)


@data_source(name="journal", config=JournalConfig)
class JournalSource(DataSource[JournalConfig]):
    """``events`` are appended, ``rows`` are upserted and deleted, ``snapshot`` is read whole and replaced.

    ``swept`` are the rows of the first partition, read whole and upserted; the keys tell which ones are gone.
    """

    def streams(self) -> list[DataSourceStream]:
        return [Journal(name, self.config) for name in ("events", "rows", "snapshot", "swept")]
