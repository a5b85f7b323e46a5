# SPDX-License-Identifier: Apache-2.0
"""The flows of a file with their sources connected: which states their streams have, and what a state must fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ...contract import DataSourceState, DataSourceStream, State
from ...contract.errors import ArgumentError
from ...contract.remedies import suggest
from ...parts import Destination, StateKey, StoredState
from ...parts.flow.file import FlowEntry, LoadedFlow, matches_stream, select_streams
from ...parts.redact import Redactor
from ..environment import Environment
from ..report.logs import redacted_errors
from ..run.plan.stream_plan import check_template, table_name
from .listing import opened


@dataclass(frozen=True, slots=True)
class ConnectedFlow:
    """A flow whose source is connected and whose destination is open.

    :param identity: the source's. :param streams: the streams of the flow, by name.
    """

    entry: FlowEntry
    location: str
    template: str
    identity: str
    streams: Mapping[str, DataSourceStream]
    destination: Destination

    def table(self, stream: str) -> str:
        return table_name(self.template, stream, None)

    def key(self, stream: str, partition: str) -> StateKey:
        return StateKey(self.entry.from_, self.identity, stream, partition, self.table(stream))

    def stored(self, stream: str) -> dict[str, StoredState]:
        """The stream's states, by partition."""
        return {
            state.key.partition: state
            for state in self.destination.load_states(self.entry.from_)
            if state.key == self.key(stream, state.key.partition)
        }


@contextmanager
def connected(loaded: LoadedFlow, environment: Environment) -> Iterator[list[ConnectedFlow]]:
    """The flows of a file. A destination that several of them use is opened once. Errors are without secrets."""
    sources = [environment.create_source(loaded, entry.from_) for entry in loaded.file.flows]
    with ExitStack() as stack:
        stack.enter_context(redacted_errors(Redactor.of(loaded.resolved, *(source.config for source in sources))))
        destinations: dict[str, Destination] = {}
        flows = []
        for number, entry in enumerate(loaded.file.flows):
            location = f"{loaded.location}: flows[{number}]"
            template = check_template(entry.destination_table or "{table}", location)
            source = sources[number]
            stack.callback(source.disconnect)
            identity = source.identity()
            source.connect(DataSourceState({}))
            by_name = {stream.name: stream for stream in source.streams()}
            names = select_streams(list(by_name), entry.streams, location=f"{location}.streams")
            if entry.to not in destinations:
                destinations[entry.to] = stack.enter_context(opened(loaded, environment, entry.to))
            streams = {name: by_name[name] for name in names}
            flows.append(ConnectedFlow(entry, location, template, identity, streams, destinations[entry.to]))
        yield flows


def streams_of(
    flows: Sequence[ConnectedFlow], patterns: Sequence[str], destination: str | None = None
) -> list[tuple[ConnectedFlow, str]]:
    """The streams that names or patterns select, each with its flow.

    :param patterns: as ``orders`` or ``shop.orders``; none: all. :param destination: the name of one; None: any.
    :raises ConfigurationError: for a pattern that matches no stream.
    """
    every = [(flow, name) for flow in flows for name in flow.streams if destination in (None, flow.entry.to)]
    for pattern in patterns:
        if not any(matches_stream(flow.entry.from_, name, [pattern]) for flow, name in every):
            names = {name for _, name in every}
            raise ArgumentError(f"--stream {pattern!r}: no stream matches; {suggest(pattern, names)}")
    return [(flow, name) for flow, name in every if not patterns or matches_stream(flow.entry.from_, name, patterns)]


def one_stream(flows: Sequence[ConnectedFlow], stream: str, destination: str | None) -> tuple[ConnectedFlow, str]:
    """The stream of that name. Raises ``ConfigurationError`` if there are several, or none."""
    selected = streams_of(flows, [stream], destination)
    if len(selected) > 1:
        places = ", ".join(f"{flow.entry.from_}.{name} to {flow.entry.to}" for flow, name in selected)
        flow, name = selected[0]
        raise ArgumentError(
            f"--stream {stream!r}: {len(selected)} streams match, {places}; name one: --stream "
            f"{flow.entry.from_}.{name} --destination {flow.entry.to}"
        )
    return selected[0]


def state_text(state: State) -> str:
    """The beginning of a state, for a message."""
    text = str(state)
    return text if len(text) <= 80 else f"{text[:80]}…"
