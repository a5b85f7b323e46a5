"""A destination that drops what it gets, to measure what comes before it."""

from __future__ import annotations

from collections.abc import Sequence

from vdk.plugin.datasource_base.parts import CommitUnit, Destination, StateKey, StoredState, TableBatch, WriteMode


class Nothing(Destination):
    """Takes rows in any number and remembers nothing."""

    write_modes: frozenset[WriteMode] = frozenset({"append"})

    def identity(self) -> str:
        return "nothing"

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        return []

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        """Dropped."""

    def discard(self, key: StateKey) -> None:
        """There is nothing."""

    def commit(self, unit: CommitUnit) -> int:
        return unit.version + 1
