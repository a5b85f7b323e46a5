"""What a command writes besides its result: messages, on standard error, each of them once."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import click
from vdk.internal.core.statestore import StoreKey

from .output import printable

if TYPE_CHECKING:
    from vdk.internal.core.config import Configuration

OURS = "vdk.plugin."
"""Loggers below this name are those of sources, destinations and this runtime: what they log at INFO is for people."""
NOISE = tuple(
    f"vdk.internal.builtin_plugins.{name}"
    for name in ("run.data_job", "run.cli_run", "config.job_config", "config.log_config")
)
"""Loggers of VDK that log the error of a job up to four times, once with its traceback (the command prints it itself),
and that there is no ``config.ini``, which a flow file does not need."""


@dataclass(slots=True)
class Console:
    """Where the messages of one command go, and which of them are shown.

    :param output: ``"json"``: standard output has JSON alone, so only warnings and errors are shown.
    :param log_format: ``"text"``, or ``"json"`` for one object a line.
    :param hold: warnings are kept in ``warnings`` instead of written: the command's JSON has a place for them.
    """

    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    log_format: str = "text"
    output: str = "text"
    hold: bool = False
    warnings: list[str] = field(default_factory=list)
    _handler: _Handler | None = None
    _replaced: list[logging.Handler] = field(default_factory=list)
    _levels: dict[str | None, int] = field(default_factory=dict)

    @property
    def draws(self) -> bool:
        """Whether running streams are drawn on the terminal."""
        return sys.stderr.isatty() and self.log_format == "text" and self.output == "text" and not self.quiet

    def __enter__(self) -> Console:
        _never_refuse_a_character(sys.stdout)
        self._handler = _Handler(self, sys.stderr)
        self._take_over()
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.removeHandler(self._handler)
            for handler in self._replaced:
                root.addHandler(handler)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    def adopt(self, configuration: Configuration) -> None:
        """Take over again, after VDK configured logging for the job, unless its operator chose a format."""
        if configuration.get_value("LOG_CONFIG") != "CLOUD" and not configuration.get_value("use_structlog"):
            self._take_over()

    def _take_over(self) -> None:
        """Put the console's handler in the place of those that write to standard error; others stay (syslog)."""
        assert self._handler is not None
        root = logging.getLogger()
        replaced: list[logging.Handler] = [one for one in root.handlers if type(one) is logging.StreamHandler]
        for handler in replaced:
            root.removeHandler(handler)
        self._replaced = replaced or self._replaced
        if self._handler not in root.handlers:
            root.addHandler(self._handler)
        for name in (None, "vdk"):
            logger = logging.getLogger(name)
            self._levels.setdefault(name, logger.level)
            if self.debug or self.verbose:
                logger.setLevel(logging.DEBUG if self.debug else min(logging.INFO, logger.level or logging.INFO))

    def shows(self, record: logging.LogRecord) -> bool:
        """Whether a record is for the person at the terminal."""
        if self.debug:
            return True
        if record.name in NOISE:
            return False
        if self.quiet:
            return record.levelno >= logging.ERROR
        if self.verbose or (record.name.startswith(OURS) and self.output == "text"):
            return True  # as far as the loggers' own levels let it come here
        return record.levelno >= logging.WARNING

    def fail(self, error: BaseException, *, traced: bool = False) -> None:
        """Print why the command fails; with ``debug`` where it comes from, too.

        :param traced: VDK logged the traceback.
        """
        from ..contract import DataSourceError
        from ..parts.redact import Redactor
        from ..runtime.report.logs import message_of, told

        if isinstance(error, DataSourceError):
            text = message_of(error)
        else:
            text = told(error) + ("" if self.debug else " (--debug shows where it was raised)")
        if self.debug and not traced:
            click.echo("\n".join(_frames(error)), err=True)
        self.print_error(Redactor()(text))

    def print_error(self, text: str) -> None:
        """Print a message in the form that was asked for."""
        self.release()
        if self.log_format == "json":
            click.echo(_line_of_json(time.time(), "error", OURS[:-1], text), err=True)
        else:
            click.echo(printable(f"Error: {text}", sys.stderr), err=True)

    def placed(self, warnings: Collection[str]) -> None:
        """The command's JSON has these warnings."""
        self.warnings = [warning for warning in self.warnings if warning not in warnings]

    def release(self) -> None:
        """Write the warnings that were held."""
        for text in self.warnings if self.hold else ():
            click.echo(f"warning: {text}", err=True)
        self.hold = False


CONSOLE: StoreKey[Console | None] = StoreKey("vdk.datasource.console")


class _Handler(logging.StreamHandler[TextIO]):
    """Writes records for people, or one JSON object a line."""

    def __init__(self, console: Console, stream: TextIO) -> None:
        super().__init__(stream)
        self._console = console

    def filter(self, record: logging.LogRecord) -> bool:
        return self._console.shows(record) and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        if self._console.hold and record.levelno >= logging.WARNING:
            self._console.warnings.append(record.getMessage())
            return
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        text, level = record.getMessage(), record.levelname.lower()
        if record.exc_info or record.exc_text:
            text += f"\n{_raised(record)}" if self._console.debug else f": {_raised(record).splitlines()[-1]}"
        if self._console.log_format == "json":
            return _line_of_json(record.created, level, record.name, text)
        if not record.name.startswith(OURS):
            text = f"{record.name}: {text}"
        if self.stream.isatty():
            return printable(text if record.levelno == logging.INFO else f"{level}: {text}", self.stream)
        return f"{_utc(record.created)} {level.upper():<7} {text}"


def _raised(record: logging.LogRecord) -> str:
    """The traceback; the text that a redactor left is taken where there is one."""
    if record.exc_text is None and record.exc_info:
        return "".join(traceback.format_exception(record.exc_info[1])).rstrip() or "no error"
    return record.exc_text or "no error"


def _frames(error: BaseException | None) -> Iterator[str]:
    """Where an error was raised, and what it came from: without the causes' messages, which may hold secrets."""
    while error is not None:
        yield from (f"{type(error).__name__}, raised in:", "".join(traceback.format_tb(error.__traceback__)).rstrip())
        error = error.__cause__ or error.__context__


def _line_of_json(created: float, level: str, logger: str, text: str) -> str:
    return json.dumps({"time": _utc(created), "level": level, "logger": logger, "message": text})


def _utc(created: float) -> str:
    milliseconds = int(created * 1000) % 1000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(created))}.{milliseconds:03d}Z"


def _never_refuse_a_character(stream: Any) -> None:
    """A result with an "é" in it is no reason to fail where standard output is ASCII (``LANG=C`` of some systems)."""
    if str(getattr(stream, "encoding", "utf-8")).lower().replace("-", "") != "utf8" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
