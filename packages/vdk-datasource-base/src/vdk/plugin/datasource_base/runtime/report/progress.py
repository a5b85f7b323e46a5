# SPDX-License-Identifier: Apache-2.0
"""The progress of a run: live lines on a terminal, log lines elsewhere."""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, TextIO, cast

from .logs import log_fields
from .summary import StreamReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

log = logging.getLogger(__name__)

REDRAW_SECONDS = 0.5
"""Seconds between two drawings on a terminal."""


class Progress:
    """Shows running streams: a line for each at the bottom of a terminal, or a log line for each every N seconds.

    :param draw: whether to draw on the terminal; None: if standard error is one.
    """

    def __init__(self, seconds: float, *, draw: bool | None = None, redact: Callable[[str], str] = str) -> None:
        self._redact = redact  # drawn lines are not log records, which are redacted for all
        self._terminal = sys.stderr if _can_draw(sys.stderr) and draw is not False else None
        self._seconds = seconds if self._terminal is None else REDRAW_SECONDS
        self._reports: list[StreamReport] = []
        self._live: Live | None = None
        self._open = ExitStack()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        if self._terminal is not None:
            self._live = self._open.enter_context(_display(self._terminal))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._live is not None:
            self._draw(self._live, [])
        self._open.close()

    def stream_started(self, report: StreamReport) -> None:
        """Show a stream from now on."""
        self._reports.append(report)
        level = logging.DEBUG if self._live is not None else logging.INFO
        with log_fields(source=report.source, stream=report.stream):
            log.log(level, "%s.%s: reading into %s.%s", report.source, report.stream, report.destination, report.table)

    def _run(self) -> None:
        logged: dict[int, int] = {}  # report → rows: a stream that follows and is quiet logs nothing
        while not self._end.wait(self._seconds):
            running = [report for report in list(self._reports) if report.status == "running"]
            if self._live is not None:
                self._draw(self._live, running)
            else:
                for report in running:
                    if "rounds" not in report.counters or logged.get(id(report)) != report.rows_read:
                        with log_fields(source=report.source, stream=report.stream):
                            log.info("%s", progress_line(report))
                    logged[id(report)] = report.rows_read

    def _draw(self, live: Live, running: list[StreamReport]) -> None:
        """Draw the running streams. The log line of a stream that ended stays above them."""
        with suppress(OSError):  # the terminal was closed; the run goes on
            live.update(_lines([self._redact(progress_line(report)) for report in running]), refresh=True)


def progress_line(report: StreamReport) -> str:
    """``shop.orders  45%  120,000 rows  61,000 rows/s  2.0 s``; the percentage if the stream knows its end."""
    elapsed = report.seconds or time.monotonic() - report.started
    share = report.read_share.get() if "rounds" not in report.counters else None  # a followed stream has no end
    # rounded down, as 100% is all of it; but 0.2 / 1.0 may be a little less than 20
    done = f"{int(share * 100 + 1e-6)}%  " if share is not None else ""
    return (
        f"{report.source}.{report.stream}  {done}{report.rows_read:,} rows  {report.rate:,.0f} rows/s  {elapsed:.1f} s"
    )


def _can_draw(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal whose cursor can be moved; a dumb terminal is treated like a file."""
    if stream is None or not stream.isatty():
        return False
    from rich.console import Console

    return not Console(file=stream).is_dumb_terminal


@contextmanager
def _display(terminal: TextIO) -> Iterator[Live]:
    """Lines at the bottom of the terminal, redrawn in place, with everything else that is written above them."""
    from rich.console import Console
    from rich.live import Live

    console = Console(
        file=terminal, force_terminal=True, force_interactive=True, markup=False, highlight=False, emoji=False
    )
    live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False, transient=True)
    with _written_above(console, terminal):
        try:
            with suppress(OSError):
                live.start()
                console.show_cursor(True)  # a process that is killed could not show it again
            yield live
        finally:
            with suppress(OSError):
                live.stop()


@contextmanager
def _written_above(console: Console, terminal: TextIO) -> Iterator[None]:
    """Send what log handlers and ``print`` write to the terminal through the console, above its live lines."""
    above = _StreamAbove(console, terminal)
    handlers = [
        (handler, handler.stream)
        for handler in _stream_handlers()
        if handler.stream is not None and handler.stream.isatty()
    ]
    streams = {name: getattr(sys, name) for name in ("stdout", "stderr") if getattr(sys, name).isatty()}
    for handler, _ in handlers:
        handler.setStream(cast(TextIO, above))
    for name in streams:
        setattr(sys, name, above)
    try:
        yield
    finally:
        for handler, stream in handlers:
            handler.setStream(stream)
        for name, stream in streams.items():
            setattr(sys, name, stream)
        above.flush_rest()


def _stream_handlers() -> Iterator[logging.StreamHandler[TextIO]]:
    """Every handler of this process that writes to a stream, except those that own a file."""
    known = [item for item in list(logging.Logger.manager.loggerDict.values()) if isinstance(item, logging.Logger)]
    for logger in [logging.getLogger(), *known]:
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                yield handler


class _StreamAbove(io.TextIOBase):
    """A stream whose lines appear above the live display, whole and in order."""

    def __init__(self, console: Console, terminal: TextIO) -> None:
        self._console = console
        self._terminal = terminal
        self._rest = ""  # print() writes a line and its newline separately
        self._lock = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # an attribute in typeshed
        return self._terminal.encoding

    def isatty(self) -> bool:
        return True

    def encodable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._terminal.fileno()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._print(line)
        return len(text)

    def flush_rest(self) -> None:
        """Write the last line, which lacks its newline."""
        with self._lock:
            if self._rest:
                self._print(self._rest)
            self._rest = ""

    def _print(self, text: str) -> None:
        from rich.text import Text

        # soft_wrap: the terminal wraps a long line, so that it is copied as one line
        self._console.print(Text.from_ansi(text), soft_wrap=True)


def _lines(texts: list[str]) -> Text:
    from rich.text import Text

    printable = ("".join(char if char.isprintable() else repr(char)[1:-1] for char in text) for text in texts)
    return Text("\n".join(printable), no_wrap=True, overflow="crop", end="")
