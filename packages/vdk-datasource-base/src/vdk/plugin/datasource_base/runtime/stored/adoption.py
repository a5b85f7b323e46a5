# SPDX-License-Identifier: Apache-2.0
"""``state adopt``: a stream goes on from states that are stored under another name, or for the same data elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...contract import ConfigurationError
from ...contract.errors import ArgumentError
from ...parts import StoredState
from ..environment import Environment
from ..states import copy_state
from .changes import Change, Confirm, partitions_text, rows_now, store, unasked
from .flows import ConnectedFlow, connected, one_stream, streams_of
from .listing import DestinationState, FlowSource, load


@dataclass(frozen=True, slots=True)
class Former:
    """The names that the states have; None: the present one.

    :param states: those of another flow file; None: of the destinations of this one.
    """

    source: str | None = None
    stream: str | None = None
    table: str | None = None
    states: Sequence[DestinationState] | None = None

    @property
    def is_open(self) -> bool:
        """Whether neither a stream nor a table nor a file is named: a state may then be of a flow beside this one."""
        return self.stream is None and self.table is None and self.states is None


def adopt_states(
    flow: FlowSource,
    environment: Environment,
    former: Former,
    streams: Sequence[str] = (),
    *,
    confirmed: bool = False,
    confirm: Confirm = unasked,
) -> list[DestinationState]:
    """Store former states under the present names; returns the former ones. In the same destination they move.

    :param streams: names or patterns of the streams that adopt them; none: all of the flows.
    :param confirmed: also for a table that does not exist, or a stream that has states of its own.
    :raises ConfigurationError: if there are no such states.
    """
    loaded = load(flow, environment)
    changes: list[Change] = []
    adopted: list[DestinationState] = []
    costs = []
    with connected(loaded, environment) as flows:
        if former.stream is not None and len(streams) != 1:
            raise ArgumentError(
                f"--from-stream {former.stream}: name the one stream that it is now, as in --stream orders"
            )
        chosen = [one_stream(flows, streams[0], None)] if former.stream is not None else streams_of(flows, streams)
        known = _known(flows, former)
        for target, name in chosen:
            states = _states_for(target, name, known, former, flows)
            if not states:
                continue
            if not confirmed:
                _check_target(target, name, states)
            changes += _changes(target, name, states, moves=former.states is None)
            adopted += states
            costs.append(_cost(target, name, states))
    if not changes:
        raise ConfigurationError(_nothing(known, former))
    confirm(costs)
    store(loaded, environment, changes)
    return adopted


def _known(flows: Sequence[ConnectedFlow], former: Former) -> list[DestinationState]:
    """All states that could be adopted."""
    if former.states is not None:
        return [state for state in former.states if state.stored.state]
    known = {}
    for flow in flows:
        for stored in flow.destination.load_states(former.source or flow.entry.from_):
            if stored.state:
                known[flow.entry.to, stored.key] = DestinationState(flow.entry.to, stored)
    return list(known.values())


def _is_of_another(flow: ConnectedFlow, stored: StoredState, flows: Sequence[ConnectedFlow]) -> bool:
    """Whether a state is that of another flow of the file, which goes on from it: it lands in another table."""
    key = stored.key
    return any(
        other.entry.to == flow.entry.to and key.stream in other.streams and key == other.key(key.stream, key.partition)
        for other in flows
        if other is not flow
    )


def _states_for(
    flow: ConnectedFlow,
    name: str,
    known: Sequence[DestinationState],
    former: Former,
    flows: Sequence[ConnectedFlow],
) -> list[DestinationState]:
    """The former states of a stream, of one table. Raises ``ConfigurationError`` if there are several."""
    source, stream = former.source or flow.entry.from_, former.stream or name
    states = [
        state
        for state in known
        if (state.stored.key.source_id, state.stored.key.stream) == (source, stream)
        and former.table in (None, state.stored.key.table)
        and (former.states is not None or state.destination == flow.entry.to)
        and (former.states is not None or _differs(flow, name, state.stored))
        and not (former.is_open and _is_of_another(flow, state.stored, flows))
    ]
    tables = sorted({state.stored.key.table for state in states})
    if len(tables) > 1 and flow.table(name) in tables:  # the source alone has moved
        states = [state for state in states if state.stored.key.table == flow.table(name)]
    elif len(tables) > 1:
        raise ConfigurationError(
            f"stream {name!r}: there are states of the tables {', '.join(map(repr, tables))}; name one: --from-table "
            f"{tables[0]}"
        )
    identities = sorted({state.stored.key.source_identity for state in states})
    if len(identities) > 1:
        raise ConfigurationError(
            f"stream {name!r}: there are states of {' and of '.join(identities)}; restore the one that is not wanted "
            "in the flow file, and reset it: vdk datasource state reset FLOW --stream " + name
        )
    return states


def _differs(flow: ConnectedFlow, name: str, stored: StoredState) -> bool:
    """Whether a state is not the stream's own, as it would be after it was adopted."""
    is_own = stored.key == flow.key(name, stored.key.partition)
    return not is_own or flow.streams[name].adopted_state(stored.state) != stored.state


def _check_target(flow: ConnectedFlow, name: str, adopted: Sequence[DestinationState]) -> None:
    table = flow.table(name)
    if flow.destination.has_table(table) is False:
        raise ConfigurationError(
            f"table {table!r} does not exist in {flow.entry.to}, so the rows before the states of {name!r} would be "
            "missing; rename the former table, as in ALTER TABLE old RENAME TO new, or add --yes"
        )
    keys = {state.stored.key for state in adopted}
    own = [state for state in flow.stored(name).values() if state.state and state.key not in keys]
    if own:
        raise ConfigurationError(
            f"stream {name!r} has {partitions_text(len(own))} of its own, which would be replaced; add --yes"
        )


def _changes(flow: ConnectedFlow, name: str, states: Sequence[DestinationState], *, moves: bool) -> list[Change]:
    """First the new states, then none in the place of the old ones: after a kill between them, the command is repeated
    with ``--yes``."""
    to, stream, own = flow.entry.to, flow.streams[name], flow.stored(name)
    changes = []
    for item in states:
        key = flow.key(name, item.stored.key.partition)
        state = copy_state(stream.adopted_state(item.stored.state), stream=name)
        stream.check_state(key.partition, state)
        changes.append(Change(to, key, own.pop(key.partition, None), state))
    changes += [Change(to, stored.key, stored, {}) for stored in own.values() if stored.state]
    new = {change.key for change in changes}
    if moves:
        former = [item.stored for item in states if item.stored.key not in new]
        changes += [Change(to, stored.key, stored, {}, adopted=True) for stored in former]
    return changes


def _cost(flow: ConnectedFlow, name: str, states: Sequence[DestinationState]) -> str:
    key = states[0].stored.key
    return (
        f"{flow.entry.from_}.{name} goes on from {partitions_text(len(states))} of {key.source_id}.{key.stream} (table "
        f"{key.table!r}, {key.source_identity}): rows before them are not read; in {flow.entry.to}, "
        f"{rows_now(flow.destination, flow.table(name))}"
    )


def _nothing(known: Sequence[DestinationState], former: Former) -> str:
    names = sorted({f"{state.stored.key.source_id}.{state.stored.key.stream}" for state in known})
    if not names:
        sought = f"source {former.source!r}" if former.source is not None else "the sources of the flow file"
        return f"no state of {sought} is stored there; name the former one: --from-source NAME, or --from-flow FILE"
    return (
        f"there are no states to adopt: those of {', '.join(names[:10])} are stored, and are the streams' own or have "
        "other names; name the former ones: --from-source, --from-stream, --from-table or --from-flow"
    )
