"""The state of a partition that is read incrementally, and its JSON.

``{"v": 1, "cursor": field, "type": tag, "high": value, "overlap": base64}``

``high`` is the highest value of a finished reading, as the API wrote it. ``overlap`` knows the records
that were delivered at or above ``high - lookback``, by eight bytes each.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from vdk.plugin.datasource_base.contract import StateError

from ._cursor import Cursor
from ._messages import canonical

VERSION = 1
REMEMBERED = 1000
"""Records that a state knows: about 11 kB. Further ones of the overlap are delivered again."""
_SIZE = 8


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a partition was read.

    :param high: the highest value, as the API wrote it.
    :param known: the records that were delivered near it.
    """

    high: str | int | float | Decimal
    known: frozenset[bytes] = frozenset()


def encode(mark: Watermark, cursor: Cursor) -> dict[str, Any]:
    known = b64encode(b"".join(sorted(mark.known))).decode()
    return {
        "v": VERSION,
        "cursor": cursor.config.field,
        "type": cursor.config.type,
        "high": str(mark.high) if isinstance(mark.high, Decimal) else mark.high,
        **({"overlap": known} if known else {}),
    }


def decode(state: Mapping[str, Any], cursor: Cursor, stream: str) -> Watermark | None:
    """A stored state; None for ``{}``.

    :raises StateError: for a state of another version, making or cursor.
    """
    if not state:
        return None
    remedy = f"Reset the state of stream {stream!r} (`vdk datasource state reset`) to read it from the start"
    version, config = state.get("v"), cursor.config
    if isinstance(version, int) and version > VERSION:
        raise StateError(
            f"stream {stream!r}: its state has version {version}, and this release knows {VERSION}: it was written by "
            f"a newer release. Install that one again, or: {remedy}"
        )
    if version != VERSION or not {"cursor", "type", "high"} <= set(state):
        raise StateError(f"stream {stream!r}: its state was not written by this source. {remedy}")
    if (state["cursor"], state["type"]) != (config.field, config.type):
        raise StateError(
            f"stream {stream!r}: its state was written for the cursor {state['cursor']!r} ({state['type']}), and it is "
            f"read by {config.field!r} ({config.type}) now. {remedy}; or set the cursor back"
        )
    try:
        cursor.parse(state["high"])
        packed = b64decode(state.get("overlap", ""), validate=True)
    except (ValueError, TypeError) as error:
        raise StateError(f"stream {stream!r}: its state is damaged ({error!r}). {remedy}") from None
    known = frozenset(packed[at : at + _SIZE] for at in range(0, len(packed), _SIZE))
    return Watermark(state["high"], known)


def digest(row: Mapping[str, Any]) -> bytes:
    """Eight bytes that tell a record's values from others; the order of its fields does not matter."""
    return blake2b(canonical(row), digest_size=_SIZE).digest()


def digests(rows: Iterable[Mapping[str, Any]]) -> frozenset[bytes]:
    return frozenset(map(digest, rows))
