"""Everything that can go wrong, ordered by what the runtime does next.

::

    DataSourceError
    ├── ConfigurationError         stop: the user changes the configuration
    │   └── AuthenticationError    stop: the user changes the credentials
    ├── StateError                 stop: the stored state is foreign, damaged or too new
    ├── ConcurrentRunError         stop: another run moved the same state
    ├── BadRecordError             reject the row or fail the stream (``on_bad_record``)
    ├── DestinationError           fail the stream: the destination refused what it was given
    ├── ConnectionFailedError      retry: a system is away, now
    └── FlowFailedError            one or more streams failed; raised after the others ended

An exception that is none of these fails its stream and is not retried, unless it is one of Python's
own signs that a system is away (``ConnectionError``, ``TimeoutError``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class DataSourceError(Exception):
    """The root of the tree; never raised itself."""


class ConfigurationError(DataSourceError):
    """What the user wrote is wrong. The message names the place, the value and the remedy."""


class AuthenticationError(ConfigurationError):
    """A system refused the credentials. Never retried: repeating a wrong password locks accounts."""


class StateError(DataSourceError):
    """A stored state cannot be continued from. It is never overwritten silently."""


class ConcurrentRunError(DataSourceError):
    """Another run committed state for the same partition since this run read it."""


class DestinationError(DataSourceError):
    """The destination cannot take what it was given; giving it again would change nothing."""


class ConnectionFailedError(DataSourceError):
    """A source or destination is away. Retried with backoff, within a bounded time.

    :param retry_after: seconds the other side asked to wait (RFC 9110, section 10.2.3), if it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadRecordError(DataSourceError):
    """A row that cannot land as it is.

    :param reason: what does not fit, in one sentence.
    :param stream: the stream, where it is known.
    :param column: the column, where it is one.
    :param key: the row's primary key or position, for a person to find it.
    :param value: the value; shown shortened.
    """

    def __init__(
        self,
        reason: str,
        *,
        stream: str | None = None,
        column: str | None = None,
        key: Any = None,
        value: Any = None,
    ) -> None:
        self.reason, self.stream, self.column = reason, stream, column
        self.key, self.value = key, value
        where = [
            f"stream {stream!r}" if stream is not None else "",
            f"column {column!r}" if column is not None else "",
            f"key {key!r}" if key is not None else "",
            f"value {_shortened(value)}" if value is not None else "",
        ]
        super().__init__(": ".join(filter(None, [", ".join(filter(None, where)), reason])))


class FlowFailedError(DataSourceError):
    """One or more streams failed; raised after the others ended.

    :param errors: each stream's own error, in the order of failing.
    :param summary: the run's summary, for every stream; None where none began.
    """

    def __init__(self, message: str, errors: Sequence[BaseException] = (), summary: Any = None) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
        self.summary = summary


def _shortened(value: Any, limit: int = 120) -> str:
    try:
        text = repr(value)
    except Exception:  # Arrow's scalars of nanoseconds, for one, have none
        text = f"<{type(value).__name__} that cannot be shown>"
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
