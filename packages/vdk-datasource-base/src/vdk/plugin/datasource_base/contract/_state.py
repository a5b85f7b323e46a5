"""The state of a whole source, as ``connect`` sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from ._types import State


class DataSourceState(Mapping[str, Mapping[str, State]]):
    """Read-only: stream name → partition id → state, for one source and one destination.

    Streams and partitions that never delivered are absent; ``of`` gives an empty state for them.
    """

    def __init__(self, states: Mapping[str, Mapping[str, State]] | None = None) -> None:
        self._states = MappingProxyType(
            {stream: MappingProxyType(dict(parts)) for stream, parts in (states or {}).items()}
        )

    def __getitem__(self, stream: str) -> Mapping[str, State]:
        return self._states[stream]

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def of(self, stream: str, partition: str = "") -> State:
        """The state of one partition, ``{}`` where there is none."""
        found = self._states.get(stream)
        return found.get(partition, {}) if found is not None else {}
