# SPDX-License-Identifier: Apache-2.0
"""A sync of Singer: the chosen streams one after another, each state behind the rows that it covers."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from ...contract import ConfigurationError, DataSourceError, State
from ..environment import Environment
from ..reading.catalog import Catalog, CatalogStream
from ..reading.open_stream import FlowOrSource
from ..reading.selected_source import Deletes, Remedies
from ..reading.state_documents import state_document, states_of
from ..report.logs import error_message, format_error, redacted_errors
from .messages import TableMessages, write
from .properties import Format
from .selection import Chosen, catalog_entry, selected

log = logging.getLogger(__name__)

SAMPLE_ROWS = 100
"""Rows that ``discover`` reads of a stream that declares no columns."""
_DELETES: Mapping[str, Deletes] = {"record": "rows", "skip": "skip", "fail": "fail"}


@dataclass(frozen=True, slots=True)
class TapOptions:
    """What a tap reads, and how. ``streams``: names or patterns; empty: all."""

    streams: Sequence[str] = ()
    catalog: Path | None = None
    state: Path | None = None
    deletes: Literal["record", "skip", "fail"] = "record"
    format: Format = field(default_factory=Format)


class Tap:
    """The streams of a flow or source as messages on ``out``.

    :raises ConfigurationError: if the flow, the catalog or the state cannot be read.
    """

    def __init__(
        self, flow_or_source: FlowOrSource, environment: Environment, options: TapOptions, out: BinaryIO
    ) -> None:
        self._options = options
        self._out = out
        self._state = _state_of(options.state)
        self._catalog = Catalog(
            flow_or_source,
            environment,
            streams=options.streams,
            keeper="the target",
            remedies=Remedies(
                tables="",
                deletes="add --deletes record to write them with _sdc_deleted_at, or --deletes skip to leave them out",
                keys="add --deletes skip to leave them out, so that the target keeps such rows",
                uncovered="run the tap again with the last state that the target has written",
            ),
            selector="--stream",
        )

    @property
    def _bookmarks(self) -> dict[str, Any]:
        bookmarks: dict[str, Any] = self._state["bookmarks"]
        return bookmarks

    def discover(self) -> dict[str, Any]:
        """The catalog. A stream that declares no columns is read for a moment."""
        self._raise_errors()
        entries = []
        with self._catalog.connected():
            for stream in self._catalog.streams:
                messages = self._messages(Chosen(stream), stream, None)
                if stream.columns is None or (stream.plan.schema is not None and stream.plan.schema.open):
                    self._sample(stream, messages)
                entries.append(catalog_entry(stream, messages.properties))
        return {"streams": entries}

    def _raise_errors(self) -> None:
        for name, error in self._catalog.errors.items():
            raise DataSourceError(f"stream {name!r}: {error}; to leave it out, add --stream '!{name}'")

    def _sample(self, stream: CatalogStream, messages: TableMessages) -> None:
        with self._catalog.reader(stream, deletes="skip", tables=None, rows=SAMPLE_ROWS) as reader:
            for unit in reader.units():
                for table, data in unit.tables:
                    if table == stream.name:
                        messages.know(data.schema)
                return

    def sync(self) -> list[str]:
        """Write the messages of all chosen streams. Returns the streams that failed, whose errors are in the log.

        :raises BrokenPipeError: if the target has stopped reading.
        """
        failed = list(self._catalog.errors)
        for name, error in self._catalog.errors.items():
            log.error("stream %r: %s", name, error)
        chosen = selected(self._catalog.streams, self._options.catalog)
        states = {each.stream.name: self._states(each.stream) for each in chosen}
        self._catalog.known_states.update(states)
        with self._catalog.connected():
            for each in chosen:
                name = each.stream.name
                try:
                    with redacted_errors(self._catalog.redact):
                        self._sync(each, states[name])
                except BrokenPipeError:
                    raise
                except Exception as error:
                    text = error_message(error) if isinstance(error, DataSourceError) else format_error(error)
                    log.error("stream %r failed: %s", name, text)
                    failed.append(name)
        self._write_state()
        return failed

    def _sync(self, chosen: Chosen, states: Mapping[str, State]) -> None:
        stream = chosen.stream
        version = int(time.time() * 1000) if stream.write_mode == "replace" else None
        tables = {stream.name: self._messages(chosen, stream, version)}
        tables[stream.name].announce()
        deletes = _DELETES[self._options.deletes]
        rows = 0
        with self._catalog.reader(stream, states, deletes=deletes, tables=None) as reader:
            for unit in reader.units():
                for table, data in unit.tables:
                    if table not in tables:
                        tables[table] = self._messages(chosen, stream.routed(table), version)
                    tables[table].write_rows(data)
                    rows += data.num_rows
                if unit.states is not None and stream.keeps_states:
                    self._bookmarks[stream.name] = state_document(unit.states, stream.identity)
                    self._write_state()
            rejected = reader.rows_rejected
        for messages in tables.values():
            messages.activate()
        log.info("%s: %d rows%s", stream.name, rows, f", {rejected} rejected" if rejected else "")

    def _messages(self, chosen: Chosen, stream: CatalogStream, version: int | None) -> TableMessages:
        own = stream is chosen.stream
        return TableMessages(
            self._out,
            stream,
            self._options.format,
            dropped=chosen.dropped if own else frozenset(),
            version=version,
            deletes=self._options.deletes == "record",
        )

    def _states(self, stream: CatalogStream) -> dict[str, State]:
        if not stream.keeps_states:
            return {}
        remedy = f"remove the bookmark {stream.name!r} from {self._options.state} to read from the beginning"
        return states_of(self._bookmarks.get(stream.name), stream.identity, stream=stream.name, remedy=remedy)

    def _write_state(self) -> None:
        write(self._out, {"type": "STATE", "value": self._state})


def _state_of(file: Path | None) -> dict[str, Any]:
    """The state that a target has written, or none. Raises ``ConfigurationError`` if it is not one."""
    if file is None:
        return {"bookmarks": {}}
    try:
        content = file.read_bytes().strip()
        state = msgspec.json.decode(content) if content else {}
        if not isinstance(state, dict) or not isinstance(state.setdefault("bookmarks", {}), dict):
            raise ValueError('it is not {"bookmarks": {…}}')
    except (OSError, ValueError, msgspec.DecodeError) as error:
        lines = "; a target writes one state a line: tail -n 1 FILE has the last" if file.exists() else ""
        raise ConfigurationError(f"--state {file}: {error}{lines}") from None
    return state
