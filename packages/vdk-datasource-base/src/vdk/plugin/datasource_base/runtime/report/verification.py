# SPDX-License-Identifier: Apache-2.0
"""What was proven of a stream: rows, differences, and why something could not be proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

NAMED_KEYS = 20
"""Keys of each kind that are named; all of them are counted."""
_FOR_A_REPAIR = ("hashes", "proof_columns", "replaces", "whole")
VerifyStatus = Literal["verified", "different", "unproven", "failed"]


@dataclass(frozen=True, slots=True)
class Verification:
    """The source's rows in the range that the state claims, against the table.

    :param rows: claimed rows of the source. :param verified: of these, in the table as they are at the source.
    :param missing: of these, not in the table. :param different: of these, in the table with another cursor or value.
    :param repeated: rows that the table has more often than the source.
    :param extra: rows of the table that the source does not have now.
    :param hash: of the claimed rows in any order, in hexadecimal digits. :param compared: the columns.
    :param missing_keys: of missing and different rows, ``NAMED_KEYS`` at most. :param extra_keys: of extra rows.
    :param reason: why it is unproven, or the error. :param notes: what was not compared, and what was left out.
    :param hashes: of missing, different and repeated rows over ``proof_columns``, for a repair.
    :param replaces: whether a run replaces the table, which repairs it. :param whole: the stream has no state.
    """

    source: str
    stream: str
    destination: str
    table: str
    status: VerifyStatus
    rows: int = 0
    verified: int = 0
    missing: int = 0
    different: int = 0
    repeated: int = 0
    extra: int = 0
    hash: str = ""
    compared: Sequence[str] = ()
    missing_keys: Sequence[str] = ()
    extra_keys: Sequence[str] = ()
    reason: str | None = None
    notes: Sequence[str] = ()
    hashes: Sequence[int] = ()
    proof_columns: Sequence[str] = ()
    replaces: bool = False
    whole: bool = False

    def as_dict(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _FOR_A_REPAIR}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @property
    def text(self) -> str:
        """``verified 1,000,000 of 1,000,000``, then the differences with some of their keys."""
        if self.status in ("unproven", "failed"):
            return f"not verified: {self.reason}"
        parts = [f"verified {self.verified:,} of {self.rows:,}"]
        if self.missing:
            parts.append(f"{self.missing:,} missing")
        if self.different:
            parts.append(f"{self.different:,} different")
        if self.missing or self.different:
            parts[-1] += _keys(self.missing_keys, self.missing + self.different)
        if self.repeated:
            parts.append(f"{self.repeated:,} repeated")
        if self.extra:
            parts.append(f"{self.extra:,} not at the source any more{_keys(self.extra_keys, self.extra)}")
        return "; ".join([*parts, *self.notes])


def _keys(keys: Sequence[str], count: int) -> str:
    if not keys:
        return ""
    return f" ({', '.join(keys[:5])}{', …' if count > min(len(keys), 5) else ''})"
