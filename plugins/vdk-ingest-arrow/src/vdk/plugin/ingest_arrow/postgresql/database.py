"""PostgreSQL's types, spelled as its ``format_type`` spells them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import pyarrow as pa
from adbc_driver_manager import Error

from vdk.plugin.datasource_base.contract import DestinationError
from vdk.plugin.datasource_base.parts import literal, quoted

from ..sql.database import Database
from ..sql.incoming import Incoming
from ..sql.names import check_name, check_table, leads
from ..sql.types import Columns, Types
from .connection import PostgresqlConnection
from .copy_encoding import wire_table
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
MAKE_TRY_CAST = f"""CREATE OR REPLACE FUNCTION {TRY_CAST}(value text, target text, source text) RETURNS text AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT (($1::%2$s)::%1$s)::%2$s::text', target, source) INTO result USING value;
    RETURN result;
EXCEPTION WHEN data_exception OR cannot_coerce OR undefined_function OR program_limit_exceeded THEN
    RETURN NULL;
END $$ LANGUAGE plpgsql"""
"""A value, as text, from being another type and back; NULL where that is an error. PostgreSQL's casts raise."""


class PostgresqlTypes(Types):
    """https://www.postgresql.org/docs/current/datatype.html"""

    database = "PostgreSQL"
    plain = _FROM_ARROW
    uuid = "uuid"
    text = "text"
    json = "jsonb"
    zoned = "timestamp with time zone"
    big = "bigint"
    decimal = "numeric"
    digits = 1000
    integers: ClassVar = {"smallint": (True, 15), "integer": (True, 31), "bigint": (True, 63)}
    floats = ("real", "double precision")
    ladders = (("date", _TIMESTAMP), (_TIME,))

    def of_time(self, type_: pa.DataType) -> str | None:
        if pa.types.is_timestamp(type_):
            return self.zoned if type_.tz is not None else _TIMESTAMP
        if pa.types.is_time(type_):
            return _TIME
        return "interval" if pa.types.is_duration(type_) else None

    def converted(self, expression: str, source: str, target: str) -> str:
        if source == target:
            return expression
        return f"to_jsonb({expression})" if target == self.json else f"CAST({expression} AS {target})"

    def exact_or_null(self, expression: str, source: str, target: str) -> str:
        if self.is_exact(source, target):
            return self.converted(expression, source, target)
        cast = self.converted(expression, source, target)
        if source in self.integers and target == "double precision":
            # As the general case, but quick: this is what drifting columns mostly do. The bound is the largest double
            # below 2**63.
            whole = f"{cast} <= 9223372036854774784"
            return f"CASE WHEN {whole} THEN CASE WHEN CAST({cast} AS bigint) = {expression} THEN {cast} END END"
        text = f"CAST({expression} AS text)"
        return f"CASE WHEN {TRY_CAST}({text}, {literal(target)}, {literal(source)}) = {text} THEN {cast} END"


T = TypeVar("T")
LONGEST_NAME = 63
"""Bytes of a name. PostgreSQL cuts longer ones off with no more than a notice."""
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""https://www.postgresql.org/docs/current/ddl-system-columns.html"""
_KINDS = {
    "r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table", "S": "sequence",
    "c": "type", "i": "index", "I": "index",
}  # fmt: skip
"""https://www.postgresql.org/docs/current/catalog-pg-class.html, ``relkind``."""


class PostgresqlDatabase(Database):
    """One schema of a PostgreSQL database."""

    types = PostgresqlTypes()
    for_update = " FOR UPDATE"

    def __init__(self, url: PostgresqlUrl) -> None:
        self.where = url.place
        self._schema = url.schema
        self.connection = PostgresqlConnection(url)
        self._loaded = 0

    def open(self) -> None:
        self.connection.open()

    def close(self) -> None:
        self.connection.close()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if TRY_CAST in sql:
            self.connection.rows(MAKE_TRY_CAST)
        return self.connection.rows(sql, parameters)

    def changed(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        # The driver counts the rows of a statement only where it has no parameters.
        return len(self.rows(f"{sql} RETURNING 1", parameters)) if parameters else self.connection.changed(sql)

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except Error as error:
            raise self.connection.safe(error) from error

    def transaction(self, work: Callable[[], T]) -> T:
        return self.connection.transaction(work)

    @contextmanager
    def readable(self, tables: Sequence[pa.Table]) -> Iterator[Callable[[], list[Incoming]]]:
        yield lambda: [Incoming.loaded(table, self.types, self._load) for table in tables]

    def insert(self, incoming: Incoming, table: str, names: Sequence[str], columns: Columns) -> None:
        typed = [name for name in names if name in incoming.types]
        if incoming.arrow is None or not typed or any(incoming.types[name] != columns[name] for name in typed):
            super().insert(incoming, table, names, columns)
            return
        self.connection.copy(table, wire_table(incoming.arrow.select(typed)), schema=self._schema)

    def fold(self, name: str) -> str:
        return name

    def check_name(self, name: str, what: str) -> None:
        check_name(name, what)
        if len(name.encode()) > LONGEST_NAME:
            raise DestinationError(
                f"{what} {name!r} cannot be: the name has {len(name.encode())} bytes, and PostgreSQL keeps "
                f"{LONGEST_NAME}. Give the column another name with a transform, the table with destination_table"
            )

    def check_column(self, name: str, table: str) -> None:
        super().check_column(name, table)
        if name in _SYSTEM_COLUMNS:
            raise DestinationError(
                f"table {table!r}: a column named {name!r} cannot be: every table of PostgreSQL has a system column "
                "of that name. Give it another name with a transform"
            )

    def path(self, name: str) -> str:
        return f"{quoted(self._schema)}.{quoted(name)}"

    def make_schema(self) -> None:
        # Looked for first: to make what is there already takes a privilege that is otherwise not needed.
        self.check_name(self._schema, "a schema named")
        if not self.rows("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", [self._schema]):
            self.hold("")
            self.rows(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._schema)}")

    def hold(self, table: str) -> None:
        # Not a lock of the table's own: it may not be there yet, and who reads it is not in the way.
        name = hashlib.sha256(f"vdk-ingest-arrow\0{self._schema}\0{table}".encode()).digest()
        self.rows(f"SELECT pg_advisory_xact_lock({int.from_bytes(name[:8], signed=True)})::text")

    def columns(self, name: str) -> Columns | None:
        self.check_name(name, "a table named")
        found = self.rows(
            "SELECT c.relkind::text, a.attname::text, format_type(a.atttypid, a.atttypmod) "
            "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
            "WHERE n.nspname = $1 AND c.relname = $2 ORDER BY a.attnum",
            [self._schema, name],
        )
        if not check_table([(name, _KINDS.get(row[0], "relation")) for row in found[:1]], name):
            return None
        return {column: type_ for _, column, type_ in found if column is not None}

    def traces(self, names: Collection[str]) -> Mapping[str, int]:
        """By the oid, which TRUNCATE, VACUUM FULL and ALTER TABLE leave as it is."""
        found = self.rows(
            "SELECT c.relname::text, c.oid::bigint FROM pg_catalog.pg_class c "
            "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            f"WHERE n.nspname = $1 AND c.relname IN ({', '.join(self.numbered(len(names), 2))})",
            [self._schema, *names],
        )
        return dict(found)

    def change_type(self, table: str, column: str, existing: str, target: str) -> None:
        self.rows(
            f"ALTER TABLE {self.path(table)} ALTER COLUMN {quoted(column)} TYPE {target} "
            f"USING {self.types.converted(quoted(column), existing, target)}"
        )

    def put_in_place(self, new: str, name: str) -> None:
        """Rows move and the table stays: with it stay its privileges, views, indexes, triggers and comments."""
        table, wanted, there = self.path(name), self.columns(new) or {}, self.columns(name) or {}
        self.rows(f"TRUNCATE {table}")
        changes = [
            *(f"DROP COLUMN {quoted(one)}" for one in there if one not in wanted),
            *(f"ADD COLUMN {quoted(one)} {type_}" for one, type_ in wanted.items() if one not in there),
            *(
                f"ALTER COLUMN {quoted(one)} TYPE {type_} USING NULL"
                for one, type_ in wanted.items()
                if there.get(one, type_) != type_
            ),
        ]
        if changes:
            self.rows(f"ALTER TABLE {table} {', '.join(changes)}")
        listed = ", ".join(map(quoted, wanted))
        self.rows(f"INSERT INTO {table} ({listed}) SELECT {listed} FROM {self.path(new)}")
        self.rows(f"DROP TABLE {self.path(new)}")

    def index(self, table: str, columns: Sequence[str]) -> None:
        found = self.rows(
            "SELECT i.indexrelid::bigint, a.attname::text FROM pg_catalog.pg_index i "
            "JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, position) "
            "LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum "
            "WHERE n.nspname = $1 AND c.relname = $2 AND i.indisvalid AND i.indpred IS NULL "
            "ORDER BY i.indexrelid, k.position",
            [self._schema, table],
        )
        if not leads(found, columns):
            self.rows(f"CREATE INDEX ON {self.path(table)} ({', '.join(map(quoted, columns))})")

    @contextmanager
    def temporary(self, select: str, columns: Sequence[str]) -> Iterator[str]:
        self.rows(f"CREATE TEMPORARY TABLE _vdk_keys ON COMMIT DROP AS {select}")
        self.rows("ANALYZE pg_temp._vdk_keys")
        yield "pg_temp._vdk_keys"
        self.rows("DROP TABLE pg_temp._vdk_keys")

    def _load(self, table: pa.Table, columns: Columns) -> str:
        if not columns:
            return f"generate_series(1, {table.num_rows})"
        self._loaded += 1
        name = f"_vdk_arrow_{self._loaded}"
        listed = ", ".join(f"{quoted(one)} {type_}" for one, type_ in columns.items())
        self.rows(f"CREATE TEMPORARY TABLE {name} ({listed}) ON COMMIT DROP")
        self.connection.copy(name, wire_table(table), schema=None)
        return f"pg_temp.{name}"
