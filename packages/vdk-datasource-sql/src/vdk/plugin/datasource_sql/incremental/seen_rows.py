# SPDX-License-Identifier: Apache-2.0
"""The rows near the watermark that were delivered already, as a bounded multiset of hashes."""

from __future__ import annotations

import base64
import datetime as dt
import json
import marshal
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from vdk.plugin.datasource_base.parts import whole_number

CAP = 100_000
SIZE = 8
GROUPS = 4096
_MASK = 2**64 - 1
_MARSHALLED = (type(None), bool, int, float, str, bytes)


def row_hash(row: tuple[Any, ...], shape: bytes = b"") -> int:
    """64 bits over all values of a row and their types; the same in every Python process.

    marshal's format 2 has fixed bytes for numbers, text and bytes, and takes a third of the time of ``repr``.

    :param shape: ``shape_of`` the columns; empty: they do not count, as in states of the first release.
    """
    try:
        data = marshal.dumps(row, 2)
    except ValueError:  # a driver's own objects are in it
        data = marshal.dumps(tuple(map(_plain, row)), 2)
    return int.from_bytes(blake2b(data, digest_size=SIZE, person=shape).digest(), "big")


def _plain(value: Any) -> Any:
    """A value as one that marshal writes. A time is its instant, whatever the zone of the session."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(dt.UTC)
    return value if type(value) in _MARSHALLED else (type(value).__name__, str(value))


def shape_of(columns: Mapping[str, str]) -> str:
    """The names and declared types of columns in their order, as 16 bytes in hexadecimal digits.

    Values alone do not make a row: ``RENAME COLUMN`` changes no value, but every row.
    """
    return blake2b(json.dumps(list(columns.items())).encode(), digest_size=16).hexdigest()


class SeenRows:
    """A bounded multiset of row hashes.

    A hash covers the whole row, key and cursor included, so an updated row has another hash. Equal rows
    (of a table without a key) count.

    :ivar shape: of the columns that the hashes cover, see ``shape_of``.

    Above ``cap`` rows only sums are kept, one for each of 4096 groups of hashes. They recognise a group
    whose rows are all as they were, once ``verify`` has seen every current row. A group with
    any change is delivered again as a whole: rows are repeated, never dropped.
    """

    def __init__(self, hashes: Iterable[int] = (), cap: int | None = None, shape: str = "") -> None:
        self.shape = shape
        self._shape = bytes.fromhex(shape)
        self._cap = CAP if cap is None else cap
        self._counts: Counter[int] = Counter()
        self._sums: list[int] | None = None
        self._consumed: list[int] = []
        self._same: set[int] = set()
        self._encoded: Any = None
        self.size = 0
        for digest in hashes:
            self.add(digest)

    def hash(self, row: tuple[Any, ...]) -> int:
        """A row as this set knows rows."""
        return row_hash(row, self._shape)

    @property
    def is_summed(self) -> bool:
        """Whether there are more rows than are remembered one by one."""
        return self._sums is not None

    def add(self, digest: int) -> None:
        self._encoded = None
        self.size += 1
        if self._sums is None:
            self._counts[digest] += 1
            if self.size > self._cap:
                self._sums = [0] * GROUPS
                for element in self._counts.elements():
                    self._sums[element % GROUPS] = (self._sums[element % GROUPS] + element) & _MASK
                self._counts.clear()
        else:
            self._sums[digest % GROUPS] = (self._sums[digest % GROUPS] + digest) & _MASK

    def verify(self, now: Iterable[int]) -> bool:
        """Find the groups that have not changed; ``now`` has the hashes of all rows that ``consume`` may be called
        with. Returns whether no group has changed."""
        sums = [0] * GROUPS
        for digest in now:
            sums[digest % GROUPS] = (sums[digest % GROUPS] + digest) & _MASK
        assert self._sums is not None
        self._same = {group for group in range(GROUPS) if sums[group] == self._sums[group]}
        self._consumed = [0] * GROUPS
        self._encoded = None
        return sums == self._sums

    def end_verification(self) -> None:
        """``consume`` will not be called."""
        self._same, self._consumed, self._encoded = set(), [], None

    def consume(self, digest: int) -> bool:
        """Whether the row is known; one occurrence of it is removed."""
        self._encoded = None
        if self._sums is not None:
            group = digest % GROUPS
            if group not in self._same:
                return False
            self._consumed[group] = (self._consumed[group] + digest) & _MASK
            return True
        count = self._counts.get(digest, 0)
        if not count:
            return False
        if count == 1:
            del self._counts[digest]
        else:
            self._counts[digest] = count - 1
        self.size -= 1
        return True

    def finish(self, later: SeenRows) -> None:
        """At the end of a pass: a group of which a row changed between ``verify`` and its reading is forgotten in
        ``later``, so that it is delivered again."""
        if self._sums is not None:
            for group in self._same:
                if self._consumed[group] != self._sums[group]:
                    # Rows that are hashed another way are in other groups there.
                    for forgotten in (group,) if later.shape == self.shape else range(GROUPS):
                        later.forget(forgotten)

    def keep(self, earlier: SeenRows) -> None:
        """Add the rows that ``earlier`` still has, if both have rows one by one."""
        if self._sums is None and earlier._sums is None and self.shape == earlier.shape:
            for digest in earlier._counts.elements():
                self.add(digest)

    def forget(self, group: int) -> None:
        """Remove all rows of a group of hashes."""
        self._encoded = None
        if self._sums is not None:
            self._sums[group] ^= 1  # no longer the sum of its rows
            return
        for digest in [count for count in self._counts if count % GROUPS == group]:
            self.size -= self._counts.pop(digest)

    def encode(self) -> Any:
        """JSON: hashes in order, packed, in base64 (the same set is the same text); or the sums."""
        if self._encoded is None:
            if self._sums is None:
                self._encoded = _packed(sorted(self._counts.elements()))
            else:
                self._encoded = {"rows": self.size, "sums": _packed(self._sums)}
                if self._consumed:
                    self._encoded |= {"same": sorted(self._same), "taken": _packed(self._consumed)}
        return self._encoded

    def copy(self) -> SeenRows:
        """Of rows that are known one by one."""
        return SeenRows(self._counts.elements(), self._cap, self.shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return SeenRows.decode, (self.encode(), self.shape)

    @classmethod
    def decode(cls, data: Any, shape: str = "") -> SeenRows:
        """Raises ``ValueError``, ``TypeError`` or ``KeyError`` for what ``encode`` did not write."""
        if isinstance(data, str):
            hashes = _unpacked(data)
            seen = cls(hashes, cap=len(hashes), shape=shape)
            seen._cap = CAP
            return seen
        seen = cls(shape=shape)
        seen.size, seen._sums = whole_number(data["rows"]), _unpacked(data["sums"], GROUPS)
        if "same" in data:
            seen._same, seen._consumed = set(data["same"]), _unpacked(data["taken"], GROUPS)
        return seen


def _packed(numbers: Iterable[int]) -> str:
    return base64.b64encode(b"".join(number.to_bytes(SIZE, "big") for number in numbers)).decode("ascii")


def _unpacked(text: str, count: int | None = None) -> list[int]:
    packed = base64.b64decode(text, validate=True)
    if len(packed) % SIZE or (count is not None and len(packed) != SIZE * count):
        raise ValueError(f"{len(packed)} bytes are not {count or 'whole'} numbers")
    return [int.from_bytes(packed[index : index + SIZE], "big") for index in range(0, len(packed), SIZE)]
