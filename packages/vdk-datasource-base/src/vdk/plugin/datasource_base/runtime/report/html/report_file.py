# SPDX-License-Identifier: Apache-2.0
"""The file of a run's report (``--report run.html``)."""

from __future__ import annotations

import time
from pathlib import Path

from ..files import REPORT, write_atomically
from ..observer import RunContext, RunObserver
from ..summary import RunSummary
from .page import Page

ROUND_SECONDS = 10.0
"""Seconds between two versions of the report of a run that follows its sources."""


class ReportFile(RunObserver):
    """Writes the report when the run ends, and now and then while it follows its sources.

    :raises ConfigurationError: the file cannot be written.
    """

    wants_records = True
    wants_warnings = True

    def __init__(self, path: Path, context: RunContext) -> None:
        REPORT.check(path)
        self._path = path
        self._context = context
        self._next = 0.0

    def round_ended(self, summary: RunSummary) -> None:
        if time.monotonic() >= self._next:
            self.ended(summary)
            self._next = time.monotonic() + ROUND_SECONDS

    def ended(self, summary: RunSummary) -> None:
        write_atomically(self._path, Page(summary, self._context).html().encode("utf-8", "backslashreplace"))
