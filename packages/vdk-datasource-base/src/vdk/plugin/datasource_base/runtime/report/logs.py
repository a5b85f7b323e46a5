"""Log lines without secrets, whoever writes them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def redacted_logs(redact: Callable[[str], str]) -> Iterator[None]:
    """Take secrets out of every log record that is made meanwhile, in any thread: of the client libraries, too.

    At DEBUG those tell of URLs, headers and statements, and know nothing of secrets. A filter would not do: filters
    of a logger do not see the records of loggers below it, and VDK replaces handlers.
    """
    made_by = logging.getLogRecordFactory()
    over = False

    def make(*given: Any, **named: Any) -> logging.LogRecord:
        record = made_by(*given, **named)
        return record if over else _redacted(record, redact)

    logging.setLogRecordFactory(make)
    try:
        yield
    finally:
        over = True  # another run of this process may have put its own factory around this one
        if logging.getLogRecordFactory() is make:
            logging.setLogRecordFactory(made_by)


def _redacted(record: logging.LogRecord, redact: Callable[[str], str]) -> logging.LogRecord:
    try:
        said = record.getMessage()
    except Exception:  # a wrong format string: logging tells of it when it formats the record itself
        return record
    if (text := redact(said)) != said:
        record.msg, record.args = text, ()
    if record.exc_info and record.exc_info[1] is not None:
        printed = record.exc_text or "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        record.exc_text = redact(printed)
    return record


def message_of(error: BaseException) -> str:
    """Its message. A library's error that fails to make its own must not end the run of the other streams."""
    return str(error) if printable(error) else "its message cannot be had"


def printable(error: BaseException) -> bool:
    """Whether whoever handles it can print it."""
    try:
        str(error)
    except Exception:
        return False
    return True


def told(error: BaseException) -> str:
    """Its type and message."""
    return f"{type(error).__name__}: {message_of(error)}"
