# SPDX-License-Identifier: Apache-2.0
"""Cursor columns: times as ISO text, integers, floating-point numbers and sortable text."""

from __future__ import annotations

import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_sql import Expression, TableQuery, bound
from vdk.plugin.datasource_sql.cursors import CursorFormat, IsoText, Opaque, named_format

from .column_types import INTEGERS, as_double, base_type

TIMES = ("timestamp", "datetime", "date")
_FLOATS = ("float", "double")
_TEXTS = ("char", "varchar")
_FIRST = "0001-01-01"


def cursor_expression(column: Expression, declared: str, cursor_format: str, collation: str) -> Expression:
    """The cursor as it is compared.

    :param collation: the one that compares text by its code points and pads nothing, as Python does.
    """
    base = base_type(declared)
    if cursor_format != "auto" and (named_format(cursor_format) is None or base in TIMES):
        raise ConfigurationError(
            f"cursor_format: {cursor_format!r} does not apply to a column of type {declared}; leave it out"
        )
    if base == "float":
        return as_double(column)
    return _in_utf8(column).collate(collation) if base in _TEXTS else column


def _in_utf8(column: Expression) -> Expression:
    return sa.func.convert(column.op("USING")(sa.literal_column("utf8mb4")))


def has_cursor(cursor: Expression, declared: str) -> Expression:
    """Zero and partial dates, such as 2026-00-10, do not count as cursors."""
    if base_type(declared) not in TIMES:
        return cursor.is_not(None)
    zero: Expression = sa.literal_column("0")
    exists = (sa.func.month(cursor) > zero, sa.func.dayofmonth(cursor) > zero)
    return sa.and_(cursor.is_not(None), cursor >= bound(_FIRST), *exists)


def format_of(query: TableQuery) -> CursorFormat:
    """Raises ``ConfigurationError`` for a type that does not sort, or is not supported as a cursor."""
    plan = query.plan
    declared = plan.table.columns[plan.cursor[0]]
    base = base_type(declared)
    if base in TIMES:
        return IsoText("" if base == "date" else " ", zone="UTC" if base == "timestamp" else plan.zone)
    if base in (*INTEGERS, *_FLOATS):
        return named_format(plan.cursor_format) or Opaque(numeric=True)
    if base in _TEXTS:
        return Opaque(numeric=False)
    raise ConfigurationError(
        f"{plan.config_path}.cursor: {plan.cursor[0]!r} is declared {declared}; a cursor is a DATETIME, TIMESTAMP or "
        f"DATE, an integer, a FLOAT or DOUBLE, a CHAR or VARCHAR. Name another column, or set "
        f"{plan.config_path}.cursor = false"
    )
