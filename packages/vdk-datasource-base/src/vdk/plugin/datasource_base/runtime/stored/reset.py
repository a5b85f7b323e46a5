# SPDX-License-Identifier: Apache-2.0
"""``state reset``: streams are read from the beginning again."""

from __future__ import annotations

from collections.abc import Sequence

from ..environment import Environment
from .changes import Change, Confirm, rows_now, store, unasked
from .listing import DestinationState, FlowSource, load, opened, show_states


def reset_states(
    flow: FlowSource, environment: Environment, streams: Sequence[str] | None = None, confirm: Confirm = unasked
) -> list[DestinationState]:
    """Set the states to ``{}``, so that the next run reads from the beginning; returns the old ones. Rows stay.

    :param streams: names or patterns of the streams; None: all.
    """
    loaded = load(flow, environment)
    states = [state for state in show_states(flow, environment, streams) if state.stored.state]
    if not states:
        return []
    costs = []
    for name in dict.fromkeys(state.destination for state in states):
        with opened(loaded, environment, name) as destination:
            keys = {
                (state.stored.key.source_id, state.stored.key.stream, state.stored.key.table): None
                for state in states
                if state.destination == name
            }
            costs += [
                f"{source_id}.{stream} will be read again from the beginning; in {name}, {rows_now(destination, table)}"
                for source_id, stream, table in keys
            ]
    confirm(costs)
    return store(
        loaded,
        environment,
        [Change(state.destination, state.stored.key, state.stored, {}, reset=True) for state in states],
    )
