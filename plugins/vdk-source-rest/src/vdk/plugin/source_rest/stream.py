# SPDX-License-Identifier: Apache-2.0
"""A stream, and its partitions: one for each set of values of its placeholders, from parents and slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import (
    DataSourceError,
    DataSourcePayload,
    DataSourceStream,
    RejectedRows,
    StreamPartition,
    StreamSchema,
)
from vdk.plugin.datasource_base.parts import column_type

from .config import ParentConfig, StreamConfig
from .context import StreamContext
from .extract import search
from .http.types import Row
from .partition import RestPartition, check_stored_state

Values = dict[str, Any]
"""Placeholder → value, or column → value."""


class RestStream(DataSourceStream):
    """One endpoint, read once, or once for each record of a parent and each slice.

    :param streams: all streams of the source by name, the parents among them.
    """

    def __init__(self, context: StreamContext, config: StreamConfig, streams: Mapping[str, RestStream]) -> None:
        self.name = config.name
        self.config = config
        self.parent = config.parent.stream if config.parent is not None else None
        self.incremental = True if config.sync_token is not None else None
        self._context = context
        self._streams = streams

    def schema(self, table: str | None = None) -> StreamSchema:
        """The declared columns, and primary key and cursor by name; all other columns are inferred from the records."""
        config, cursor = self.config, self.config.cursor
        field = cursor.field.partition(".")[0].partition("[")[0].strip('"') if cursor is not None else None
        names = dict.fromkeys([*config.key(), *config.columns, *([field] if field is not None else [])])
        columns = [
            pa.field(name, column_type(config.columns[name]) if name in config.columns else pa.null()) for name in names
        ]
        return StreamSchema(pa.schema(columns), tuple(config.key()), field, open=True)

    def between(self, begin: str | None, end: str | None) -> DataSourceStream:
        """The records whose cursor is in the range, asked for by ``cursor.param`` and ``cursor.end_param``."""
        from .backfill import RestRange  # which reads the partitions of this module

        return RestRange(self, begin, end)

    def check_state(self, partition: str, state: Mapping[str, Any]) -> None:
        check_stored_state(self.config, state)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        """One for each set of values, as parents are read; then one for each state whose values no longer exist."""
        seen: set[str] = set()
        for values, columns in self._value_sets():
            partition = RestPartition(self._context, self.config, values, columns)
            if partition.id not in seen:  # a parent may come twice, when its pages shift
                seen.add(partition.id)
                yield partition
        if not any(parent.name in self._context.incomplete for parent in self._ancestors()):
            yield from (PartitionRemoval(id) for id in state if id not in seen)

    def _parent(self) -> RestStream | None:
        return self._streams[self.config.parent.stream] if self.config.parent is not None else None

    def _ancestors(self) -> Iterator[RestStream]:
        parent = self._parent()
        while parent is not None:
            yield parent
            parent = parent._parent()

    def _value_sets(self) -> Iterator[tuple[Values, Values]]:
        """The values of the placeholders, and the columns from the parent, for each partition."""
        for values, columns in self._parent_sets():
            for slice_ in self.config.slices or [{}]:
                yield {**values, **slice_}, columns

    def _parent_sets(self) -> Iterator[tuple[Values, Values]]:
        """For each record of the parent, as it is read: values of the placeholders, and columns.

        The parent is read as in its first run, without its state: an old record may have new children.
        """
        parent, config = self._parent(), self.config.parent
        if parent is None or config is None:
            yield {}, {}
            return
        included = config.included_columns()
        for values, columns in parent._value_sets():
            for payload in RestPartition(self._context, parent.config, values, columns).read({}):
                for row in _parent_rows(payload.data):
                    yield _bound(row, config, self.name), {name: search(field, row) for name, field in included.items()}


def _parent_rows(data: Any) -> Iterator[Row]:
    """A record whose cursor value cannot be parsed is rejected by the parent's table, and has children as well."""
    if isinstance(data, RejectedRows):
        yield from (row for row, _ in data.rows)
    elif isinstance(data, list):
        yield from data


def _bound(row: Row, config: ParentConfig, child: str) -> Values:
    values = {name: search(field, row) for name, field in config.bind.items()}
    for name, value in values.items():
        if value is None or isinstance(value, (dict, list)):
            field = config.bind[name]
            raise DataSourceError(
                f"stream {child!r}: a record of its parent {config.stream!r} has {value!r:.80} at {field!r}, which is "
                f"not a value for the placeholder {name!r}. To skip such parents, filter the records of "
                f"{config.stream!r}, as in records = '[?{field}]'; this record begins "
                f"{dict(list(row.items())[:3])!r:.200}"
            )
    return values


class PartitionRemoval(StreamPartition):
    """A partition whose parent or slice no longer exists: its state is removed, so that states do not grow forever."""

    def __init__(self, id: str) -> None:
        self.id = id

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload(None, state={})
