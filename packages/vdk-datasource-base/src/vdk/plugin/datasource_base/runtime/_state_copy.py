"""States as values of their own: JSON, and nobody else's to change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..contract import DataSourceError, State
from ..parts._infer import builtin
from ..parts._numbers import MAX_DIGITS, is_bounded


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
