# SPDX-License-Identifier: Apache-2.0
"""Cursor columns: native times as ISO text in UTC, numbers and sortable text."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_sql import Expression, TableQuery, bound
from vdk.plugin.datasource_sql.cursors import CursorFormat, IsoText, Opaque, named_format

from .column_types import without_length

_TIMES = ("timestamp with time zone", "timestamp without time zone", "date")
_INTEGERS = ("smallint", "integer", "bigint")
_FLOATS = ("real", "double precision")
_TEXTS = ("text", "character varying", "uuid")
FIRST, END = "0001-01-01", "10000-01-01"
"""Times outside are infinities, or sort in another way as text: their rows have no cursor."""


def cursor_expression(column: Expression, declared: str, cursor_format: str) -> Expression:
    """The cursor as it is compared. Text is compared by its code points, as Python does."""
    if cursor_format != "auto" and (named_format(cursor_format) is None or without_length(declared) in _TIMES):
        raise ConfigurationError(
            f"cursor_format: {cursor_format!r} does not apply to a column of type {declared}; leave it out"
        )
    return column.collate("C") if without_length(declared) in ("text", "character varying") else column


def has_cursor(cursor: Expression, declared: str) -> Expression:
    declared = without_length(declared)
    if declared in _TIMES:
        return sa.and_(cursor.is_not(None), cursor >= bound(FIRST), cursor < bound(END))
    if declared in _FLOATS:  # NaN is the largest of all
        return sa.and_(cursor.is_not(None), cursor > bound("-Infinity"), cursor < bound("Infinity"))
    return cursor.is_not(None)


def format_of(query: TableQuery) -> CursorFormat:
    """Raises ``ConfigurationError`` for a type that does not sort, or is not supported as a cursor."""
    plan = query.plan
    declared = without_length(plan.table.columns[plan.cursor[0]])
    if declared == "timestamp with time zone":
        return IsoText(" ", "+00")
    if declared == "timestamp without time zone":
        return IsoText(" ", zone=plan.zone)
    if declared == "date":
        return IsoText("", zone=plan.zone)
    if declared in (*_INTEGERS, *_FLOATS):
        return named_format(plan.cursor_format) or Opaque(numeric=True)
    if declared in _TEXTS:
        return Opaque(numeric=False)
    raise ConfigurationError(
        f"{plan.config_path}.cursor: {plan.cursor[0]!r} is declared {declared}; a cursor is a time, an integer, a "
        f"floating-point number, a text or a UUID. Name another column, or set {plan.config_path}.cursor = false"
    )


def lowest_of(query: TableQuery) -> Any:
    """A value that no cursor lies below."""
    declared = without_length(query.plan.table.columns[query.plan.cursor[0]])
    if declared in _TIMES:
        return FIRST
    if declared in _INTEGERS:
        return -(2**63)
    if declared in _FLOATS:
        return -float("inf")
    return str(uuid.UUID(int=0)) if declared == "uuid" else ""
