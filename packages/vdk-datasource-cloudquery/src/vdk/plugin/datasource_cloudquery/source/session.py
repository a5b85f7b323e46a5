# SPDX-License-Identifier: Apache-2.0
"""A configured source: connected once, however many requests need it, and what its streams are as tables."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from vdk.plugin.datasource_base.contract import DataSource, DataSourceState, DataSourceStream, State, StreamSchema
from vdk.plugin.datasource_base.parts import ColumnPolicy, Redactor

from ..tables.table import Table, check_tables, select_tables
from .spec import Spec

log = logging.getLogger(__name__)

States = Mapping[str, Mapping[str, State]]
"""Stream → partition → state."""


@dataclass(slots=True)
class CatalogStream:
    """A stream and its table. ``error``: why the stream has no table; the others can be read."""

    stream: DataSourceStream
    table: Table
    schema: StreamSchema | None = None
    error: Exception | None = None


@dataclass(slots=True)
class Catalog:
    """The streams of a connected source."""

    streams: Sequence[CatalogStream] = field(default_factory=tuple)

    @classmethod
    def of(cls, source: DataSource[Any], *, with_deleted: bool, policy: ColumnPolicy | None = None) -> Catalog:
        """Ask each stream for its schema.

        :param policy: what lands of the columns.
        :param with_deleted: tables in which rows may be deleted have a column for the time. They have it before the
            first delete: a row that returns must not keep the time of its delete.
        """
        catalog = cls([_described(stream, policy, with_deleted=with_deleted) for stream in source.streams()])
        if policy is not None and not any(each.error for each in catalog.streams):
            policy.check_known({each.stream.name: each.schema for each in catalog.streams}, all_streams=True)
        check_tables(each.table for each in catalog.streams)
        return catalog

    def select(self, include: Sequence[str], skip: Sequence[str], *, skip_dependent: bool) -> list[CatalogStream]:
        """The streams whose tables the patterns select. Raises ``ConfigurationError``."""
        tables = [each.table for each in self.streams]
        selected = {table.name for table in select_tables(tables, include, skip, skip_dependent=skip_dependent)}
        return [each for each in self.streams if each.table.name in selected]


def landing_schema(
    stream: DataSourceStream, schema: StreamSchema | None, policy: ColumnPolicy | None
) -> StreamSchema | None:
    """What of a schema of a stream lands. Raises ``ConfigurationError`` for a cursor or a key that would not."""
    if policy is None:
        return schema
    return policy.of_stream(stream.name).schema(schema, state_columns=stream.state_columns)


def _described(stream: DataSourceStream, policy: ColumnPolicy | None, *, with_deleted: bool) -> CatalogStream:
    parent = stream.parent
    try:
        schema = stream.schema()
        landing = landing_schema(stream, schema, policy)
        table = Table.of(stream.name, landing, incremental=_is_incremental(stream, schema), parent=parent)
    except Exception as error:
        return CatalogStream(stream, Table.of(stream.name, None, parent=parent), error=error)
    if with_deleted and table.incremental and table.key:
        table = table.with_deleted_at()
    return CatalogStream(stream, table, schema)


def _is_incremental(stream: DataSourceStream, schema: StreamSchema | None) -> bool:
    """Whether a run reads only what is new, as the stream declares it."""
    if stream.incremental is not None:
        return bool(stream.incremental)
    return stream.backfill or (schema is not None and schema.cursor is not None)


class Session:
    """A source with its options. It is connected by the first request that needs it, and disconnected once."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._lock = threading.RLock()
        self._source = spec.make()
        self._catalog: Catalog | None = None
        self._connected = self._with_states = False
        self.syncing = threading.Lock()

    @property
    def source(self) -> DataSource[Any]:
        return self._source

    def catalog(self, states: States | None = None) -> Catalog:
        """The streams of the source, which is connected if it is not yet.

        :param states: the states that the source is to know when it connects.
        :raises Exception: what the source raises.
        """
        with self._lock:
            if self._catalog is not None and states and not self._with_states:
                self.close()  # it was connected for its tables only
            if self._catalog is None:
                self._connected = True
                self._source.connect(DataSourceState(states))
                with_deleted = self.spec.options.deletes == "column"
                self._catalog = Catalog.of(self._source, with_deleted=with_deleted, policy=self.spec.policy)
                self._with_states = bool(states)
            return self._catalog

    def close(self) -> None:
        """Disconnect the source. Idempotent; the next request connects a new one."""
        with self._lock:
            connected, self._connected = self._connected, False
            source, self._catalog, self._with_states = self._source, None, False
            if not connected:
                return
            disconnect(source, self.spec.redact)
            with suppress(Exception):  # it was created before, so its options are valid
                self._source = self.spec.make()


def disconnect(source: DataSource[Any], redact: Redactor) -> None:
    """Disconnect a source. What fails in it is a warning: the error that came before says more."""
    try:
        source.disconnect()
    except Exception as error:
        log.warning("the source could not be disconnected: %s", redact(str(error)))
