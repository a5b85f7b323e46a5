# SPDX-License-Identifier: Apache-2.0
"""Plans the flows of a file as a run does, up to the point where a run would start to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from ...contract import DataSource, DataSourceError, DestinationError
from ...contract.remedies import one_line
from ...parts import CommitUnit, Destination, StateKey, StoredState, TableBatch, TableOwner, TableSpec
from ...parts.flow.file import LoadedFlow, StreamSelection, load_flow
from ...parts.redact import Redactor
from ..environment import Environment
from ..report.logs import error_message, format_error, redacted_logs
from ..report.summary import StreamReport
from ..run.landing.stream_run import StreamRun
from ..run.landing.writer import Writer
from ..run.plan.flow import Flow
from ..run.plan.ownership import TableOwners
from ..run.planner import Planning
from ..timeouts import WorkerThread

TIMEOUT = 60.0
"""Seconds that a source or destination may take to answer; longer than a DuckDB file's ``lock_timeout``."""


@dataclass(frozen=True, slots=True)
class PlannedFlow:
    """The streams of a flow, planned.

    :param runs: the streams that could be planned. :param reports: one for each chosen stream, with its error.
    """

    flow: Flow
    runs: Sequence[StreamRun]
    reports: Sequence[StreamReport]


class FlowInspector:
    """Plans flows of a file. No row lands, nothing is retried, and no call may take longer than ``seconds``.

    :raises ConfigurationError: if the file as a whole is wrong.
    """

    def __init__(
        self, flow: str | Path | Mapping[str, Any] | LoadedFlow, environment: Environment, seconds: float
    ) -> None:
        self.loaded = (
            flow if isinstance(flow, LoadedFlow) else load_flow(flow, environment.lookups, environment.overrides)
        )
        self.seconds = seconds
        self._environment = environment
        self._owners = TableOwners()

    @property
    def numbers(self) -> range:
        return range(len(self.loaded.file.flows))

    def create_source(self, name: str) -> DataSource[Any]:
        return self._environment.create_source(self.loaded, name)

    def create_destination(self, name: str) -> Destination:
        return self._environment.create_destination(self.loaded, name)

    def redactor(self, source: DataSource[Any] | None = None) -> Redactor:
        return Redactor.of(self.loaded.resolved, source.config if source is not None else None)

    def error_line(self, error: BaseException, source: DataSource[Any] | None = None) -> str:
        """An error in one line, without secrets; with its type unless it is one of the contract."""
        text = error_message(error) if isinstance(error, DataSourceError) else format_error(error)
        return one_line(self.redactor(source)(text))

    @contextmanager
    def planned(
        self,
        number: int,
        source: DataSource[Any],
        destination: Destination,
        streams: list[str] | None = None,
        selection: StreamSelection | None = None,
    ) -> Iterator[PlannedFlow]:
        """Connect the source of a flow and plan its streams; both are closed at the end.

        :param streams: patterns in place of the flow's own. :param selection: those that the run reads; default: all.
        :raises Exception: what prevents the flow from being read.
        """
        flow = self._flow(number, source, streams, selection)
        reports: list[StreamReport] = []
        writer = Writer(destination, name=flow.entry.to, options=flow.options)
        worker = WorkerThread(self.seconds)
        with redacted_logs(self.redactor(source)):
            try:
                worker.call(lambda: writer.call(lambda opened: opened.open()), what=f"destination {flow.entry.to!r}")
                planning = Planning(flow, source, writer, reports=reports, on_error=lambda error: None)
                runs = worker.call(planning.runs, what=f"source {flow.entry.from_!r}")
                yield PlannedFlow(flow, runs, reports)
            finally:
                worker.finish(source.disconnect, writer.close, what=f"source {flow.entry.from_!r}")

    def _flow(
        self,
        number: int,
        source: DataSource[Any],
        streams: list[str] | None,
        selection: StreamSelection | None,
    ) -> Flow:
        redact = self.redactor(source)
        flow = Flow.from_file(
            self.loaded, number, self._environment, owners=self._owners, redact=redact, selection=selection
        )
        entry = flow.entry if streams is None else msgspec.structs.replace(flow.entry, streams=streams)
        flow = replace(flow, reads_all_streams=streams is None)
        return replace(flow, entry=entry, options=replace(flow.options, retry_attempts=1))


class EmptyDestination(Destination):
    """Has nothing and takes nothing: streams are planned for it."""

    def load_states(self, source_id: str) -> Sequence[StoredState]:
        return []

    def commit(self, unit: CommitUnit) -> int:
        raise self._read_only()

    def stage(self, key: StateKey, batches: Sequence[TableBatch], run_id: str) -> None:
        raise self._read_only()

    def discard(self, key: StateKey) -> None:
        raise self._read_only()

    def _read_only(self) -> DestinationError:
        return DestinationError(f"{self.identity()} is read only while a flow is inspected")


class ReadOnlyDestination(EmptyDestination):
    """Stands in for a destination that must not be connected: its abilities are known, its content is not."""

    def __init__(self, destination: Destination) -> None:
        super().__init__(destination.target, folder=destination.folder)
        self.write_modes = destination.write_modes
        self.deletes = destination.deletes
        self.child_tables = destination.child_tables
        self.transactional = destination.transactional
        self._identity = destination.identity()
        self._destination = destination

    def check_table(self, spec: TableSpec) -> None:
        self._destination.check_table(spec)

    def fold(self, name: str) -> str:
        return self._destination.fold(name)

    def identity(self) -> str:
        return self._identity

    def load_owners(self) -> Sequence[TableOwner]:
        return []
