"""What surrounds a run, and what it makes of a flow file's entries."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..contract import ConfigurationError, DataSource, Duration
from ..parts import Destination
from ..parts.flow_file import DestinationEntry, LoadedFlow
from ..parts.references import Lookup, environment
from ..parts.registry import Registry
from .options import Options
from .report.summary import RunSummary, log_summary


@dataclass(slots=True)
class Environment:
    """Where names lead, and what is assumed. The defaults serve plain Python."""

    registry: Registry = field(default_factory=Registry)
    lookups: Mapping[str, Lookup] = field(default_factory=lambda: {"env": environment})
    options: Options = field(default_factory=Options)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    stop: threading.Event = field(default_factory=threading.Event)
    ends_with_run: bool = False
    """Whether the process is there for the run alone: after a signal it ends within ``options.stop_seconds``, whatever
    a source, a transform or a destination does. Otherwise what hangs is left alone, in threads of its own."""
    draw: bool | None = None
    """Whether running streams are drawn on the terminal; None: where standard error is one."""
    follow: Duration | None = None
    """Every flow follows its source and is read again after this time; None: as the flows say."""
    on_summary: Callable[[RunSummary], None] = log_summary
    """Gets the summary of a run, however it ends: succeeded, failed or interrupted."""

    def source(self, loaded: LoadedFlow, source_id: str) -> DataSource[Any]:
        """A source of the file, not connected. Raises ``ConfigurationError`` for what is wrong in its entry."""
        where = f"{loaded.where}: sources.{source_id}.name"
        cls = self.registry.source(loaded.file.sources[source_id].name, where=where)
        config = loaded.source_config(source_id, cls.config_type)
        try:
            return cls(config)
        except ConfigurationError as error:  # which knows its options and not where they were written
            raise type(error)(f"{loaded.where}: sources.{source_id}.config: {error}") from error

    def destination_of(self, loaded: LoadedFlow, name: str) -> Destination:
        """A destination of the file, not connected. Raises ``ConfigurationError`` for what is wrong in its entry."""
        where = f"{loaded.where}: destinations.{name}"
        return self.destination(loaded.file.destinations[name], folder=loaded.folder, where=where)

    def destination(self, entry: DestinationEntry, *, folder: Path, where: str) -> Destination:
        """The destination of an entry. Raises ``ConfigurationError`` for an unknown method."""
        if entry.method is None:
            names = " or ".join(f'method = "{destination.name}"' for destination in self.registry.destinations())
            raise ConfigurationError(f"{where}: the option 'method' is missing; write {names or 'method'}")
        found = self.registry.destination(entry.method)
        if found is None:
            raise self.unknown_method(entry.method, where)
        return self._native(found, entry.target, folder, where)

    def _native(self, cls: type[Destination], target: str | None, folder: Path, where: str) -> Destination:
        try:
            return cls(target, folder=folder)
        except ConfigurationError as error:  # which knows its target and not where it was written
            raise type(error)(f"{where}.target: {error}") from error

    def unknown_method(self, method: str, where: str, others: list[str] | None = None) -> ConfigurationError:
        known = {*(destination.name for destination in self.registry.destinations()), *(others or ())}
        return ConfigurationError(f"{where}.method: unknown method {method!r}; {self.registry.hint(method, known)}")
