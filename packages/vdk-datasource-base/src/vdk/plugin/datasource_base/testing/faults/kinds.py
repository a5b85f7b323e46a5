"""What can go wrong, and when: the faults themselves."""

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
    """Something that happens when a run passes an instant for the ``nth`` time.

    :param instant: one of ``INSTANTS``: a method of the source, the destination, the state store (``save``), or
        ``read``, which is one payload, or the word that there are no more. Or any function, as
        ``"package.module:Class.method"``: that is how to strike in the middle of a transaction.
    :param nth: 1 is the first time, counted over all sources, destinations and threads of the process.
    :param every: also each time that this many more have passed: ``nth=2, every=3`` is 2, 5, 8 …
    :param when: before the call; after it has done its work, so that only its answer is lost; or ``"half"``, after
        half of the rows of a ``commit`` or ``stage`` were delivered, of a destination without transactions.
    """

    instant: str = field(kw_only=False)
    nth: int = 1
    every: int | None = None
    when: When = "before"

    def __post_init__(self) -> None:
        if self.instant not in INSTANTS and ":" not in self.instant:
            raise ValueError(f"unknown instant {self.instant!r}: one of {', '.join(INSTANTS)}, or module:function")
        if self.when == "half" and self.instant not in ("commit", "stage"):
            raise ValueError(f"{self.instant!r} has no half: a commit and a stage have")
        if self.nth < 1 or (self.every is not None and self.every < 1):
            raise ValueError(f"nth={self.nth}, every={self.every}: both count from 1")

    def strikes(self, number: int) -> bool:
        """Whether it happens the ``number``-th time."""
        if self.every is None:
            return number == self.nth
        return number >= self.nth and (number - self.nth) % self.every == 0

    @abstractmethod
    def strike(self, released: threading.Event) -> None:
        """Let it happen; ``released`` ends what would wait for ever."""


def _away() -> BaseException:
    return ConnectionFailedError("a fault that was asked for")


@dataclass(frozen=True, kw_only=True)
class Fail(Fault):
    """Raises an error; by default the one that says a system is away, which is retried.

    :param error: makes the error, a new one each time: a class or a function without arguments.
    """

    error: Callable[[], BaseException] = _away

    def strike(self, released: threading.Event) -> None:
        raise self.error()


@dataclass(frozen=True, kw_only=True)
class Hang(Fault):
    """Does not come back before ``Injection.release()`` is called, or ``seconds`` have passed."""

    seconds: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.when == "half":
            raise ValueError("what hangs goes on in the end, and would land the half twice: hang before or after")

    def strike(self, released: threading.Event) -> None:
        released.wait(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Kill(Fault):
    """Sends this process a signal: by default the one that no process survives or notices."""

    signal: int = field(default_factory=lambda: signal.SIGKILL)

    def strike(self, released: threading.Event) -> None:
        os.kill(os.getpid(), self.signal)


@dataclass(frozen=True, kw_only=True)
class Garble(Fault):
    """Puts something else in the place of the payload; ``instant`` is ``"read"``. ``GARBAGE`` has a collection."""

    payload: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.instant != "read":
            raise ValueError(f"only what is read can be garbled, not {self.instant!r}")

    def strike(self, released: threading.Event) -> None:
        """Nothing happens but that ``Injection`` hands the other payload on."""


class Unprintable:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("this cannot be printed")


class UnprintableError(Exception):
    """An error whose message cannot be had, as of a library that formats it too late."""

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
    "no payload": {"n": 1},
    "None for a payload": None,
    "a number for data": _payload(5),
    "text for data": _payload("text"),
    "a list of no rows": _payload([{"n": 1}, 2]),
    "a list of lists": _payload([[1, 2]]),
    "a column that is no text": _payload({1: 2}),
    "a reserved column": _payload({"_vdk_x": 1}),
    "two columns of one name": _payload(pa.table([[1], [2]], names=["n", "n"])),
    "a value that cannot be printed": _payload({"n": Unprintable()}),
    "a value that contains itself": _payload({"n": _endless()}),
    "a column named by half of a character": _payload({"\ud800": 1}),
    "an unknown kind": _payload({"n": 1}, kind="upserts"),
    "keys that are deleted, without a key": _payload({"n": 1}, kind="deletes"),
    "a table that is no text": _payload({"n": 1}, destination_table=5),
    "a reserved table": _payload({"n": 1}, destination_table="_vdk_datasource_state"),
    "metadata that is no mapping": _payload({"n": 1}, metadata=5),
    "a state that is no mapping": _payload({"n": 1}, state=5),
    "a state with a key that is no text": _payload({"n": 1}, state={1: 2}),
    "a state with an object": _payload({"n": 1}, state={"n": object()}),
    "a state that cannot be printed": _payload({"n": 1}, state={"n": Unprintable()}),
    "a state that is not a number": _payload({"n": 1}, state={"n": math.nan}),
    "a state that contains itself": _payload({"n": 1}, state={"n": _endless()}),
    "a state with half of a character": _payload({"n": 1}, state={"n": "\ud800"}),
}
"""Payloads that a runtime must refuse, each alone, with an error that names the stream."""
