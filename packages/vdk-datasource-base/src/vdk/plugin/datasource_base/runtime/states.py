# SPDX-License-Identifier: Apache-2.0
"""States: copied when a source yields them, reported to the source once they are stored.

The table that holds them is the destination's; see ``Destination.load_states``.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..contract import DataSource, DataSourceError, State
from ..parts.columns.infer import builtin
from ..parts.columns.numbers import MAX_DIGITS, is_bounded
from .report.logs import error_message

log = logging.getLogger(__name__)


def copy_state(state: State, *, stream: str) -> State:
    """A copy of a state, made when the source yields it.

    A source may continue to change the dict that it yielded while the rows before it still wait to land. Without the
    copy, the stored state would be ahead of its rows.

    :raises DataSourceError: if the state is not JSON, and would come back as something else in the next run.
    """
    if not isinstance(state, Mapping):
        raise DataSourceError(f"stream {stream!r} yielded a state of type {type(state).__name__}; yield a mapping")
    try:
        copied: State = _copy(state, stream)
    except RecursionError:
        raise DataSourceError(
            f"stream {stream!r} yielded a state that is nested too deeply; yield a flat mapping"
        ) from None
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
            raise DataSourceError(f"stream {stream!r} yielded a state with the key {wrong[0]!r:.80}; keys must be text")
        return {_text(key, stream): _copy(item, stream) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(item, stream) for item in value]
    if (plain := builtin(value)) is not value:
        return _copy(plain, stream)
    raise DataSourceError(
        f"stream {stream!r} yielded a state with the value {value!r:.80}; a state must consist of text, finite "
        "numbers, booleans, None, lists and mappings"
    )


def _integer(value: int, stream: str) -> int:
    if not is_bounded(value):
        raise DataSourceError(
            f"stream {stream!r} yielded a state with an integer of more than {MAX_DIGITS:,} digits; write it as text"
        )
    return value


def _text(value: str, stream: str) -> str:
    """The text, if UTF-8 can encode it, which fails for half of a surrogate pair (RFC 3629, section 3)."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataSourceError(
            f"stream {stream!r} yielded a state with {value!r:.80}, which is not Unicode text: it has half of a "
            "surrogate pair; replace it with text.encode(errors='replace').decode()"
        ) from None
    return value


CALL_INTERVAL = 1.0
"""Seconds between two calls of ``DataSource.committed``."""
LAST_CALL_TIMEOUT = 5.0
"""Seconds that the last call may take before the source is disconnected anyway."""


class CommittedStates:
    """Calls ``DataSource.committed`` in a thread of its own, at most once a second and once at the end.

    No thread is started for a source that does not override the method.

    :param redact: replaces the secrets in a text.
    """

    def __init__(self, source: DataSource[Any], redact: Callable[[str], str]) -> None:
        self._source = source
        self._redact = redact
        self._overridden = type(source).committed is not DataSource.committed
        self._newest: dict[str, dict[str, State]] = {}
        self._failed: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def stored(self, stream: str, partition: str, state: State) -> None:
        """Report that a partition's state is stored. Returns at once; the writer thread calls it."""
        if not self._overridden or not state:
            return
        with self._changed:
            self._newest.setdefault(stream, {})[partition] = state
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="committed", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Make the last call, within ``LAST_CALL_TIMEOUT``. Idempotent; called before the source is disconnected."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(LAST_CALL_TIMEOUT)
            if self._thread.is_alive():
                log.warning(
                    "source %r: committed() did not return within %.0f s; the next run does not depend on it",
                    self._source.source_name, LAST_CALL_TIMEOUT,
                )  # fmt: skip

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest or self._closed)
                newest, self._newest = self._newest, {}
                last = self._closed
            for stream, states in newest.items():
                self._call(stream, states)
            if last:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._closed, CALL_INTERVAL)

    def _call(self, stream: str, states: dict[str, State]) -> None:
        try:
            self._source.committed(stream, states)
        except Exception as error:
            if stream not in self._failed:
                self._failed.add(stream)
                log.warning(
                    "stream %r: committed() of source %r failed; the next run does not depend on it: %s",
                    stream, self._source.source_name, self._redact(error_message(error)),
                )  # fmt: skip
