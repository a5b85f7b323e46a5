"""The truth about a landed table: every value, compared with what ``sqlite3`` reads."""

from __future__ import annotations

import datetime as dt
import decimal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

Row = tuple[Any, ...]


def differences(database: Path, table: str, lake: Path, landed_table: str) -> list[str]:
    """What differs between a table (or view) and where it landed; empty: nothing does.

    Rows are compared as multisets, so the order of rows is free and a row that is there twice must be.
    """
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source:
        columns = [row[1] for row in source.execute(f"PRAGMA table_xinfo({quoted(table)})") if row[6] in (0, 2, 3)]
        names = ", ".join(map(quoted, columns))
        expected = source.execute(f"SELECT {names} FROM {quoted(table)}").fetchall()
    with closing(duckdb.connect(str(lake), read_only=True)) as destination:
        # a JSON or text column is compared as text, whatever sqlite3 gives for it
        landed = {row[0] for row in destination.execute(f"DESCRIBE {quoted(landed_table)}").fetchall()}
        # a column without a type and a value waits for a value, and does not exist until then
        names = ", ".join(quoted(name) if name in landed else "NULL" for name in columns)
        stored = destination.execute(f"SELECT {names} FROM {quoted(landed_table)}").fetchall()
    if len(expected) != len(stored):
        return [f"{table}: {len(expected)} rows in the source, {len(stored)} landed"]
    problems: list[str] = []
    ours = sorted((tuple(map(canonical, row)) for row in stored), key=repr)
    theirs = sorted((tuple(map(canonical, row)) for row in expected), key=repr)
    for mine, true in zip(ours, theirs, strict=True):
        if mine != true:
            problems.append(f"{table}: landed {mine!r}, the source has {true!r}")
    return problems[:5]


def canonical(value: Any) -> Any:
    """One form for values that are the same: numbers by value, times by their ISO text."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (int, decimal.Decimal)):
        return _number(decimal.Decimal(value))
    if isinstance(value, float):
        return _number(decimal.Decimal(repr(value)))
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(sep=" ")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, str):
        # text that is a number equals the number: a column without a type SQLite knows lands as text
        try:
            return _number(decimal.Decimal(value)) if value.strip() == value else value
        except decimal.InvalidOperation:
            return value
    return value


def _number(value: decimal.Decimal) -> str:
    return format(value.normalize(), "f") if value.is_finite() else str(value)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
