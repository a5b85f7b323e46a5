# SPDX-License-Identifier: Apache-2.0
"""What follows a run: the report, the OpenLineage file, telemetry. None of them makes a run fail once it has begun."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ...parts.redact import Redactor
from ...parts.run_records import RunRecord
from .summary import RunSummary, StreamReport

log = logging.getLogger(__name__)
MAX_WARNINGS = 100


@dataclass(slots=True)
class RunContext:
    """What is known of a run beside its summary.

    :param name: of the flow file, without its folder. :param started_at: in UTC.
    :param records: those of earlier runs, newest first; empty until the run ends.
    """

    name: str
    run_id: str
    redact: Redactor
    started_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    warnings: list[str] = field(default_factory=list)
    records: Sequence[RunRecord] = ()


class RunObserver:
    """Is called as a run goes on, in the thread of the run."""

    wants_records = False
    """Whether it shows the records of earlier runs, which then are loaded."""
    wants_warnings = False

    def stream_started(self, report: StreamReport) -> None:
        """A stream is read from now on."""

    def round_ended(self, summary: RunSummary) -> None:
        """A run that follows its sources has read another round."""

    def ended(self, summary: RunSummary) -> None:
        """The run has ended, however that was."""


class Observers:
    """Calls every observer, and logs what fails in it."""

    def __init__(self, observers: Sequence[RunObserver]) -> None:
        self._observers = observers
        self.want_records = any(observer.wants_records for observer in observers)
        self.want_warnings = any(observer.wants_warnings for observer in observers)

    def stream_started(self, report: StreamReport) -> None:
        self._call(lambda observer: observer.stream_started(report))

    def round_ended(self, summary: RunSummary) -> None:
        self._call(lambda observer: observer.round_ended(summary))

    def ended(self, summary: RunSummary) -> None:
        self._call(lambda observer: observer.ended(summary))

    def _call(self, method: Callable[[RunObserver], None]) -> None:
        for observer in self._observers:
            try:
                method(observer)
            except Exception as error:  # the rows have landed
                log.warning("%s: %s: %s", type(observer).__name__, type(error).__name__, error)


@contextmanager
def collected_warnings(warnings: list[str]) -> Iterator[None]:
    """Add what any thread logs meanwhile at WARNING or above, without repetitions, up to ``MAX_WARNINGS``."""
    handler = _Collector(warnings)
    logger = logging.getLogger()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Collector(logging.Handler):
    def __init__(self, warnings: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._warnings = warnings

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # a wrong format string
            return
        if message not in self._warnings and len(self._warnings) < MAX_WARNINGS:
            self._warnings.append(message)
