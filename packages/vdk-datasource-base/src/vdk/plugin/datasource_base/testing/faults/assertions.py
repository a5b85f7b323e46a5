"""What must have landed, compared with what has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

TOLD = 5


def assert_exactly_once(expected: Iterable[Any], landed: Iterable[Any]) -> None:
    """Raises ``AssertionError`` unless the same rows are there, each as often as it should be, in any order.

    A row is a mapping, a tuple, or anything with a ``repr`` that is the same for the same.
    """
    repeated = assert_at_least_once(expected, landed, at_most=0)
    assert repeated == 0


def assert_at_least_once(expected: Iterable[Any], landed: Iterable[Any], *, at_most: int | None = None) -> int:
    """Raises ``AssertionError`` where a row is missing or should not be there; returns how many are repeated.

    :param at_most: how many rows may be there once more; None: any number.
    """
    wanted, found = (Counter(map(_comparable, rows)) for rows in (expected, landed))
    lost, foreign = wanted - found, Counter({row: n for row, n in found.items() if row not in wanted})
    repeated = found - wanted - foreign
    allowed = sum(repeated.values()) if at_most is None else at_most
    told = [
        f"{sum(rows.values())} rows {what}, such as {', '.join(sorted(rows)[:TOLD])}"
        for what, rows in (("are lost", lost), ("are not in the source", foreign), ("are repeated", repeated))
        if rows and (rows is not repeated or sum(rows.values()) > allowed)
    ]
    assert not told, f"{'; '.join(told)} (of {sum(wanted.values())})"
    return sum(repeated.values())


def _comparable(row: Any) -> str:
    return repr(sorted(row.items())) if isinstance(row, Mapping) else repr(row)
