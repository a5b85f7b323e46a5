# SPDX-License-Identifier: Apache-2.0
"""The streams of a tap, each read by a process of its own, or all of them by one process."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from vdk.plugin.datasource_base import DataSourcePayload, DataSourceStream, StreamSchema

from .catalog import TapStream, selection_of
from .errors import TapError
from .program.tap import Tap
from .reading import MakeTable, TapReading
from .records.tables import Table, table_of_schema, table_of_stream
from .state import TapState

log = logging.getLogger(__name__)
_NO_KEY = "_sdc_key"


class _TapReader(DataSourceStream, abstract=True):
    """What the streams of a tap have in common: the tap, its state and its run."""

    _tap: Tap

    def check_state(self, partition: str, state: Mapping[str, Any]) -> None:
        TapState.load(state)

    def _payloads(
        self,
        streams: Sequence[TapStream] | None,
        state: Mapping[str, Any],
        make_table: MakeTable,
        *,
        versions: bool,
        stateful: bool,
    ) -> Iterator[DataSourcePayload]:
        """Run the tap, when fewer than ``processes`` of it run."""
        position = TapState.load(state)
        if stateful and not state:
            position = TapState(value=self._tap.initial_state())
        while not self._tap.slots.try_take():
            yield DataSourcePayload(None)
        try:
            catalog = selection_of(streams) if streams is not None else None
            config = self._tap.config
            reading = TapReading(
                config.tap,
                position,
                make_table,
                batch_rows=config.batch_rows,
                versions=versions,
                stateful=stateful,
            )
            with self._tap.reading(catalog, position.value) as process:
                yield from reading.payloads(process.chunks())
        finally:
            self._tap.slots.give_back()


class SeparateStream(_TapReader):
    """A stream that a process of its own reads, with a catalog that selects it alone.

    :param others: the names of the other streams of the catalog, whose messages some taps write nevertheless.
    """

    def __init__(self, tap: Tap, stream: TapStream, others: frozenset[str]) -> None:
        self._tap, self._stream, self._others = tap, stream, others
        self.name = stream.name
        self.incremental = stream.method != "FULL_TABLE"
        self.state_columns = () if stream.replication_key is None else (stream.replication_key,)

    def schema(self, table: str | None = None) -> StreamSchema:
        return self._stream.schema()

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        follows = bool(self.incremental)
        yield from self._payloads([self._stream], state, self._table, versions=follows, stateful=follows)

    def _table(self, name: str, schema: Mapping[str, Any], keys: Sequence[str], before: Table | None) -> Table | None:
        if name in self._stream.aliases:
            seen = before.seen if before is not None else None
            return table_of_stream(self._tap.config, self._stream, schema, keys, seen)
        if name in self._others:
            log.warning(
                "%s reads %r too, though the catalog selects %r alone; each process reads all streams. To read them "
                "once, write together = true",
                self._tap.config.tap, name, self.name,
            )  # fmt: skip
            return None
        raise TapError(
            f"{self._tap.config.tap}: the tap writes the stream {name!r}, which its catalog does not have; to read all "
            "that it writes, write together = true"
        )


class TogetherStream(_TapReader):
    """All streams of a tap, read by one process, with one state: a table for each.

    :param streams: the selected streams; None: the tap runs without a catalog.
    """

    incremental = True

    def __init__(self, tap: Tap, streams: Sequence[TapStream] | None) -> None:
        self._tap, self._streams = tap, streams
        self.name = tap.config.tap
        self._schemas = {stream.name: stream.schema() for stream in streams or ()}

    def schema(self, table: str | None = None) -> StreamSchema | None:
        """Its own table has no row and is not created: its key makes rows of the other tables be upserted."""
        if table is None or table == self.name:
            return StreamSchema(pa.schema([pa.field(_NO_KEY, pa.null())]), (_NO_KEY,), open=True)
        return self._schemas.get(table)

    def read(self, state: Mapping[str, Any]) -> Iterator[DataSourcePayload]:
        yield from self._payloads(self._streams, state, self._table, versions=True, stateful=True)

    def _table(self, name: str, schema: Mapping[str, Any], keys: Sequence[str], before: Table | None) -> Table | None:
        stream = next((stream for stream in self._streams or () if name in stream.aliases), None)
        if self._streams is not None and stream is None:
            log.warning("%s writes %r, which the catalog does not select; it is left out", self._tap.config.tap, name)
            return None
        seen = before.seen if before is not None else None
        table = table_of_schema(self._tap.config, name, schema, keys, stream=stream, seen=seen)
        self._schemas.setdefault(name, table.schema)
        return table
