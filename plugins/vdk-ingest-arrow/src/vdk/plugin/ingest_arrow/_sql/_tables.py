"""Rows into DuckDB tables: making tables, changing columns, appending, upserting and deleting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import DELETED_AT, TableSpec
from vdk.plugin.datasource_base.parts._destination import Kind

from ._duckdb_connection import DuckDBConnection
from ._duckdb_incoming import Columns, Incoming, declared_columns
from ._duckdb_types import (
    TEXT,
    ZONED,
    candidates,
    converted,
    exact_or_null,
    is_exact,
    last_resort,
)
from ._sql import check_distinct, check_name, folded, quoted


class DuckDBTables:
    """The tables of one schema. Everything is meant to be called within a transaction.

    ``spec`` says how rows land and what errors call the table; ``into`` is the table, where that is another one.
    """

    def __init__(self, connection: DuckDBConnection, schema: str) -> None:
        self.connection = connection
        self.schema = schema
        self._rows = connection.rows
        self._catalog: str | None = None

    def prepare(self) -> None:
        """Make the schema where it is missing."""
        self._rows(f"CREATE SCHEMA IF NOT EXISTS {self._schema_path()}")

    def path(self, name: str) -> str:
        """The table's whole name, which nothing else is called."""
        return f"{self._schema_path()}.{quoted(name)}"

    def _schema_path(self) -> str:
        if self._catalog is None:
            self._catalog = str(self._rows("SELECT current_catalog()")[0][0])
        return f"{quoted(self._catalog)}.{quoted(self.schema)}"

    def columns(self, name: str) -> Columns | None:
        """The table's columns; None where there is no such table.

        :raises DestinationError: where the name is a view's, or differs from a table's in case only.
        """
        check_name(name, "a table named")
        self._schema_path()
        found = self._rows(
            "SELECT table_name, 'table' FROM duckdb_tables() WHERE database_name = $1 AND schema_name = $2 "
            "AND lower(table_name) = lower($3) UNION ALL "
            "SELECT view_name, 'view' FROM duckdb_views() WHERE database_name = $1 AND schema_name = $2 "
            "AND lower(view_name) = lower($3)",
            [self._catalog, self.schema, name],
        )
        for other, kind in found:
            if folded(other) != folded(name):
                continue
            if kind == "view":
                raise DestinationError(f"{other!r} is a view: rows land in tables, name another destination_table")
            if other != name:
                raise DestinationError(
                    f"the tables {name!r} and {other!r} differ in upper and lower case only, which is one table to the "
                    "database: name another destination_table for one of them"
                )
            return {row[0]: _unquoted(row[1]) for row in self._rows(f"DESCRIBE {self.path(name)}")}
        return None

    def is_empty(self, name: str) -> bool:
        """Whether it has no row that this transaction sees."""
        return not self._rows(f"SELECT 1 FROM {self.path(name)} LIMIT 1")

    def land(self, spec: TableSpec, kind: Kind, incoming: Incoming, into: str | None = None) -> None:
        """Land rows, or delete keys, as ``spec.write_mode`` says. Missing tables and columns are made."""
        table = into or spec.name
        columns = self._conform(spec, kind, incoming, table)
        if not incoming.types and not incoming.waiting:
            return
        if kind == "deletes":
            self._delete(spec, incoming, table, columns)
            return
        if spec.write_mode == "upsert" and not self.is_empty(table):
            self._delete_keys(spec, incoming, table, columns)
        self._insert(incoming, table, columns)

    def create(self, spec: TableSpec, columns: Columns, into: str | None = None) -> None:
        """Make a table with these columns. Without any there is nothing to make, and nothing is."""
        for name in columns:
            check_name(name, f"table {spec.name!r}: a column named")
        check_distinct(columns, spec.name)
        if columns:
            listed = ", ".join(f"{quoted(name)} {type_}" for name, type_ in columns.items())
            self._rows(f"CREATE TABLE {self.path(into or spec.name)} ({listed})")

    def add_columns(self, spec: TableSpec, columns: Columns, into: str | None = None) -> None:
        for name, type_ in columns.items():
            check_name(name, f"table {spec.name!r}: a column named")
            self._rows(f"ALTER TABLE {self.path(into or spec.name)} ADD COLUMN {quoted(name)} {type_}")

    def drop(self, name: str) -> None:
        self._rows(f"DROP TABLE IF EXISTS {self.path(name)}")

    def rename(self, old: str, new: str) -> None:
        """Rename a table of this schema."""
        self._rows(f"ALTER TABLE {self.path(old)} RENAME TO {quoted(new)}")

    def indexes(self, name: str) -> list[tuple[str, str]]:
        """Indexes that people made: name, and the SQL that makes it again."""
        return [
            (row[0], row[1])
            for row in self._rows(
                "SELECT index_name, sql FROM duckdb_indexes() "
                "WHERE database_name = ? AND schema_name = ? AND table_name = ? AND sql IS NOT NULL",
                [self._catalog, self.schema, name],
            )
        ]

    def make_indexes(self, indexes: list[tuple[str, str]]) -> None:
        for _, sql in indexes:
            self._rows(sql)

    def _conform(self, spec: TableSpec, kind: Kind, incoming: Incoming, table: str) -> Columns:
        """Make the table take the incoming columns. Returns its columns afterwards."""
        declared = declared_columns(spec)
        wanted = {**declared, **{name: type_ for name, type_ in incoming.types.items() if name not in declared}}
        columns = self.columns(table)
        if columns is None:
            # Rows whose every value is missing are rows all the same, and a table needs a column.
            self.create(spec, wanted or dict.fromkeys(incoming.waiting, TEXT), table)
            columns = self.columns(table) or {}
        if missing := {name: type_ for name, type_ in wanted.items() if name not in columns}:
            check_distinct([*columns, *missing], spec.name)
            self.add_columns(spec, missing, table)
            columns = {**columns, **missing}
        if kind == "rows":
            for name, type_ in incoming.types.items():
                if columns[name] != type_:
                    columns[name] = self._reconciled(spec, table, name, columns[name], incoming)
        return columns

    def _reconciled(self, spec: TableSpec, table: str, name: str, existing: str, incoming: Incoming) -> str:
        """The column's type from now on, the column changed to it."""
        type_ = incoming.types[name]
        possible = candidates(existing, type_)
        if not spec.evolve:
            possible = [existing] if possible else []
        for candidate in possible:
            if self._survives(incoming.relation, incoming.expressions[name], type_, candidate) and self._survives(
                self.path(table), quoted(name), existing, candidate
            ):
                target = candidate
                break
        else:
            if not spec.evolve:
                raise DestinationError(
                    f"table {spec.name!r}, column {name!r}: the column is {existing}, the rows bring {type_}, and "
                    "columns may not change their type here (on_schema_change = 'freeze'). Convert the values with a "
                    "transform, or allow it with on_schema_change = 'evolve'"
                )
            target = last_resort(existing, type_)
        if target != existing:
            with self._indexes_aside(table):
                self._rows(
                    f"ALTER TABLE {self.path(table)} ALTER COLUMN {quoted(name)} SET DATA TYPE {target} "
                    f"USING {converted(quoted(name), existing, target)}"
                )
        return target

    def _survives(self, relation: str, expression: str, source: str, target: str) -> bool:
        """Whether every value comes back the same from being the other type."""
        if is_exact(source, target):
            return True
        lost = f"({exact_or_null(expression, source, target)}) IS NULL AND {expression} IS NOT NULL"
        return not self._rows(f"SELECT 1 FROM {relation} WHERE {lost} LIMIT 1")

    @contextmanager
    def _indexes_aside(self, table: str) -> Iterator[None]:
        """DuckDB changes no column of a table that has an index; one that is itself indexed not even without it."""
        indexes = self.indexes(table)
        for name, _ in indexes:
            self._rows(f"DROP INDEX {self._schema_path()}.{quoted(name)}")
        yield
        self.make_indexes(indexes)

    def _insert(self, incoming: Incoming, table: str, columns: Columns) -> None:
        names = [name for name in (*incoming.types, *incoming.waiting) if name in columns]
        if not names:
            return
        selected = [
            converted(incoming.expressions[name], incoming.types[name], columns[name])
            if name in incoming.types
            else "NULL"
            for name in names
        ]
        self._rows(
            f"INSERT INTO {self.path(table)} ({', '.join(map(quoted, names))}) "
            f"SELECT {', '.join(selected)} FROM {incoming.relation}"
        )

    def _delete(self, spec: TableSpec, incoming: Incoming, table: str, columns: Columns) -> None:
        if spec.write_mode != "upsert":
            raise DestinationError(f'table {spec.name!r}: deletes by key need write_mode = "upsert"')
        if self.is_empty(table):
            return
        if not spec.soft_deletes:
            self._delete_keys(spec, incoming, table, columns)
            return
        if DELETED_AT not in columns:
            self.add_columns(spec, {DELETED_AT: ZONED}, table)
        with self._keys(spec, incoming, columns) as keys:
            # A row that is deleted again keeps the time it was first told to be gone.
            self._rows(
                f"UPDATE {self.path(table)} AS landed SET {quoted(DELETED_AT)} = now() FROM {keys} AS gone "
                f"WHERE {_same_key(spec)} AND landed.{quoted(DELETED_AT)} IS NULL"
            )

    def keep_only(self, spec: TableSpec, incoming: Incoming) -> int:
        """Delete the rows whose key is not among the incoming; returns how many."""
        columns = self.columns(spec.name)
        if columns is None or self.is_empty(spec.name):
            return 0
        if spec.soft_deletes and DELETED_AT not in columns:
            self.add_columns(spec, {DELETED_AT: ZONED})
        with self._keys(spec, incoming, columns) as keys:
            gone = f"NOT EXISTS (SELECT 1 FROM {keys} AS gone WHERE {_same_key(spec)})"
            table = f"{self.path(spec.name)} AS landed"
            if spec.soft_deletes:
                mark = quoted(DELETED_AT)
                done = self._rows(f"UPDATE {table} SET {mark} = now() WHERE landed.{mark} IS NULL AND {gone}")
            else:
                done = self._rows(f"DELETE FROM {table} WHERE {gone}")
        return int(done[0][0])

    def _delete_keys(self, spec: TableSpec, incoming: Incoming, table: str, columns: Columns) -> None:
        with self._keys(spec, incoming, columns) as keys:
            self._rows(f"DELETE FROM {self.path(table)} AS landed USING {keys} AS gone WHERE {_same_key(spec)}")

    @contextmanager
    def _keys(self, spec: TableSpec, incoming: Incoming, columns: Columns) -> Iterator[str]:
        """The incoming keys in a temporary table, of the column's types.

        In a table DuckDB knows how many they are, and how far they reach: it builds its hash table from them, and
        skips the row groups of the landed table where none can be.
        """
        if missing := [name for name in spec.primary_key if name not in incoming.types]:
            raise DestinationError(f"table {spec.name!r}: the primary key columns {missing} have no values")
        selected = ", ".join(
            f"{exact_or_null(incoming.expressions[name], incoming.types[name], columns[name])} AS {quoted(name)}"
            for name in spec.primary_key
        )
        keys = "temp.main._vdk_keys"
        self._rows(f"CREATE OR REPLACE TEMP TABLE _vdk_keys AS SELECT {selected} FROM {incoming.relation}")
        yield keys
        self._rows(f"DROP TABLE {keys}")


def _same_key(spec: TableSpec) -> str:
    return " AND ".join(f"landed.{quoted(name)} = gone.{quoted(name)}" for name in spec.primary_key)


def _unquoted(type_: str) -> str:
    """``DESCRIBE`` quotes a type's name where it is a word of SQL too."""
    return type_[1:-1] if type_.startswith('"') and type_.endswith('"') else type_
