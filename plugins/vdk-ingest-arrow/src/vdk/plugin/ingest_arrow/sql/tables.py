# SPDX-License-Identifier: Apache-2.0
"""The tables of one schema: rows land in them, are upserted and deleted, and a run finds the same tables again."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from contextlib import AbstractContextManager

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import DELETED_AT, BatchKind, SchemaChange, TableSpec, quoted

from ..names import PART_COLUMN, STAGING_TABLE, STATE_TABLE, check_distinct
from .database import Database, Incoming
from .types import Columns


class Tables:
    """Tables and their columns. Every method is called within a transaction.

    ``spec`` says how rows land and what errors call the table; ``into`` is the table, where that is another one.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._types = database.types
        self.changes: list[SchemaChange] = []
        """Columns that changed their type since the list was emptied."""

    def is_empty(self, name: str) -> bool:
        """Whether it has no row that this transaction sees."""
        return not self.database.execute(f"SELECT 1 FROM {self.database.qualified(name)} LIMIT 1")

    def land(self, spec: TableSpec, kind: BatchKind, incoming: Incoming, into: str | None = None) -> None:
        """Land rows, or delete keys, as ``spec.write_mode`` says. Missing tables and columns are created."""
        table = into or spec.name
        if into is None:
            self.database.lock_table(table)
        columns = self._conform(spec, kind, incoming, table)
        if not columns or not (incoming.types or incoming.untyped):
            return
        if spec.write_mode == "upsert" and set(spec.primary_key) <= columns.keys():
            self.database.create_index(table, spec.primary_key)
        if kind == "deletes":
            self._delete(spec, incoming, table, columns)
            return
        if spec.write_mode == "upsert" and not self.is_empty(table):
            with self._keys(spec, incoming, columns) as keys:
                self.database.delete_matching(table, keys, spec.primary_key)
        if names := [name for name in (*incoming.types, *incoming.untyped) if name in columns]:
            self.database.insert(incoming, table, names, columns)

    def count_rows(self, name: str) -> int:
        """The rows that are not marked as deleted; 0 if the table does not exist."""
        columns = self.database.columns(name)
        if columns is None:
            return 0
        kept = f" WHERE {quoted(DELETED_AT)} IS NULL" if DELETED_AT in columns else ""
        return int(self.database.execute(f"SELECT count(*) FROM {self.database.qualified(name)}{kept}")[0][0])

    def sweep(self, spec: TableSpec, incoming: Incoming, into: str | None = None) -> int:
        """Delete the rows of a locked table whose key is not among the incoming; returns how many."""
        name = into or spec.name
        columns = self.database.columns(name)
        if columns is None or self.is_empty(name):
            return 0
        if spec.soft_deletes and DELETED_AT not in columns:
            self.add_columns(spec, {DELETED_AT: self._types.timestamp_tz}, name)
        with self._keys(spec, incoming, columns) as keys:
            same_key = self.database.same_key(spec.primary_key)
            missing = f"NOT EXISTS (SELECT 1 FROM {keys} AS incoming WHERE {same_key})"
            table = f"{self.database.qualified(name)} AS landed"
            if not spec.soft_deletes:
                return self.database.rows_affected(f"DELETE FROM {table} WHERE {missing}")
            mark = quoted(DELETED_AT)
            return self.database.rows_affected(
                f"UPDATE {table} SET {mark} = {self.database.now} WHERE landed.{mark} IS NULL AND {missing}"
            )

    def create(self, spec: TableSpec, columns: Columns, into: str | None = None) -> None:
        """Create a table with these columns; without any column, none is created."""
        for name in columns:
            self.database.check_column(name, spec.name)
        check_distinct(columns, spec.name, self.database.fold)
        if columns:
            listed = ", ".join(f"{quoted(name)} {type_}" for name, type_ in columns.items())
            self.database.create_table(into or spec.name, listed)

    def add_columns(self, spec: TableSpec, columns: Columns, into: str | None = None) -> None:
        """Add columns that the table lacks."""
        for name in columns:
            self.database.check_column(name, spec.name)
        self.database.add_columns(into or spec.name, columns)

    def drop(self, name: str) -> None:
        """Drop a table, where it exists."""
        self.database.execute(f"DROP TABLE IF EXISTS {self.database.qualified(name)}")

    def _conform(self, spec: TableSpec, kind: BatchKind, incoming: Incoming, table: str) -> Columns:
        """Make the table take the incoming columns. Returns its columns afterwards."""
        declared = self._types.declared_columns(spec)
        landing = {**declared, **{name: type_ for name, type_ in incoming.types.items() if name not in declared}}
        columns = self.database.columns(table)
        if columns is None:
            # Rows without any value are rows too, and a table needs a column: one of text, until a value comes.
            self.create(spec, landing or dict.fromkeys(incoming.untyped, self._types.text), table)
            columns = self.database.columns(table) or {}
        if missing := {name: type_ for name, type_ in landing.items() if name not in columns}:
            check_distinct([*columns, *missing], spec.name, self.database.fold)
            self.add_columns(spec, missing, table)
            columns = {**columns, **missing}
        if kind == "rows":
            for name, type_ in incoming.types.items():
                if columns[name] != type_:
                    columns[name] = self._widen(spec, table, name, columns, incoming)
        return columns

    def _widen(self, spec: TableSpec, table: str, name: str, columns: Columns, incoming: Incoming) -> str:
        """Change a column to a type that takes its values and the incoming ones. Returns that type."""
        existing, type_ = columns[name], incoming.types[name]
        if self._is_untyped(table, columns):
            self.database.change_type(table, name, existing, type_)
            return type_
        candidates = self._types.candidates(existing, type_)
        if not spec.evolve:
            candidates = [existing] if candidates else []
        target = next(
            (candidate for candidate in candidates if self._takes_all(table, name, existing, incoming, candidate)), None
        )
        if target is None:
            if not spec.evolve:
                raise DestinationError(
                    f"table {spec.name!r}, column {name!r}: the column is {existing}, the rows bring {type_}, and "
                    "on_schema_change = 'freeze' does not allow a new type. Convert the values with a transform, or "
                    "set on_schema_change = 'evolve'"
                )
            target = self._types.fallback_type(existing, type_)
        if target != existing:
            self.database.change_type(table, name, existing, target)
            if table == spec.name:
                self.changes.append(SchemaChange(table, name, existing, target))
        return target

    def _is_untyped(self, table: str, columns: Columns) -> bool:
        """Whether the table was created for rows without any value, and has no value yet."""
        columns = {name: type_ for name, type_ in columns.items() if name != PART_COLUMN}
        if set(columns.values()) != {self._types.text} or self.is_empty(table):
            return False
        filled = " OR ".join(f"{quoted(name)} IS NOT NULL" for name in columns)
        return not self.database.execute(f"SELECT 1 FROM {self.database.qualified(table)} WHERE {filled} LIMIT 1")

    def _takes_all(self, table: str, name: str, existing: str, incoming: Incoming, target: str) -> bool:
        """Whether all values of the column and all incoming ones are values of ``target``."""
        source = incoming.types[name]
        if not self._types.is_lossless(source, target) and self._any_lost(
            incoming.relation([name]), incoming.expressions[name], source, target
        ):
            return False
        return self._types.is_lossless(existing, target) or not self._any_lost(
            self.database.qualified(table), quoted(name), existing, target
        )

    def _any_lost(self, relation: str, expression: str, source: str, target: str) -> bool:
        """Whether a value does not survive the conversion to another type and back."""
        lost = f"({self._types.exact_cast_sql(expression, source, target)}) IS NULL AND {expression} IS NOT NULL"
        return bool(self.database.execute(f"SELECT 1 FROM {relation} WHERE {lost} LIMIT 1"))

    def _delete(self, spec: TableSpec, incoming: Incoming, table: str, columns: Columns) -> None:
        if spec.write_mode != "upsert":
            raise DestinationError(f'table {spec.name!r}: deletes by key need write_mode = "upsert"')
        if self.is_empty(table):
            return
        if spec.soft_deletes and DELETED_AT not in columns:
            self.add_columns(spec, {DELETED_AT: self._types.timestamp_tz}, table)
        with self._keys(spec, incoming, columns) as keys:
            if not spec.soft_deletes:
                self.database.delete_matching(table, keys, spec.primary_key)
                return
            # A row that is deleted again keeps the time of its first deletion.
            mark = quoted(DELETED_AT)
            self.database.execute(
                f"UPDATE {self.database.qualified(table)} AS landed SET {mark} = {self.database.now} "
                f"FROM {keys} AS incoming WHERE {self.database.same_key(spec.primary_key)} AND landed.{mark} IS NULL"
            )

    def _keys(self, spec: TableSpec, incoming: Incoming, columns: Columns) -> AbstractContextManager[str]:
        """The incoming keys in a temporary table, with the columns' types; NULL where a key does not survive as one."""
        if missing := [name for name in spec.primary_key if name not in incoming.types]:
            raise DestinationError(
                f"table {spec.name!r}: the primary key columns {missing} have no values. Name another primary_key, or "
                'use write_mode = "append"'
            )
        selected = ", ".join(
            f"{self._types.exact_cast_sql(incoming.expressions[name], incoming.types[name], columns[name])} "
            f"AS {quoted(name)}"
            for name in spec.primary_key
        )
        relation = incoming.relation(spec.primary_key)
        return self.database.key_table(f"SELECT {selected} FROM {relation}", spec.primary_key)


_FRAMEWORK_TABLES = (STATE_TABLE, STAGING_TABLE)


class TableIdentities:
    """The tables that a run has landed in: each commit must find the tables that the commit before it left.

    ``check`` and ``current`` are called within a transaction, ``remember`` when it is committed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Hashable] = {}

    def clear(self) -> None:
        """Start again: another run may find other tables."""
        self._known.clear()

    def check(self, names: Collection[str]) -> None:
        """Check these tables, and the framework's own, before rows land.

        :raises DestinationError: one of them was dropped, or is another table than before.
        """
        known = {*names, *_FRAMEWORK_TABLES} & self._known.keys()
        if not known:
            return
        current = self._database.table_ids(known)
        for name in known:
            # Other framework tables than before show by the rows that they lack.
            same = name in current and (
                name in _FRAMEWORK_TABLES or self._database.is_same_table(self._known[name], current[name])
            )
            if not same:
                raise self._dropped(name, recreated=name in current)

    def current(self, names: Collection[str], *, replaced: bool = False) -> Mapping[str, Hashable]:
        """The ids of the tables that rows have landed in, for ``remember``.

        :param replaced: the tables may have taken the place of others.
        :raises DestinationError: rows have landed in another table than those before them.
        """
        if not self._database.table_ids_change and not replaced:
            names = [name for name in names if name not in self._known]
        current = self._database.table_ids(names) if names else {}
        for name in [] if replaced else current.keys() & self._known.keys():
            if not self._database.is_same_table(self._known[name], current[name], landed=True):
                raise self._dropped(name, recreated=True)
        return current

    def remember(self, table_ids: Mapping[str, Hashable]) -> None:
        """The transaction is committed."""
        self._known.update(table_ids)

    def _dropped(self, name: str, *, recreated: bool) -> DestinationError:
        dropped = "dropped, and created again," if recreated else "dropped"
        remedy = (
            "the states of all streams were in it, so the next run loads everything again, beside the existing rows"
            if name == STATE_TABLE
            else "this run's rows were in it, and nothing of this commit was kept. To load them again, reset "
            "the stream's state (vdk datasource state reset FLOW --stream NAME), and run again"
        )
        return DestinationError(
            f"{self._database.location}: table {name!r} was {dropped} by another connection during the run; " + remedy
        )
