# SPDX-License-Identifier: Apache-2.0
"""A schema of a PostgreSQL database as a target: its types, its SQL dialect, and the options of ``postgresql://…``."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import literal, quoted, relation_name

from ..names import check_name, has_leading_index, table_exists
from ..sql.database import Incoming, LoadedRows
from ..sql.target import SqlTarget
from ..sql.types import Columns, Types
from .connection import PostgresqlConnection
from .copy_encoding import encode_table
from .url import PostgresqlUrl

_TIMESTAMP, _TIME = "timestamp without time zone", "time without time zone"
_FROM_ARROW: dict[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.uint8(): "smallint",
    pa.uint16(): "integer",
    pa.uint32(): "bigint",
    pa.uint64(): "numeric(20,0)",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.binary(): "bytea",
    pa.date32(): "date",
    pa.month_day_nano_interval(): "interval",
}

TRY_CAST = "pg_temp._vdk_try_cast"
CREATE_TRY_CAST = f"""CREATE OR REPLACE FUNCTION {TRY_CAST}(value text, target text, source text) RETURNS text AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT (($1::%2$s)::%1$s)::%2$s::text', target, source) INTO result USING value;
    RETURN result;
EXCEPTION WHEN data_exception OR cannot_coerce OR undefined_function OR program_limit_exceeded THEN
    RETURN NULL;
END $$ LANGUAGE plpgsql"""
"""A value, as text, after a cast to another type and back; NULL where that fails. PostgreSQL's own casts raise."""


class PostgresqlTypes(Types):
    """https://www.postgresql.org/docs/current/datatype.html"""

    database = "PostgreSQL"
    simple_types = _FROM_ARROW
    text = "text"
    json = "jsonb"
    timestamp_tz = "timestamp with time zone"
    bigint = "bigint"
    decimal = "numeric"
    max_precision = 1000
    integers: ClassVar = {"smallint": (True, 15), "integer": (True, 31), "bigint": (True, 63)}
    floats = ("real", "double precision")
    widening_chains = (("date", _TIMESTAMP), (_TIME,))

    def time_type(self, type_: pa.DataType) -> str | None:
        if pa.types.is_timestamp(type_):
            return self.timestamp_tz if type_.tz is not None else _TIMESTAMP
        if pa.types.is_time(type_):
            return _TIME
        return "interval" if pa.types.is_duration(type_) else None

    def cast_sql(self, expression: str, source: str, target: str) -> str:
        if source == target:
            return expression
        return f"to_jsonb({expression})" if target == self.json else f"CAST({expression} AS {target})"

    def exact_cast_sql(self, expression: str, source: str, target: str) -> str:
        if self.is_lossless(source, target):
            return self.cast_sql(expression, source, target)
        cast = self.cast_sql(expression, source, target)
        if source in self.integers and target == "double precision":
            # The most frequent change of a column, so it has a fast path. The bound is the largest double below 2**63.
            whole = f"{cast} <= 9223372036854774784"
            return f"CASE WHEN {whole} THEN CASE WHEN CAST({cast} AS bigint) = {expression} THEN {cast} END END"
        text = f"CAST({expression} AS text)"
        return f"CASE WHEN {TRY_CAST}({text}, {literal(target)}, {literal(source)}) = {text} THEN {cast} END"


MAX_NAME_BYTES = 63
"""PostgreSQL truncates longer names, with only a notice."""
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""https://www.postgresql.org/docs/current/ddl-system-columns.html"""
_KINDS = {
    "r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table", "S": "sequence",
    "c": "type", "i": "index", "I": "index",
}  # fmt: skip
"""https://www.postgresql.org/docs/current/catalog-pg-class.html, ``relkind``."""


class PostgresqlDatabase(PostgresqlConnection):
    """One schema of a PostgreSQL database."""

    types = PostgresqlTypes()
    row_lock = " FOR UPDATE"

    def __init__(self, url: PostgresqlUrl) -> None:
        super().__init__(url)
        self._schema = url.schema
        self._loaded = 0

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if TRY_CAST in sql:
            super().execute(CREATE_TRY_CAST)
        return super().execute(sql, parameters)

    @contextmanager
    def incoming(self, tables: Sequence[pa.Table]) -> Iterator[list[LoadedRows]]:
        yield [LoadedRows(table, self.types, self._load) for table in tables]

    def insert(self, incoming: Incoming, table: str, names: Sequence[str], columns: Columns) -> None:
        typed = [name for name in names if name in incoming.types]
        if incoming.arrow is None or not typed or any(incoming.types[name] != columns[name] for name in typed):
            super().insert(incoming, table, names, columns)
            return
        self.copy(table, encode_table(incoming.arrow.select(typed)), schema=self._schema)

    def fold(self, name: str) -> str:
        return name

    def check_name(self, name: str, what: str) -> None:
        check_name(name, what)
        if len(name.encode()) > MAX_NAME_BYTES:
            raise DestinationError(
                f"{what} {name!r} is not possible: the name has {len(name.encode())} bytes, and PostgreSQL allows "
                f"{MAX_NAME_BYTES}. Rename a column with a transform, a table with destination_table"
            )

    def check_column(self, name: str, table: str) -> None:
        super().check_column(name, table)
        if name in _SYSTEM_COLUMNS:
            raise DestinationError(
                f"table {table!r}: a column named {name!r} is not possible: every PostgreSQL table has a system column "
                "of that name. Rename it with a transform"
            )

    def qualified(self, name: str) -> str:
        return f"{quoted(self._schema)}.{quoted(name)}"

    def create_schema(self) -> None:
        # Looked up first: CREATE SCHEMA needs a privilege, also where the schema exists.
        self.check_name(self._schema, "a schema named")
        if not self.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", [self._schema]):
            self.lock_table("")
            self.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._schema)}")

    def lock_table(self, table: str) -> None:
        # Not a lock on the table itself: it may not exist yet, and its readers need not wait.
        name = hashlib.sha256(f"vdk-ingest-arrow\0{self._schema}\0{table}".encode()).digest()
        self.execute(f"SELECT pg_advisory_xact_lock({int.from_bytes(name[:8], signed=True)})::text")

    def columns(self, name: str) -> Columns | None:
        self.check_name(name, "a table named")
        rows = self.execute(
            "SELECT c.relkind::text, a.attname::text, format_type(a.atttypid, a.atttypmod) "
            "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
            "WHERE n.nspname = $1 AND c.relname = $2 ORDER BY a.attnum",
            [self._schema, name],
        )
        if not table_exists([(name, _KINDS.get(row[0], "relation")) for row in rows[:1]], name):
            return None
        return {column: type_ for _, column, type_ in rows if column is not None}

    def table_ids(self, names: Collection[str]) -> Mapping[str, int]:
        """The oid, which TRUNCATE, VACUUM FULL and ALTER TABLE do not change."""
        rows = self.execute(
            "SELECT c.relname::text, c.oid::bigint FROM pg_catalog.pg_class c "
            "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            f"WHERE n.nspname = $1 AND c.relname IN ({', '.join(self.placeholders(len(names), 2))})",
            [self._schema, *names],
        )
        return dict(rows)

    def add_columns(self, table: str, columns: Columns) -> None:
        """In one statement, which locks the table and writes the catalog once."""
        if columns:
            added = ", ".join(f"ADD COLUMN {quoted(column)} {type_}" for column, type_ in columns.items())
            self.execute(f"ALTER TABLE {self.qualified(table)} {added}")

    def change_type(self, table: str, column: str, existing: str, target: str) -> None:
        self.execute(
            f"ALTER TABLE {self.qualified(table)} ALTER COLUMN {quoted(column)} TYPE {target} "
            f"USING {self.types.cast_sql(quoted(column), existing, target)}"
        )

    def swap_table(self, new: str, name: str) -> None:
        """Move the rows, and keep the table with its privileges, views, indexes, triggers and comments."""
        table, columns, existing = self.qualified(name), self.columns(new) or {}, self.columns(name) or {}
        self.execute(f"TRUNCATE {table}")
        changes = [
            *(f"DROP COLUMN {quoted(column)}" for column in existing if column not in columns),
            *(f"ADD COLUMN {quoted(column)} {type_}" for column, type_ in columns.items() if column not in existing),
            *(
                f"ALTER COLUMN {quoted(column)} TYPE {type_} USING NULL"
                for column, type_ in columns.items()
                if existing.get(column, type_) != type_
            ),
        ]
        if changes:
            self.execute(f"ALTER TABLE {table} {', '.join(changes)}")
        listed = ", ".join(map(quoted, columns))
        self.execute(f"INSERT INTO {table} ({listed}) SELECT {listed} FROM {self.qualified(new)}")
        self.execute(f"DROP TABLE {self.qualified(new)}")

    def create_index(self, table: str, columns: Sequence[str]) -> None:
        indexes = self.execute(
            "SELECT i.indexrelid::bigint, a.attname::text FROM pg_catalog.pg_index i "
            "JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, position) "
            "LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum "
            "WHERE n.nspname = $1 AND c.relname = $2 AND i.indisvalid AND i.indpred IS NULL "
            "ORDER BY i.indexrelid, k.position",
            [self._schema, table],
        )
        if not has_leading_index(indexes, columns):
            self.execute(f"CREATE INDEX ON {self.qualified(table)} ({', '.join(map(quoted, columns))})")

    @contextmanager
    def key_table(self, select: str, columns: Sequence[str]) -> Iterator[str]:
        self.execute(f"CREATE TEMPORARY TABLE _vdk_keys ON COMMIT DROP AS {select}")
        self.execute("ANALYZE pg_temp._vdk_keys")
        yield "pg_temp._vdk_keys"
        self.execute("DROP TABLE pg_temp._vdk_keys")

    def _load(self, table: pa.Table, columns: Columns) -> str:
        if not columns:
            return f"generate_series(1, {table.num_rows})"
        self._loaded += 1
        name = f"_vdk_arrow_{self._loaded}"
        listed = ", ".join(f"{quoted(column)} {type_}" for column, type_ in columns.items())
        self.execute(f"CREATE TEMPORARY TABLE {name} ({listed}) ON COMMIT DROP")
        self.copy(name, encode_table(table), schema=None)
        return f"pg_temp.{name}"


class PostgresqlTarget(SqlTarget):
    """One schema of a PostgreSQL database.

    Options: ``schema`` (default ``public``; created where missing; it contains the states too), ``lock_timeout``
    (default 30s: how long to wait for others that use the same tables). Every other option is libpq's: ``sslmode``, …
    """

    def __init__(self, target: str | None, *, folder: Path) -> None:
        self._url = PostgresqlUrl.parse(target)
        self._connection = PostgresqlDatabase(self._url)
        self._databases: list[str] = []
        super().__init__(None, folder=folder, database=self._connection)

    def relations(self, name: str) -> Collection[str]:
        with self._connection.translate_errors():
            self._databases = self._databases or self._connection.databases()
        return [relation_name(database, self._url.schema, name) for database in self._databases]

    def identity(self) -> str:
        schema = self._url.schema
        return f"arrow {self._url.location}" + (f"?schema={schema}" if schema != "public" else "")
