"""A whole flow file: everything is checked and every flow planned, then the flows run in their order."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...contract import AuthenticationError, ConfigurationError, DataSourceError, FlowFailedError
from ...parts.flow_file import LoadedFlow, load_flow
from ...parts.redact import Redactor
from ..environment import Environment
from ..report.logs import message_of, printable, redacted_logs, told
from ..report.progress import Progress
from ..report.summary import RunStatus, RunSummary, StreamReport
from ..retry import RETRYABLE_ERRORS, Retry
from ..signals import Interruption, signals_raise
from .flow import Flow
from .flow_run import FlowRun
from .follow import Following, check_streams, with_follow, write_whole
from .ownership import Claims
from .writer import Writer

log = logging.getLogger(__name__)

TOLD = 5
"""Failures that the error message names; the summary has them all."""


def execute(
    flow: str | Path | Mapping[str, Any], environment: Environment, *, summary: Path | None = None
) -> RunSummary:
    """Run a flow file, or the same as a dict.

    :param summary: where the summary is written as JSON; default: where the file says, or nowhere.
    The summary is written whatever happens once the file was understood.

    :raises ConfigurationError: before anything is connected to, for what is wrong in the file.
    :raises FlowFailedError: after all streams ended, naming those that failed; it carries the ``summary``.
    :raises ConfigurationError: before the first row of any flow is read, for what shows only once the sources and
        destinations are connected: streams, write modes, tables.
    :raises Exception: after all flows ended, the error of a flow that could not begin, where nothing
        else went wrong. It carries the ``summary``, too.
    :raises KeyboardInterrupt: on Ctrl-C, after what was complete has landed; and ``SystemExit(143)`` on SIGTERM.
    """
    loaded = with_follow(load_flow(flow, environment.lookups), environment.follow)
    redact = Redactor.of(loaded.resolved)
    with redacted_logs(redact):
        try:
            run = _Run(loaded, environment, summary or loaded.file.summary)
        except ConfigurationError as error:
            raise ConfigurationError(redact(str(error))) from None
        with redacted_logs(run.redact):
            return run.run()


class _Run:
    def __init__(self, loaded: LoadedFlow, environment: Environment, summary: Path | None) -> None:
        self._loaded = loaded
        self._summary_file = summary
        self._environment = environment
        self._started = time.monotonic()
        self._failures: list[tuple[FlowRun, BaseException]] = []  # flows that failed as a whole
        self._writers: dict[str, Writer] = {}
        self._unopened: dict[str, Exception] = {}
        self._refused = False  # a flow cannot be right, so none is read
        if summary is not None:
            RunSummary.check_writable(summary)
        # everything that can be wrong in the file is found here, before anything connects
        sources = [environment.source(loaded, entry.from_) for entry in loaded.file.flows]
        self.redact = Redactor.of(loaded.resolved, *(source.config for source in sources))
        self._destinations = {
            name: environment.destination_of(loaded, name)
            for name in loaded.file.destinations
            if any(flow.to == name for flow in loaded.file.flows)
        }
        claims = Claims()
        self._interruption = Interruption(environment.stop, environment.options.stop_seconds)
        self._flows = [
            FlowRun(
                Flow.of(
                    loaded,
                    number,
                    environment,
                    interruption=self._interruption,
                    claims=claims,
                    redact=self.redact,
                ),
                source,
            )
            for number, source in enumerate(sources)
        ]
        self._following = Following(self._flows, environment.stop, failed=self._fail, on_round=self._write_round)

    def run(self) -> RunSummary:
        environment = self._environment
        options = environment.options
        with signals_raise(options.stop_seconds if environment.ends_with_run else None):
            try:
                with Progress(options.progress_seconds, draw=environment.draw, redact=self.redact) as progress:
                    self._plan()
                    for flow in self._flows:
                        self._run_flow(flow, progress.began)
                    self._following.run([run for run, _ in self._failures])
                self._close()
            except BaseException as error:
                self._interruption.begin()
                following = self._following.interrupted_by(error)
                for flow in self._flows:
                    flow.end()
                self._close()
                if not following:
                    self._interrupted()
                    raise
            return self._ended()

    def _plan(self) -> None:
        """Plan every flow. One that cannot be right ends the run here; one whose systems are away, itself alone."""
        for run in self._flows:
            if run.flow.stop.is_set():
                return
            try:
                run.plan(self._writer(run.flow.entry.to))
                check_streams(run)
            except Exception as error:
                self._fail(run, error)
                # a login that is refused is no matter of the file: the other flows may well be all right
                if isinstance(error, ConfigurationError) and not isinstance(error, AuthenticationError):
                    self._refused = True
                    for other in self._flows:
                        other.end(f"nothing was read: {run.flow.where} is wrong")
                    return

    def _fail(self, run: FlowRun, error: Exception) -> None:
        self._failures.append((run, error))
        run.end()
        if run.flow.options.on_error == "stop":
            run.flow.stop.set()

    def _close(self) -> None:
        for writer in self._writers.values():
            if not writer.close(self._interruption.left()):
                log.warning(
                    "%s did not come back within %g s and is left alone: what it was doing has landed with its state, "
                    "or the next run does it again",
                    writer.destination.identity(), self._interruption.seconds,
                )  # fmt: skip

    def _interrupted(self) -> None:
        """Told all the same."""
        summary = self._summary("interrupted")
        self._write(summary)

    def _run_flow(self, run: FlowRun, told: Callable[[StreamReport], None]) -> None:
        if self._refused or any(run is failed for failed, _ in self._failures):
            return
        if run.flow.stop.is_set():
            self._fail(run, FlowFailedError(f"{run.flow.where}: stopped before it began"))
            return
        try:
            run.run(told)
            if run.flow.entry.follow is None:
                run.end()
        except Exception as error:  # the flows behind it may well be all right
            self._fail(run, error)

    def _writer(self, name: str) -> Writer:
        """The writer of a destination, connected; two aliases of one destination share it."""
        destination = self._destinations[name]
        identity = destination.identity()
        if identity in self._unopened:
            raise self._unopened[identity]
        if identity not in self._writers:
            options = self._environment.options
            writer = Writer(destination, name=name, max_bytes=options.queue_bytes)
            self._writers[identity] = writer
            try:
                self._open(name, writer, Retry(options.retry_attempts, options.retry_seconds, options.retry_delay))
            except Exception as error:
                self._unopened[identity] = error
                raise
        return self._writers[identity]

    def _open(self, name: str, writer: Writer, retry: Retry) -> None:
        while True:
            try:
                return writer.call(lambda destination: destination.open())
            except RETRYABLE_ERRORS as error:
                retry.pause(error, what=f"destination {name!r}", stop=self._environment.stop, redact=self.redact)

    def _summary(self, status: RunStatus) -> RunSummary:
        seconds = round(time.monotonic() - self._started, 3)
        reports = [report for flow in self._flows for report in flow.reports]
        errors = [self.redact(f"{run.flow.where}: {told(error)}") for run, error in self._failures]
        return RunSummary(status, seconds, reports, self._environment.run_id, errors, self.redact)

    def _write(self, summary: RunSummary) -> ConfigurationError | None:
        """Write the summary file. An error is no reason to keep quiet about what landed."""
        self._environment.on_summary(summary)
        try:
            if self._summary_file is not None:
                (write_whole if self._following.is_on else RunSummary.write)(summary, self._summary_file)
        except ConfigurationError as error:
            log.error("%s", error)
            return error
        return None

    def _write_round(self) -> None:
        """Say what has landed so far. A file that cannot be written is no reason to end the run."""
        try:
            if self._summary_file is not None and not self._summary_file.is_fifo():
                write_whole(self._summary("running"), self._summary_file)
        except ConfigurationError as error:
            log.warning("%s", error)

    def _ended(self) -> RunSummary:
        summary = self._summary("stopped" if self._following.stopped else "succeeded")
        broken = [id(report) for run in self._stopped for report in run.reports if report.status == "stopped"]
        ends = ("succeeded", summary.status)
        failed = [stream for stream in summary.streams if stream.status not in ends and id(stream) not in broken]
        if failed or self._failures:
            summary.status = "failed"
        unwritten = self._write(summary)
        if len(self._failures) == 1 and not failed:
            raise _carrying(summary, self._told(self._failures[0][1])) from None
        if failed or self._failures:
            lines = [f"{one.source}.{one.stream}: {one.error}" for one in failed] + summary.errors
            errors = [error for flow in self._flows for error in flow.errors]
            told = [*lines[:TOLD], f"and {len(lines) - TOLD} more"] if len(lines) > TOLD else lines
            raise FlowFailedError(
                self.redact(f"{len(failed)} of {len(summary.streams)} streams failed: {'; '.join(told)}"),
                [self._told(error) for error in [*errors, *(error for _, error in self._failures)]],
                summary,
            )
        if unwritten is not None:
            raise _carrying(summary, unwritten)
        return summary

    @property
    def _stopped(self) -> list[FlowRun]:
        """Flows whose streams did not end since the flow failed, or another one was wrong."""
        return self._flows if self._refused else [run for run, _ in self._failures]

    def _told(self, error: BaseException) -> BaseException:
        """The error itself, unless it or what it came from would show a secret when it is printed, or it cannot be."""
        printed = "".join(traceback.format_exception(error))
        if self.redact(printed) == printed and printable(error):
            return error
        text = self.redact(message_of(error))
        if isinstance(error, DataSourceError):
            error.args = (text,)
            error.__cause__ = error.__context__ = None
            error.__notes__ = [self.redact(note) for note in getattr(error, "__notes__", ())]
            return error
        return FlowFailedError(f"{type(error).__name__}: {text}", [error])


def _carrying(summary: RunSummary, error: BaseException) -> BaseException:
    """The error, with the summary for whoever prints what landed."""
    error.__dict__["summary"] = summary
    return error
