# SPDX-License-Identifier: Apache-2.0
"""Finds the stream that ``read`` was asked for, in a flow file or in a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from ...contract import ConfigurationError, DataSource, State
from ...parts.destination import ColumnAction
from ...parts.flow.file import FlowEntry, LoadedFlow, is_selected, load_flow, url_of_data
from ...parts.flow.from_urls import source_of_flow
from ...parts.references import Lookup
from ..environment import Environment
from ..states import copy_state
from .outbox import Outbox
from .selected_source import Deletes, Selection
from .stream_reader import WAITING_UNITS, ReadEnvironment, StreamReader

FlowOrSource = str | Path | Mapping[str, Any] | DataSource[Any]


def open_stream(
    flow_or_source: FlowOrSource,
    stream: str,
    states: Mapping[str, State] | None = None,
    tables: Sequence[str] | None = None,
    *,
    deletes: Deletes = "fail",
    environment: Environment | None = None,
    columns: Mapping[str, ColumnAction] | Sequence[str] | None = None,
    salt: str | None = None,
) -> StreamReader:
    """The reader of a stream; nothing is connected yet. See ``vdk.plugin.datasource_base.read``."""
    environment = environment or Environment()
    loaded = loaded_of(flow_or_source, environment, columns, salt)
    is_flow = not isinstance(flow_or_source, DataSource) and _url_of(flow_or_source) is None
    if not is_flow:
        entry = loaded.file.flows[0]
        names = _spellings(stream, entry.from_)
    else:
        entry, names = _entry_of(loaded, stream)
    return reader_of(
        alone(loaded, entry),
        Selection(names, tuple(tables or ()), _checked(deletes)),
        _copied(states or {}, stream),
        flow_or_source if isinstance(flow_or_source, DataSource) else None,
        environment,
        one_stream=is_flow,
    )


def reader_of(
    loaded: LoadedFlow,
    selection: Selection,
    states: Mapping[str, State],
    source: DataSource[Any] | None,
    environment: Environment,
    *,
    one_stream: bool = True,
) -> StreamReader:
    """The reader of one stream.

    :param loaded: a file with one flow. :param source: the source, not connected; None: that of the flow.
    :param one_stream: whether the flow may have other streams, which its column policy names.
    """
    reading = ReadEnvironment(
        registry=environment.registry,
        lookups=environment.lookups,
        options=environment.options,
        draw=False,
        one_stream=one_stream,
        on_summary=lambda summary: None,
    )
    reading.given, reading.selection, reading.states = source, selection, states
    reading.outbox = Outbox(WAITING_UNITS, cancelled="the program has stopped reading")
    return StreamReader(loaded, reading)


def loaded_of(
    flow_or_source: FlowOrSource,
    environment: Environment,
    columns: Mapping[str, ColumnAction] | Sequence[str] | None = None,
    salt: str | None = None,
) -> LoadedFlow:
    """The flow file, or one flow that reads all streams of a source.

    :param columns: the column policy of a source, which a flow has itself. :param salt: of hashed columns.
    """
    policy, lookups = _policy(columns, salt)
    if isinstance(flow_or_source, DataSource):
        source_id = flow_or_source.source_name or "source"
        return load_flow(_flow_of(source_id, {"name": source_id}, policy), lookups)
    if (url := _url_of(flow_or_source)) is not None:
        source_id, source = source_of_flow(url, environment.registry)
        return load_flow(_flow_of(source_id, source, policy), {**environment.lookups, **lookups})
    if policy:
        name = next(iter(policy))
        raise ConfigurationError(f"read(…, {name}=…): a flow has its own policy; write {name} in its [[flows]]")
    return load_flow(flow_or_source, environment.lookups, environment.overrides)


def _url_of(flow_or_source: FlowOrSource) -> str | None:
    """The URL of a source, or of a file that a source reads, such as a database; None: it is a flow."""
    if isinstance(flow_or_source, str) and "://" in flow_or_source:
        return flow_or_source
    return url_of_data(Path(flow_or_source)) if isinstance(flow_or_source, (str, Path)) else None


def _flow_of(source_id: str, source: Mapping[str, Any], policy: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sources": {source_id: source},
        "destinations": {"read": {"method": "read"}},
        "flows": [{"from": source_id, "to": "read", **policy}],
    }


def _policy(
    columns: Mapping[str, ColumnAction] | Sequence[str] | None, salt: str | None
) -> tuple[dict[str, Any], dict[str, Lookup]]:
    """The options of a flow for them. The salt is a reference there, as it must be, which the lookups resolve."""
    policy: dict[str, Any] = {}
    if columns is not None:
        policy["columns"] = dict(columns) if isinstance(columns, Mapping) else list(columns)
    if salt is not None:
        policy["salt"] = "${secret:salt}"
    return policy, {} if salt is None else {"secret": lambda key: salt}


def alone(loaded: LoadedFlow, entry: FlowEntry, *, batch_rows: int | None = None) -> LoadedFlow:
    """The flow file with this flow alone, as it is read: every row as the source has it."""
    only = msgspec.structs.replace(
        entry,
        streams=None,
        write_mode="append",
        destination_table=None,
        follow=None,
        idle_timeout=None,
        deadline=None,
        batch_rows=batch_rows or entry.batch_rows,
    )
    return replace(loaded, file=msgspec.structs.replace(loaded.file, flows=[only], summary=None))


def _entry_of(loaded: LoadedFlow, stream: str) -> tuple[FlowEntry, list[str]]:
    """The flow that reads the stream, and the stream's spellings."""
    flows = loaded.file.flows
    matching = [
        (entry, names)
        for entry in flows
        if (names := [name for name in _spellings(stream, entry.from_) if is_selected(name, entry.streams)])
    ]
    prefixed = [(entry, names) for entry, names in matching if stream.startswith(f"{entry.from_}.")]
    matching = prefixed or matching
    sources = sorted({entry.from_ for entry, _ in matching})
    if not matching:
        patterns = ", ".join(map(repr, dict.fromkeys(pattern for entry in flows for pattern in entry.streams or ())))
        raise ConfigurationError(
            f"{loaded.location}: no flow reads a stream {stream!r}; the patterns of its flows are {patterns}"
        )
    if len(sources) > 1:
        lines = " or ".join(f'read(…, "{source}.{stream}")' for source in sources)
        raise ConfigurationError(
            f"{loaded.location}: the sources {' and '.join(sources)} may both have a stream {stream!r}; write {lines}"
        )
    return matching[0]


def _spellings(stream: str, source_id: str) -> list[str]:
    """``shop.orders`` is the stream of that name, or the stream ``orders`` of the source ``shop``."""
    prefix = f"{source_id}."
    return [stream, stream.removeprefix(prefix)] if stream.startswith(prefix) else [stream]


def _copied(states: Mapping[str, State], stream: str) -> dict[str, State]:
    if not isinstance(states, Mapping) or any(not isinstance(state, Mapping) for state in states.values()):
        raise ConfigurationError(
            "states: it is not {partition: state}; pass the states of a reader, as in read(…, states=reader.states)"
        )
    return {partition: copy_state(state, stream=stream) for partition, state in states.items() if state}


def _checked(deletes: Deletes) -> Deletes:
    if deletes not in ("fail", "rows", "skip"):
        raise ConfigurationError(f'deletes: {deletes!r} is not one of "fail", "rows" and "skip"')
    return deletes
