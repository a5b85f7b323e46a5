# SPDX-License-Identifier: Apache-2.0
"""The state of an incremental stream, and its JSON.

``{"v": 1, "cursor": column, "type": tag, "key": [column, …], "primary_key": [column, …],
"high_watermark": {"cursor": …, "key": […]} | null,
"resume": {"order": "cursor"|"key"|"nulls", "cursor": …, "key": […], "upper": …} | null,
"overlap": {"rows": base64, "shape": hex, "before": base64, "before_shape": hex},
"cursor_options": {option: value}, "oldest": [[cursor, [key, …]], …], "swept": ISO 8601 time, "database": text,
"barrier": {"upper": …, "open": [name, …], "server": …, "since": ISO 8601 time}}``

``high_watermark`` is the highest cursor of a finished pass, ``resume`` is the position of an
unfinished pass. ``overlap.rows`` knows the rows delivered at and above ``high_watermark - lookback`` and
those without a cursor; while a pass is unfinished, ``overlap.before`` has what the pass before left.
``oldest`` has some of the rows with the lowest cursors, by which another database is recognised.
``cursor_options`` are those by which the cursor was read.
``database`` tells the database from another one at the same address. ``barrier`` is the end that a pass did not reach,
because transactions were open that may commit rows below it.
The shapes are those of the columns that the hashes cover; without one they cover values only, as the first release did.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from shlex import quote
from typing import Any
from uuid import UUID

from vdk.plugin.datasource_base.contract import StateError
from vdk.plugin.datasource_base.parts import exact_decimal, toml_key

from ..kinds import is_undecodable, raw_bytes
from ..pages.paging import ResumePoint
from ..plans.table_info import Barrier
from .seen_rows import SeenRows

VERSION = 1


@dataclass(slots=True)
class StreamProgress:
    """A state, decoded."""

    type: str | None = None
    high: Any = None
    high_key: tuple[Any, ...] = ()
    resume: ResumePoint | None = None
    rows: SeenRows = field(default_factory=SeenRows)
    before: SeenRows = field(default_factory=SeenRows)
    swept: str | None = None
    oldest: list[tuple[Any, tuple[Any, ...]]] = field(default_factory=list)
    barrier: Barrier | None = None
    database: str = ""
    cursor_options: Mapping[str, Any] = field(default_factory=dict)


def encode(
    progress: StreamProgress, cursor: Sequence[str], key: Sequence[str], primary_key: Sequence[str] = ()
) -> dict[str, Any]:
    """``progress`` as JSON."""
    high = None
    if progress.high is not None:
        high = {"cursor": _out(progress.high), "key": [_out(value) for value in progress.high_key]}
    overlap = {}
    for name, shape, known in (("rows", "shape", progress.rows), ("before", "before_shape", progress.before)):
        if known.size:
            overlap[name] = known.encode()
            overlap |= {shape: known.shape} if known.shape else {}
    return {
        "v": VERSION,
        "cursor": _column(cursor),
        "type": progress.type,
        "key": list(key),
        "high_watermark": high,
        "resume": _encode_resume(progress.resume),
        "overlap": overlap,
        "primary_key": list(primary_key),
        **(
            {"oldest": [[_out(value), list(map(_out, key))] for value, key in progress.oldest]}
            if progress.oldest
            else {}
        ),
        **({"cursor_options": dict(progress.cursor_options)} if progress.cursor_options else {}),
        **({"swept": progress.swept} if progress.swept is not None else {}),
        **({"database": progress.database} if progress.database else {}),
        **({"barrier": _encode_barrier(progress.barrier)} if progress.barrier is not None else {}),
    }


def decode(
    state: Mapping[str, Any],
    stream: str,
    cursor: Sequence[str],
    key: Sequence[str],
    primary_key: Sequence[str] | None = None,
) -> StreamProgress:
    """A stored state as the progress of a stream that is now read by ``cursor`` and ``key``.

    :raises StateError: for a state of another version, source or cursor, or in the middle
        of a pass by another key.
    """
    if not state:
        return StreamProgress()
    _check_version(state, stream)
    if state.get("cursor") != _column(cursor):
        raise StateError(
            f"stream {stream!r}: its state was written for the cursor {state.get('cursor')!r}, and it is read by "
            f"{_column(cursor)!r} now. {remedy(stream)}; or set tables.{toml_key(stream)}.cursor back"
        )
    landed_by = state.get("primary_key")
    if primary_key is not None and landed_by is not None and landed_by != list(primary_key):
        raise StateError(
            f"stream {stream!r}: its rows landed by the primary key {landed_by!r}, and it is {list(primary_key)!r} "
            f"now, so they would not be matched again. {remedy(stream)}, into another destination_table or after the "
            f"table at the destination is dropped; or name the old key with tables.{toml_key(stream)}.primary_key"
        )
    if state.get("resume") is not None and state.get("key") != list(key):
        raise StateError(
            f"stream {stream!r}: its last run stopped in the middle, in the order of the key {state.get('key')!r}; "
            f"the key is {list(key)!r} now. {remedy(stream)}"
        )
    try:
        return _decode(state)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateError(f"stream {stream!r}: its state is damaged ({error!r:.200}). {remedy(stream)}") from error


def describe(state: Mapping[str, Any]) -> str:
    """How far a state is, for people: ``updated_at 2026-01-31 09:00:00, id 7``, and where a pass goes on."""
    columns = state["cursor"] if isinstance(state["cursor"], list) else [state["cursor"]]
    high, resume = state["high_watermark"], state["resume"]
    parts = [] if high is None else [_reached(columns, high["cursor"]), _reached(state["key"], high["key"])]
    if resume is not None:
        order = columns if resume["order"] == "cursor" else state["key"]
        position = resume.get("cursor") if resume["order"] == "cursor" else resume["key"]
        place = _reached(order, position) if position else "its beginning"
        parts.append(f"a read up to {_reached(columns, resume['upper'])} continues at {place}")
    return ", ".join(filter(None, parts)) or f"rows without a value in {', '.join(columns)} were read"


def _reached(columns: Sequence[str], value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return ", ".join(f"{column} {_plain(item)}" for column, item in zip(columns, values, strict=False))


def _plain(value: Any) -> str:
    """A value as the state has it, without what wraps it."""
    if isinstance(value, Mapping):
        return "" if "bytes" in value or "text" in value else str(next(iter(value.values()), ""))
    return str(value)


def remedy(stream: str) -> str:
    """What to do about a state that a run cannot continue from."""
    command = f"vdk datasource state reset FLOW --stream {quote(stream)}"
    return f"Reset the state of stream {stream!r} (`{command}`) to read it from the start"


def _check_version(state: Mapping[str, Any], stream: str) -> None:
    version = state.get("v")
    if isinstance(version, int) and version > VERSION:
        raise StateError(
            f"stream {stream!r}: its state has version {version}, and this release knows {VERSION}: it was written by "
            f"a newer release. Install that one again, or: {remedy(stream)}"
        )
    if version != VERSION or "cursor" not in state:
        raise StateError(f"stream {stream!r}: its state was not written by this source. {remedy(stream)}")


def _decode(state: Mapping[str, Any]) -> StreamProgress:
    progress = StreamProgress(type=state["type"])
    if (high := state["high_watermark"]) is not None:
        progress.high = _in(high["cursor"])
        progress.high_key = _key(high["key"])
    if (resume := state["resume"]) is not None:
        if resume["order"] not in ("cursor", "key", "nulls"):
            raise ValueError(resume["order"])
        key = None if resume["key"] is None else _key(resume["key"])
        progress.resume = ResumePoint(resume["order"], _in(resume.get("cursor")), key, _in(resume["upper"]))
    progress.swept = state.get("swept")
    if not isinstance(database := state.get("database", ""), str):
        raise ValueError("its database is none")
    progress.database = database
    progress.cursor_options = _decode_options(state.get("cursor_options", {}))
    progress.barrier = _decode_barrier(state["barrier"]) if "barrier" in state else None
    progress.oldest = [(_in(value), tuple(map(_in, key))) for value, key in state.get("oldest", ())]
    overlap = state["overlap"]
    progress.rows = SeenRows.decode(overlap.get("rows", ""), overlap.get("shape", ""))
    progress.before = SeenRows.decode(overlap.get("before", ""), overlap.get("before_shape", ""))
    return progress


def _encode_resume(resume: ResumePoint | None) -> dict[str, Any] | None:
    if resume is None:
        return None
    key = None if resume.key is None else [_out(value) for value in resume.key]
    encoded = {"order": resume.order, "key": key, "upper": _out(resume.upper)}
    return {**encoded, "cursor": _out(resume.cursor)} if resume.order == "cursor" else encoded


def _encode_barrier(barrier: Barrier) -> dict[str, Any]:
    return {**asdict(barrier), "upper": _out(barrier.upper), "open": list(barrier.open)}


def _decode_barrier(encoded: Mapping[str, Any]) -> Barrier:
    names, server, since = encoded["open"], encoded["server"], encoded["since"]
    if not isinstance(names, list) or not all(isinstance(text, str) for text in (*names, server, since)):
        raise ValueError("its barrier is none")
    return Barrier(_in(encoded["upper"]), tuple(names), server, since)


def _decode_options(options: Any) -> Mapping[str, Any]:
    if options and not (isinstance(options["cursor_format"], str) and isinstance(options["null_cursor_values"], list)):
        raise ValueError("its cursor_options are none")
    return dict(options)


def _column(cursor: Sequence[str]) -> str | list[str]:
    return cursor[0] if len(cursor) == 1 else list(cursor)


_WRAPPED: dict[str, tuple[type, Callable[[str], Any]]] = {
    "timestamp": (dt.datetime, dt.datetime.fromisoformat),
    "date": (dt.date, dt.date.fromisoformat),
    "decimal": (Decimal, exact_decimal),
    "uuid": (UUID, UUID),
}
"""Values of drivers, as text in JSON."""


def _out(value: Any) -> Any:
    """A stored value as JSON; what JSON cannot express is wrapped."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, str) and not value.isascii() and is_undecodable(value):
        return {"text": base64.b64encode(raw_bytes(value)).decode("ascii")}
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return {"float": repr(value)}
    if isinstance(value, int) and value >= 2**63:
        return {"unsigned": str(value)}
    name = next((name for name, (type_, _) in _WRAPPED.items() if type(value) is type_), None)
    return value if name is None else {name: value.isoformat() if hasattr(value, "isoformat") else str(value)}


def _in(value: Any) -> Any:
    """A value of a state as the database stores it. Raises ``ValueError`` for what it cannot store."""
    if isinstance(value, Mapping) and "text" in value:
        return base64.b64decode(value["text"], validate=True).decode("utf-8", "surrogateescape")
    if isinstance(value, Mapping) and "unsigned" in value:
        if not 2**63 <= (number := int(value["unsigned"][:20])) < 2**64:
            raise ValueError(f"{number} is not an integer without sign, of 64 bits")
        return number
    if isinstance(value, Mapping) and (name := next(iter(value), "")) in _WRAPPED:
        return _WRAPPED[name][1](value[name])
    if isinstance(value, Mapping):
        value = base64.b64decode(value["bytes"], validate=True) if "bytes" in value else float(value["float"])
    elif isinstance(value, str):
        value.encode()
    elif isinstance(value, bool) or not (value is None or isinstance(value, (int, float))):
        raise ValueError(f"a value is {_shown(value)}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"an integer of {value.bit_length()} bits, and the database's have 64")
    return value


def _shown(value: Any) -> str:
    return f"of type {type(value).__name__}" if isinstance(value, (int, list, dict)) else f"{value!r:.80}"


def _key(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list):
        raise ValueError(f"a key is {_shown(values)}")
    return tuple(map(_in, values))
