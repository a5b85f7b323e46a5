# SPDX-License-Identifier: Apache-2.0
"""Which sources and destinations are registered. Imports none of them, nor Arrow: VDK loads this for every command."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

SOURCES = "vdk.datasource.sources"
DESTINATIONS = "vdk.datasource.destinations"


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered name, the import path of its class (``module:Class``), and the distribution that registered it."""

    name: str
    import_path: str
    origin: str


class Entries:
    """The names of sources and destinations: those of the installed distributions, and those that are added."""

    def __init__(self, *, installed: bool = True) -> None:
        self._sources: dict[str, list[Entry]] = {}
        self._destinations: dict[str, list[Entry]] = {}
        self._broken: list[str] = []
        if installed:
            points = entry_points()  # of all groups: each call reads a file of every distribution
            for kind, group in ((self._sources, SOURCES), (self._destinations, DESTINATIONS)):
                for point in points.select(group=group):
                    origin = point.dist.name if point.dist is not None else point.value
                    _add(kind, Entry(point.name.lower(), point.value, origin))

    def add(self, name: str, import_path: str) -> None:
        """Register a source: its name in flow files, and ``module:Class``."""
        _add(self._sources, Entry(name.lower(), import_path, import_path.partition(":")[0]))

    def add_destination(self, name: str, import_path: str) -> None:
        """Register a destination: the name of its method, and ``module:Class`` or ``module:function``."""
        _add(self._destinations, Entry(name.lower(), import_path, import_path.partition(":")[0]))

    def add_broken(self, plugin: str, reason: str) -> None:
        """Note that a plugin failed to register; the error about an unknown name mentions it."""
        self._broken.append(f"plugin {plugin} could not register its sources and destinations: {reason}")

    def sources(self) -> list[Entry]:
        return _listed(self._sources)

    def destinations(self) -> list[Entry]:
        return _listed(self._destinations)


def _add(kind: dict[str, list[Entry]], entry: Entry) -> None:
    entries = kind.setdefault(entry.name, [])
    if entry.import_path not in [known.import_path for known in entries]:
        entries.append(entry)


def _listed(kind: dict[str, list[Entry]]) -> list[Entry]:
    return [entry for name in sorted(kind) for entry in kind[name]]
