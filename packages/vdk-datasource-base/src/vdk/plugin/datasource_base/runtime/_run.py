"""A whole flow file: everything is checked first, then the flows run in their order."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..contract import ConfigurationError, DataSourceError, FlowFailedError
from ..parts._flow_file import LoadedFlow, load_flow
from ..parts._redact import Redactor
from ._claims import Claims
from ._environment import Environment
from ._error_text import message_of, printable, told
from ._flow import Flow
from ._flow_run import FlowRun
from ._interrupt import Interruption, signals_raise
from ._progress import Progress
from ._redacted_logs import redacted_logs
from ._retry import AWAY, Retry
from ._summary import RunStatus, RunSummary, StreamReport
from ._writer import Writer

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
    :raises Exception: after all flows ended, the error of a flow that could not begin, where nothing
        else went wrong.
    :raises KeyboardInterrupt: on Ctrl-C, after what was complete has landed; and ``SystemExit(143)`` on SIGTERM.
    """
    loaded = load_flow(flow, environment.lookups)
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

    def run(self) -> RunSummary:
        options = self._environment.options
        with signals_raise():
            try:
                with Progress(options.progress_seconds, draw=self._environment.draw, redact=self.redact) as progress:
                    for flow in self._flows:
                        self._run_flow(flow, progress.began)
                self._close()
            except BaseException:
                self._interruption.begin()
                self._close()
                self._interrupted()
                raise
            return self._ended()

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
        for flow in self._flows:
            flow.stop_the_rest()
        summary = self._summary("interrupted")
        self._write(summary)

    def _run_flow(self, run: FlowRun, told: Callable[[StreamReport], None]) -> None:
        flow = run.flow
        if flow.stop.is_set():
            self._failures.append((run, FlowFailedError(f"{flow.where}: stopped before it began")))
            return
        try:
            run.run(self._writer(flow.entry.to), told)
        except Exception as error:  # the flows behind it may well be all right
            self._failures.append((run, error))
            if flow.options.on_error == "stop":
                flow.stop.set()

    def _writer(self, name: str) -> Writer:
        """The writer of a destination, connected; two aliases of one destination share it."""
        destination = self._destinations[name]
        identity = destination.identity()
        if identity not in self._writers:
            options = self._environment.options
            writer = Writer(destination, name=name, max_bytes=options.queue_bytes)
            self._writers[identity] = writer
            self._open(name, writer, Retry(options.retry_attempts, options.retry_seconds, options.retry_delay))
        return self._writers[identity]

    def _open(self, name: str, writer: Writer, retry: Retry) -> None:
        while True:
            try:
                return writer.call(lambda destination: destination.open())
            except AWAY as error:
                retry.pause(error, what=f"destination {name!r}", stop=self._environment.stop, redact=self.redact)

    def _summary(self, status: RunStatus) -> RunSummary:
        seconds = round(time.monotonic() - self._started, 3)
        reports = [report for flow in self._flows for report in flow.reports]
        errors = [self.redact(f"{run.flow.where}: {told(error)}") for run, error in self._failures]
        return RunSummary(status, seconds, reports, self._environment.run_id, errors, self.redact)

    def _write(self, summary: RunSummary) -> None:
        self._environment.on_summary(summary)
        if self._summary_file is not None:
            summary.write(self._summary_file)

    def _ended(self) -> RunSummary:
        summary = self._summary("succeeded")
        broken = [id(report) for run, _ in self._failures for report in run.reports if report.status == "stopped"]
        failed = [one for one in summary.streams if one.status != "succeeded" and id(one) not in broken]
        if failed or self._failures:
            summary.status = "failed"
        self._write(summary)
        if len(self._failures) == 1 and not failed:
            raise self._told(self._failures[0][1]) from None
        if failed or self._failures:
            lines = [f"{one.source}.{one.stream}: {one.error}" for one in failed] + summary.errors
            errors = [error for flow in self._flows for error in flow.errors]
            told = [*lines[:TOLD], f"and {len(lines) - TOLD} more"] if len(lines) > TOLD else lines
            raise FlowFailedError(
                self.redact(f"{len(failed)} of {len(summary.streams)} streams failed: {'; '.join(told)}"),
                [self._told(error) for error in [*errors, *(error for _, error in self._failures)]],
                summary,
            )
        return summary

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
