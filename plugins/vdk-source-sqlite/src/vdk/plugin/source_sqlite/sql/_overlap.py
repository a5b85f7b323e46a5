"""Which rows near the watermark were delivered already."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

CAP = 100_000
SIZE = 8


def row_hash(row: tuple[Any, ...]) -> bytes:
    """Eight bytes that tell rows apart by all their values and types; the same in every Python process."""
    return hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=SIZE).digest()


class Overlap:
    """A bounded multiset of row hashes.

    A hash covers the whole row, key and cursor included, so an updated row is another one. Equal rows
    (of a table without a key) count. When it is full it takes no more: rows it does not know are
    delivered again, never dropped.
    """

    def __init__(self, hashes: Iterable[bytes] = (), cap: int = CAP) -> None:
        self._counts = Counter(hashes)
        self._cap = cap
        self.size = sum(self._counts.values())
        self.overflowed = False
        self._encoded: str | None = None

    def add(self, digest: bytes) -> None:
        if self.size >= self._cap:
            self.overflowed = True
            return
        self._counts[digest] += 1
        self.size += 1
        self._encoded = None

    def take(self, digest: bytes) -> bool:
        """Whether the row is known; it is, from then on, once less."""
        count = self._counts.get(digest, 0)
        if not count:
            return False
        if count == 1:
            del self._counts[digest]
        else:
            self._counts[digest] = count - 1
        self.size -= 1
        self._encoded = None
        return True

    def encode(self) -> str:
        """The hashes in order, packed, in base64: the same set is the same text."""
        if self._encoded is None:
            self._encoded = base64.b64encode(b"".join(sorted(self._counts.elements()))).decode("ascii")
        return self._encoded

    @classmethod
    def decode(cls, text: str) -> Overlap:
        """Raises ``ValueError`` for text that ``encode`` did not write."""
        packed = base64.b64decode(text, validate=True)
        if len(packed) % SIZE:
            raise ValueError(f"{len(packed)} bytes are no whole number of hashes")
        return cls(packed[at : at + SIZE] for at in range(0, len(packed), SIZE))
