# SPDX-License-Identifier: Apache-2.0
"""DuckDB's memory limit: as little as its tables need, unless the user has set it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pyarrow as pa

MIB = 1 << 20
FIRST_LIMIT = 128
"""MiB that DuckDB may use to begin with. It fills what it is given with pages it may need again, so this is what
keeps memory flat however large the table. Hundreds of columns need more (256 KiB for each of a row group's
columns, at least), and get it when DuckDB says so. Large rows get it before: to write one row of a vector, in a commit
or a checkpoint, DuckDB pins the vector's other rows, and a checkpoint that fails invalidates the database."""
_LARGE_ROW = 16 * 1024
"""Bytes of a row above which a vector of them exceeds a quarter of ``FIRST_LIMIT``."""
_VECTOR = 2048
"""Rows of a vector (``STANDARD_VECTOR_SIZE``)."""
_SPARE = 32 * MIB


class MemoryLimit:
    """The limit of one connection. The methods that return a bool say whether the limit has risen.

    :ivar may_grow: unless the user has set it.
    :ivar largest_batch: bytes of the largest batch of large rows.
    """

    def __init__(self, configured: str | None) -> None:
        self.may_grow = configured is None
        self._configured = configured
        self._mebibytes = FIRST_LIMIT
        self.forget_rows()

    def __str__(self) -> str:
        return self._configured or f"{self._mebibytes}MiB"

    @property
    def has_large_rows(self) -> bool:
        return self._pinned > 0

    def forget_rows(self) -> None:
        self._pinned = 0  # bytes of the large rows that one vector may hold
        self.largest_batch = 0

    def expect(self, tables: Sequence[pa.Table]) -> bool:
        """Make room for the large rows of tables."""
        for table in tables:
            row = table.nbytes // max(table.num_rows, 1)
            if row > _LARGE_ROW:
                self.largest_batch = max(self.largest_batch, table.nbytes)
                self._pinned = max(self._pinned, min(self._pinned + table.nbytes, row * _VECTOR))
        return self.make_room()

    def make_room(self, more: int = 0) -> bool:
        """Rise to what the vector of the large rows takes, and ``more`` bytes."""
        needed = (self._pinned + more + _SPARE) // MIB if self._pinned else 0
        return self._rise(min(needed, _half_of_memory()))

    def double(self) -> bool:
        """Rise to twice the memory, unless that is more than half of the machine's."""
        doubled = self._mebibytes * 2
        return doubled <= _half_of_memory() and self._rise(doubled)

    def _rise(self, mebibytes: int) -> bool:
        if not self.may_grow or mebibytes <= self._mebibytes:
            return False
        self._mebibytes = mebibytes
        return True


def _half_of_memory() -> int:
    """MiB; 1024 where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**21
    except (AttributeError, ValueError, OSError):
        return 1024
