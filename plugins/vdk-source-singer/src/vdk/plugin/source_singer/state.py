# SPDX-License-Identifier: Apache-2.0
"""The state of a tap, as it is stored, and whether the tap can continue from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import msgspec

from vdk.plugin.datasource_base import PartitionState, StateError

PROGRESS = b"progress_markers"
"""What a state contains that may not be resumable."""


class TapState(PartitionState):
    """The last STATE of a tap, and the version of each table that is active.

    :param value: the JSON that the tap wrote, as text: only the tap understands it, and gets each digit back. Empty:
        the beginning.
    """

    remedy: ClassVar[str] = "reset it: vdk datasource state reset FLOW"

    value: str = ""
    versions: dict[str, int] = msgspec.field(default_factory=dict)

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Self:
        position = super().load(state)
        if position.value and not is_object(position.value):
            raise StateError(f"the state is damaged: its value is not the JSON object that a tap wrote; {cls.remedy}")
        return position


def is_object(text: str | bytes) -> bool:
    """Whether a text is a JSON object."""
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


def is_resumable(value: Any) -> bool:
    """Whether a tap continues behind the records that it wrote before this state.

    The SDK writes ``progress_markers`` while it reads a stream that is not sorted, and starts over from such a state.
    """
    if isinstance(value, Mapping):
        return not value.get(PROGRESS.decode()) and all(is_resumable(item) for item in value.values())
    return not isinstance(value, list) or all(map(is_resumable, value))
