"""The states of a flow file: shown, and forgotten on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..contract import ConfigurationError
from ..parts import CommitUnit, Destination, StoredState
from ..parts._flow_file import load_flow
from ..parts._registry import closest
from ._environment import Environment


@dataclass(frozen=True, slots=True)
class FoundState:
    """A stored state and the destination it is for, as the flow file calls it."""

    destination: str
    stored: StoredState

    def as_dict(self) -> dict[str, Any]:
        key = self.stored.key
        return {
            "source": key.source_id,
            "stream": key.stream,
            "partition": key.partition,
            "destination": self.destination,
            "table": key.table,
            "identity": key.source_identity,
            "version": self.stored.version,
            "run": self.stored.run_id,
            "state": self.stored.state,
        }


def show_states(
    flow: str | Path | Mapping[str, Any], environment: Environment, streams: list[str] | None = None
) -> list[FoundState]:
    """The states of the file's sources at its destinations, of the streams that the globs choose; None: all."""
    found = [
        FoundState(name, stored)
        for name, sources, destination in _destinations(flow, environment)
        for source in sources
        for stored in destination.load_states(source)
    ]
    return _chosen(found, streams)


def forget_states(
    flow: str | Path | Mapping[str, Any], environment: Environment, streams: list[str] | None = None
) -> list[FoundState]:
    """Reset them to ``{}``, so that the next run reads from the beginning; returns what they were. Rows stay."""
    forgotten: list[FoundState] = []
    for name, sources, destination in _destinations(flow, environment):
        here = [FoundState(name, stored) for source in sources for stored in destination.load_states(source)]
        for one in _chosen(here, streams):
            if not one.stored.state:
                continue  # reset before
            unit = CommitUnit(one.stored.key, (), {}, one.stored.version, environment.run_id, reset=True)
            destination.commit(unit)
            forgotten.append(one)
    return forgotten


def _destinations(
    flow: str | Path | Mapping[str, Any], environment: Environment
) -> Iterator[tuple[str, list[str], Destination]]:
    """Each destination that a flow leads to, connected, with the ids of the sources that lead there."""
    loaded = load_flow(flow, environment.lookups)
    sources: dict[str, dict[str, None]] = {}
    for entry in loaded.file.flows:
        sources.setdefault(entry.to, {})[entry.from_] = None
    for name, ids in sources.items():
        destination = environment.destination_of(loaded, name)
        with _opened(destination):
            yield name, list(ids), destination


@contextmanager
def _opened(destination: Destination) -> Iterator[None]:
    try:
        destination.open()
        yield
    finally:
        destination.close()


def _chosen(found: list[FoundState], streams: list[str] | None) -> list[FoundState]:
    if not streams:
        return found
    names = {one.stored.key.stream for one in found}
    for pattern in streams:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in names):
            raise ConfigurationError(f"no state of a stream matches {pattern!r}; {closest(pattern, names)}")
    return [
        one
        for one in found
        if any(one.stored.key.stream == pattern or fnmatchcase(one.stored.key.stream, pattern) for pattern in streams)
    ]
