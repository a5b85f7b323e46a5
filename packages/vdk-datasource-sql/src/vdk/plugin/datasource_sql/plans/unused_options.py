# SPDX-License-Identifier: Apache-2.0
"""Options for all tables that no table uses: most likely misspelt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..config import CURSOR_COLUMNS, Columns, SqlConfig
from .names import hint
from .planning import NEED_A_CURSOR, TablePlan


def unused_options(config: SqlConfig, plans: Sequence[TablePlan]) -> Iterator[str]:
    """A sentence for each. Options of one table are checked when its plan is made, and are errors.

    They are not errors here: tables come and go, and an empty database has none.
    """
    if not plans:
        return
    if config.deletes is not None and config.deletes.column is not None:
        yield from _unknown_columns("deletes.column", [config.deletes.column], plans)
    if config.deletes is not None and config.deletes.sweep is not None and all(plan.sweep is None for plan in plans):
        yield "deletes.sweep: no table has both a cursor and a primary key, so none is swept"
    chosen = Columns.of(config.columns, "columns")
    yield from _unknown_columns("columns.include", chosen.include or (), plans)
    yield from _unknown_columns("columns.exclude", chosen.exclude or (), plans)
    yield from _unknown_columns("columns", chosen.types, plans)
    for option in config.column_options:
        if isinstance(by_column := getattr(config, option), Mapping):
            yield from _unknown_columns(option, by_column, plans)
    unknown = list(_unknown_columns("cursor_columns", config.cursor_columns, plans))
    if config.cursor_columns != CURSOR_COLUMNS and len(unknown) == len(config.cursor_columns):
        yield from unknown
    if not any(plan.cursor for plan in plans):
        for name in sorted(NEED_A_CURSOR):
            if getattr(config, name) is not None:
                yield f"{name}: no table has a cursor, so it changes nothing"


def _unknown_columns(config_path: str, names: Iterable[str], plans: Sequence[TablePlan]) -> Iterator[str]:
    """A sentence for each name that no table has a column of."""
    columns = {name.casefold(): name for plan in plans for name in plan.table.columns} if names else {}
    for name in names:
        if name.casefold() not in columns:
            yield f"{config_path}: no table has a column {name!r}{hint(name, columns.values())}"
