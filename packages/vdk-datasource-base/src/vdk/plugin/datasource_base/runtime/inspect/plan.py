# SPDX-License-Identifier: Apache-2.0
"""``plan``: what the next run would read, from which state to which end, and what it would change."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ...contract import BoundedPartition, DataSource, State
from ...parts import ColumnChange
from ...parts.closing import closing_early
from ..environment import Environment
from ..run.landing.stream_run import StreamRun
from ..states import copy_state
from ..timeouts import run_with_timeout
from .dry_run import DryRunStream, planned_streams
from .inspector import TIMEOUT, FlowInspector

log = logging.getLogger(__name__)
MOST_PARTITIONS = 1000
"""Partitions of a stream that are listed."""

News = Literal["none", "some", "unknown"]


@dataclass(frozen=True, slots=True)
class PlannedPartition:
    """A partition as a run would read it now.

    :param begin: the state that it is read from; ``{}``: from its beginning. :param end: the state that a run would
        end with; None: it is known only after reading. :param news: whether there is anything to read.
    :param rows: about how many rows there are to read; None: unknown.
    """

    id: str
    begin: State
    end: State | None
    news: News
    rows: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, "from": self.begin, "to": self.end, "news": self.news, "rows": self.rows}


@dataclass(frozen=True, slots=True)
class StreamNews:
    """What a run would do for a stream.

    :param rows: about how many rows it would read; None: unknown. :param partitions: those that it would read.
    :param more: whether there are further ones, which are not listed.
    :param new_table: whether the table would be made.
    :param columns: the declared columns that would be added or widened; what only the rows know is not among them.
    :param guarantee: how often rows land, in words.
    """

    planned: DryRunStream
    rows: int | None = None
    partitions: Sequence[PlannedPartition] = ()
    more: bool = False
    new_table: bool | None = None
    columns: Sequence[ColumnChange] = field(default_factory=tuple)
    guarantee: str | None = None

    @property
    def changes(self) -> bool | None:
        """Whether a run would change anything; None: it is known only after reading."""
        if self.planned.error is not None:
            return None
        if self.new_table or self.columns or self.planned.reads != "new" or self.more:
            return True
        news = {partition.news for partition in self.partitions}
        return True if "some" in news else None if "unknown" in news else False

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.planned.as_dict(),
            "changes": self.changes,
            "rows": self.rows,
            "new_table": self.new_table,
            "columns": [change.as_dict() for change in self.columns],
            "partitions": [partition.as_dict() for partition in self.partitions],
            "more_partitions": self.more,
            "guarantee": self.guarantee,
        }


def plan_flow(
    flow: str | Path | Mapping[str, Any], environment: Environment, *, seconds: float = TIMEOUT
) -> Sequence[StreamNews]:
    """Plan a flow file as a run does, and ask its sources for the ends. Nothing is changed, and no row is read.

    :param seconds: how long a source or destination may take to answer, and one stream to name its ends.
    :raises ConfigurationError: what a run would refuse. :raises Exception: what would keep it from starting.
    """
    inspector = FlowInspector(flow, environment, seconds)

    def look(stream: DryRunStream, run: StreamRun | None, source: DataSource[Any]) -> StreamNews:
        return StreamNews(stream) if run is None else _news(run, stream, source, inspector)

    return planned_streams(inspector, environment, look)


def _news(run: StreamRun, planned: DryRunStream, source: DataSource[Any], inspector: FlowInspector) -> StreamNews:
    plan = run.plan
    what = f"stream {plan.name!r}"
    try:
        partitions = run_with_timeout(lambda: _partitions(run, inspector.seconds), inspector.seconds, what=what)
        counted = planned.reads == "everything" or (planned.reads == "new" and not run.states)
        rows = run_with_timeout(plan.stream.count_rows, inspector.seconds, what=what) if counted else None
    except Exception as error:
        return StreamNews(DryRunStream(*_place(planned), error=inspector.error_line(error, source)))
    counts = [partition.rows for partition in partitions]
    if rows is None and partitions and None not in counts:
        rows = sum(count for count in counts if count is not None)
    spec = plan.table_spec(None, plan.write_mode)
    new_table, columns = run.writer.call(
        lambda destination: (destination.has_table(plan.table), destination.column_changes(spec))
    )
    return StreamNews(
        planned,
        rows=rows,
        partitions=partitions[:MOST_PARTITIONS],
        more=len(partitions) > MOST_PARTITIONS,
        new_table=None if new_table is None else not new_table,
        columns=columns,
        guarantee=str(run.report.guarantee) if run.report.guarantee is not None else None,
    )


def _place(planned: DryRunStream) -> tuple[str, str, str, str]:
    return planned.source, planned.stream, planned.destination, planned.table


def _partitions(run: StreamRun, seconds: float) -> list[PlannedPartition]:
    """The partitions with their ends, one more than are listed.

    :param seconds: for all of it; counting rows, which may take longest, gets half of them.
    """
    result = []
    until = time.monotonic() + seconds / 2
    states = {id: copy_state(state, stream=run.plan.name) for id, state in run.states.items()}
    partitions = iter(run.plan.stream.partitions(states))
    with closing_early(partitions):
        for partition in islice(partitions, MOST_PARTITIONS + 1):
            begin = run.state_of(partition.id)
            end: State | None = None
            news: News = "unknown"
            rows: int | None = None
            if isinstance(partition, BoundedPartition) and not run.plan.replaces and not run.plan.scope.is_range:
                end = dict(partition.end(copy_state(begin, stream=run.plan.name)))
                news = "none" if end == begin else "some"
                rows = 0 if news == "none" else _count(run, partition, begin, end, until - time.monotonic())
            result.append(PlannedPartition(partition.id, begin, end, news, rows))
    return result


def _count(run: StreamRun, partition: BoundedPartition, begin: State, end: State, seconds: float) -> int | None:
    """The rows between two states; None: the source cannot tell, or not in time. They are only shown."""
    if not begin or seconds <= 0:  # without a state, the stream itself is asked
        return None
    name = run.plan.name
    states = copy_state(begin, stream=name), copy_state(end, stream=name)
    try:
        return run_with_timeout(lambda: partition.count(*states), seconds, what=f"stream {name!r}")
    except Exception as error:
        log.info("stream %r: its new rows cannot be counted: %s", name, error)
        return None
