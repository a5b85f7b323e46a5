# SPDX-License-Identifier: Apache-2.0
"""The states that the destinations of a flow file have of its sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...contract.errors import ArgumentError
from ...contract.remedies import suggest
from ...parts import Destination, StoredState
from ...parts.flow.file import LoadedFlow, load_flow, matches_stream
from ...parts.redact import Redactor
from ..environment import Environment
from ..report.logs import redacted_errors

FlowSource = str | Path | Mapping[str, Any]
"""A flow file, or the same as a mapping."""


@dataclass(frozen=True, slots=True)
class DestinationState:
    """A stored state, and the name that the flow file gives to the destination that has it."""

    destination: str
    stored: StoredState

    def as_dict(self) -> dict[str, Any]:
        key = self.stored.key
        return {
            "source": key.source_id,
            "stream": key.stream,
            "partition": key.partition,
            "destination": self.destination,
            "table": key.table,
            "identity": key.source_identity,
            "version": self.stored.version,
            "run": self.stored.run_id,
            "state": self.stored.state,
        }


def _order(stored: StoredState) -> tuple[str, str, int, str]:
    """By stream, table and partition, where numbers are in their order."""
    key = stored.key
    return key.stream, key.table, len(key.partition) if key.partition.isdigit() else 0, key.partition


def load(flow: FlowSource, environment: Environment) -> LoadedFlow:
    return load_flow(flow, environment.lookups, environment.overrides)


def show_states(
    flow: FlowSource, environment: Environment, streams: Sequence[str] | None = None
) -> list[DestinationState]:
    """The states that the destinations of a flow file have of its sources.

    :param streams: names or patterns of the streams, as ``orders`` or ``shop.orders``; None: all.
    :raises ConfigurationError: if a pattern matches no stream that has a state.
    """
    loaded = load(flow, environment)
    states: list[DestinationState] = []
    for name, source_ids in sources_by_destination(loaded).items():
        with opened(loaded, environment, name) as destination:
            states += [
                DestinationState(name, stored)
                for source_id in source_ids
                for stored in sorted(destination.load_states(source_id), key=_order)
            ]
    return select(states, streams)


def sources_by_destination(loaded: LoadedFlow) -> dict[str, list[str]]:
    """The ids of the sources whose rows land in each destination."""
    source_ids: dict[str, dict[str, None]] = {}
    for entry in loaded.file.flows:
        source_ids.setdefault(entry.to, {})[entry.from_] = None
    return {name: list(ids) for name, ids in source_ids.items()}


@contextmanager
def opened(loaded: LoadedFlow, environment: Environment, name: str) -> Iterator[Destination]:
    """An open destination. Errors are without the secrets of the flow file."""
    destination = environment.create_destination(loaded, name)
    with redacted_errors(Redactor.of(loaded.resolved)):
        try:
            destination.open()
            yield destination
        finally:
            destination.close()


def select(states: Sequence[DestinationState], streams: Sequence[str] | None) -> list[DestinationState]:
    """The states of the streams that a name or a pattern matches."""
    if not streams:
        return list(states)
    names = {state.stored.key.stream for state in states}
    for pattern in streams:
        if not any(_matches(state, [pattern]) for state in states):
            raise ArgumentError(f"no stream with a state matches {pattern!r}; {suggest(pattern, names)}")
    return [state for state in states if _matches(state, streams)]


def _matches(state: DestinationState, patterns: Sequence[str]) -> bool:
    return matches_stream(state.stored.key.source_id, state.stored.key.stream, patterns)
