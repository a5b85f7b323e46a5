# SPDX-License-Identifier: Apache-2.0
"""What one run reads of its streams: what is new, everything, or a range."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..contract.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class RowsToRepair:
    """Rows of a stream, by their ``row_hashes`` over some of its columns."""

    hashes: Collection[int]
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class RunScope:
    """What a run reads; the default is what is new since the last run.

    :param full_refresh: everything, and the tables and the states are replaced at the end.
    :param since: a backfill: the rows whose cursor is at or above this; the states are neither used nor changed.
    :param until: the rows whose cursor is below this. :param confirmed: rows may go, or may land a second time.
    :param repair: stream → the only rows that are read of it; the states are neither used nor changed.
    """

    full_refresh: bool = False
    since: str | None = None
    until: str | None = None
    confirmed: bool = False
    repair: Mapping[str, RowsToRepair] | None = None

    @property
    def is_range(self) -> bool:
        return self.since is not None or self.until is not None or self.repair is not None

    @property
    def range(self) -> str:
        """The options of the range, as they are written."""
        if self.repair is not None:
            return "repair"
        options = (("--since", self.since), ("--until", self.until))
        return " ".join(f"{name} {value}" for name, value in options if value is not None)

    def check(self) -> None:
        """Raises ``ArgumentError`` for options that exclude each other, or that are empty."""
        if self.full_refresh and self.is_range:
            raise ArgumentError(
                f"--full-refresh reads everything, and {self.range} a range; remove --full-refresh to read the range, "
                "or the range to replace the tables"
            )
        for name, value in (("--since", self.since), ("--until", self.until)):
            if value is not None and not value.strip():
                raise ArgumentError(f"{name}: the value is empty; write, for example, {name} 2026-01-01")
        if self.since is not None and self.since == self.until:
            raise ArgumentError(
                f"{self.range}: the range is empty, since its end is not part of it; write a later --until"
            )
