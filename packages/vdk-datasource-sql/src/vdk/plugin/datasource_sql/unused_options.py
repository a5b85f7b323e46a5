# SPDX-License-Identifier: Apache-2.0
"""Options for all tables that no table uses: most likely misspelt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .config import CURSOR_COLUMNS, Columns, SqlConfig
from .names import hint
from .planning import NEED_A_CURSOR, TablePlan


def unused_options(config: SqlConfig, plans: Sequence[TablePlan]) -> Iterator[str]:
    """A sentence for each. Options of one table are checked when its plan is made, and are errors.

    They are not errors here: tables come and go, and an empty database has none.
    """
    if not plans:
        return
    columns = {name.casefold(): name for plan in plans for name in plan.table.columns}
    if config.deletes is not None and config.deletes.column is not None:
        yield from _unknown("deletes.column", [config.deletes.column], columns)
    if config.deletes is not None and config.deletes.sweep is not None and all(plan.sweep is None for plan in plans):
        yield "deletes.sweep: no table has both a cursor and a primary key, so none is swept"
    chosen = Columns.of(config.columns, "columns")
    yield from _unknown("columns.include", chosen.include or (), columns)
    yield from _unknown("columns.exclude", chosen.exclude or (), columns)
    yield from _unknown("columns", chosen.types, columns)
    if isinstance(config.decimals, dict):
        yield from _unknown("decimals", config.decimals, columns)
    if config.cursor_columns != CURSOR_COLUMNS and not any(
        column.casefold() in columns for column in config.cursor_columns
    ):
        yield from _unknown("cursor_columns", config.cursor_columns, columns)
    if not any(plan.cursor for plan in plans):
        for name in sorted(NEED_A_CURSOR):
            if getattr(config, name) is not None:
                yield f"{name}: no table has a cursor, so it changes nothing"


def _unknown(config_path: str, names: Iterable[str], columns: dict[str, str]) -> Iterator[str]:
    for name in names:
        if name.casefold() not in columns:
            yield f"{config_path}: no table has a column {name!r}{hint(name, columns.values())}"
