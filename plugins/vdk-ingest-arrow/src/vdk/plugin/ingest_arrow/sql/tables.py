"""Rows into tables: making tables, adding and changing columns, appending, upserting and deleting."""

from __future__ import annotations

from contextlib import AbstractContextManager

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import DELETED_AT, BatchKind, SchemaChange, TableSpec, quoted

from .database import Database
from .incoming import Incoming
from .names import check_distinct
from .types import Columns


class Tables:
    """The tables of one schema. Everything is meant to be called within a transaction.

    ``spec`` says how rows land and what errors call the table; ``into`` is the table, where that is another one.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._types = database.types
        self.changes: list[SchemaChange] = []
        """What happened to columns since the list was emptied."""

    def is_empty(self, name: str) -> bool:
        """Whether it has no row that this transaction sees."""
        return not self.database.rows(f"SELECT 1 FROM {self.database.path(name)} LIMIT 1")

    def land(self, spec: TableSpec, kind: BatchKind, incoming: Incoming, into: str | None = None) -> None:
        """Land rows, or delete keys, as ``spec.write_mode`` says. Missing tables and columns are made."""
        table = into or spec.name
        if into is None:
            self.database.hold(table)
        columns = self._conform(spec, kind, incoming, table)
        if not columns or not (incoming.types or incoming.waiting):
            return
        if spec.write_mode == "upsert" and set(spec.primary_key) <= columns.keys():
            self.database.index(table, spec.primary_key)
        if kind == "deletes":
            self._delete(spec, incoming, table, columns)
            return
        if spec.write_mode == "upsert" and not self.is_empty(table):
            with self._keys(spec, incoming, columns) as keys:
                self.database.delete_matching(table, keys, spec.primary_key)
        if names := [name for name in (*incoming.types, *incoming.waiting) if name in columns]:
            self.database.insert(incoming, table, names, columns)

    def keep_only(self, spec: TableSpec, incoming: Incoming) -> int:
        """Delete the rows whose key is not among the incoming; returns how many."""
        self.database.hold(spec.name)
        columns = self.database.columns(spec.name)
        if columns is None or self.is_empty(spec.name):
            return 0
        if spec.soft_deletes and DELETED_AT not in columns:
            self.add_columns(spec, {DELETED_AT: self._types.zoned})
        with self._keys(spec, incoming, columns) as keys:
            gone = f"NOT EXISTS (SELECT 1 FROM {keys} AS gone WHERE {self.database.same(spec.primary_key)})"
            table = f"{self.database.path(spec.name)} AS landed"
            if not spec.soft_deletes:
                return self.database.changed(f"DELETE FROM {table} WHERE {gone}")
            mark = quoted(DELETED_AT)
            return self.database.changed(
                f"UPDATE {table} SET {mark} = {self.database.now} WHERE landed.{mark} IS NULL AND {gone}"
            )

    def create(self, spec: TableSpec, columns: Columns, into: str | None = None) -> None:
        """Make a table with these columns. Without any there is nothing to make, and nothing is."""
        for name in columns:
            self.database.check_column(name, spec.name)
        check_distinct(columns, spec.name, self.database.fold)
        if columns:
            listed = ", ".join(f"{quoted(name)} {type_}" for name, type_ in columns.items())
            self.database.rows(f"CREATE TABLE {self.database.path(into or spec.name)} ({listed})")

    def add_columns(self, spec: TableSpec, columns: Columns, into: str | None = None) -> None:
        for name, type_ in columns.items():
            self.database.check_column(name, spec.name)
            table = self.database.path(into or spec.name)
            self.database.rows(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {type_}")

    def drop(self, name: str) -> None:
        self.database.rows(f"DROP TABLE IF EXISTS {self.database.path(name)}")

    def _conform(self, spec: TableSpec, kind: BatchKind, incoming: Incoming, table: str) -> Columns:
        """Make the table take the incoming columns. Returns its columns afterwards."""
        declared = self._types.declared(spec)
        wanted = {**declared, **{name: type_ for name, type_ in incoming.types.items() if name not in declared}}
        columns = self.database.columns(table)
        if columns is None:
            # Rows whose every value is missing are rows all the same, and a table needs a column: one that takes
            # another type when a value comes.
            self.create(spec, wanted or dict.fromkeys(incoming.waiting, self._types.text), table)
            columns = self.database.columns(table) or {}
        if missing := {name: type_ for name, type_ in wanted.items() if name not in columns}:
            check_distinct([*columns, *missing], spec.name, self.database.fold)
            self.add_columns(spec, missing, table)
            columns = {**columns, **missing}
        if kind == "rows":
            for name, type_ in incoming.types.items():
                if columns[name] != type_:
                    columns[name] = self._reconciled(spec, table, name, columns, incoming)
        return columns

    def _reconciled(self, spec: TableSpec, table: str, name: str, columns: Columns, incoming: Incoming) -> str:
        """The column's type from now on, the column changed to it."""
        existing, type_ = columns[name], incoming.types[name]
        if self._waits(table, columns):
            self.database.change_type(table, name, existing, type_)
            return type_
        possible = self._types.candidates(existing, type_)
        if not spec.evolve:
            possible = [existing] if possible else []
        target = next((one for one in possible if self._takes_all(table, name, existing, incoming, one)), None)
        if target is None:
            if not spec.evolve:
                raise DestinationError(
                    f"table {spec.name!r}, column {name!r}: the column is {existing}, the rows bring {type_}, and "
                    "columns may not change their type here (on_schema_change = 'freeze'). Convert the values with a "
                    "transform, or allow it with on_schema_change = 'evolve'"
                )
            target = self._types.last_resort(existing, type_)
        if target != existing:
            self.database.change_type(table, name, existing, target)
            if table == spec.name:
                self.changes.append(SchemaChange(table, name, existing, target))
        return target

    def _waits(self, table: str, columns: Columns) -> bool:
        """Whether the table was made for rows without any value, and has none yet."""
        if set(columns.values()) != {self._types.text} or self.is_empty(table):
            return False
        filled = " OR ".join(f"{quoted(name)} IS NOT NULL" for name in columns)
        return not self.database.rows(f"SELECT 1 FROM {self.database.path(table)} WHERE {filled} LIMIT 1")

    def _takes_all(self, table: str, name: str, existing: str, incoming: Incoming, target: str) -> bool:
        """Whether the values that are there and those that come are all values of ``target``."""
        source = incoming.types[name]
        if not self._types.is_exact(source, target) and self._any_lost(
            incoming.relation([name]), incoming.expressions[name], source, target
        ):
            return False
        return self._types.is_exact(existing, target) or not self._any_lost(
            self.database.path(table), quoted(name), existing, target
        )

    def _any_lost(self, relation: str, expression: str, source: str, target: str) -> bool:
        """Whether a value does not come back the same from being the other type."""
        lost = f"({self._types.exact_or_null(expression, source, target)}) IS NULL AND {expression} IS NOT NULL"
        return bool(self.database.rows(f"SELECT 1 FROM {relation} WHERE {lost} LIMIT 1"))

    def _delete(self, spec: TableSpec, incoming: Incoming, table: str, columns: Columns) -> None:
        if spec.write_mode != "upsert":
            raise DestinationError(f'table {spec.name!r}: deletes by key need write_mode = "upsert"')
        if self.is_empty(table):
            return
        if spec.soft_deletes and DELETED_AT not in columns:
            self.add_columns(spec, {DELETED_AT: self._types.zoned}, table)
        with self._keys(spec, incoming, columns) as keys:
            if not spec.soft_deletes:
                self.database.delete_matching(table, keys, spec.primary_key)
                return
            # A row that is deleted again keeps the time it was first told to be gone.
            mark = quoted(DELETED_AT)
            self.database.rows(
                f"UPDATE {self.database.path(table)} AS landed SET {mark} = {self.database.now} FROM {keys} AS gone "
                f"WHERE {self.database.same(spec.primary_key)} AND landed.{mark} IS NULL"
            )

    def _keys(self, spec: TableSpec, incoming: Incoming, columns: Columns) -> AbstractContextManager[str]:
        """The incoming keys in a temporary table, of the column's types; NULL where a key is no value of its type."""
        if missing := [name for name in spec.primary_key if name not in incoming.types]:
            raise DestinationError(f"table {spec.name!r}: the primary key columns {missing} have no values")
        selected = ", ".join(
            f"{self._types.exact_or_null(incoming.expressions[name], incoming.types[name], columns[name])} "
            f"AS {quoted(name)}"
            for name in spec.primary_key
        )
        relation = incoming.relation(spec.primary_key)
        return self.database.temporary(f"SELECT {selected} FROM {relation}", spec.primary_key)
