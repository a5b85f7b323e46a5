"""The classes of sources and destinations, by name. A class is imported when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from ..contract import ConfigurationError, DataSource
from ..contract.suggestions import suggest
from .destination import Destination
from .entries import Entries, Entry


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

    def destination(self, method: str) -> type[Destination] | None:
        """The class of a destination; None where there is none of that name."""
        entries = self._destinations.get(method.lower())
        if entries is None:
            return None
        entry = _only(entries)
        found = _load(entry)
        if not (isinstance(found, type) and issubclass(found, Destination)):
            raise ConfigurationError(f"destination {method!r} ({entry.location}) is not a Destination")
        return found

    def hint(self, name: str, known: Iterable[str]) -> str:
        """The end of a message about an unknown name: near names, and plugins that may have had it."""
        return "; ".join([f"{suggest(name, known)} (is its plugin installed?)", *self._broken])


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
