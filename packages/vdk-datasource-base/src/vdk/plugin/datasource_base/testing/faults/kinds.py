# SPDX-License-Identifier: Apache-2.0
"""The kinds of faults, and the instants at which they strike."""

from __future__ import annotations

import math
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from ...contract import ConnectionFailedError, DataSourcePayload

When = Literal["before", "half", "after"]
INSTANTS = (
    "connect", "streams", "partitions", "read", "disconnect",
    "open", "load_states", "discard", "stage", "commit", "publish", "close", "save",
)  # fmt: skip
"""Instants with a name; ``module:function`` and ``module:Class.method`` are instants as well."""


@dataclass(frozen=True, kw_only=True)
class Fault(ABC):
    """A fault that strikes when a run passes an instant for the ``nth`` time.

    :param instant: one of ``INSTANTS``: a method of the source, of the destination or of the state store (``save``), or
        ``read``, which is one payload, or the end of the payloads. Or any function, as
        ``"package.module:Class.method"``, to strike in the middle of a transaction.
    :param nth: 1 is the first time, counted over all sources, destinations and threads of the process.
    :param every: strike again each time that this many more have passed: ``nth=2, every=3`` is 2, 5, 8 …
    :param when: before the call; after it has done its work, so that only its result is lost; or ``"half"``, after half
        of the rows of a ``commit`` or ``stage`` were delivered, for a destination without transactions.
    """

    instant: str = field(kw_only=False)
    nth: int = 1
    every: int | None = None
    when: When = "before"

    def __post_init__(self) -> None:
        if self.instant not in INSTANTS and ":" not in self.instant:
            raise ValueError(f"unknown instant {self.instant!r}: use one of {', '.join(INSTANTS)}, or module:function")
        if self.when == "half" and self.instant not in ("commit", "stage"):
            raise ValueError(f'{self.instant!r} has no half: use when="half" with "commit" or "stage"')
        if self.nth < 1 or (self.every is not None and self.every < 1):
            raise ValueError(f"nth={self.nth}, every={self.every}: both count from 1")

    def strikes(self, number: int) -> bool:
        """Whether the fault strikes the ``number``-th time."""
        if self.every is None:
            return number == self.nth
        return number >= self.nth and (number - self.nth) % self.every == 0

    @abstractmethod
    def strike(self, released: threading.Event) -> None:
        """Cause the fault; ``released`` ends a fault that would otherwise wait forever."""


def _connection_failed() -> BaseException:
    return ConnectionFailedError("an injected fault")


@dataclass(frozen=True, kw_only=True)
class Fail(Fault):
    """Raises an error, by default ``ConnectionFailedError``, which is retried.

    :param error: makes a new error each time: a class or a function without arguments.
    """

    error: Callable[[], BaseException] = _connection_failed

    def strike(self, released: threading.Event) -> None:
        raise self.error()


@dataclass(frozen=True, kw_only=True)
class Hang(Fault):
    """Does not return until ``Injection.release()`` is called, or ``seconds`` have passed."""

    seconds: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.when == "half":
            raise ValueError(
                'a call that hangs continues in the end, and would land the half twice: use when="before" or "after"'
            )

    def strike(self, released: threading.Event) -> None:
        released.wait(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Kill(Fault):
    """Sends this process a signal, by default SIGKILL."""

    signal: int = field(default_factory=lambda: signal.SIGKILL)

    def strike(self, released: threading.Event) -> None:
        os.kill(os.getpid(), self.signal)


@dataclass(frozen=True, kw_only=True)
class Garble(Fault):
    """Replaces the payload by something else; ``instant`` is ``"read"``. ``GARBAGE`` has a collection."""

    payload: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.instant != "read":
            raise ValueError(f'{self.instant!r} yields no payload: use the instant "read"')

    def strike(self, released: threading.Event) -> None:
        """Do nothing; ``Injection`` yields the other payload."""


class Unprintable:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("this cannot be printed")


class UnprintableError(Exception):
    """An error whose message cannot be formatted, as of a library that formats it too late."""

    def __str__(self) -> str:
        raise RuntimeError("this cannot be printed")

    __repr__ = __str__


def _endless() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


def _payload(data: Any, **others: Any) -> Any:
    return DataSourcePayload(data, **others)


GARBAGE: Mapping[str, Any] = {
    "a row instead of a payload": {"n": 1},
    "None instead of a payload": None,
    "a number as data": _payload(5),
    "a text as data": _payload("text"),
    "a list with a number": _payload([{"n": 1}, 2]),
    "a list of lists": _payload([[1, 2]]),
    "a column name that is a number": _payload({1: 2}),
    "a reserved column": _payload({"_vdk_x": 1}),
    "two columns of one name": _payload(pa.table([[1], [2]], names=["n", "n"])),
    "a value that cannot be printed": _payload({"n": Unprintable()}),
    "a value that contains itself": _payload({"n": _endless()}),
    "a column name with half a character": _payload({"\ud800": 1}),
    "an unknown kind": _payload({"n": 1}, kind="upserts"),
    "deletes without a primary key": _payload({"n": 1}, kind="deletes"),
    "a table that is a number": _payload({"n": 1}, destination_table=5),
    "a reserved table": _payload({"n": 1}, destination_table="_vdk_datasource_state"),
    "metadata that is a number": _payload({"n": 1}, metadata=5),
    "a state that is a number": _payload({"n": 1}, state=5),
    "a state with a key that is a number": _payload({"n": 1}, state={1: 2}),
    "a state with an object": _payload({"n": 1}, state={"n": object()}),
    "a state that cannot be printed": _payload({"n": 1}, state={"n": Unprintable()}),
    "a state with NaN": _payload({"n": 1}, state={"n": math.nan}),
    "a state that contains itself": _payload({"n": 1}, state={"n": _endless()}),
    "a state with half a character": _payload({"n": 1}, state={"n": "\ud800"}),
}
"""Payloads that a runtime must refuse, with an error that names the stream."""
