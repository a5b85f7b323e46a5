# SPDX-License-Identifier: Apache-2.0
"""``state set``: the state of one partition is replaced by one that a person writes."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ...contract import ConfigurationError, State, StateError
from ..environment import Environment
from ..states import copy_state
from .changes import Change, Confirm, rows_now, store, unasked
from .flows import connected, one_stream, state_text
from .listing import DestinationState, FlowSource, load


def set_state(
    flow: FlowSource,
    environment: Environment,
    stream: str,
    partition: str,
    text: str,
    *,
    destination: str | None = None,
    confirm: Confirm = unasked,
) -> list[DestinationState]:
    """Store a state for one partition; returns the one that it replaces, if there is one.

    :param text: the state as JSON. :param destination: the name of one, if the stream lands in several.
    :raises ConfigurationError: if it is not a JSON object. :raises StateError: if the source cannot read it.
    """
    state = parsed_state(text)
    loaded = load(flow, environment)
    with connected(loaded, environment) as flows:
        chosen, name = one_stream(flows, stream, destination)
        state = copy_state(state, stream=name)
        try:
            chosen.streams[name].check_state(partition, state)
        except StateError as error:
            raise StateError(
                f"the state {text:.80} is not one of {chosen.entry.from_}.{name}, and nothing was changed; write one "
                f"as `vdk datasource state show FLOW -o json` prints it: {error}"
            ) from error
        stored = chosen.stored(name)
        before = stored.get(partition)
        others = sorted(set(stored) - {partition})
        if before is not None and before.state:
            replaces = f"it replaces {state_text(before.state)}"
        else:
            replaces = "it has no state now" + (f" (those that have one: {', '.join(others[:5])})" if others else "")
        place = f"{chosen.entry.from_}.{name}" + (f", partition {partition!r}" if partition else "")
        rows = rows_now(chosen.destination, chosen.table(name))
        cost = (
            f"{place} will be read from this state: rows before it are not read, rows after it are read again; "
            f"{replaces}; in {chosen.entry.to}, {rows}"
        )
        change = Change(chosen.entry.to, chosen.key(name, partition), before, state)
    confirm([cost])
    return store(loaded, environment, [change])


def parsed_state(text: str) -> State:
    """The JSON object of a text. Raises ``ConfigurationError``."""
    try:
        state = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"the state {text:.80} is not JSON: {error}; write it in quotes, as in '{{\"next\": 5}}'"
        ) from None
    if not isinstance(state, Mapping):
        raise ConfigurationError(
            f"the state {text:.80} is not a JSON object; write one in quotes, as in '{{\"next\": 5}}'"
        )
    if not state:
        raise ConfigurationError(
            "the state {} is that of a stream that was never read; write: vdk datasource state reset FLOW --stream NAME"
        )
    return dict(state)
