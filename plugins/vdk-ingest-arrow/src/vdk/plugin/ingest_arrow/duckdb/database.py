# SPDX-License-Identifier: Apache-2.0
"""A DuckDB file as a target: its types, its SQL dialect, and the options of ``duckdb:///file``."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa

from vdk.plugin.datasource_base.parts import pc, quoted

from ..filesystem import disk_errors
from ..names import check_name, fold_ascii, table_exists
from ..sql.database import Incoming
from ..sql.target import SqlTarget
from ..sql.types import Columns, Types
from ..targets import TargetUrl, path_identity
from ..values import RefusedValueError, is_checked_json, is_json
from .connection import DuckDBConnection

_FROM_ARROW: dict[pa.DataType, str] = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.month_day_nano_interval(): "INTERVAL",
}


class DuckDBTypes(Types):
    """https://duckdb.org/docs/stable/sql/data_types/overview"""

    database = "DuckDB"
    simple_types = _FROM_ARROW
    text = "VARCHAR"
    json = "JSON"
    timestamp_tz = "TIMESTAMP WITH TIME ZONE"
    bigint = "BIGINT"
    decimal = "DECIMAL"
    integers: ClassVar = {
        "TINYINT": (True, 7),
        "SMALLINT": (True, 15),
        "INTEGER": (True, 31),
        "BIGINT": (True, 63),
        "HUGEINT": (True, 127),
        "UTINYINT": (False, 8),
        "USMALLINT": (False, 16),
        "UINTEGER": (False, 32),
        "UBIGINT": (False, 64),
        "UHUGEINT": (False, 128),
    }
    floats = ("FLOAT", "DOUBLE")
    widening_chains = (
        ("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS"),
        (timestamp_tz, "TIMESTAMPTZ_NS"),
        ("TIME", "TIME_NS"),
    )

    def time_type(self, type_: pa.DataType) -> str | None:
        if pa.types.is_timestamp(type_):
            if type_.tz is not None:
                return "TIMESTAMPTZ_NS" if type_.unit == "ns" else self.timestamp_tz
            return "TIMESTAMP_NS" if type_.unit == "ns" else "TIMESTAMP"
        if pa.types.is_time(type_):
            return "TIME_NS" if type_.unit == "ns" else "TIME"
        return "INTERVAL" if pa.types.is_duration(type_) else None

    def cast_sql(self, expression: str, source: str, target: str) -> str:
        if source == target:
            return expression
        return f"to_json({expression})" if target == self.json else f"CAST({expression} AS {target})"

    def exact_cast_sql(self, expression: str, source: str, target: str) -> str:
        if self.is_lossless(source, target):
            return self.cast_sql(expression, source, target)
        cast = f"TRY_CAST({expression} AS {target})"
        return f"CASE WHEN TRY_CAST({cast} AS {source}) IS NOT DISTINCT FROM {expression} THEN {cast} END"


def arrow_expression(name: str, type_: pa.DataType) -> str:
    """SQL for an Arrow column as the type that ``from_arrow`` returns; ``name`` is quoted."""
    if is_json(type_):
        return f"CAST(CAST({name} AS VARCHAR) AS JSON)"  # through text: DuckDB checks JSON only in this cast
    if pa.types.is_timestamp(type_) and type_.tz is None and type_.unit in ("s", "ms"):
        return f"CAST({name} AS TIMESTAMP)"
    return name


_CHANGES_OF_TABLES = ("ALTER TABLE", "CREATE TABLE", "CREATE OR REPLACE TABLE", "DROP TABLE", "ROLLBACK")
_NO_COLUMNS = pa.table({"nothing": pa.nulls(0)})


class DuckDBDatabase(DuckDBConnection):
    """One schema of a DuckDB file."""

    types = DuckDBTypes()
    drops_columns = True
    table_ids_change = False
    writes_alone = True  # and its ON CONFLICT takes four times as long as an INSERT

    def __init__(self, path: Path, schema: str, *, lock_timeout: float, memory_limit: str | None) -> None:
        super().__init__(path, lock_timeout=lock_timeout, memory_limit=memory_limit)
        self._schema = schema
        self._catalog: str | None = None
        # Each look into the catalog costs as much as the catalog is large, so that a run of many tables takes one.
        self._listed: dict[str, list[tuple[str, str]]] | None = None
        self._in_transaction = self._lists_all = False
        """``_lists_all``: whether the present transaction has listed them, so that it sees no others."""

    @contextmanager
    def incoming(self, tables: Sequence[pa.Table]) -> Iterator[list[Incoming]]:
        # DuckDB rejects a table without columns. Such a batch has no rows, and at most creates its table.
        with self.arrow_views([table if table.num_columns else _NO_COLUMNS for table in tables]) as names:
            yield [
                Incoming.of_arrow(name, table.schema, self.types, _expression_of(table))
                for name, table in zip(names, tables, strict=True)
            ]

    def check_values(self, table: pa.Table) -> None:
        for name, column in zip(table.schema.names, table.columns, strict=True):
            bits = 32 if pa.types.is_date32(column.type) else 64 if pa.types.is_timestamp(column.type) else None
            if bits is None:
                continue
            infinite = 2 ** (bits - 1) - 1
            numbers = column.cast(pa.int32() if bits == 32 else pa.int64())
            if pc.any(pc.is_in(numbers, pa.array([infinite, -infinite], numbers.type))).as_py():
                raise RefusedValueError(
                    f"column {name!r}: DuckDB reads this {column.type} as infinity: correct it with a transform", name
                )

    def check_writable(self) -> None:
        aside = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.new")
        with disk_errors(aside):  # DuckDB creates the write-ahead log when a transaction commits
            aside.touch()
            aside.unlink()

    def qualified(self, name: str) -> str:
        return f"{self._schema_path()}.{quoted(name)}"

    def create_schema(self) -> None:
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema_path()}")

    def columns(self, name: str) -> Columns | None:
        check_name(name, "a table named")
        folded = fold_ascii(name)
        is_cached = self._listed is not None and folded in self._listed
        if self._listed is None or not (is_cached or self._lists_all):
            self._listed = self._list_tables()
            self._lists_all = self._in_transaction
        if not table_exists(self._listed.get(folded, ()), name):
            return None
        try:
            return {row[0]: _unquoted(row[1]) for row in self.execute(f"DESCRIBE {self.qualified(name)}")}
        except duckdb.CatalogException:  # another connection of the process has dropped it since
            if not is_cached:
                raise
            self._listed = None
            return self.columns(name)

    def _list_tables(self) -> dict[str, list[tuple[str, str]]]:
        """Every table and view, as (name, kind), by the name as DuckDB folds it. Its ``lower()`` folds letters that its
        catalog distinguishes."""
        self._schema_path()
        entries = self.execute(
            "SELECT table_name, 'table' FROM duckdb_tables() WHERE database_name = $1 AND schema_name = $2 UNION ALL "
            "SELECT view_name, 'view' FROM duckdb_views() WHERE database_name = $1 AND schema_name = $2",
            [self._catalog, self._schema],
        )
        listed: dict[str, list[tuple[str, str]]] = {}
        for name, kind in entries:
            listed.setdefault(fold_ascii(name), []).append((name, kind))
        return listed

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if sql.startswith(_CHANGES_OF_TABLES):
            self._listed, self._lists_all = None, False
        if sql.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            self._in_transaction, self._lists_all = sql.startswith("BEGIN"), False
        return super().execute(sql, parameters)

    def create_table(self, name: str, columns: str) -> None:
        listed, lists_all = self._listed, self._lists_all
        super().create_table(name, columns)
        if listed is not None:
            listed.setdefault(fold_ascii(name), []).append((name, "table"))
            self._listed, self._lists_all = listed, lists_all

    def table_ids(self, names: Collection[str]) -> Mapping[str, int]:
        """The oid in the catalog: it is unique in the process, and no change of a table changes it."""
        self._schema_path()
        rows = self.execute(
            "SELECT table_name, table_oid FROM duckdb_tables() WHERE database_name = $1 AND schema_name = $2 "
            f"AND table_name IN ({', '.join(self.placeholders(len(names), 3))})",
            [self._catalog, self._schema, *names],
        )
        return dict(rows)

    def change_type(self, table: str, column: str, existing: str, target: str) -> None:
        with self._without_indexes(table):
            self.execute(
                f"ALTER TABLE {self.qualified(table)} ALTER COLUMN {quoted(column)} SET DATA TYPE {target} "
                f"USING {self.types.cast_sql(quoted(column), existing, target)}"
            )

    def swap_table(self, new: str, name: str) -> None:
        indexes = self._indexes(name)
        self.execute(f"DROP TABLE {self.qualified(name)}")
        self.rename(new, name)
        for _, sql in indexes:
            self.execute(sql)

    @contextmanager
    def key_table(self, select: str, columns: Sequence[str]) -> Iterator[str]:
        # Of a table, DuckDB knows the number of keys and their range: it builds its hash table from them, and skips the
        # row groups of the landed table that contain none.
        self.execute(f"CREATE OR REPLACE TEMP TABLE _vdk_keys AS {select}")
        yield "temp.main._vdk_keys"
        self.execute("DROP TABLE temp.main._vdk_keys")

    def _schema_path(self) -> str:
        if self._catalog is None:
            self._catalog = str(self.execute("SELECT current_catalog()")[0][0])
        return f"{quoted(self._catalog)}.{quoted(self._schema)}"

    def _indexes(self, name: str) -> list[tuple[str, str]]:
        """Indexes that users created: the name, and the SQL that creates it."""
        return [
            (row[0], row[1])
            for row in self.execute(
                "SELECT index_name, sql FROM duckdb_indexes() "
                "WHERE database_name = ? AND schema_name = ? AND table_name = ? AND sql IS NOT NULL",
                [self._catalog, self._schema, name],
            )
        ]

    @contextmanager
    def _without_indexes(self, table: str) -> Iterator[None]:
        """Drop a table's indexes meanwhile: with one, DuckDB changes no column. An indexed column it never changes."""
        indexes = self._indexes(table)
        for name, _ in indexes:
            self.execute(f"DROP INDEX {self._schema_path()}.{quoted(name)}")
        yield
        for _, sql in indexes:
            self.execute(sql)


def _expression_of(table: pa.Table) -> Callable[[str, pa.DataType], str]:
    """``arrow_expression``, except that JSON which is checked already is taken as it is: DuckDB's cast takes several
    times the memory of the largest value."""
    checked = {quoted(name) for name in table.schema.names if is_checked_json(table.column(name))}
    return lambda name, type_: name if name in checked else arrow_expression(name, type_)


def _unquoted(type_: str) -> str:
    """``DESCRIBE`` quotes the name of a type that is an SQL keyword."""
    return type_[1:-1] if type_.startswith('"') and type_.endswith('"') else type_


class DuckDBTarget(SqlTarget):
    """One DuckDB file.

    Options: ``schema`` (default ``main``; created where missing; it contains the states too), ``lock_timeout``
    (default 30s: how long to wait for a process that has the file open), ``memory_limit`` (as DuckDB spells it; by
    default little, and more when a table needs it).
    """

    options = ("schema", "lock_timeout", "memory_limit")

    def __init__(self, target: str | None, *, folder: Path) -> None:
        url = TargetUrl.parse(target)
        url.check_options(self.options)
        self.path = url.file(folder)
        self.schema = url.schema("main")
        database = DuckDBDatabase(
            self.path, self.schema, lock_timeout=url.lock_timeout(), memory_limit=url.options.get("memory_limit")
        )
        super().__init__(target, folder=folder, database=database)

    def identity(self) -> str:
        return f"arrow duckdb:///{path_identity(self.path)}" + (
            f"?schema={self.schema}" if self.schema != "main" else ""
        )
