# SPDX-License-Identifier: Apache-2.0
"""The messages of a command: log lines, warnings and errors, each once, on standard error."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import click
from vdk.internal.core.statestore import StoreKey

from .commands.output import printable

if TYPE_CHECKING:
    from vdk.internal.core.config import Configuration

PLUGIN_LOGGERS = "vdk.plugin."
"""Prefix of the loggers of sources, destinations and this runtime; what they log at INFO is shown."""
HIDDEN_LOGGERS = tuple(
    f"vdk.internal.builtin_plugins.{name}"
    for name in ("run.data_job", "run.cli_run", "config.job_config", "config.log_config")
)
"""Loggers of VDK that log a job's error up to four times, once with its traceback, although the command prints it, and
that log a missing ``config.ini``, which a flow file does not need."""


@dataclass(slots=True)
class Console:
    """Formats the messages of one command and decides which are shown.

    :param output: the format of the result; with ``"json"`` only warnings and errors are shown.
    :param log_format: ``"text"``, or ``"json"`` for one object per line.
    :param collects_warnings: warnings are collected in ``warnings`` rather than printed; the command's JSON has them.
    """

    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    log_format: str = "text"
    output: str = "text"
    collects_warnings: bool = False
    warnings: list[str] = field(default_factory=list)
    rewrite: Callable[[str], str] = str
    """Changes the text of messages, for a command whose flow is not in a file."""
    _handler: _Handler | None = None
    _replaced: list[logging.Handler] = field(default_factory=list)
    _levels: dict[str | None, int] = field(default_factory=dict)

    @property
    def draws_progress(self) -> bool:
        """Whether running streams are drawn on the terminal."""
        return sys.stderr.isatty() and self.log_format == "text" and self.output == "text" and not self.quiet

    def __enter__(self) -> Console:
        _escape_unencodable(sys.stdout)
        self._handler = _Handler(self, sys.stderr)
        self._install_handler()
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.removeHandler(self._handler)
            for handler in self._replaced:
                root.addHandler(handler)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    def on_job_start(self, configuration: Configuration) -> None:
        """Install the handler again, since VDK configures logging for the job; an operator's own format stays."""
        if configuration.get_value("LOG_CONFIG") != "CLOUD" and not configuration.get_value("use_structlog"):
            self._install_handler()

    def _install_handler(self) -> None:
        """Replace the handlers that write to standard error with the console's; others stay (syslog)."""
        assert self._handler is not None
        root = logging.getLogger()
        replaced: list[logging.Handler] = [
            handler for handler in root.handlers if type(handler) is logging.StreamHandler
        ]
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
        """Whether a record is shown."""
        if self.debug:
            return True
        if record.name in HIDDEN_LOGGERS:
            return False
        if self.quiet:
            return record.levelno >= logging.WARNING  # a warning may say that rows are missing
        if self.verbose or (record.name.startswith(PLUGIN_LOGGERS) and self.output == "text"):
            return True  # if the level of its logger let it pass
        return record.levelno >= logging.WARNING

    def print_failure(self, error: BaseException, *, traced: bool = False) -> None:
        """Print why the command fails; with ``debug`` also where the error was raised.

        :param traced: VDK has logged the traceback already.
        """
        from ..contract import DataSourceError
        from ..parts.redact import Redactor
        from ..runtime.report.logs import error_message, format_error

        if isinstance(error, DataSourceError):
            text = error_message(error)
        else:
            text = format_error(error) + ("" if self.debug else " (--debug shows where it was raised)")
        if self.debug and not traced:
            click.echo("\n".join(_frames(error)), err=True)
        self.print_error(Redactor()(text))

    def print_error(self, text: str) -> None:
        """Print an error message in the command's log format."""
        self.print_warnings()
        text = self.rewrite(text)
        if self.log_format == "json":
            click.echo(_json_line(time.time(), "error", PLUGIN_LOGGERS[:-1], text), err=True)
        else:
            click.echo(printable(f"Error: {text}", sys.stderr), err=True)

    def discard_warnings(self, warnings: Collection[str]) -> None:
        """Do not print these warnings: the command's JSON has them."""
        self.warnings = [warning for warning in self.warnings if warning not in warnings]

    def print_warnings(self) -> None:
        """Print the collected warnings, and from now on each warning at once."""
        for text in self.warnings if self.collects_warnings else ():
            click.echo(f"warning: {text}", err=True)
        self.collects_warnings = False


CONSOLE: StoreKey[Console | None] = StoreKey("vdk.datasource.console")


class _Handler(logging.StreamHandler[TextIO]):
    """Writes records as text for people, or as one JSON object per line."""

    def __init__(self, console: Console, stream: TextIO) -> None:
        super().__init__(stream)
        self._console = console

    def filter(self, record: logging.LogRecord) -> bool:
        return self._console.shows(record) and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        if self._console.collects_warnings and record.levelno >= logging.WARNING:
            self._console.warnings.append(self._console.rewrite(record.getMessage()))
            return
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        text, level = self._console.rewrite(record.getMessage()), record.levelname.lower()
        if record.exc_info or record.exc_text:
            text += f"\n{_traceback(record)}" if self._console.debug else f": {_traceback(record).splitlines()[-1]}"
        if self._console.log_format == "json":
            from ..runtime.report.logs import fields_of  # which loads Arrow: a command that lands nothing stays light

            return _json_line(record.created, level, record.name, text, fields_of(record))
        if not record.name.startswith(PLUGIN_LOGGERS):
            text = f"{record.name}: {text}"
        if self.stream.isatty():
            return printable(text if record.levelno == logging.INFO else f"{level}: {text}", self.stream)
        return f"{_utc(record.created)} {level.upper():<7} {text}"


def _traceback(record: logging.LogRecord) -> str:
    """The traceback of a record, redacted if ``redacted_logs`` has set its text."""
    if record.exc_text is None and record.exc_info:
        return "".join(traceback.format_exception(record.exc_info[1])).rstrip() or "no error"
    return record.exc_text or "no error"


def _frames(error: BaseException | None) -> Iterator[str]:
    """Where an error and its causes were raised, without their messages, which may contain secrets."""
    while error is not None:
        yield from (f"{type(error).__name__}, raised in:", "".join(traceback.format_tb(error.__traceback__)).rstrip())
        error = error.__cause__ or error.__context__


def _json_line(created: float, level: str, logger: str, text: str, fields: Mapping[str, str] | None = None) -> str:
    return json.dumps({"time": _utc(created), "level": level, "logger": logger, "message": text, **(fields or {})})


def _utc(created: float) -> str:
    milliseconds = int(created * 1000) % 1000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(created))}.{milliseconds:03d}Z"


def _escape_unencodable(stream: Any) -> None:
    """Escape what standard output cannot encode: a result with an "é" must not fail in ASCII (``LANG=C``)."""
    if str(getattr(stream, "encoding", "utf-8")).lower().replace("-", "") != "utf8" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
