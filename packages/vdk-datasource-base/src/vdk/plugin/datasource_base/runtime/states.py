"""States as values of their own: JSON, and nobody else's to change."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..contract import ConfigurationError, DataSource, DataSourceError, State
from ..contract.remedies import suggest
from ..parts import CommitUnit, Destination, StoredState
from ..parts.flow_file import load_flow
from ..parts.infer import builtin
from ..parts.numbers import MAX_DIGITS, is_bounded
from .environment import Environment
from .report.logs import message_of


def copy_state(state: State, *, stream: str) -> State:
    """A copy of a state, made the moment the source hands it over.

    A source may go on counting in the very dict it yielded, while the rows behind it still wait. Stored
    then, the state would be ahead of its rows.

    :raises DataSourceError: for what is no JSON and would come back as something else in the next run.
    """
    if not isinstance(state, Mapping):
        raise DataSourceError(f"stream {stream!r} yielded a state of type {type(state).__name__}: a state is a mapping")
    try:
        copied: State = _copy(state, stream)
    except RecursionError:
        raise DataSourceError(f"stream {stream!r} yielded a state that is nested too deeply") from None
    return copied


def _copy(value: Any, stream: str) -> Any:
    kind = type(value)
    if kind is str:
        return _text(value, stream)
    if kind in (bool, type(None)) or (kind is float and math.isfinite(value)):
        return value
    if kind is int:
        return _integer(value, stream)
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise DataSourceError(f"stream {stream!r} yielded a state with the key {wrong[0]!r:.80}: keys are text")
        return {_text(key, stream): _copy(one, stream) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(one, stream) for one in value]
    if (own := builtin(value)) is not value:
        return _copy(own, stream)
    raise DataSourceError(
        f"stream {stream!r} yielded a state with {value!r:.80} in it: a state is made of text, finite numbers, "
        "truth values, None, lists and mappings"
    )


def _integer(value: int, stream: str) -> int:
    if not is_bounded(value):
        raise DataSourceError(
            f"stream {stream!r} yielded a state with an integer of more than {MAX_DIGITS:,} digits in it"
        )
    return value


def _text(value: str, stream: str) -> str:
    """The text, if it can be written down: half of a surrogate pair is no Unicode text (RFC 3629, section 3)."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataSourceError(
            f"stream {stream!r} yielded a state with {value!r:.80} in it, which is no text: it has half of a character"
        ) from None
    return value


@dataclass(frozen=True, slots=True)
class FoundState:
    """A stored state and the destination it is for, as the flow file calls it."""

    destination: str
    stored: StoredState

    def as_dict(self) -> dict[str, Any]:
        key = self.stored.key
        return {
            "source": key.source_id,
            "stream": key.stream,
            "partition": key.partition,
            "destination": self.destination,
            "table": key.table,
            "identity": key.source_identity,
            "version": self.stored.version,
            "run": self.stored.run_id,
            "state": self.stored.state,
        }


def show_states(
    flow: str | Path | Mapping[str, Any], environment: Environment, streams: list[str] | None = None
) -> list[FoundState]:
    """The states of the file's sources at its destinations, of the streams that the globs choose; None: all."""
    found = [
        FoundState(name, stored)
        for name, sources, destination in _destinations(flow, environment)
        for source in sources
        for stored in destination.load_states(source)
    ]
    return _chosen(found, streams)


def reset_states(
    flow: str | Path | Mapping[str, Any], environment: Environment, streams: list[str] | None = None
) -> list[FoundState]:
    """Reset them to ``{}``, so that the next run reads from the beginning; returns what they were. Rows stay."""
    forgotten: list[FoundState] = []
    for name, sources, destination in _destinations(flow, environment):
        here = [FoundState(name, stored) for source in sources for stored in destination.load_states(source)]
        for one in _chosen(here, streams):
            if not one.stored.state:
                continue  # reset before
            unit = CommitUnit(one.stored.key, (), {}, one.stored.version, environment.run_id, reset=True)
            destination.commit(unit)
            forgotten.append(one)
    return forgotten


def _destinations(
    flow: str | Path | Mapping[str, Any], environment: Environment
) -> Iterator[tuple[str, list[str], Destination]]:
    """Each destination that a flow leads to, connected, with the ids of the sources that lead there."""
    loaded = load_flow(flow, environment.lookups)
    sources: dict[str, dict[str, None]] = {}
    for entry in loaded.file.flows:
        sources.setdefault(entry.to, {})[entry.from_] = None
    for name, ids in sources.items():
        destination = environment.destination_of(loaded, name)
        with _opened(destination):
            yield name, list(ids), destination


@contextmanager
def _opened(destination: Destination) -> Iterator[None]:
    try:
        destination.open()
        yield
    finally:
        destination.close()


def _chosen(found: list[FoundState], streams: list[str] | None) -> list[FoundState]:
    if not streams:
        return found
    names = {one.stored.key.stream for one in found}
    for pattern in streams:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in names):
            raise ConfigurationError(f"no state of a stream matches {pattern!r}; {suggest(pattern, names)}")
    return [
        one
        for one in found
        if any(one.stored.key.stream == pattern or fnmatchcase(one.stored.key.stream, pattern) for pattern in streams)
    ]


log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
LAST_SECONDS = 5.0
"""How long the last call may take before the source is disconnected all the same."""


class CommittedStates:
    """Calls ``DataSource.committed`` from a thread of its own, at most once a second and once at the end.

    A source that does not override the method costs nothing: no thread is started.

    :param redact: takes secrets out of a text.
    """

    def __init__(self, source: DataSource[Any], redact: Callable[[str], str]) -> None:
        self._source = source
        self._redact = redact
        self._wanted = type(source).committed is not DataSource.committed
        self._newest: dict[str, dict[str, State]] = {}
        self._failed: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def stored(self, stream: str, partition: str, state: State) -> None:
        """A partition's state is durable. Returns at once; called by the thread that writes."""
        if not self._wanted or not state:
            return
        with self._changed:
            self._newest.setdefault(stream, {})[partition] = state
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="committed", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Hand over what is left, within a bounded time. Idempotent; called before the source is disconnected."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(LAST_SECONDS)
            if self._thread.is_alive():
                log.warning(
                    "source %r did not take note of what has landed within %.0f s; the next run does not depend on it",
                    self._source.source_name, LAST_SECONDS,
                )  # fmt: skip

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest or self._closed)
                newest, self._newest = self._newest, {}
                last = self._closed
            for stream, states in newest.items():
                self._hand_over(stream, states)
            if last:
                return
            began = time.monotonic()
            with self._changed:
                self._changed.wait_for(lambda: self._closed, EVERY_SECONDS - (time.monotonic() - began))

    def _hand_over(self, stream: str, states: dict[str, State]) -> None:
        try:
            self._source.committed(stream, states)
        except Exception as error:
            if stream not in self._failed:
                self._failed.add(stream)
                log.warning(
                    "stream %r: source %r could not take note of what landed; the next run does not depend on it: %s",
                    stream, self._source.source_name, self._redact(message_of(error)),
                )  # fmt: skip
