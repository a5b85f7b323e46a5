# SPDX-License-Identifier: Apache-2.0
"""Everything that can go wrong, ordered by what the runtime does next.

::

    DataSourceError
    ├── ConfigurationError         stop: the user changes the configuration
    │   ├── ArgumentError          stop: the user changes the command line, or the arguments of a call
    │   └── AuthenticationError    stop: the user changes the credentials
    ├── StateError                 stop: the stored state is of another source, damaged or too new
    ├── ConcurrentRunError         stop: another run moved the same state
    ├── BadRecordError             reject the row or fail the stream (``on_bad_record``)
    ├── DestinationError           fail the stream: the destination refused what it was given
    ├── ExpectationError           fail the stream: its rows are not what the flow expects, and they do not land
    ├── VerificationError          fail the stream: the destination does not have what the state claims
    ├── ConnectionFailedError      retry: a system is unreachable now
    │   └── SnapshotLostError      start a replaced table over: its partitions can no longer be read as of one moment
    └── FlowFailedError            one or more streams failed; raised after the others ended

Any other exception fails its stream and is not retried, unless it is one of those that Python raises for an
unreachable system (``ConnectionError``, ``TimeoutError``).
"""

from __future__ import annotations

import itertools
import reprlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHOWN = 120
"""Characters of a value that an error shows."""


class DataSourceError(Exception):
    """The root of the tree. Only its subclasses are raised."""


class ConfigurationError(DataSourceError):
    """What the user wrote is wrong. The message names the place, the value and the remedy."""

    options: Mapping[str, Any] = MappingProxyType({})
    """Options of the source that may mend it: ``vdk datasource init`` tries them."""


class ArgumentError(ConfigurationError):
    """An argument is wrong, such as ``--stream nosuch``: commands end with 2, and nothing counts as a run."""


class AuthenticationError(ConfigurationError):
    """A system refused the credentials. Never retried: repeating a wrong password locks accounts."""


class StateError(DataSourceError):
    """A stored state cannot be continued from. It is never overwritten silently."""


class ConcurrentRunError(DataSourceError):
    """Another run committed state for the same partition since this run read it."""


class DestinationError(DataSourceError):
    """The destination refused its input; a second attempt would fail in the same way."""


class ExpectationError(DataSourceError):
    """The rows that are about to land are not what the flow expects. They do not land."""


class VerificationError(DataSourceError):
    """The rows of a stream do not add up: the destination lacks some that landed, or has some twice."""


class ConnectionFailedError(DataSourceError):
    """A source or destination is unreachable. Retried with backoff, within a bounded time.

    :param retry_after: seconds that the other side asks to wait (RFC 9110, section 10.2.3), if it does.
    :param waited: whoever raises it has waited for as long as its own option allows, so it is not retried.
    :param failing_since: when its own attempts began to fail (``time.monotonic``), if it made several: they count in
        the time that an unreachable system is retried.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        waited: bool = False,
        failing_since: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.waited = waited
        self.failing_since = failing_since


class SnapshotLostError(ConnectionFailedError):
    """The snapshot that the partitions of a stream share exists no more, so the rest would be of another moment.

    If the stream replaces its table, what it staged is discarded, the source is asked for partitions again, and all of
    them are read, three times at most. Else it is a ``ConnectionFailedError`` as any other.
    """


class BadRecordError(DataSourceError):
    """A row that cannot land as it is.

    :param reason: what does not fit, in one sentence.
    :param stream: the stream, if it is known.
    :param column: the column, if one column is the reason.
    :param key: the row's primary key or position, by which a user finds it.
    :param value: the value; it is shown shortened.
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
        location = [
            f"stream {stream!r}" if stream is not None else "",
            f"column {column!r}" if column is not None else "",
            f"key {shortened(key)}" if key is not None else "",
            f"value {shortened(value)}" if value is not None else "",
        ]
        super().__init__(": ".join(filter(None, [", ".join(filter(None, location)), reason])))


class FlowFailedError(DataSourceError):
    """One or more streams failed; raised after the others ended.

    :param errors: the error of each stream, in the order in which they failed.
    :param summary: the run's summary of all streams; None if no stream began.
    """

    def __init__(self, message: str, errors: Sequence[BaseException] = (), summary: Any = None) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
        self.summary = summary


class _BoundedRepr(reprlib.Repr):
    """A ``repr`` of bounded cost and length, however large the value is."""

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
        shown = [f"{self.repr1(key, level - 1)}: {self.repr1(item, level - 1)}" for key, item in first]
        return "{" + ", ".join(shown + ["..."] * (len(value) > self.maxdict)) + "}"

    def repr_instance(self, value: Any, level: int) -> str:
        try:
            return _cut(text := repr(value), len(text))
        except Exception:  # for example of Arrow's scalars of nanoseconds
            return f"<{type(value).__name__} that cannot be shown>"


def _cut(text: str, length: int) -> str:
    return text if length <= _SHOWN else f"{text[:_SHOWN]}… ({length} characters)"


def shortened(value: Any) -> str:
    """A value as errors show it: the beginning of its ``repr``, at a bounded cost."""
    text = _BoundedRepr().repr(value)
    return text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}…"
