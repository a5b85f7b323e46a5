"""What a run shows while it is under way."""

from __future__ import annotations

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, TextIO, cast

from .summary import StreamReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

log = logging.getLogger(__name__)

REDRAWN = 0.5
"""Seconds between two drawings on a terminal."""


class Progress:
    """Shows running streams: one line each at the bottom of a terminal; elsewhere log lines every N seconds.

    :param draw: whether to draw; None: where standard error is a terminal.
    """

    def __init__(self, seconds: float, *, draw: bool | None = None, redact: Callable[[str], str] = str) -> None:
        self._redact = redact  # what is drawn is not a log record, where secrets are taken out for all
        self._terminal = sys.stderr if _can_draw(sys.stderr) and draw is not False else None
        self._seconds = seconds if self._terminal is None else REDRAWN
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

    def began(self, report: StreamReport) -> None:
        """A stream is read from now on."""
        self._reports.append(report)
        level = logging.DEBUG if self._live is not None else logging.INFO
        log.log(level, "%s.%s: reading into %s.%s", report.source, report.stream, report.destination, report.table)

    def _run(self) -> None:
        logged: dict[int, int] = {}  # rows of those that follow: nothing is logged of a quiet one
        while not self._end.wait(self._seconds):
            running = [one for one in list(self._reports) if one.status == "running"]
            if self._live is not None:
                self._draw(self._live, running)
            else:
                for report in running:
                    if "rounds" not in report.counters or logged.get(id(report)) != report.rows_read:
                        log.info("%s", line(report))
                    logged[id(report)] = report.rows_read

    def _draw(self, live: Live, running: list[StreamReport]) -> None:
        """The running streams; of one that ended its log line stays above them."""
        with suppress(OSError):  # the terminal was closed, which is no reason for the run to fail
            live.update(_lines([self._redact(line(one)) for one in running]), refresh=True)


def line(report: StreamReport) -> str:
    """``shop.orders  120,000 rows  61,000 rows/s  2.0 s``."""
    elapsed = report.seconds or time.monotonic() - report.started
    return f"{report.source}.{report.stream}  {report.rows_read:,} rows  {report.rate:,.0f} rows/s  {elapsed:.1f} s"


def _can_draw(stream: TextIO | None) -> bool:
    """A terminal whose cursor can be moved. A terminal without that is written to like a file."""
    if stream is None or not stream.isatty():
        return False
    from rich.console import Console

    return not Console(file=stream).is_dumb_terminal


@contextmanager
def _display(terminal: TextIO) -> Iterator[Live]:
    """Lines at the bottom of the terminal that are drawn over, while all that is written to it scrolls above them."""
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
                console.show_cursor(True)  # a process that is killed cannot show it again
            yield live
        finally:
            with suppress(OSError):
                live.stop()


@contextmanager
def _written_above(console: Console, terminal: TextIO) -> Iterator[None]:
    """Send what log handlers and ``print`` write to the terminal through the console, which moves its lines down."""
    above = _Above(console, terminal)
    handlers = [(one, one.stream) for one in _handlers() if one.stream is not None and one.stream.isatty()]
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


def _handlers() -> Iterator[logging.StreamHandler[TextIO]]:
    """Every handler of this process that writes to a stream and not to a file of its own."""
    known = list(logging.Logger.manager.loggerDict.values())
    for logger in [logging.getLogger(), *(one for one in known if isinstance(one, logging.Logger))]:
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                yield handler


class _Above(io.TextIOBase):
    """A stream whose lines appear above the display, whole and in their order."""

    def __init__(self, console: Console, terminal: TextIO) -> None:
        self._console = console
        self._terminal = terminal
        self._rest = ""  # print() writes a line and its end apart
        self._lock = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has it as an attribute
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
            for one in lines:
                self._print(one)
        return len(text)

    def flush_rest(self) -> None:
        """Write what has no end of line yet."""
        with self._lock:
            if self._rest:
                self._print(self._rest)
            self._rest = ""

    def _print(self, text: str) -> None:
        from rich.text import Text

        # soft_wrap: the terminal breaks a long line, so that it is one line when it is copied
        self._console.print(Text.from_ansi(text), soft_wrap=True)


def _lines(texts: list[str]) -> Text:
    from rich.text import Text

    printable = ("".join(one if one.isprintable() else repr(one)[1:-1] for one in text) for text in texts)
    return Text("\n".join(printable), no_wrap=True, overflow="crop", end="")
