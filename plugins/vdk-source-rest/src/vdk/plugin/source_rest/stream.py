# SPDX-License-Identifier: Apache-2.0
"""A stream, and its partitions: one for each set of values of its placeholders, from parents and slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from vdk.plugin.datasource_base.contract import (
    DataSourcePayload,
    DataSourceStream,
    RejectedRows,
    StreamPartition,
    StreamSchema,
)
from vdk.plugin.datasource_base.parts import SEPARATOR, column_type

from .config import StreamConfig
from .context import StreamContext
from .http.types import Row
from .parents import ParentConfig, ValueSet, batches, bound
from .partition import PARENT, RestPartition, check_stored_state


class RestStream(DataSourceStream):
    """One endpoint, read once, or once for each record of a parent and each slice.

    :param streams: all streams of the source by name, the parents among them.
    """

    def __init__(self, context: StreamContext, config: StreamConfig, streams: Mapping[str, RestStream]) -> None:
        self.name = config.name
        self.config = config
        self.parent = next((parent.stream for parent in config.parents()), None)
        yields_states = config.sync_token is not None or any(parent.only_changed for parent in config.parents())
        self.incremental = True if yields_states else None
        self._context = context
        self._streams = streams

    def schema(self, table: str | None = None) -> StreamSchema:
        """The declared columns, and primary key and cursor by name; all other columns are inferred from the records."""
        config, cursor = self.config, self.config.cursor
        field = cursor.field.partition(".")[0].partition("[")[0].strip('"') if cursor is not None else None
        if config.nested in ("flatten", "tables") and cursor is not None:
            field = cursor.field.replace(".", SEPARATOR)
        names = dict.fromkeys([*config.key(), *config.columns, *([field] if field is not None else [])])
        columns = [
            pa.field(name, column_type(config.columns[name]) if name in config.columns else pa.null()) for name in names
        ]
        depth = config.levels() if config.nested == "tables" else 0
        return StreamSchema(pa.schema(columns), tuple(config.key()), field, open=True, child_depth=depth)

    def between(self, begin: str | None, end: str | None) -> DataSourceStream:
        """The records whose cursor is in the range, asked for by ``cursor.param`` and ``cursor.end_param``."""
        from .backfill import RestRange  # which reads the partitions of this module

        return RestRange(self, begin, end)

    def check_state(self, partition: str, state: Mapping[str, Any]) -> None:
        check_stored_state(self.config, state)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        """One for each set of values, as parents are read; then one for each state whose values no longer exist."""
        seen: set[str] = set()
        for values in self._value_sets():
            partition = self._partition(values)
            if partition.id in seen:  # a parent may come twice, when its pages shift
                continue
            seen.add(partition.id)
            if values.changed is None or state.get(partition.id, {}).get(PARENT) != values.changed:
                yield partition
        if not any(parent.name in self._context.incomplete for parent in self._ancestors()):
            yield from (PartitionRemoval(id) for id in state if id not in seen)

    def _partition(self, values: ValueSet) -> RestPartition:
        return RestPartition(self._context, self.config, values, self._key_streams())

    def _key_streams(self) -> list[StreamConfig]:
        """The streams of keys whose rows this stream has."""
        configs = [stream.config for stream in self._streams.values() if stream.config.of == self.name]
        return [msgspec.structs.replace(config, primary_key=self.config.key()) for config in configs]

    def _ancestors(self) -> Iterator[RestStream]:
        for config in self.config.parents():
            parent = self._streams[config.stream]
            yield parent
            yield from parent._ancestors()

    def _value_sets(self) -> Iterator[ValueSet]:
        """The values of each partition: those of each combination of parents, with each slice."""
        for values in self._combined(self.config.parents()):
            for slice_ in self.config.slices or [{}]:
                yield values | ValueSet(dict(slice_))

    def _combined(self, parents: Sequence[ParentConfig]) -> Iterator[ValueSet]:
        if not parents:
            yield ValueSet()
            return
        others: list[ValueSet] | None = None
        for values in self._sets_of(parents[0]):
            others = list(self._combined(parents[1:])) if others is None else others
            yield from (values | other for other in others)

    def _sets_of(self, config: ParentConfig) -> Iterator[ValueSet]:
        """For each record of a parent, as it is read: the values that this stream takes from it."""
        sets = self._sets_of_records(config)
        return sets if config.batch is None else batches(sets, config.batch, config.separator)

    def _sets_of_records(self, config: ParentConfig) -> Iterator[ValueSet]:
        """The parent is read as in its first run, without its state: an old record may have new children."""
        parent = self._streams[config.stream]
        changed = config.only_changed if isinstance(config.only_changed, str) else None
        if config.only_changed is True and parent.config.cursor is not None:
            changed = parent.config.cursor.field
        for values in parent._value_sets():
            # bind names fields of objects, and no column lands
            as_they_are = msgspec.structs.replace(parent.config, nested=None, columns={})
            for payload in RestPartition(self._context, as_they_are, values).read({}):
                for row in _parent_rows(payload):
                    yield bound(config, row, values.records, self.name, changed)


def _parent_rows(payload: DataSourcePayload) -> Iterator[Row]:
    """A record whose cursor value cannot be parsed is rejected by the parent's table, and has children as well."""
    data = payload.data
    if isinstance(data, RejectedRows):
        yield from (row for row, _ in data.rows)
    elif isinstance(data, list) and payload.kind == "rows":
        yield from data


class PartitionRemoval(StreamPartition):
    """A partition whose parent or slice no longer exists: its state is removed, so that states do not grow forever."""

    def __init__(self, id: str) -> None:
        self.id = id

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield DataSourcePayload(None, state={})
