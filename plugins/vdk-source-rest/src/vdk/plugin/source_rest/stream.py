"""A declared stream: its columns, and its partitions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DataSourceStream, StreamPartition, StreamSchema
from vdk.plugin.datasource_base.parts import column_type

from .config import StreamConfig
from .pagination.reading import key_of
from .partition import PartitionRemoval, RestPartition, parent_rows

if TYPE_CHECKING:
    from .source import RestSource


class RestStream(DataSourceStream):
    """One endpoint, read once, or once for each parent's record and each slice."""

    def __init__(self, source: RestSource, config: StreamConfig) -> None:
        self.name = config.name
        self.source = source
        self.config = config

    def schema(self, table: str | None = None) -> StreamSchema:
        """The declared columns, and primary key and cursor by name; all other columns are inferred from the records."""
        cursor = self.config.cursor
        field = cursor.field.partition(".")[0].partition("[")[0].strip('"') if cursor is not None else None
        named = dict.fromkeys([*key_of(self.config), *self.config.columns, *([field] if field is not None else [])])
        columns = [
            pa.field(name, column_type(self.config.columns[name]) if name in self.config.columns else pa.null())
            for name in named
        ]
        return StreamSchema(pa.schema(columns), tuple(key_of(self.config)), field, open=True)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        """One for each set of values, as parents are read; then one for each state whose values are gone."""
        seen: set[str] = set()
        for values, extra in self.sets():
            partition = RestPartition(self.source, self.config, values, extra)
            if partition.id not in seen:  # a parent may come twice, when its pages shift
                seen.add(partition.id)
                yield partition
        if not any(name in self.source.incomplete for name in self._ancestors()):
            yield from (PartitionRemoval(id) for id in state if id not in seen)

    def _ancestors(self) -> Iterator[str]:
        parent = self.config.parent
        while parent is not None:
            yield parent.stream
            parent = self.source.stream(parent.stream).config.parent

    def sets(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Values for the placeholders, and columns of the parent, for each partition."""
        parent = self.config.parent
        above: Iterable[tuple[dict[str, Any], dict[str, Any]]] = [({}, {})]
        if parent is not None:
            above = parent_rows(self.source.stream(parent.stream), parent, self.name)
        for values, extra in above:
            for one in self.config.slices or [{}]:
                yield {**values, **one}, extra
