# SPDX-License-Identifier: Apache-2.0
"""A destination that hands rows over to a program or to another system, which keeps them where nobody here can look.

A row that is handed over cannot be taken back, and nothing says whether it landed. So a state counts as stored once its
rows are handed over, and a partition is not read again if rows were handed over that no state covers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...contract import DataSource, DestinationError
from ...parts import CommitUnit, Destination, StateKey, StoredState, TableBatch
from ..environment import Environment


class HandoverSink(Destination):
    """Hands rows over in the order in which they are committed or staged.

    :param stored: the states to continue from.
    """

    child_tables = False

    def __init__(self, stored: Sequence[StoredState] = ()) -> None:
        super().__init__(None, folder=Path())
        self.states: dict[StateKey, StoredState] = {state.key: state for state in stored}
        self.changed: set[StateKey] = set()
        self._uncovered: dict[StateKey, int] = {}  # rows that were handed over, and that no state covers yet

    @abstractmethod
    def hand_over(self, key: StateKey, batches: Sequence[TableBatch], state: StoredState | None) -> None:
        """Hand over batches, then the state after them; None: the state is unchanged.

        :raises RefusedRowsError: if some rows are refused; then no row was handed over.
        """

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        return list(self.states.values())

    def commit(self, unit: CommitUnit) -> int:
        stored = self.states.get(unit.key)
        version = stored.version if stored is not None else 0
        state = None
        if unit.state is not None:
            state = StoredState(unit.key, version + 1, unit.state, unit.run_id)
        self.hand_over(unit.key, unit.batches, state)
        self._uncovered.pop(unit.key, None)
        if state is None:
            return version
        self.states[unit.key] = state
        self.changed.add(unit.key)
        return state.version

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        self.hand_over(key, batches, None)
        self._uncovered[key] = self._uncovered.get(key, 0) + sum(batch.data.num_rows for batch in batches)

    def discard(self, key: StateKey) -> None:
        if rows := self._uncovered.pop(key, 0):
            raise self.cannot_take_back(key, rows)

    def cannot_take_back(self, key: StateKey, rows: int) -> DestinationError:
        """The error of a partition that failed after some of its rows were handed over."""
        return DestinationError(
            f"stream {key.stream!r} failed after {rows:,} of its rows were handed over, which cannot be taken back, so "
            "it is not read again; the log has the reason"
        )


class HandoverEnvironment(Environment):
    """What a run gets that hands over the rows of a source which exists already."""

    __slots__ = ("sink", "source")
    source: DataSource[Any]
    sink: Destination

    def create_source(self, loaded: Any, source_id: str) -> DataSource[Any]:
        return self.source

    def create_destination(self, loaded: Any, name: str) -> Destination:
        return self.sink
