"""What can go wrong, and when: the faults themselves."""

from __future__ import annotations

import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..contract import ConnectionFailedError

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
