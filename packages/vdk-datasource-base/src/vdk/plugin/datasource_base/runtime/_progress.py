"""What a run tells while it is under way."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from ._summary import StreamReport

log = logging.getLogger(__name__)


class Progress:
    """Tells about running streams: one line each on a terminal, drawn anew; else log lines every N seconds."""

    def __init__(self, seconds: float, *, terminal: TextIO | None = None, redact: Callable[[str], str] = str) -> None:
        self._redact = redact  # what goes to a terminal is no log line, where that is done for all
        self._terminal = terminal if terminal is not None else (sys.stderr if sys.stderr.isatty() else None)
        self._seconds = 0.5 if self._terminal is not None else seconds
        self._reports: list[StreamReport] = []
        self._drawn = 0
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._terminal is not None:
            self._draw(self._terminal)

    def began(self, report: StreamReport) -> None:
        """A stream is read from now on."""
        with self._lock:
            self._reports.append(report)
        log.info("%s.%s: reading into %s.%s", report.source, report.stream, report.destination, report.table)

    def _run(self) -> None:
        while not self._end.wait(self._seconds):
            if self._terminal is not None:
                self._draw(self._terminal)
            else:
                for report in [one for one in self._reports if one.status == "running"]:
                    log.info("%s", line(report))

    def _draw(self, terminal: TextIO) -> None:
        """One line per running stream over the lines drawn last; ended streams scroll away once."""
        with self._lock:
            states = [(one, one.status == "running") for one in self._reports]  # it may end at any moment
            ended = [one for one, runs in states if not runs]
            running = [one for one, runs in states if runs]
            self._reports = list(running)
        up = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        terminal.write(up + "".join(f"{self._redact(line(one))}\n" for one in [*ended, *running]))
        terminal.flush()
        self._drawn = len(running)


def line(report: StreamReport) -> str:
    """``shop.orders  120,000 rows  61,000 rows/s  2.0 s``, and the end once it is there."""
    elapsed = report.seconds or time.monotonic() - report.started
    end = "" if report.status == "running" else f"  {report.status}"
    return (
        f"{report.source}.{report.stream}  {report.rows_read:,} rows  {report.rate:,.0f} rows/s  {elapsed:.1f} s{end}"
    )
