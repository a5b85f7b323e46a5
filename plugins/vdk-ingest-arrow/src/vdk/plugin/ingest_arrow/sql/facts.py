# SPDX-License-Identifier: Apache-2.0
"""What a table is, for the expectations of a flow; asked within the transaction that changes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vdk.plugin.datasource_base.parts import DELETED_AT, TableFacts, quoted

from .tables import Tables


class SqlTableFacts(TableFacts):
    """A table as the transaction has it.

    :param before: its rows before the run.
    """

    def __init__(self, tables: Tables, name: str, before: int) -> None:
        self._tables, self._name, self._before = tables, name, before
        self._database = tables.database
        self._columns = self._database.columns(name) or {}

    def rows(self) -> int:
        return self._tables.count_rows(self._name)

    def rows_before(self) -> int:
        return self._before

    def columns(self) -> Sequence[str]:
        return list(self._columns)

    def repeated(self, columns: Sequence[str]) -> tuple[Any, ...] | None:
        if not self._columns:
            return None
        named = ", ".join(map(quoted, columns))
        filled = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in columns)
        first = self._select(f"{named}, count(*)", filled, f" GROUP BY {named} HAVING count(*) > 1 LIMIT 1")
        return first[0] if first else None

    def nulls(self, column: str) -> int:
        return int(self._select("count(*)", f"{quoted(column)} IS NULL")[0][0]) if self._columns else 0

    def newest(self, column: str) -> Any:
        return self._select(f"max({quoted(column)})", "1 = 1")[0][0] if self._columns else None

    def _select(self, selected: str, condition: str, rest: str = "") -> list[tuple[Any, ...]]:
        alive = f" AND {quoted(DELETED_AT)} IS NULL" if DELETED_AT in self._columns else ""
        table = self._database.qualified(self._name)
        return self._database.execute(f"SELECT {selected} FROM {table} WHERE {condition}{alive}{rest}")
