# SPDX-License-Identifier: Apache-2.0
"""The error for a cursor column of several formats: which they are, how many values of each, one key of each."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_sql import SqlSession, TableQuery
from vdk.plugin.datasource_sql.cursors import UNITS, detect_text

_BLANK = re.compile(r"[0:T .Z-]*")
"""What some programs write instead of NULL: ``''``, ``'0000-00-00 00:00:00'``."""


def mixed_formats(session: SqlSession, query: TableQuery) -> ConfigurationError:
    """The error, after one pass over the cursor column."""
    plan = query.plan
    key = [query.column(name) for name in (plan.primary_key or (query.key.columns if query.key else ()))]
    shapes: dict[str, list[Any]] = {}
    blanks: dict[str, None] = {}
    stored = query.stored_cursor
    statement = query.select(stored, *key).where(stored.is_not(None))
    for page in session.stream(statement, lambda: 10_000, release=False):
        for value, *keys in page:
            shape = shape_of(value)
            if isinstance(value, str) and _BLANK.fullmatch(value):
                blanks[value] = None
            if shape in shapes:
                shapes[shape][0] += 1
            else:
                shapes[shape] = [1, value, keys[0] if len(keys) == 1 else tuple(keys)]
    lines = [
        f"{count} of {shape} (for example {value!r}" + (f" at key {key!r})" if key != () else ")")
        for shape, (count, value, key) in sorted(shapes.items(), key=lambda item: -item[1][0])
    ]
    what = "mixes formats" if len(shapes) > 1 else "is in a format that does not sort like time"
    cursor = " or ".join(map(repr, plan.cursor))
    listed = json.dumps(sorted(blanks)[:10])
    none = (
        f"Where {listed} stand for no value, write {plan.config_path}.null_cursor_values = {listed}. " if blanks else ""
    )
    formats = _formats(plan.config_path, [shape for shape in shapes.values() if shape[1] not in blanks])
    return ConfigurationError(
        f"stream {plan.name!r}: the cursor {cursor} {what}: {'; '.join(lines)}. {none}{formats}name another column "
        f"with {plan.config_path}.cursor, or read the table whole (write mode replace) with "
        f"{plan.config_path}.cursor = false"
    )


def _formats(config_path: str, shapes: Sequence[Sequence[Any]]) -> str:
    """The formats that read every value; without one, how many values are not of the most common kind.

    :param shapes: of each shape how many values there are, and one of them.
    """
    counts = Counter[str]()
    for count, value, *_ in shapes:
        counts[_kind_of(value)] += count
    option = f"Say how to read it with {config_path}.cursor_format = "
    if set(counts) == {"ISO texts"}:
        return f'{option}"iso" (for any mix of ISO texts; or "text"), '
    if set(counts) == {"numbers"}:
        return f'{option}"number", '
    if counts and "numbers" not in counts and "blobs" not in counts:
        return f'{option}"text", or a pattern such as "%m-%d-%Y", '
    common = max(counts, key=lambda kind: counts[kind], default="")
    others = counts.total() - counts[common]
    return f"No format reads all of them: correct the {others:,} that are not {common} at the source, "


def _kind_of(value: Any) -> str:
    if isinstance(value, str):
        return "ISO texts" if detect_text(value, "UTC") is not None else "other texts"
    return "blobs" if isinstance(value, bytes) else "numbers"


def shape_of(value: Any) -> str:
    """What a value looks like, in words: ``text like YYYY-MM-DD HH:MM:SS``."""
    if isinstance(value, (int, float)):
        units = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
        unit = next((unit for unit, (low, high) in UNITS.items() if low <= value < high), None)
        return f"numbers ({units[unit]} since 1970)" if unit else "numbers"
    if isinstance(value, bytes):
        return "blobs"
    iso = detect_text(value, "UTC")
    if iso is None:
        shape = re.sub(r"[0-9]", "9", value[:40])
        return f"text like {re.sub(r'[A-Za-z]+', 'A', shape)!r}"
    zone = f" with {iso.suffix.strip()}" if iso.suffix else ""
    digits = f" and {iso.digits} decimals" if iso.digits is not None else ""
    return {"": "text like YYYY-MM-DD", " ": "text like YYYY-MM-DD HH:MM:SS", "T": "text like YYYY-MM-DDTHH:MM:SS"}[
        iso.sep
    ] + (zone + digits)
