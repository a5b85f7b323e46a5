# SPDX-License-Identifier: Apache-2.0
"""``state export`` and ``import``: states as a JSON document, to move them or to restore them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...contract import ConfigurationError, State
from ...contract.remedies import suggest
from ..environment import Environment
from ..states import copy_state
from .changes import Change, Confirm, partitions_text, rows_now, store, unasked
from .flows import ConnectedFlow, connected
from .listing import DestinationState, FlowSource, load, show_states

FORMAT = "vdk-datasource-state-export"
VERSION = 1


class ExportedState(msgspec.Struct, kw_only=True):
    """One state of a document."""

    source: str
    identity: str
    stream: str
    partition: str
    destination: str
    table: str
    state: dict[str, Any]


def export_states(flow: FlowSource, environment: Environment, streams: Sequence[str] | None = None) -> dict[str, Any]:
    """The states of a flow file as a JSON document; those that were reset are left out.

    :raises ConfigurationError: if no state is stored.
    """
    names = ExportedState.__struct_fields__
    states = [state.as_dict() for state in show_states(flow, environment, streams) if state.stored.state]
    if not states:
        raise ConfigurationError("there is no state to export; run the flow first: vdk datasource run FLOW")
    return {"format": FORMAT, "version": VERSION, "states": [{name: state[name] for name in names} for state in states]}


def parsed_export(text: str) -> list[ExportedState]:
    """The states of a document. Raises ``ConfigurationError`` for any other text."""
    remedy = "write one with: vdk datasource state export FLOW states.json"
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"the document is not JSON: {error}; {remedy}") from None
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise ConfigurationError(f'the document is not an export of states (its "format" is not {FORMAT!r}); {remedy}')
    if document.get("version") != VERSION:
        raise ConfigurationError(
            f"the document has version {document.get('version')!r}, and this release reads {VERSION}; install "
            "the release of vdk-datasource-base that wrote it, or a newer one"
        )
    try:
        states = msgspec.convert(document.get("states"), list[ExportedState])
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"the document's states are damaged: {error}; {remedy}") from None
    if not states:
        raise ConfigurationError(f"the document has no states; {remedy}")
    return states


def import_states(
    flow: FlowSource,
    environment: Environment,
    text: str,
    *,
    confirmed: bool = False,
    confirm: Confirm = unasked,
) -> list[DestinationState]:
    """Store the states of a document; returns those that they replace.

    A stream then has the states of the document and no others.

    :param confirmed: also states of other data, or of another table.
    :raises ConfigurationError: if a stream of the document is not in the flow file.
    """
    exported = parsed_export(text)
    loaded = load(flow, environment)
    changes: list[Change] = []
    costs = []
    taken: dict[tuple[str, str, str], ExportedState] = {}
    with connected(loaded, environment) as flows:
        groups: dict[tuple[str, str, str, str], list[ExportedState]] = {}
        for item in exported:
            groups.setdefault((item.source, item.stream, item.destination, item.table), []).append(item)
        for items in groups.values():
            chosen = _flow_of(flows, items[0])
            if not confirmed:
                _check_origin(chosen, items)
            _check_once(chosen, items, taken)
            changes += _changes(chosen, items)
            stream = items[0].stream
            costs.append(
                f"{chosen.entry.from_}.{stream} gets {partitions_text(len(items))}: rows before them are not read; in "
                f"{chosen.entry.to}, {rows_now(chosen.destination, chosen.table(stream))}"
            )
    confirm(costs)
    return store(loaded, environment, changes)


def _flow_of(flows: Sequence[ConnectedFlow], item: ExportedState) -> ConnectedFlow:
    """The flow that a state belongs to: by source and stream, and by destination if that leaves several."""
    candidates = [flow for flow in flows if flow.entry.from_ == item.source and item.stream in flow.streams]
    if len(candidates) > 1:
        candidates = [
            flow for flow in candidates if flow.entry.to == item.destination and flow.table(item.stream) == item.table
        ]
    if len(candidates) != 1:
        known = sorted({f"{flow.entry.from_}.{name}" for flow in flows for name in flow.streams})
        raise ConfigurationError(
            f"stream '{item.source}.{item.stream}' of the document is not in the flow file; "
            f"{suggest(f'{item.source}.{item.stream}', known)}"
        )
    return candidates[0]


def _check_once(
    flow: ConnectedFlow, items: Sequence[ExportedState], taken: dict[tuple[str, str, str], ExportedState]
) -> None:
    """Refuse a document with states of several tables or data for one stream, of which one would win unseen.

    :param taken: by destination, source and stream, what the document has had for it.
    """
    for item in items:
        other = taken.setdefault((flow.entry.to, item.source, item.stream), item)
        if (other.table, other.identity) != (item.table, item.identity):
            raise ConfigurationError(
                f"the document has states of {item.source}.{item.stream} for {_origin(other)}, and for "
                f"{_origin(item)}, of which the flow has one; remove the others from the document"
            )
    partitions = [item.partition for item in items]
    if twice := sorted({name for name in partitions if partitions.count(name) > 1}):
        raise ConfigurationError(
            f"the document has two states of {items[0].source}.{items[0].stream}, partition {twice[0]!r}; remove one"
        )


def _origin(item: ExportedState) -> str:
    return f"table {item.table!r} ({item.identity})"


def _check_origin(flow: ConnectedFlow, items: Sequence[ExportedState]) -> None:
    item = items[0]
    others = sorted({item.identity for item in items} - {flow.identity})
    if others:
        raise ConfigurationError(
            f"the states of {item.source}.{item.stream} are of {others[0]}, and the source reads {flow.identity}; if "
            "that is the same data, add --yes"
        )
    if item.table != flow.table(item.stream):
        raise ConfigurationError(
            f"the states of {item.source}.{item.stream} are of table {item.table!r}, and {flow.location} lands in "
            f"{flow.table(item.stream)!r}; if that table has the rows, add --yes"
        )


def _changes(flow: ConnectedFlow, items: Sequence[ExportedState]) -> list[Change]:
    name, to = items[0].stream, flow.entry.to
    stored = flow.stored(name)
    changes = []
    for item in items:
        state: State = copy_state(item.state, stream=name)
        flow.streams[name].check_state(item.partition, state)
        changes.append(Change(to, flow.key(name, item.partition), stored.pop(item.partition, None), state))
    return changes + [Change(to, state.key, state, {}) for state in stored.values()]
