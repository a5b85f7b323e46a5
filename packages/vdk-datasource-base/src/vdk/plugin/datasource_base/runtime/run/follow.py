# SPDX-License-Identifier: Apache-2.0
"""Following: reading flows again and again in one process, each time up to the ends of that moment.

A round is an ordinary run of a flow's streams from the states that are stored by then, so everything that holds for a
run holds for a round: its batches, its commit units, its retries, its limit of rejected rows. The source and the
destination stay connected between rounds. A round without news costs what it takes to ask for the ends; it commits
nothing.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import msgspec

from ...contract import ConfigurationError, Duration, State
from ...parts.flow.file import FlowEntry, LoadedFlow
from ..report.summary import StreamReport
from ..signals import is_signal
from .flow_run import FlowRun
from .landing.counters import GAUGE
from .landing.stream_run import StreamRun
from .plan.flow import Flow
from .planner import is_incremental

log = logging.getLogger(__name__)


def with_follow(loaded: LoadedFlow, follow: Duration | None) -> LoadedFlow:
    """The file with ``follow`` set on every flow, as ``run --follow`` does; checked either way.

    :raises ConfigurationError: an option of following stands in a flow that does not follow, or is zero.
    """
    for number, entry in enumerate(loaded.file.flows):
        if follow is not None:
            entry = loaded.file.flows[number] = msgspec.structs.replace(entry, follow=follow)
        _check_entry(entry, f"{loaded.location}: flows[{number}]")
    return loaded


def _check_entry(entry: FlowEntry, location: str) -> None:
    options = {"follow": entry.follow, "idle_timeout": entry.idle_timeout, "deadline": entry.deadline}
    for name, value in options.items():
        if value is not None and entry.follow is None:
            raise ConfigurationError(f'{location}.{name}: the flow does not follow; add follow = "5s" or remove {name}')
        if value is not None and value.total_seconds() <= 0:
            raise ConfigurationError(f'{location}.{name}: expected more than 0; write {name} = "5s"')


def check_streams(flow: Flow, streams: Sequence[StreamRun]) -> None:
    """Refuse to follow streams that are not read incrementally: each round would land, or replace, all rows again.

    :param streams: the planned streams of the flow.
    :raises ConfigurationError: naming the stream.
    """
    if flow.entry.follow is None:
        return
    for stream in streams:
        plan, location = stream.plan, flow.location
        if plan.stream.backfill:
            raise ConfigurationError(
                f"{location}.follow: stream {plan.name!r} reads a fixed range (a backfill), which ends; remove follow"
            )
        if not is_incremental(plan.stream, plan.schema, stream.stored):
            raise ConfigurationError(
                f"{location}.follow: stream {plan.name!r} is not incremental: every round would read all of it; "
                f'leave it out: streams = ["*", "!{plan.name}"]'
            )
        if plan.write_mode == "replace":
            raise ConfigurationError(
                f'{location}.follow: write_mode = "replace" would replace the table of stream {plan.name!r} in every '
                'round; write write_mode = "upsert" or "append"'
            )


class Following:
    """The flows of a run that follow, and their rounds.

    :param stop: set when the run is to end.
    :param failed: gets a flow and the error that ended it as a whole.
    :param on_round: called before the second round, and after each one that had news.
    """

    def __init__(
        self,
        runs: Sequence[FlowRun],
        stop: threading.Event,
        *,
        failed: Callable[[FlowRun, Exception], None],
        on_round: Callable[[], None],
    ) -> None:
        self._followed = [run for run in runs if run.flow.entry.follow is not None]
        self._others = [run for run in runs if run.flow.entry.follow is None]
        self._stop = stop
        self._failed = failed
        self._on_round = on_round
        self._began = time.monotonic()
        self._active: list[_FollowedFlow] = []
        self._any_failed = False
        self.is_on = bool(self._followed)
        self.stopped = False
        """Whether a signal ended the rounds, which is how following usually ends."""

    def run(self, failed: Collection[FlowRun]) -> None:
        """Read rounds until nothing is followed any more. Every flow of the file has been read once.

        :param failed: flows that failed as a whole, and are not followed.
        :raises BaseException: what a signal raises.
        """
        self._active = [_FollowedFlow(run, self._began) for run in self._followed if run not in failed]
        self._end_those_over()
        if self._active:
            self._on_round()
        while self._active and not self._stop.is_set():
            flow = min(self._active, key=lambda flow: flow.next_time)
            if self._stop.wait(max(0.0, flow.next_time - time.monotonic())):
                break
            if not flow.deadline_passed and self._read(flow):
                self._on_round()
            self._end_those_over()
        self.stopped = bool(self._active) and not self._any_failed
        for flow in self._active:
            end(flow.run, "stopped" if self.stopped else "succeeded")

    def _read(self, flow: _FollowedFlow) -> bool:
        """Read a round of a flow. Returns whether there was anything new."""
        try:
            return flow.read()
        except Exception as error:
            self._any_failed = True
            self._active.remove(flow)
            self._failed(flow.run, error)
            return True

    def _end_those_over(self) -> None:
        """A stream that fails ends its flow after the round: whoever supervises the process sees it."""
        for flow in [flow for flow in self._active if flow.is_over()]:
            self._any_failed |= flow.failed
            self._active.remove(flow)
            end(flow.run, "succeeded")

    def interrupted_by(self, error: BaseException) -> bool:
        """Whether an error is a signal that ends following as it should end: all that it cut short are rounds."""
        others = [report for run in self._others for report in run.reports]
        if not (is_signal(error) and self.is_on) or any(report.status in ("running", "stopped") for report in others):
            return False
        for run in self._followed:
            end(run, "stopped")
        self.stopped = True
        return True


def end(run: FlowRun, status: Literal["succeeded", "stopped"]) -> None:
    """End the streams of a flow with this status, unless they failed, and disconnect its source."""
    for report in run.reports:
        if report.status == "running" or (report.status == "stopped" and status == "stopped"):
            report.end(status)
    run.end()


class _FollowedFlow:
    """A flow between its first round, which was the run's own, and its last one.

    :param began: when the run began. Times are on the clock of ``time.monotonic``.
    """

    def __init__(self, run: FlowRun, began: float) -> None:
        entry = run.flow.entry
        assert entry.follow is not None  # else it is not followed
        self.run = run
        self._every = entry.follow.total_seconds()
        self._idle_timeout = entry.idle_timeout.total_seconds() if entry.idle_timeout is not None else None
        self._end = began + entry.deadline.total_seconds() if entry.deadline is not None else math.inf
        self._last_news = self._due = time.monotonic()
        self._reports = {report.stream: report for report in run.reports}
        self.failed = bool(run.errors)
        for report in run.reports:
            if report.status == "succeeded":
                report.counters["rounds"] = 1
                report.status, report.seconds, report.ended_at = "running", 0.0, None
        log.info(
            "%s: following %s: it is read again every %g s until the process gets SIGTERM or Ctrl-C",
            run.flow.location, run.flow.entry.from_, self._every,
        )  # fmt: skip

    @property
    def next_time(self) -> float:
        """When the next round begins, or the deadline ends the flow."""
        return min(self._due, self._end)

    @property
    def deadline_passed(self) -> bool:
        return time.monotonic() >= self._end

    def read(self) -> bool:
        """Read a round. Whatever ends it, its counts are in the run's reports afterwards.

        :returns: whether there was anything new.
        """
        began = time.monotonic()
        streams = self.run.begin_round()
        before = [stream.stored_states for stream in streams]
        try:
            self.run.run(_nothing)
        finally:
            for stream in streams:
                _add_round(self._reports[stream.plan.name], stream.report)
        self.failed = any(stream.report.status == "failed" for stream in streams)
        # what a full batch leaves is read at once: the end of this round was taken when it began
        full = any(_is_full(stream) for stream in streams)
        self._due = time.monotonic() if full else began + self._every
        has_news = any(_has_news(stream, states) for stream, states in zip(streams, before, strict=True))
        if has_news:
            self._last_news = time.monotonic()
        return has_news

    def is_over(self) -> bool:
        idle = self._idle_timeout is not None and time.monotonic() - self._last_news >= self._idle_timeout
        return self.failed or idle or self.deadline_passed


def _nothing(report: StreamReport) -> None:
    """A round's own report is not shown: its counts are added to the run's."""


def _is_full(stream: StreamRun) -> bool:
    """Whether a round filled a batch, so that more may wait at the source."""
    options, report = stream.plan.options, stream.report
    return report.rows_read >= options.batch_rows or report.bytes >= options.batch_bytes


def _has_news(stream: StreamRun, before: Mapping[str, State]) -> bool:
    report = stream.report
    return bool(report.rows_read or report.rows_deleted or report.rows_rejected) or stream.stored_states != before


def _add_round(total: StreamReport, added: StreamReport) -> None:
    """Add what a round did to the report of the whole run."""
    total.count(
        **{
            name: getattr(added, name)
            for name in (
                "rows_read",
                "rows_landed",
                "rows_dropped",
                "rows_deleted",
                "rows_rejected",
                "bytes",
                "retries",
            )
        }
    )
    total.partitions = max(total.partitions, added.partitions)
    gauges = [name for name in total.counters if name.endswith(GAUGE)]
    for name in gauges:
        total.counters[name] = 0
    total.count_named({**added.counters, "rounds": 1})
    total.schema_changes += added.schema_changes
    total.state_after = added.state_after
    total.details.add_point(total.started, total.rows_read, total.rows_landed)
    if added.status in ("failed", "stopped"):
        total.end(added.status, added.error)
