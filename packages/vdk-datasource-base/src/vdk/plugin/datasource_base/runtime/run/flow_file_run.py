# SPDX-License-Identifier: Apache-2.0
"""Runs a flow file: validates it, plans every flow, runs the flows in order, writes the summary."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ...contract import AuthenticationError, ConfigurationError, FlowFailedError
from ...contract.errors import ArgumentError
from ...parts.flow.file import LoadedFlow, StreamSelection, load_flow
from ...parts.redact import Redactor
from ...parts.run_records import RunRecord
from ..environment import Environment
from ..report.files import SUMMARY
from ..report.logs import format_error, redacted_error, redacted_logs
from ..report.observer import Observers, RunContext, RunObserver, collected_warnings
from ..report.progress import Progress
from ..report.summary import RunStatus, RunSummary, StreamReport
from ..report.telemetry import telemetry
from ..retry import Retry
from ..signals import Interruption, signals_raise
from .flow_run import FlowRun
from .follow import Following, check_streams, with_follow
from .landing.writer import Writer
from .plan.flow import Flow
from .plan.ownership import TableOwners

log = logging.getLogger(__name__)

MAX_NAMED_FAILURES = 5
"""Failures that the error message names; the summary has them all."""


def execute(
    flow: str | Path | Mapping[str, Any], environment: Environment, *, summary: Path | None = None
) -> RunSummary:
    """Run a flow file, or the same as a dict.

    :param summary: the file that gets the summary as JSON; default: the one that the flow file names, or none. Once
        the flow file is valid, the summary is written whatever happens.
    :raises ConfigurationError: before any connection is opened, if the file is wrong; before any row is read, if the
        connected sources and destinations show that it is wrong (streams, write modes, tables).
    :raises FlowFailedError: after all streams ended, naming those that failed. It has the ``summary``.
    :raises Exception: after all flows ended, the error of the one flow that could not start, if nothing else failed.
        It has the ``summary``, too.
    :raises KeyboardInterrupt: on Ctrl-C, after complete rows have landed; ``SystemExit(143)`` on SIGTERM.
    """
    environment.scope.check()
    loaded = with_follow(load_flow(flow, environment.lookups, environment.overrides), environment.follow)
    return run_loaded(loaded, environment, summary=summary)


def run_loaded(loaded: LoadedFlow, environment: Environment, *, summary: Path | None = None) -> RunSummary:
    """Run a flow file that is loaded; see ``execute``."""
    redact = Redactor.of(loaded.resolved)
    with redacted_logs(redact, run_id=environment.run_id):
        try:
            run = FileRun(loaded, environment, summary or loaded.file.summary)
        except ConfigurationError as error:
            raise type(error)(redact(str(error))) from None
        with redacted_logs(run.redact):
            return run.run()


class FileRun:
    """The flows of one file, their shared writers and their failures."""

    def __init__(self, loaded: LoadedFlow, environment: Environment, summary: Path | None) -> None:
        self._loaded = loaded
        self._summary_file = summary
        self._environment = environment
        self._started = time.monotonic()
        self._failures: list[tuple[FlowRun, BaseException]] = []  # flows that failed as a whole
        self._writers: dict[str, Writer] = {}
        self._open_errors: dict[str, Exception] = {}
        self._invalid = False  # a flow is wrong, so none is read
        if summary is not None:
            SUMMARY.check(summary)
        # the whole file is validated here, before any connection is opened
        sources = [environment.create_source(loaded, entry.from_) for entry in loaded.file.flows]
        configs = {entry.from_: source.config for entry, source in zip(loaded.file.flows, sources, strict=True)}
        for source_id, config in configs.items():
            loaded.warn_of_plain_secrets(source_id, config)
        self.redact = Redactor.of(loaded.resolved, loaded.file.notify, *(source.config for source in sources))
        self._destinations = {
            name: environment.create_destination(loaded, name)
            for name in loaded.file.destinations
            if any(flow.to == name for flow in loaded.file.flows)
        }
        owners = TableOwners()
        self._selection = StreamSelection(environment.streams)
        self._interruption = Interruption(environment.stop, environment.options.stop_seconds)
        self._context = RunContext(_flow_name(loaded), environment.run_id, self.redact)
        self._observers = _observers(environment, self._context, loaded)
        self._flows = [
            FlowRun(
                Flow.from_file(
                    loaded,
                    number,
                    environment,
                    interruption=self._interruption,
                    owners=owners,
                    redact=self.redact,
                    selection=self._selection,
                ),
                source,
            )
            for number, source in enumerate(sources)
        ]
        self._following = Following(self._flows, environment.stop, failed=self._fail, on_round=self._write_round)

    def run(self) -> RunSummary:
        environment = self._environment
        options = environment.options
        with ExitStack() as stack:
            stack.enter_context(signals_raise(options.stop_seconds if environment.ends_with_run else None))
            if self._observers.want_warnings:
                stack.enter_context(collected_warnings(self._context.warnings))
            try:
                with Progress(options.progress_seconds, draw=environment.draw, redact=self.redact) as progress:
                    self._plan()
                    progress.expect(sum(len(flow.streams) for flow in self._flows))

                    def started(report: StreamReport) -> None:
                        progress.stream_started(report)
                        self._observers.stream_started(report)

                    for flow in self._flows:
                        self._run_flow(flow, started)
                    self._following.run(self._failed_runs)
                self._load_records()
                self._close()
            except BaseException as error:
                self._interruption.begin()
                following = self._following.interrupted_by(error)
                for flow in self._flows:
                    flow.end()
                self._load_records()
                self._close()
                if not following:
                    self._write(self._summary("interrupted"))
                    raise
            return self._finish()

    def _plan(self) -> None:
        """Plan every flow. A wrong flow ends the whole run here; one whose systems are unreachable fails alone."""
        for run in self._flows:
            if run.flow.stop.is_set():
                return
            try:
                run.plan(self._writer(run.flow.entry.to))
                check_streams(run.flow, run.streams)
                self._environment.on_planned([stream.planned() for stream in run.streams])
            except Exception as error:
                self._note_refusal(error)
                self._fail(run, error)
                # refused credentials are not a mistake in the file: the other flows may be valid
                if isinstance(error, ConfigurationError) and not isinstance(error, AuthenticationError):
                    self._refuse(f"{run.flow.location} is wrong")
                    return
        if not self._failures:  # the streams of all flows are known
            try:
                self._selection.check()
            except ConfigurationError as error:
                self._note_refusal(error)
                self._refuse("the selection of streams is wrong")
                self._fail(self._flows[0], error)

    def _note_refusal(self, error: Exception) -> None:
        """If the command line is wrong, nothing is recorded or reported."""
        if isinstance(error, ArgumentError):
            for run in self._flows:
                run.is_recorded = False

    def _refuse(self, reason: str) -> None:
        """Read nothing."""
        self._invalid = True
        for run in self._flows:
            run.end(f"nothing was read: {reason}")

    def _fail(self, run: FlowRun, error: Exception) -> None:
        self._failures.append((run, error))
        run.end()
        if run.flow.options.on_error == "stop":
            run.flow.stop.set()

    def _load_records(self) -> None:
        """The records of earlier runs, for the report. Without them it shows this run alone."""
        if not self._observers.want_records:
            return
        sources = sorted({run.flow.entry.from_ for run in self._flows})
        loading = [
            writer.submit(lambda destination: destination.load_records(sources))
            for writer in self._writers.values()
            if writer.destination.keeps_records
        ]
        done, _ = wait(loading, timeout=self._interruption.left(0.75))
        records: list[RunRecord] = []
        for future in loading:
            if future in done and (error := future.exception()) is not None:
                log.warning("the records of earlier runs cannot be read: %s", self.redact(format_error(error)))
            elif future in done:
                records += future.result()
        self._context.records = records

    def _close(self) -> None:
        for writer in self._writers.values():
            if not writer.close(self._interruption.left()):
                log.warning(
                    "%s did not return within %g s and is abandoned: its last commit either landed with its state, or "
                    "the next run repeats it",
                    writer.destination.identity(), self._interruption.seconds,
                )  # fmt: skip

    def _run_flow(self, run: FlowRun, on_stream_started: Callable[[StreamReport], None]) -> None:
        if self._invalid or any(run is failed for failed, _ in self._failures):
            return
        if run.flow.stop.is_set():
            self._fail(run, FlowFailedError(f"{run.flow.location}: stopped before it began"))
            return
        try:
            run.run(on_stream_started)
            if run.flow.entry.follow is None:
                run.end()
        except Exception as error:  # the flows after it may be valid
            self._fail(run, error)

    def _writer(self, name: str) -> Writer:
        """The writer of an open destination; two names of one destination share it."""
        destination = self._destinations[name]
        identity = destination.identity()
        if identity in self._open_errors:
            raise self._open_errors[identity]
        if identity not in self._writers:
            options = self._environment.options
            writer = Writer(destination, name=name, options=options)
            self._writers[identity] = writer
            try:
                Retry.of(options).call(
                    lambda: writer.call(lambda destination: destination.open()),
                    what=f"destination {name!r}",
                    stop=self._environment.stop,
                    redact=self.redact,
                )
            except Exception as error:
                self._open_errors[identity] = error
                raise
        return self._writers[identity]

    def _summary(self, status: RunStatus) -> RunSummary:
        seconds = round(time.monotonic() - self._started, 3)
        reports = [report for flow in self._flows for report in flow.reports]
        errors = [self.redact(f"{run.flow.location}: {format_error(error)}") for run, error in self._failures]
        return RunSummary(status, seconds, reports, self._environment.run_id, errors, self.redact)

    def _write(self, summary: RunSummary) -> ConfigurationError | None:
        """Hand out the summary and write its file. Returns the error of the file, so that the summary is handed out."""
        self._environment.on_summary(summary)
        if all(run.is_recorded for run in self._flows):
            self._observers.ended(summary)
        try:
            if self._summary_file is not None:
                summary.write(self._summary_file, atomically=self._following.is_on)
        except ConfigurationError as error:
            log.error("%s", error)
            return error
        return None

    def _write_round(self) -> None:
        """Write the summary of what has landed so far. A summary file that cannot be written does not end the run."""
        self._observers.round_ended(self._summary("running"))
        try:
            if self._summary_file is not None and not self._summary_file.is_fifo():
                self._summary("running").write(self._summary_file, atomically=True)
        except ConfigurationError as error:
            log.warning("%s", error)

    def _finish(self) -> RunSummary:
        """Write the summary, and raise if a stream, a flow or the summary file failed."""
        summary = self._summary("stopped" if self._following.stopped else "succeeded")
        stopped = {id(report) for run in self._failed_runs for report in run.reports if report.status == "stopped"}
        ends = ("succeeded", summary.status)
        failed = [stream for stream in summary.streams if stream.status not in ends and id(stream) not in stopped]
        if failed or self._failures:
            summary.status = "failed"
        unwritten = self._write(summary)
        if len(self._failures) == 1 and not failed:
            raise _with_summary(redacted_error(self._failures[0][1], self.redact), summary) from None
        if failed or self._failures:
            raise self._failure(summary, failed)
        if unwritten is not None:
            raise _with_summary(unwritten, summary)
        return summary

    def _failure(self, summary: RunSummary, failed: Sequence[StreamReport]) -> FlowFailedError:
        lines = [f"{stream.source}.{stream.stream}: {stream.error}" for stream in failed] + summary.errors
        named = lines[:MAX_NAMED_FAILURES]
        if len(lines) > len(named):
            named.append(f"and {len(lines) - len(named)} more")
        errors = [*(error for flow in self._flows for error in flow.errors), *(error for _, error in self._failures)]
        listed = f" {named[0]}" if len(named) == 1 else "".join(f"\n  {line}" for line in named)
        return FlowFailedError(
            self.redact(f"{len(failed)} of {len(summary.streams)} streams failed:{listed}"),
            [redacted_error(error, self.redact) for error in errors],
            summary,
        )

    @property
    def _failed_runs(self) -> list[FlowRun]:
        """The flows that stopped their streams: they failed as a whole, or one of the file is wrong."""
        return self._flows if self._invalid else [run for run, _ in self._failures]


def _with_summary(error: BaseException, summary: RunSummary) -> BaseException:
    """The error, with the summary for its handler to print."""
    error.__dict__["summary"] = summary
    return error


def _flow_name(loaded: LoadedFlow) -> str:
    """The name of the flow file, which jobs and spans are named after."""
    return Path(loaded.location).name.removesuffix(".toml").removesuffix(".ingest") or "flow"


def _observers(environment: Environment, context: RunContext, loaded: LoadedFlow) -> Observers:
    """What follows the run. Raises ``ConfigurationError`` if one of its files cannot be written, or a URL is wrong.

    Each is imported by the runs that have it.
    """
    observers: list[RunObserver] = []
    if environment.report is not None:
        from ..report.html.report_file import ReportFile

        observers.append(ReportFile(environment.report, context))
    if environment.openlineage is not None:
        from ..report.lineage import LineageFile

        observers.append(LineageFile(environment.openlineage, context))
    if (emitting := telemetry(context)) is not None:
        observers.append(emitting)
    if loaded.file.notify is not None:
        from ..report.notify import Webhook

        observers.append(Webhook(loaded.file.notify.reveal(), context, location=loaded.location))
    return Observers(observers)
