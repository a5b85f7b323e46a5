"""Whether rows are the same rows."""

from __future__ import annotations

import datetime as dt
import decimal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...parts import to_json
from ._payloads import Table

Row = Mapping[str, Any]


def counted(rows: Iterable[Row]) -> Counter[str]:
    """Rows as a multiset: equal rows have equal texts."""
    return Counter(repr(sorted(row.items(), key=lambda item: str(item[0]))) for row in rows)


def rows_by_table(tables: Mapping[str, Table]) -> dict[str, Counter[str]]:
    return {name: counted(table.rows) for name, table in tables.items()}


def lost(tables: Mapping[str, Sequence[Row]], whole: Mapping[str, Sequence[Row]]) -> list[str]:
    """Rows of ``whole`` that ``tables`` lack, with their tables, a few of them."""
    return [f"{name}: {row}" for name, rows in whole.items() for row in _missing(tables.get(name, ()), rows)][:5]


def _missing(rows: Sequence[Row], wanted: Sequence[Row]) -> Counter[str]:
    return counted(wanted) - counted(rows)


def unlike(landed: Sequence[Row], given: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of ``given`` that did not land as they are, and rows that landed and were not given."""
    rest = list(landed)
    missing = []
    for row in given:
        found = next((at for at, one in enumerate(rest) if _same_row(row, one)), None)
        if found is None:
            missing.append(row)
        else:
            del rest[found]
    return missing, rest


def _same_row(given: Row, landed: Row) -> bool:
    return all(_same(given.get(name), landed.get(name)) for name in {*given, *landed})


def _same(given: Any, landed: Any) -> bool:
    """Whether a value landed as it was given: equal, or in the one other form that keeps all of it."""
    if isinstance(given, dt.datetime) and isinstance(landed, dt.datetime):
        return (given.tzinfo is None) == (landed.tzinfo is None) and given == landed
    if isinstance(given, float) and isinstance(landed, decimal.Decimal):
        return decimal.Decimal(repr(given)) == landed
    if isinstance(given, str) and isinstance(landed, (dt.date, dt.time)):
        return _same(type(landed).fromisoformat(given), landed)
    if isinstance(given, bool) != isinstance(landed, bool):
        return False
    if given == landed or (given != given and landed != landed):
        return True
    return isinstance(landed, str) and given is not None and landed in (str(given), to_json(given))
