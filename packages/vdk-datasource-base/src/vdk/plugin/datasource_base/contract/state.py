# SPDX-License-Identifier: Apache-2.0
"""States: where a partition continues, as JSON, and as a typed class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeAlias, dataclass_transform

import msgspec

from .config import KeywordOnlyMeta
from .errors import StateError

JSON: TypeAlias = bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"] | None
State: TypeAlias = Mapping[str, JSON]


class DataSourceState(Mapping[str, Mapping[str, State]]):
    """Read-only: stream name → partition id → state, for one source and one destination.

    Streams and partitions that have never delivered are absent; ``of`` returns an empty state for them.
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
        """The state of one partition; ``{}`` if it has none."""
        partitions = self._states.get(stream)
        return partitions.get(partition, {}) if partitions is not None else {}


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class PartitionState(msgspec.Struct, metaclass=KeywordOnlyMeta, frozen=True, forbid_unknown_fields=True):
    """What a partition has to know to continue: typed, versioned, and never guessed.

    ::

        class Position(PartitionState):
            page: int = 0

        def read(self, state):
            position = Position.load(state)
            for page in range(position.page, self.pages):
                yield DataSourcePayload(self.rows(page), state=Position(page=page + 1).dump())

    Every field has a default, with which the first run begins. When fields are added, removed or change their
    meaning, raise the version (``v: int = 2``) and convert older states before ``load``.
    """

    remedy: ClassVar[str] = "reset the state (`vdk datasource state reset FLOW`) to read from the beginning"

    v: int = 1

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Self:
        """The position in a stored state; ``{}``: the beginning.

        :raises StateError: for a state that is of another version or source, or damaged.
        """
        beginning = cls()
        if not state:
            return beginning
        if state.get("v") != beginning.v:
            raise StateError(
                f"the state has the version {state.get('v')!r}, and this version of the source reads {beginning.v}; "
                f"install the version that wrote it, or {cls.remedy}"
            )
        try:
            position = msgspec.convert(dict(state), cls)
        except msgspec.ValidationError as error:
            raise StateError(f"the state is damaged or of another source: {error}; {cls.remedy}") from None
        # A default for a missing field would make a mixture of two positions.
        if missing := sorted(set(position.dump()) - set(state)):
            raise StateError(f"the state is damaged or of another source: it lacks {missing}; {cls.remedy}")
        return position

    def dump(self) -> dict[str, Any]:
        """The position as JSON, for a payload's ``state``."""
        state: dict[str, Any] = msgspec.to_builtins(self)
        return state
