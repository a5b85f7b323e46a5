# SPDX-License-Identifier: Apache-2.0
"""Changes of stored states: what they cost is shown first, and each is compared and swapped like one of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...contract import State
from ...parts import CommitUnit, Destination, StateKey, StoredState
from ...parts.flow.file import LoadedFlow
from ..environment import Environment
from .listing import DestinationState, opened

Confirm = Callable[[Sequence[str]], None]
"""Gets what the changes cost, one line for each stream; raises if they are not wanted."""


def unasked(costs: Sequence[str]) -> None:
    """Confirms everything."""


@dataclass(frozen=True, slots=True)
class Change:
    """A state to store in a destination.

    :param before: what is stored there now; None: nothing. :param state: ``{}``: none.
    :param reset: see ``CommitUnit``. :param adopted: another stream goes on from ``before``, and has its rows.
    """

    destination: str
    key: StateKey
    before: StoredState | None
    state: State
    reset: bool = False
    adopted: bool = False


def store(loaded: LoadedFlow, environment: Environment, changes: Sequence[Change]) -> list[DestinationState]:
    """Store states; returns those that were replaced.

    :raises ConcurrentRunError: a run has stored another state meanwhile; the changes before it are stored.
    """
    replaced: list[DestinationState] = []
    for name in dict.fromkeys(change.destination for change in changes):
        with opened(loaded, environment, name) as destination:
            for change in changes:
                if change.destination == name:
                    _store(destination, change, environment.run_id)
                    if change.before is not None and change.before.state:
                        replaced.append(DestinationState(name, change.before))
    return replaced


def _store(destination: Destination, change: Change, run_id: str) -> None:
    version = change.before.version if change.before is not None else 0
    destination.commit(CommitUnit(change.key, (), change.state, version, run_id, reset=change.reset))
    if change.adopted:
        destination.remove_owner(change.key)


def rows_now(destination: Destination, table: str) -> str:
    """``table 'orders' has 1,090,000 rows now``."""
    if destination.has_table(table) is False:
        return f"table {table!r} does not exist"
    rows = destination.count_rows(table)
    return f"table {table!r} keeps its rows" if rows is None else f"table {table!r} has {rows:,} rows now"


def partitions_text(count: int) -> str:
    return "1 state" if count == 1 else f"{count:,} states"
