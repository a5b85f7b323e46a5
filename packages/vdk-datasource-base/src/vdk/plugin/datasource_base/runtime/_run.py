"""A whole flow file: everything is checked first, then the flows run in their order."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..contract import ConfigurationError, DataSource, FlowFailedError
from ..parts import Destination
from ..parts._flow_file import DestinationEntry, FlowEntry, LoadedFlow, load_flow
from ..parts._references import Lookup, environment
from ..parts._registry import Registry, closest
from ._flow_run import FlowRun
from ._options import Options
from ._progress import Progress
from ._redact import Redactor
from ._retry import AWAY, Retry
from ._summary import RunSummary, StreamReport
from ._writer import Writer

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Environment:
    """What surrounds a run: where names lead, and what is assumed. The defaults serve plain Python."""

    registry: Registry = field(default_factory=Registry)
    lookups: Mapping[str, Lookup] = field(default_factory=lambda: {"env": environment})
    options: Options = field(default_factory=Options)
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    stop: threading.Event = field(default_factory=threading.Event)

    def destination(self, entry: DestinationEntry, *, folder: Path, where: str) -> Destination:
        """The destination of an entry. Raises ``ConfigurationError`` for an unknown method."""
        if entry.method is None:
            raise ConfigurationError(f"{where}: the option 'method' is missing")
        found = self.registry.destination(entry.method)
        if found is None:
            raise self.unknown_method(entry.method, where)
        return found(entry.target, folder=folder)

    def unknown_method(self, method: str, where: str, others: list[str] | None = None) -> ConfigurationError:
        known = [*(one.name for one in self.registry.destinations()), *(others or ())]
        return ConfigurationError(f"{where}.method: unknown method {method!r}; {closest(method, known)}")


def execute(
    flow: str | Path | Mapping[str, Any], environment: Environment, *, summary: Path | None = None
) -> RunSummary:
    """Run a flow file, or the same as a dict.

    :param summary: where the summary is written as JSON; default: where the file says, or nowhere.
    :raises ConfigurationError: before anything is connected to, for what is wrong in the file.
    :raises FlowFailedError: after all streams ended, naming those that failed; it carries the
        ``summary``, which is also written to the file's ``summary``.
    """
    loaded = load_flow(flow, environment.lookups)
    return _Run(loaded, environment, summary or loaded.file.summary).run()


class _Run:
    def __init__(self, loaded: LoadedFlow, environment: Environment, summary: Path | None) -> None:
        self._loaded = loaded
        self._summary = summary
        self._environment = environment
        self._redact = Redactor(loaded.resolved.values)
        self._started = time.monotonic()
        self._reports: list[StreamReport] = []
        self._errors: list[BaseException] = []
        self._writers: dict[str, Writer] = {}
        # everything that can be wrong in the file is found here, before anything connects
        self._sources = [self._source(number, entry) for number, entry in enumerate(loaded.file.flows)]
        self._destinations = {
            name: environment.destination(entry, folder=loaded.folder, where=f"{loaded.where}: destinations.{name}")
            for name, entry in loaded.file.destinations.items()
            if any(flow.to == name for flow in loaded.file.flows)
        }

    def run(self) -> RunSummary:
        try:
            with Progress(self._environment.options.progress_seconds) as progress:
                self._run_flows(progress.began)
        finally:
            for writer in self._writers.values():
                writer.close()
        return self._ended()

    def _run_flows(self, told: Callable[[StreamReport], None]) -> None:
        claimed: dict[tuple[str, str, str, str], str] = {}
        runs = [
            FlowRun(
                entry,
                source,
                self._writer(entry.to),
                where=f"{self._loaded.where}: flows[{number}]",
                folder=self._loaded.folder,
                options=self._environment.options,
                run_id=self._environment.run_id,
                stop=self._environment.stop,
                claimed=claimed,
                told=told,
                redact=self._redact,
            )
            for number, (entry, source) in enumerate(zip(self._loaded.file.flows, self._sources, strict=True))
        ]
        for run in runs:
            try:
                run.run()
            finally:
                self._reports.extend(run.reports)
                self._errors.extend(run.errors)
            if self._environment.stop.is_set():
                break

    def _source(self, number: int, entry: FlowEntry) -> DataSource[Any]:
        named = self._loaded.file.sources[entry.from_]
        where = f"{self._loaded.where}: sources.{entry.from_}.name"
        cls = self._environment.registry.source(named.name, where=where)
        return cls(self._loaded.source_config(entry.from_, cls.config_type))

    def _writer(self, name: str) -> Writer:
        """The writer of a destination, connected; two aliases of one destination share it."""
        destination = self._destinations[name]
        identity = destination.identity()
        if identity not in self._writers:
            options = self._environment.options
            writer = Writer(destination, name=name, max_bytes=options.queue_bytes)
            self._writers[identity] = writer
            self._open(writer, Retry(options.retry_attempts, options.retry_seconds, options.retry_delay))
        return self._writers[identity]

    def _open(self, writer: Writer, retry: Retry) -> None:
        while True:
            try:
                return writer.call(lambda destination: destination.open())
            except AWAY as error:
                pause = retry.wait_after(error)
                if pause is None:
                    raise
                log.warning("destination: the next attempt in %.1f s: %s", pause, self._redact(str(error)))
                self._environment.stop.wait(pause)

    def _ended(self) -> RunSummary:
        failed = [one for one in self._reports if one.status != "succeeded"]
        seconds = round(time.monotonic() - self._started, 3)
        summary = RunSummary("failed" if failed else "succeeded", seconds, self._reports, self._environment.run_id)
        if self._summary is not None:
            summary.write(self._summary)
        if failed:
            lines = "; ".join(f"{one.source}.{one.stream}: {one.error}" for one in failed)
            raise FlowFailedError(
                f"{len(failed)} of {len(self._reports)} streams failed: {lines}", self._errors, summary
            )
        return summary
