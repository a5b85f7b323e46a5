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

import itertools
import reprlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 120
"""Characters of a value that an error shows."""


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
            f"key {shortened(key)}" if key is not None else "",
            f"value {shortened(value)}" if value is not None else "",
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


class _Brief(reprlib.Repr):
    """A ``repr`` whose cost and length are bounded, of however large a value."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = 30

    def repr_str(self, text: str, level: int) -> str:
        return _cut(repr(text[:_SHOWN]), len(text) + 2)

    def repr_bytes(self, value: bytes, level: int) -> str:
        return _cut(repr(value[:_SHOWN]), len(value) + 3)

    def repr_int(self, number: int, level: int) -> str:
        bits = number.bit_length()
        return repr(number) if bits <= 4 * _SHOWN else f"an integer of {bits:,} bits"

    def repr_dict(self, value: dict[Any, Any], level: int) -> str:
        """As the base class, in the order of the keys rather than sorted: a primary key comes first."""
        if level <= 0:
            return "{...}"
        first = itertools.islice(value.items(), self.maxdict)
        shown = [f"{self.repr1(key, level - 1)}: {self.repr1(one, level - 1)}" for key, one in first]
        return "{" + ", ".join(shown + ["..."] * (len(value) > self.maxdict)) + "}"

    def repr_instance(self, value: Any, level: int) -> str:
        try:
            return _cut(text := repr(value), len(text))
        except Exception:  # Arrow's scalars of nanoseconds, for one, have none
            return f"<{type(value).__name__} that cannot be shown>"


def _cut(text: str, length: int) -> str:
    return text if length <= _SHOWN else f"{text[:_SHOWN]}… ({length} characters)"


def shortened(value: Any) -> str:
    """A value as errors show it: the beginning of its ``repr``, at a cost that is bounded."""
    text = _Brief().repr(value)
    return text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}…"
