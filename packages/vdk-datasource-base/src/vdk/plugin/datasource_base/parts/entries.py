"""Which sources and destinations are registered. Imports none of them, nor Arrow: VDK loads this for every command."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

SOURCES = "vdk.datasource.sources"
DESTINATIONS = "vdk.datasource.destinations"


@dataclass(frozen=True, slots=True)
class Entry:
    """A name and where its class is (``module:Class``); ``origin`` says who registered it."""

    name: str
    location: str
    origin: str


class Entries:
    """Names of sources and destinations: those of the installed distributions, and those added."""

    def __init__(self, *, installed: bool = True) -> None:
        self._sources: dict[str, list[Entry]] = {}
        self._destinations: dict[str, list[Entry]] = {}
        self._broken: list[str] = []
        if installed:
            for kind, found in ((self._sources, SOURCES), (self._destinations, DESTINATIONS)):
                for point in entry_points(group=found):
                    origin = point.dist.name if point.dist is not None else point.value
                    _add(kind, Entry(point.name.lower(), point.value, origin))

    def add(self, name: str, location: str) -> None:
        """Register a source: its name in flow files, and ``module:Class``."""
        _add(self._sources, Entry(name.lower(), location, location.partition(":")[0]))

    def add_destination(self, name: str, location: str) -> None:
        """Register a destination: its method's name, and ``module:Class``."""
        _add(self._destinations, Entry(name.lower(), location, location.partition(":")[0]))

    def add_broken(self, plugin: str, reason: str) -> None:
        """Say that a plugin could not register all it has; told where a name is not found."""
        self._broken.append(f"plugin {plugin} could not register what it has: {reason}")

    def sources(self) -> list[Entry]:
        return _listed(self._sources)

    def destinations(self) -> list[Entry]:
        return _listed(self._destinations)


def _add(kind: dict[str, list[Entry]], entry: Entry) -> None:
    known = kind.setdefault(entry.name, [])
    if entry.location not in [one.location for one in known]:
        known.append(entry)


def _listed(kind: dict[str, list[Entry]]) -> list[Entry]:
    return [entry for name in sorted(kind) for entry in kind[name]]
