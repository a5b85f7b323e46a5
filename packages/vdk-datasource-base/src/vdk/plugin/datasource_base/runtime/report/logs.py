# SPDX-License-Identifier: Apache-2.0
"""Errors as text, and log records without secrets."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def format_error(error: BaseException) -> str:
    """The error's type and message."""
    return f"{type(error).__name__}: {error_message(error)}"


def error_message(error: BaseException) -> str:
    """The error's message. An error whose ``__str__`` raises must not end the other streams of a run."""
    return str(error) if has_message(error) else "its message cannot be read"


def has_message(error: BaseException) -> bool:
    """Whether ``str(error)`` works, which a library's error may fail at."""
    try:
        str(error)
    except Exception:
        return False
    return True


@contextmanager
def redacted_logs(redact: Callable[[str], str]) -> Iterator[None]:
    """Take secrets out of every log record that any thread makes meanwhile, client libraries included.

    At DEBUG, client libraries log URLs, headers and statements, and do not know what is secret in them. A filter is
    not enough: filters of a logger do not see the records of its child loggers, and VDK replaces handlers.
    """
    previous = logging.getLogRecordFactory()
    closed = False

    def make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = previous(*args, **kwargs)
        return record if closed else _redacted(record, redact)

    logging.setLogRecordFactory(make_record)
    try:
        yield
    finally:
        closed = True  # another run of this process may have wrapped this factory in its own
        if logging.getLogRecordFactory() is make_record:
            logging.setLogRecordFactory(previous)


def _redacted(record: logging.LogRecord, redact: Callable[[str], str]) -> logging.LogRecord:
    try:
        message = record.getMessage()
    except Exception:  # a wrong format string: logging reports it when it formats the record itself
        return record
    if (redacted := redact(message)) != message:
        record.msg, record.args = redacted, ()
    if record.exc_info and record.exc_info[1] is not None:
        printed = record.exc_text or "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        record.exc_text = redact(printed)
    return record
