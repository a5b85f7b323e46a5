# SPDX-License-Identifier: Apache-2.0
"""Assertions that compare the rows that landed with the rows that are expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

SHOWN = 5
"""The number of rows that an error shows."""


def assert_exactly_once(expected: Iterable[Any], landed: Iterable[Any]) -> None:
    """Raises ``AssertionError`` unless the same rows have landed, each as often as expected, in any order.

    A row is a mapping, a tuple, or anything whose ``repr`` is equal for equal rows.
    """
    repeated = assert_at_least_once(expected, landed, at_most=0)
    assert repeated == 0


def assert_at_least_once(expected: Iterable[Any], landed: Iterable[Any], *, at_most: int | None = None) -> int:
    """Raises ``AssertionError`` for missing and unexpected rows. Returns the number of repeated rows.

    :param at_most: how many rows may be repeated; None: any number.
    """
    expected_rows, landed_rows = (Counter(map(_comparable, rows)) for rows in (expected, landed))
    lost = expected_rows - landed_rows
    unexpected = Counter({row: count for row, count in landed_rows.items() if row not in expected_rows})
    repeated = landed_rows - expected_rows - unexpected
    allowed = sum(repeated.values()) if at_most is None else at_most
    problems = [
        f"{sum(rows.values())} rows {problem}, such as {', '.join(sorted(rows)[:SHOWN])}"
        for problem, rows in (("are lost", lost), ("are not in the source", unexpected), ("are repeated", repeated))
        if rows and (rows is not repeated or sum(rows.values()) > allowed)
    ]
    assert not problems, f"{'; '.join(problems)} (of {sum(expected_rows.values())})"
    return sum(repeated.values())


def _comparable(row: Any) -> str:
    return repr(sorted(row.items())) if isinstance(row, Mapping) else repr(row)
