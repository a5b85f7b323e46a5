# SPDX-License-Identifier: Apache-2.0
"""The progress of a run: live lines on a terminal, a display in a notebook, log lines elsewhere."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO, cast

from .logs import log_fields
from .progress_lines import LOGGED_STREAMS, MAX_LINES, Remaining, block, busiest, count_line, progress_line
from .summary import StreamReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

log = logging.getLogger(__name__)

REDRAW_SECONDS = 0.5
"""Seconds between two drawings on a terminal."""
NOTEBOOK_WIDTH = 100
"""Characters in a line of a notebook's display."""


class Progress:
    """Shows running streams: a line for each at the bottom of a terminal, or a log line for each every N seconds.

    :param draw: whether to draw on the terminal, or in the notebook; None: if standard error is a terminal, or the
        process is a notebook's.
    """

    def __init__(self, seconds: float, *, draw: bool | None = None, redact: Callable[[str], str] = str) -> None:
        self._redact = redact  # drawn lines are not log records, which are redacted for all
        self._terminal = sys.stderr if _can_draw(sys.stderr) and draw is not False else None
        self._notebook = _notebook_display() if self._terminal is None and draw is not False else None
        self._seconds = seconds if self._terminal is None and self._notebook is None else REDRAW_SECONDS
        self._reports: list[StreamReport] = []
        self._expected = 0
        self._remaining = Remaining()
        self._rows: dict[int, int] = {}  # report → rows when it was looked at last
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
        if self._notebook is not None:
            self._notebook(self._lines([], NOTEBOOK_WIDTH, MAX_LINES))
        self._open.close()

    def expect(self, streams: int) -> None:
        """The number of streams that the run reads."""
        self._expected = streams

    def stream_started(self, report: StreamReport) -> None:
        """Show a stream from now on."""
        self._reports.append(report)
        level = logging.DEBUG if self._live is not None or self._notebook is not None else logging.INFO
        with log_fields(source=report.source, stream=report.stream):
            log.log(level, "%s.%s: reading into %s.%s", report.source, report.stream, report.destination, report.table)

    def _run(self) -> None:
        while not self._end.wait(self._seconds):
            running = [report for report in list(self._reports) if report.status == "running"]
            if self._live is not None:
                self._draw(self._live, running)
            elif self._notebook is not None:
                self._notebook(self._lines(running, NOTEBOOK_WIDTH, MAX_LINES))
            else:
                self._log(running)

    def _log(self, running: list[StreamReport]) -> None:
        """Log a line for each of the busiest streams. A stream that follows and is quiet logs nothing."""
        news = [
            report
            for report in running
            if "rounds" not in report.counters or self._rows.get(id(report)) != report.rows_read
        ]
        shown = busiest(news, self._rows, LOGGED_STREAMS)
        for report in shown:
            with log_fields(source=report.source, stream=report.stream):
                log.info("%s", progress_line(report, self._remaining.seconds(report)))
        if len(news) > len(shown):
            log.info("%s", count_line(len(shown), len(running), self._ended, self._expected))

    @property
    def _ended(self) -> int:
        return sum(report.status != "running" for report in list(self._reports))

    def _lines(self, running: list[StreamReport], width: int, most: int) -> list[str]:
        """The lines of a display."""
        shown = busiest(running, self._rows, most)
        lines = []
        if shown:
            remaining = [self._remaining.seconds(report) for report in shown]
            lines = block(shown, remaining, width=width, redact=self._redact)
        count = count_line(len(shown), len(running), self._ended, self._expected)
        return [*lines, count[: width - 1]] if count else lines

    def _draw(self, live: Live, running: list[StreamReport]) -> None:
        """Draw the running streams. The log line of a stream that ended stays above them."""
        with suppress(OSError):  # the terminal was closed; the run goes on
            width, height = live.console.size
            most = max(1, min(MAX_LINES, height // 3))
            live.update(_text(self._lines(running, width, most) if running else []), refresh=True)


def _notebook_display() -> Callable[[list[str]], None] | None:
    """Updates one display of the notebook whose kernel this process is; None: it is none. Imports nothing."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    handle = import_module("IPython.display").display({"text/plain": ""}, raw=True, display_id=True)

    def show(lines: list[str]) -> None:
        with suppress(Exception):  # the notebook was closed; the run goes on
            handle.update({"text/plain": "\n".join(lines)}, raw=True)

    return show


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


def _text(lines: list[str]) -> Text:
    from rich.text import Text

    return Text("\n".join(lines), no_wrap=True, overflow="crop", end="")
