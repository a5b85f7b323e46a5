# SPDX-License-Identifier: Apache-2.0
"""The statements for a table of the framework: rows that are found by the values of some columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vdk.plugin.datasource_base.contract import StateError

from .database import Database
from .types import Columns


class FrameworkTable:
    """A table whose rows have the time of their last change in the column ``stamp``.

    :param times: the other columns of times, whose values are given as text in ISO 8601.
    """

    def __init__(self, database: Database, name: str, *, stamp: str, times: Collection[str] = ()) -> None:
        self._database = database
        self._name = name
        self._stamp = stamp
        self._times = times

    def columns(self) -> Columns | None:
        """None where the table does not exist."""
        return self._database.columns(self._name)

    def exists(self, needed: Sequence[str]) -> bool:
        """Whether the table exists. Raises ``StateError`` if it lacks one of these columns."""
        columns = self.columns()
        if missing := [name for name in needed if columns is not None and name not in columns]:
            raise StateError(
                f"{self._database.location}, table {self._name}: the columns {missing} are missing, so another "
                "program or version created it. Rename it, or name another database or schema"
            )
        return columns is not None

    def create(self, columns: Columns, *, primary_key: Sequence[str] = (), nullable: Collection[str] = ()) -> None:
        """Create the table where it is missing; only the columns in ``nullable`` may be NULL."""
        listed = {**columns, self._stamp: self._database.types.timestamp_tz}
        parts = [f"{name} {type_}{'' if name in nullable else ' NOT NULL'}" for name, type_ in listed.items()]
        if primary_key:
            parts.append(f"PRIMARY KEY ({', '.join(primary_key)})")
        self._database.execute(f"CREATE TABLE IF NOT EXISTS {self._qualified} ({', '.join(parts)})")

    def select(
        self, columns: Sequence[str], criteria: Mapping[str, object], *, order: Sequence[str] = (), lock: bool = False
    ) -> list[tuple[Any, ...]]:
        """The rows that have these values, or one of a list of values.

        :param lock: no other transaction may change the rows until this one ends.
        """
        condition, values = self._where(criteria)
        ordered = f" ORDER BY {', '.join(order)}" if order else ""
        return self._database.execute(
            f"SELECT {', '.join(columns)} FROM {self._qualified} WHERE {condition or '1 = 1'}{ordered}"
            f"{self._database.row_lock if lock else ''}",
            values,
        )

    def insert(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, unless_exists: Sequence[str] = ()
    ) -> int:
        """Insert rows. Returns how many.

        :param unless_exists: the primary key, to leave out rows whose key is there already.
        """
        width = len(columns)
        if unless_exists and len(rows) == 1 and self._database.writes_alone:
            values = dict(zip(columns, rows[0], strict=True))
            if self.select(("1",), {name: values[name] for name in unless_exists}):
                return 0
            unless_exists = ()
        listed = ", ".join(
            f"({', '.join(self._parameters(columns, 1 + width * index))}, {self._database.now})"
            for index in range(len(rows))
        )
        return self._database.rows_affected(
            f"INSERT INTO {self._qualified} ({', '.join(columns)}, {self._stamp}) VALUES {listed}"
            f"{' ON CONFLICT DO NOTHING' if unless_exists else ''}",
            [value for row in rows for value in row],
        )

    def update(self, changes: Mapping[str, object], criteria: Mapping[str, object]) -> int:
        """Change the rows that have these values. Returns how many."""
        parameters = zip(changes, self._parameters(list(changes)), strict=True)
        changed = ", ".join(f"{name} = {parameter}" for name, parameter in parameters)
        condition, values = self._where(criteria, len(changes))
        return self._database.rows_affected(
            f"UPDATE {self._qualified} SET {changed}, {self._stamp} = {self._database.now} WHERE {condition}",
            [*changes.values(), *values],
        )

    def delete(self, criteria: Mapping[str, object]) -> None:
        condition, values = self._where(criteria)
        self._database.execute(f"DELETE FROM {self._qualified} WHERE {condition}", values)

    @property
    def _qualified(self) -> str:
        return self._database.qualified(self._name)

    def _where(self, criteria: Mapping[str, object], before: int = 0) -> tuple[str, list[object]]:
        """A condition and its parameters, which follow ``before`` other ones."""
        conditions, values = [], list[object]()
        for name, value in criteria.items():
            choices = value if isinstance(value, list) else [value]
            listed = ", ".join(self._parameters([name] * len(choices), before + len(values) + 1))
            conditions.append(f"{name} IN ({listed})" if isinstance(value, list) else f"{name} = {listed}")
            values += choices
        return " AND ".join(conditions), values

    def _parameters(self, names: Sequence[str], first: int = 1) -> list[str]:
        """A parameter for a value of each column, from number ``first`` on."""
        places = self._database.placeholders(len(names), first)
        return [
            self._database.instant(place) if name in self._times else place
            for name, place in zip(names, places, strict=True)
        ]
