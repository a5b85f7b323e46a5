# SPDX-License-Identifier: Apache-2.0
"""Spark's filters as a range of the cursor. The range holds every row that passes them: Spark applies them again."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Iterable
from typing import Any

from pyspark.sql.datasource import EqualTo, Filter, GreaterThan, GreaterThanOrEqual, LessThan

_LOWER = (EqualTo, GreaterThan, GreaterThanOrEqual)


def range_of(filters: Iterable[Filter], cursor: str) -> tuple[str | None, str | None]:
    """The bounds ``begin <= cursor < end`` as texts; None: none.

    Text is not compared: databases order it by their own rules. ``<=`` has no bound that leaves its value in.
    """
    begins: list[Any] = []
    ends: list[Any] = []
    for each in filters:
        attribute, value = getattr(each, "attribute", ()), getattr(each, "value", None)
        if tuple(attribute) != (cursor,) or not _is_ordered(value):
            continue
        if isinstance(each, _LOWER):
            begins.append(value)
        elif isinstance(each, LessThan):
            ends.append(value)
    try:
        begin, end = max(begins, default=None), min(ends, default=None)
    except TypeError:  # a date and a time
        return None, None
    return _text(begin), _text(end)


def _is_ordered(value: Any) -> bool:
    return isinstance(value, (int, decimal.Decimal, dt.date)) and not isinstance(value, bool)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value.isoformat() if isinstance(value, dt.date) else str(value)
