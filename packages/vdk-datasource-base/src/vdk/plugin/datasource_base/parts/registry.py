"""Which sources and destinations there are, without importing any of them."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from ..contract import ConfigurationError, DataSource
from .destination import Destination

SOURCES = "vdk.datasource.sources"
DESTINATIONS = "vdk.datasource.destinations"

DestinationFactory = Callable[..., Destination]
"""A ``Destination`` class, or a function with the parameters ``(target, *, folder)`` that returns one."""


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
        """Register a destination: its method's name, and ``module:Class`` or ``module:function``."""
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


class Registry(Entries):
    """Sources and destinations by name.

    A class is imported when it is used, so that a listing costs nothing and a broken plugin harms
    only the flows that use it.
    """

    def source(self, name: str, *, where: str = "") -> type[DataSource[Any]]:
        """The class of a source. Raises ``ConfigurationError`` with the closest names, or with what
        keeps it from being imported."""
        entries = self._sources.get(name.lower())
        if entries is None:
            prefix = f"{where}: " if where else ""
            raise ConfigurationError(f"{prefix}unknown source {name!r}; {self.hint(name, self._sources)}")
        entry = _only(entries)
        found = _load(entry)
        if not (isinstance(found, type) and issubclass(found, DataSource) and found.source_name):
            raise ConfigurationError(
                f"source {name!r} ({entry.location}) is not a DataSource declared with @data_source"
            )
        return found

    def destination(self, method: str) -> DestinationFactory | None:
        """What makes a destination: its class, or a function; None where the method is unknown."""
        entries = self._destinations.get(method.lower())
        if entries is None:
            return None
        entry = _only(entries)
        found = _load(entry)
        if not (issubclass(found, Destination) if isinstance(found, type) else callable(found)):
            raise ConfigurationError(f"destination {method!r} ({entry.location}) is not a Destination")
        factory: DestinationFactory = found
        return factory

    def hint(self, name: str, known: Iterable[str]) -> str:
        """The end of a message about an unknown name: near names, and plugins that may have had it."""
        return "; ".join([f"{closest(name, known)} (is its plugin installed?)", *self._broken])


def _only(entries: list[Entry]) -> Entry:
    """The entry of a name. Two of one name harm the flows that use it, and no other."""
    first, *others = entries
    for other in others:
        raise ConfigurationError(
            f"{first.name!r} is registered twice: as {first.location} (by {first.origin}) and as "
            f"{other.location} (by {other.origin}); uninstall one of the two"
        )
    return first


def _load(entry: Entry) -> Any:
    module, _, attribute = entry.location.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module can raise anything while it is imported
        raise ConfigurationError(
            f"{entry.name!r} ({entry.location}, from {entry.origin}) cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def closest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: near names, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.7)  # "rest" is no misspelt "postgres"
    if near:
        return "did you mean " + " or ".join(map(repr, near)) + "?"
    return f"there are: {', '.join(names)}" if names else "there are none"
