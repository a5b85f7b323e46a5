"""Looking at the flows of a file as a run would, up to where it would begin to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from ...contract import DataSource, DataSourceError, DestinationError
from ...parts import CommitUnit, Destination, StateKey, StoredState, TableBatch, TableSpec
from ...parts.flow_file import load_flow
from ...parts.redact import Redactor
from ..environment import Environment
from ..report.logs import message_of, redacted_logs, told
from ..report.summary import StreamReport
from ..run.flow import Flow
from ..run.ownership import Claims
from ..run.planning import Planning
from ..run.stream_run import StreamRun
from ..run.writer import Writer
from ..timeouts import Patient


@dataclass(frozen=True, slots=True)
class Looked:
    """A flow's streams, as far as they can be known before they are read.

    :param runs: those that could say what they are. :param reports: one for each that is chosen, with its error.
    """

    flow: Flow
    runs: Sequence[StreamRun]
    reports: Sequence[StreamReport]


class Look:
    """A flow file that is looked at: nothing is landed, tried twice, or waited for longer than ``seconds``.

    :raises ConfigurationError: for what is wrong in the file as a whole.
    """

    def __init__(self, flow: str | Path | Mapping[str, Any], environment: Environment, seconds: float) -> None:
        self.loaded = load_flow(flow, environment.lookups)
        self.environment = environment
        self.seconds = seconds
        self._claims = Claims()

    @property
    def numbers(self) -> range:
        return range(len(self.loaded.file.flows))

    def redactor(self, source: DataSource[Any] | None = None) -> Redactor:
        return Redactor.of(self.loaded.resolved, source.config if source is not None else None)

    def told(self, error: BaseException, source: DataSource[Any] | None = None) -> str:
        return one_line(error, self.redactor(source))

    def flow(self, number: int, source: DataSource[Any], streams: list[str] | None = None) -> Flow:
        """A flow of the file, of its chosen streams or of ``streams``. Raises ``ConfigurationError``."""
        flow = Flow.of(self.loaded, number, self.environment, claims=self._claims, redact=self.redactor(source))
        entry = flow.entry if streams is None else msgspec.structs.replace(flow.entry, streams=streams)
        return replace(flow, entry=entry, options=replace(flow.options, retry_attempts=1))

    @contextmanager
    def planned(self, flow: Flow, source: DataSource[Any], destination: Destination) -> Iterator[Looked]:
        """The flow's source, connected, with its streams planned. Raises what keeps the flow from being read."""
        reports: list[StreamReport] = []
        writer = Writer(destination, name=flow.entry.to, max_bytes=1)
        patient = Patient(self.seconds)
        with redacted_logs(self.redactor(source)):
            try:
                patient.call(lambda: writer.call(lambda one: one.open()), what=f"destination {flow.entry.to!r}")
                planning = Planning(flow, source, writer, reports=reports, failed=lambda error: None)
                runs = patient.call(planning.runs, what=f"source {flow.entry.from_!r}")
                yield Looked(flow, runs, reports)
            finally:
                patient.end(source.disconnect, writer.close, what=f"source {flow.entry.from_!r}")


class OutOfReach(Destination):
    """Stands for a destination that is not to be touched: what it can do is known, what it holds is not."""

    def __init__(self, real: Destination) -> None:
        super().__init__(real.target, folder=real.folder)
        self.write_modes = real.write_modes
        self.deletes = real.deletes
        self.transactional = real.transactional
        self._identity = real.identity()
        self._real = real

    def check_table(self, spec: TableSpec) -> None:
        self._real.check_table(spec)

    def fold(self, name: str) -> str:
        return self._real.fold(name)

    def identity(self) -> str:
        return self._identity

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        return []

    def commit(self, unit: CommitUnit) -> int:
        raise DestinationError(f"{self._identity} is not to be touched")

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        raise DestinationError(f"{self._identity} is not to be touched")

    def discard(self, key: StateKey) -> None:
        raise DestinationError(f"{self._identity} is not to be touched")


def one_line(error: BaseException, redact: Redactor) -> str:
    """An error in one line: what was raised on purpose as it is, anything else with its type."""
    text = message_of(error) if isinstance(error, DataSourceError) else told(error)
    return " ".join(redact(text).split())
