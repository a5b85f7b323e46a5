# SPDX-License-Identifier: Apache-2.0
"""Comparing the rows of a source with a table of a destination: what the runtime asks for, and the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

HASH = "_vdk_hash"
"""The column of a comparison's rows with the hash of each, a signed integer of 64 bits."""
MOST_HASHES = 100_000
"""Differing rows that a comparison names; it counts all of them."""


@dataclass(frozen=True, slots=True)
class ComparisonSpec:
    """A table, and what is compared of it.

    :param columns: the columns. :param key: those that identify a row; empty: nothing does.
    :param whole: the table has exactly these rows. Otherwise it may have others, which the source has no longer.
    :param cursor: under "upsert", the column by which a row of the table may be newer than the source's: another run
        has landed it meanwhile. :param versions: under "append", older versions of a row stay in the table.
    """

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    whole: bool = False
    cursor: str | None = None
    versions: bool = False


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """How the rows of a source and a table differ.

    :param rows: claimed rows. :param missing: of these, not in the table. :param different: of these, in the table with
        another cursor or other values. :param repeated: rows of the table that it has once too often.
    :param extra: rows of the table whose key the source does not have. :param refused: rows that the destination
        refuses, so they have not landed. :param uncompared: columns that the table does not have.
    :param named: the keys of missing and different rows as text, then those of extra ones; some of them.
    :param hashes: those of missing, different and repeated rows, ``MOST_HASHES`` of a kind at most.
    """

    rows: int
    missing: int = 0
    different: int = 0
    repeated: int = 0
    extra: int = 0
    refused: int = 0
    uncompared: Sequence[str] = ()
    named: Sequence[tuple[str, ...]] = ()
    named_extra: Sequence[tuple[str, ...]] = ()
    hashes: Sequence[int] = ()


class Comparison(ABC):
    """Gets the rows of a source in parts, and compares them with the table as it is at the end.

    Used by the writer's thread, as its destination. What it keeps is gone after ``close``.
    """

    @abstractmethod
    def add(self, rows: pa.Table, *, claimed: bool) -> None:
        """Add rows: the columns of the comparison, with normalized types, and ``HASH``."""

    @abstractmethod
    def result(self, names: int) -> ComparisonResult:
        """Compare, in one transaction. :param names: how many keys of each kind are named."""

    @abstractmethod
    def close(self) -> None:
        """Drop what was added. Idempotent."""
