"""How many bytes rows hold, estimated: what bounds a batch."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

SAMPLE = 8


def rows_size(rows: Sequence[Mapping[str, Any]]) -> int:
    """Bytes of all; of many rows, a few are measured."""
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    return sum(map(row_size, sample)) * len(rows) // len(sample) if sample else 0


def row_size(row: Mapping[str, Any]) -> int:
    return 64 + sum(map(_value_size, row.values()))


def _value_size(value: Any) -> int:
    if type(value) is dict:
        return sys.getsizeof(value) + sum(map(_value_size, value.values()))
    if type(value) is list:
        return sys.getsizeof(value) + sum(map(_value_size, value))
    return sys.getsizeof(value)
