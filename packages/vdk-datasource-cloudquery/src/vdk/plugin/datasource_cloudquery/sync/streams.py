# SPDX-License-Identifier: Apache-2.0
"""A session's source as the base's runtime reads it: the selected streams, and a shard of their partitions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vdk.plugin.datasource_base.contract import (
    DataSource,
    DataSourceConfig,
    DataSourceError,
    DataSourcePayload,
    DataSourceState,
    DataSourceStream,
    StreamPartition,
    StreamSchema,
)
from vdk.plugin.datasource_base.runtime import CheckedPartition

from ..source.session import Catalog, CatalogStream, Session


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several syncs that share the partitions of a source. ``number`` counts from 1."""

    number: int
    total: int

    def has(self, stream: str, partition: str) -> bool:
        digest = hashlib.sha256(f"{stream}\0{partition}".encode()).digest()
        return int.from_bytes(digest[:8]) % self.total == self.number - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """Which streams a sync reads, and how."""

    choose: Callable[[Catalog], list[CatalogStream]]
    skip_deletes: bool
    shard: Shard | None


class SyncSource(DataSource[DataSourceConfig]):
    """The session's source, with the selected streams only.

    :param on_selected: gets the selected streams before any is read.
    """

    source_name = "cloudquery"

    def __init__(
        self, session: Session, selection: Selection, on_selected: Callable[[Sequence[CatalogStream]], None]
    ) -> None:
        super().__init__(session.spec.config)
        self._session = session
        self._selection = selection
        self._on_selected = on_selected
        self._selected: list[CatalogStream] | None = None
        self._states = DataSourceState()

    def identity(self) -> str:
        return self._session.source.identity()

    def connect(self, state: DataSourceState) -> None:
        self._states = state
        self._session.catalog(state)

    def streams(self) -> Sequence[DataSourceStream]:
        if self._selected is None:
            selected = self._selection.choose(self._session.catalog(self._states))
            self._on_selected(selected)
            self._selected = selected
        return [_SyncStream(each, self._selection) for each in self._selected]

    def disconnect(self) -> None:
        self._session.close()


class _SyncStream(DataSourceStream):
    """A stream, whose schema is not asked for twice."""

    def __init__(self, served: CatalogStream, selection: Selection) -> None:
        self._served = served
        self._stream = served.stream
        self._selection = selection
        self.name = served.stream.name
        self.incremental = served.stream.incremental
        self.backfill = served.stream.backfill
        self.sharing_needs = served.stream.sharing_needs
        self.state_columns = served.stream.state_columns

    def schema(self, table: str | None = None) -> StreamSchema | None:
        if self._served.error is not None:
            raise self._served.error
        return self._served.schema if table is None else self._stream.schema(table)

    def partitions(self, state: Mapping[str, Mapping[str, Any]]) -> Iterable[StreamPartition]:
        shard = self._selection.shard
        for partition in self._stream.partitions(state):
            if shard is None or shard.has(self.name, partition.id):
                yield CheckedPartition(partition, self._accept)

    def _accept(self, payload: DataSourcePayload) -> DataSourcePayload:
        """The payload without what CloudQuery has no message for. Raises ``DataSourceError`` for a sweep."""
        if payload.kind == "rows":
            return payload
        if self._selection.skip_deletes:
            return replace(payload, kind="rows", data=None)
        if payload.kind == "deletes":
            return payload
        raise DataSourceError(
            f"stream {self.name!r} lists all its keys, so that every other row is deleted, for which CloudQuery has no "
            "message; write `cloudquery: {deletes: skip}` in the spec to keep such rows"
        )
