# SPDX-License-Identifier: Apache-2.0
"""What a run gets from its surroundings, and the sources and destinations of a flow file made with it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..contract import ConfigurationError, DataSource, Duration
from ..parts import Destination
from ..parts.flow.file import DestinationEntry, LoadedFlow
from ..parts.flow.overrides import Overrides
from ..parts.plugins.registry import DestinationFactory, Registry
from ..parts.references import Lookup, environment
from .options import Options
from .report.planned import PlannedStream
from .report.summary import RunSummary, log_summary
from .scope import RunScope


@dataclass(slots=True)
class Environment:
    """Installed plugins, lookups of references, and defaults. The default values serve plain Python."""

    registry: Registry = field(default_factory=Registry)
    lookups: Mapping[str, Lookup] = field(default_factory=lambda: {"env": environment})
    options: Options = field(default_factory=Options)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    stop: threading.Event = field(default_factory=threading.Event)
    ends_with_run: bool = False
    """Whether the process serves this run alone: after a signal it then ends within ``options.stop_seconds``, whatever
    a source, a transform or a destination does. Otherwise what hangs is abandoned in a thread of its own."""
    draw: bool | None = None
    """Whether running streams are drawn on the terminal; None: if standard error is one."""
    follow: Duration | None = None
    """Every flow follows its source, and is read again after this time; None: as the flows specify."""
    overrides: Overrides = field(default_factory=Overrides)
    """What changes the flow file for this run."""
    streams: tuple[str, ...] = ()
    """Names or patterns, as ``orders`` or ``shop.orders``, of the streams that are read; empty: all of the flows."""
    report: Path | None = None
    """The file that gets a report of the run as HTML."""
    openlineage: Path | None = None
    """The file that OpenLineage's events of the run are appended to."""
    scope: RunScope = field(default_factory=RunScope)
    """What the streams read: what is new, everything, or a range."""
    one_stream: bool = False
    """Whether the flow is reduced to one stream of the file's."""
    on_planned: Callable[[Sequence[PlannedStream]], None] = lambda streams: None
    """Gets the streams of a flow before any row is read. What it raises ends the run like an error in the file."""
    on_summary: Callable[[RunSummary], None] = log_summary
    """Gets the summary of a run, whether it succeeds, fails or is interrupted."""

    def create_source(self, loaded: LoadedFlow, source_id: str) -> DataSource[Any]:
        """A source of the file, not connected. Raises ``ConfigurationError`` if its entry is wrong."""
        location = f"{loaded.location}: sources.{source_id}.name"
        cls = self.registry.source(loaded.file.sources[source_id].name, location=location)
        config = loaded.source_config(source_id, cls.config_type)
        try:
            return cls(config)
        except ConfigurationError as error:  # the source knows its options, not where the file has them
            raise type(error)(f"{loaded.location}: sources.{source_id}.config: {error}") from error

    def create_destination(self, loaded: LoadedFlow, name: str) -> Destination:
        """A destination of the file, not connected. Raises ``ConfigurationError`` if its entry is wrong."""
        location = f"{loaded.location}: destinations.{name}"
        return self._destination(loaded.file.destinations[name], loaded.folder, location)

    def _destination(self, entry: DestinationEntry, folder: Path, location: str) -> Destination:
        """The destination of an entry; subclasses know more methods. Raises ``ConfigurationError``."""
        if entry.method is None:
            raise ConfigurationError(
                f"{location}: the option 'method' is missing; write {self._method_lines() or 'method'}"
            )
        cls = self.registry.destination(entry.method)
        if cls is None:
            raise self._unknown_method(entry.method, location)
        return self._create(cls, entry.target, folder, location)

    def _create(self, factory: DestinationFactory, target: str | None, folder: Path, location: str) -> Destination:
        try:
            return factory(target, folder=folder)
        except ConfigurationError as error:  # the destination knows its target, not where the file has it
            raise type(error)(f"{location}.target: {error}") from error

    def _method_lines(self, others: Iterable[str] = ()) -> str:
        """What to write for a method, as ``method = "arrow" or method = "memory"``.

        :param others: methods that the registry does not know.
        """
        return " or ".join(f'method = "{name}"' for name in sorted(self._methods(others)))

    def _unknown_method(self, method: str, location: str, others: Iterable[str] = ()) -> ConfigurationError:
        hint = self.registry.hint(method, self._methods(others))
        return ConfigurationError(f"{location}.method: unknown method {method!r}; {hint}")

    def _methods(self, others: Iterable[str]) -> set[str]:
        return {*(destination.name for destination in self.registry.destinations()), *others}
