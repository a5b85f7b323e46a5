# SPDX-License-Identifier: Apache-2.0
"""``run --dry-run``: what a run would read, from which state, and how it would land. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from ...contract import DataSource, State
from ...parts import Destination, TableSpec
from ...parts.flow.file import StreamSelection
from ...parts.redact import Redactor
from ..environment import Environment
from ..report.logs import redacted_errors
from ..run.follow import check_streams, with_follow
from ..run.landing.stream_run import StreamRun
from ..run.planner import is_incremental
from .inspector import TIMEOUT, FlowInspector, ReadOnlyDestination

T = TypeVar("T")
Reads = Literal["new", "everything", "range"]


@dataclass(frozen=True, slots=True)
class DryRunStream:
    """A stream as a run would read and land it.

    :param reads: what is new since ``states``, everything, or the range of ``--since`` and ``--until``.
    :param states: partition → state, from which it is read; empty: from the beginning.
    :param rows_now: the rows of the table; None: unknown. :param error: why it cannot be read; it has no plan then.
    """

    source: str
    stream: str
    destination: str
    table: str
    write_mode: str | None = None
    reads: Reads | None = None
    replaces: bool = False
    states: Mapping[str, State] = field(default_factory=dict)
    rows_now: int | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class NewDestination(ReadOnlyDestination):
    """Stands in for a target that a run would create."""

    def has_table(self, name: str) -> bool:
        return False

    def column_types(self, spec: TableSpec) -> Mapping[str, str]:
        return self._destination.column_types(spec)

    def count_rows(self, name: str) -> int:
        return 0


def dry_run(
    flow: str | Path | Mapping[str, Any], environment: Environment, *, seconds: float = TIMEOUT
) -> Sequence[DryRunStream]:
    """Plan a flow file as a run does, in the scope of the environment. Sources and destinations are connected.

    :param seconds: how long a source or destination may take to answer.
    :raises ConfigurationError: what a run would refuse. :raises Exception: what would keep it from starting.
    """
    environment.scope.check()
    return planned_streams(FlowInspector(flow, environment, seconds), environment, lambda stream, run, source: stream)


def planned_streams(
    inspector: FlowInspector,
    environment: Environment,
    look: Callable[[DryRunStream, StreamRun | None, DataSource[Any]], T],
) -> list[T]:
    """What ``look`` returns for each stream of the flows, while its source and destination are connected.

    :param look: gets the stream, its run, and the source; a stream that cannot be planned has an error, and no run.
    """
    with_follow(inspector.loaded, environment.follow)
    selection = StreamSelection(environment.streams)
    looks: list[T] = []
    for number in inspector.numbers:
        entry = inspector.loaded.file.flows[number]
        source = inspector.create_source(entry.from_)
        destination = _unchanged(inspector.create_destination(entry.to))
        redact = Redactor.of(inspector.loaded.resolved, source.config)
        with (
            redacted_errors(redact),
            inspector.planned(number, source, destination, selection=selection) as planned,
        ):
            check_streams(planned.flow, planned.runs)
            runs = {run.report.stream: run for run in planned.runs}
            for report in planned.reports:
                place = report.source, report.stream, report.destination, report.table
                run = runs.get(report.stream)
                stream = _planned(run, place) if run else DryRunStream(*place, error=redact(str(report.error)))
                looks.append(look(stream, run, source))
    selection.check()
    return looks


def _unchanged(destination: Destination) -> Destination:
    """The destination, or what stands in for one that opening would create."""
    return destination if destination.exists() else NewDestination(destination)


def _planned(run: StreamRun, place: tuple[str, str, str, str]) -> DryRunStream:
    """:param place: source, stream, destination and table."""
    plan = run.plan
    if plan.scope.is_range:
        reads: Reads = "range"
    else:
        new = not plan.replaces and is_incremental(plan.stream, plan.schema, run.stored)
        reads = "new" if new else "everything"
    rows_now = run.writer.call(lambda destination: destination.count_rows(plan.table))
    return DryRunStream(*place, plan.write_mode, reads, plan.replaces, run.states, rows_now)
