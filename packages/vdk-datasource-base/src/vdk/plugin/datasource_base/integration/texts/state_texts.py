# SPDX-License-Identifier: Apache-2.0
"""States as text for people: how far a stream was read. JSON (``-o json``) has all of a state."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...runtime import Environment
    from ...runtime.stored.listing import FlowSource

MAX_WIDTH = 200
"""Characters of a state in a table."""
MAX_PARTITIONS = 3
"""Partitions whose states are shown in one text."""
_MAX_ITEMS = 5
_OPAQUE = re.compile(r"(?![0-9a-f]{8}(?:-[0-9a-f]{4}){3}-)[A-Za-z0-9+/=_-]{24,}", re.IGNORECASE)
"""Base64, hashes and the like, which nobody reads; a UUID may be a cursor."""


class StateTexts:
    """States in the words of the sources of a flow file that they belong to."""

    def __init__(self, flow: FlowSource, environment: Environment) -> None:
        from ...runtime.stored.listing import load

        sources = load(flow, environment).file.sources
        self._names = {source_id: entry.name for source_id, entry in sources.items()}
        self._registry = environment.registry

    def of(self, source_id: str, state: Mapping[str, Any]) -> str:
        """The text of one partition's state."""
        if not state:
            return "not read yet"
        return _cut(self._described(source_id, state) or ", ".join(_pairs(state)) or "…")

    def of_stream(self, source_id: str, states: Mapping[str, Mapping[str, Any]]) -> str:
        """The text of all partitions' states."""
        if not states:
            return "none"
        if list(states) == [""]:
            return self.of(source_id, states[""])
        shown = [f"{name or 'all'}: {self.of(source_id, states[name])}" for name in list(states)[:MAX_PARTITIONS]]
        more = ["…"] if len(states) > len(shown) else []
        count = "1 partition" if len(states) == 1 else f"{len(states):,} partitions"
        return _cut(f"{count} ({'; '.join([*shown, *more])})")

    def _described(self, source_id: str, state: Mapping[str, Any]) -> str | None:
        try:
            return self._registry.source(self._names[source_id]).describe_state(state)
        except Exception:  # of a plugin that is not installed any more, or a state that the source cannot read
            return None


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WIDTH else f"{text[:MAX_WIDTH]}…"


def _pairs(state: Mapping[str, Any]) -> Iterator[str]:
    """``reached 2026-01-31``. Versions, what is empty, and what only programs can read are left out."""
    for name, value in state.items():
        if name != "v" and (shown := _shown(value)):
            yield f"{name} {shown}".strip()


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(_pairs(value))
        return f"({inner})" if inner else ""
    if isinstance(value, list):
        if len(value) > _MAX_ITEMS or any(isinstance(item, (list, Mapping)) for item in value):
            return "1 item" if len(value) == 1 else f"{len(value):,} items"
        return " ".join(filter(None, map(_shown, value)))
    if value is None or (isinstance(value, str) and _OPAQUE.fullmatch(value)):
        return ""
    return json.dumps(value) if isinstance(value, bool) else str(value)
