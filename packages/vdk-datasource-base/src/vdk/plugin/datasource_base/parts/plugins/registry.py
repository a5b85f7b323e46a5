# SPDX-License-Identifier: Apache-2.0
"""The classes of sources and destinations, by name. A class is imported when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from ...contract import ConfigurationError, DataSource
from ...contract.remedies import suggest
from ..destination import Destination
from .entries import Entries, Entry

DestinationFactory = Callable[..., Destination]
"""A ``Destination`` class, or a function with the parameters ``(target, *, folder)`` that returns one."""


class Registry(Entries):
    """The classes of sources and destinations, by name.

    A class is imported when it is used, so that a listing costs nothing, and a broken plugin affects
    only the flows that use it.
    """

    def source(self, name: str, *, location: str = "") -> type[DataSource[Any]]:
        """The class of a source. Raises ``ConfigurationError`` with similar names, or with the error of its import."""
        entries = self._sources.get(name.lower())
        if entries is None:
            prefix = f"{location}: " if location else ""
            raise ConfigurationError(f"{prefix}unknown source {name!r}; {self.hint(name, self._sources)}")
        entry = _single(entries)
        loaded = _load(entry)
        if not (isinstance(loaded, type) and issubclass(loaded, DataSource) and loaded.source_name):
            raise ConfigurationError(
                f"source {name!r} ({entry.import_path}) is not a DataSource declared with @data_source"
            )
        return loaded

    def destination(self, method: str) -> DestinationFactory | None:
        """The class of a destination, or a function that returns one; None if the name is unknown."""
        entries = self._destinations.get(method.lower())
        if entries is None:
            return None
        entry = _single(entries)
        loaded = _load(entry)
        if not (issubclass(loaded, Destination) if isinstance(loaded, type) else callable(loaded)):
            raise ConfigurationError(f"destination {method!r} ({entry.import_path}) is not a Destination")
        factory: DestinationFactory = loaded
        return factory

    def hint(self, name: str, known: Iterable[str]) -> str:
        """The end of a message about an unknown name: similar names, and the plugins that failed to register."""
        return "; ".join([f"{suggest(name, known)} (is its plugin installed?)", *self._broken])


def _single(entries: list[Entry]) -> Entry:
    """The entry of a name. A name that is registered twice affects only the flows that use it."""
    first, *others = entries
    for other in others:
        raise ConfigurationError(
            f"{first.name!r} is registered twice: as {first.import_path} (by {first.origin}) and as "
            f"{other.import_path} (by {other.origin}); uninstall one of the two"
        )
    return first


def _load(entry: Entry) -> Any:
    module, _, attribute = entry.import_path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module can raise anything while it is imported
        raise ConfigurationError(
            f"{entry.name!r} ({entry.import_path}, from {entry.origin}) cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
