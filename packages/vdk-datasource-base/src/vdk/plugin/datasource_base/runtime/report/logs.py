# SPDX-License-Identifier: Apache-2.0
"""Errors as text, and log records: without secrets, and with the stream and partition that they are about."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ...contract import DataSourceError, FlowFailedError


def format_error(error: BaseException) -> str:
    """The error's type and message, with its notes, which have what the runtime knows of it."""
    return "; ".join([f"{type(error).__name__}: {error_message(error)}", *getattr(error, "__notes__", ())])


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


def redacted_error(error: BaseException, redact: Callable[[str], str]) -> BaseException:
    """The error itself, or one without secrets if its traceback shows one or its message cannot be read."""
    printed = "".join(traceback.format_exception(error))
    if redact(printed) == printed and has_message(error):
        return error
    text = redact(error_message(error))
    if isinstance(error, DataSourceError):
        error.args = (text,)
        error.__cause__ = error.__context__ = None
        error.__notes__ = [redact(note) for note in getattr(error, "__notes__", ())]
        return error
    return FlowFailedError(f"{type(error).__name__}: {text}", [error])


@contextmanager
def redacted_errors(redact: Callable[[str], str]) -> Iterator[None]:
    """Take secrets out of the errors that are raised meanwhile, and out of log records."""
    with redacted_logs(redact):
        try:
            yield
        except Exception as error:
            safe = redacted_error(error, redact)
            if safe is error:
                raise
            raise safe from None


FIELDS = ("run", "source", "stream", "partition")
"""What a log record is about. Its attributes begin with ``vdk_``, since a library's ``extra`` may use the names."""
_PREFIX = "vdk_"
_FIELDS: ContextVar[Mapping[str, str] | None] = ContextVar("vdk_datasource_log_fields", default=None)


@contextmanager
def log_fields(**fields: str | None) -> Iterator[None]:
    """Add fields to the log records that this thread makes meanwhile, while ``redacted_logs`` is active.

    :param fields: some of ``FIELDS``; None takes one away.
    """
    merged = {**(_FIELDS.get() or {}), **fields}
    token = _FIELDS.set({name: value for name, value in merged.items() if value is not None})
    try:
        yield
    finally:
        _FIELDS.reset(token)


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """The fields of a log record."""
    return {name: record.__dict__[_PREFIX + name] for name in FIELDS if _PREFIX + name in record.__dict__}


@contextmanager
def redacted_logs(redact: Callable[[str], str], *, run_id: str | None = None) -> Iterator[None]:
    """Take secrets out of every log record that any thread makes meanwhile, client libraries included.

    Each record also gets the fields of ``log_fields``, and the id of the run.

    At DEBUG, client libraries log URLs, headers and statements, and do not know what is secret in them. A filter is
    not enough: filters of a logger do not see the records of its child loggers, and VDK replaces handlers.
    """
    previous = logging.getLogRecordFactory()
    closed = False

    def make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = previous(*args, **kwargs)
        if closed:
            return record
        fields = {"run": run_id, **(_FIELDS.get() or {})}
        record.__dict__.update({_PREFIX + name: value for name, value in fields.items() if value is not None})
        return _redacted(record, redact)

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
