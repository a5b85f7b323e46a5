"""Which sources and destinations there are, without importing any of them."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from ..contract import ConfigurationError, DataSource
from ._destination import Destination

SOURCES = "vdk.datasource.sources"
DESTINATIONS = "vdk.datasource.destinations"


@dataclass(frozen=True, slots=True)
class Entry:
    """A name and where its class is (``module:Class``); ``origin`` says who registered it."""

    name: str
    location: str
    origin: str


class Registry:
    """Sources and destinations by name: those of the installed distributions, and those added.

    A class is imported when it is used, so that a listing costs nothing and a broken plugin harms
    only the flows that use it.
    """

    def __init__(self, *, installed: bool = True) -> None:
        self._sources: dict[str, Entry] = {}
        self._destinations: dict[str, Entry] = {}
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

    def sources(self) -> list[Entry]:
        return sorted(self._sources.values(), key=lambda entry: entry.name)

    def destinations(self) -> list[Entry]:
        return sorted(self._destinations.values(), key=lambda entry: entry.name)

    def source(self, name: str, *, where: str = "") -> type[DataSource[Any]]:
        """The class of a source. Raises ``ConfigurationError`` with the closest names, or with what
        keeps it from being imported."""
        entry = self._sources.get(name.lower())
        if entry is None:
            raise ConfigurationError(_unknown("source", name, self._sources, where))
        found = _load(entry)
        if not (isinstance(found, type) and issubclass(found, DataSource) and found.source_name):
            raise ConfigurationError(
                f"source {name!r} ({entry.location}) is not a DataSource declared with @data_source"
            )
        return found

    def destination(self, method: str) -> type[Destination] | None:
        """The class of a destination; None where there is none of that name."""
        entry = self._destinations.get(method.lower())
        if entry is None:
            return None
        found = _load(entry)
        if not (isinstance(found, type) and issubclass(found, Destination)):
            raise ConfigurationError(f"destination {method!r} ({entry.location}) is not a Destination")
        return found


def _add(kind: dict[str, Entry], entry: Entry) -> None:
    known = kind.get(entry.name)
    if known is not None and known.location != entry.location:
        raise ConfigurationError(
            f"{entry.name!r} is registered twice: as {known.location} (by {known.origin}) and as "
            f"{entry.location} (by {entry.origin}); uninstall one of the two"
        )
    kind.setdefault(entry.name, entry)


def _load(entry: Entry) -> Any:
    module, _, attribute = entry.location.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{entry.name!r} ({entry.location}, from {entry.origin}) cannot be imported: {error}"
        ) from error


def closest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: near names, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(map(repr, near)) + "?"
    return f"there are: {', '.join(names)}" if names else "there are none"


def _unknown(kind: str, name: str, known: Iterable[str], where: str) -> str:
    prefix = f"{where}: " if where else ""
    return f"{prefix}unknown {kind} {name!r}; {closest(name, known)} (is its plugin installed?)"
