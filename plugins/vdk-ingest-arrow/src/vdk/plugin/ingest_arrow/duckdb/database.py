"""DuckDB's types, spelled as its ``DESCRIBE`` spells them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ..parquet.file_moves import disk_errors
from ..sql.database import Database
from ..sql.incoming import Incoming
from ..sql.names import check_name, check_table, folded, quoted
from ..sql.types import Columns, Types
from ..values import UnfitValueError, is_checked_json, is_json
from .connection import DuckDBConnection, translated

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
    plain = _FROM_ARROW
    uuid = "UUID"
    text = "VARCHAR"
    json = "JSON"
    zoned = "TIMESTAMP WITH TIME ZONE"
    big = "BIGINT"
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
    ladders = (
        ("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS"),
        (zoned, "TIMESTAMPTZ_NS"),
        ("TIME", "TIME_NS"),
    )

    def of_time(self, type_: pa.DataType) -> str | None:
        if pa.types.is_timestamp(type_):
            if type_.tz is not None:
                return "TIMESTAMPTZ_NS" if type_.unit == "ns" else self.zoned
            return "TIMESTAMP_NS" if type_.unit == "ns" else "TIMESTAMP"
        if pa.types.is_time(type_):
            return "TIME_NS" if type_.unit == "ns" else "TIME"
        return "INTERVAL" if pa.types.is_duration(type_) else None

    def converted(self, expression: str, source: str, target: str) -> str:
        if source == target:
            return expression
        return f"to_json({expression})" if target == self.json else f"CAST({expression} AS {target})"

    def exact_or_null(self, expression: str, source: str, target: str) -> str:
        if self.is_exact(source, target):
            return self.converted(expression, source, target)
        cast = f"TRY_CAST({expression} AS {target})"
        return f"CASE WHEN TRY_CAST({cast} AS {source}) IS NOT DISTINCT FROM {expression} THEN {cast} END"


def arrow_expression(name: str, type_: pa.DataType) -> str:
    """SQL for a plain Arrow column as ``of_arrow`` says it lands; ``name`` is quoted."""
    if is_json(type_):
        return f"CAST(CAST({name} AS VARCHAR) AS JSON)"  # through text: DuckDB checks JSON only in this cast
    if pa.types.is_nested(type_):
        return f"to_json({name})"
    if pa.types.is_timestamp(type_) and type_.tz is None and type_.unit in ("s", "ms"):
        return f"CAST({name} AS TIMESTAMP)"
    return name


T = TypeVar("T")
_NOTHING = pa.table({"nothing": pa.nulls(0)})


class DuckDBDatabase(Database):
    """One schema of a DuckDB file."""

    types = DuckDBTypes()
    traces_change = False

    def __init__(self, path: Path, schema: str, *, lock_timeout: float, memory_limit: str | None) -> None:
        self.where = str(path)
        self._path = path
        self._schema = schema
        self.connection = DuckDBConnection(path, lock_timeout=lock_timeout, memory_limit=memory_limit)
        self._catalog: str | None = None

    def open(self) -> None:
        self.connection.open()

    def close(self) -> None:
        self.connection.close()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.connection.rows(sql, parameters)

    def changed(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        return int(self.rows(sql, parameters)[0][0])

    @contextmanager
    def translated(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise translated(error, self._path) from error

    def transaction(self, work: Callable[[], T]) -> T:
        return self.connection.transaction(work)

    @contextmanager
    def readable(self, tables: Sequence[pa.Table]) -> Iterator[Callable[[], list[Incoming]]]:
        # DuckDB takes no table without columns. Such a slice has no rows, and makes its table at most.
        with self.connection.arrow_views([one if one.num_columns else _NOTHING for one in tables]) as names:
            incoming = [
                Incoming.of_arrow(table, self.types, _always(name), _expression_of(table))
                for name, table in zip(names, tables, strict=True)
            ]
            yield lambda: incoming

    def check_values(self, table: pa.Table) -> None:
        for name, column in zip(table.schema.names, table.columns, strict=True):
            bits = 32 if pa.types.is_date32(column.type) else 64 if pa.types.is_timestamp(column.type) else None
            if bits is None:
                continue
            infinite = 2 ** (bits - 1) - 1
            numbers = column.cast(pa.int32() if bits == 32 else pa.int64())
            if pc.any(pc.is_in(numbers, pa.array([infinite, -infinite], numbers.type))).as_py():
                raise UnfitValueError(
                    f"column {name!r}: DuckDB takes this {column.type} for infinity: correct it with a transform", name
                )

    def check_writable(self) -> None:
        aside = self._path.with_name(f".{self._path.name}.{uuid.uuid4().hex}.new")
        with disk_errors(aside):  # the write-ahead log is made when a transaction commits
            aside.touch()
            aside.unlink()

    def path(self, name: str) -> str:
        return f"{self._schema_path()}.{quoted(name)}"

    def make_schema(self) -> None:
        self.rows(f"CREATE SCHEMA IF NOT EXISTS {self._schema_path()}")

    def columns(self, name: str) -> Columns | None:
        check_name(name, "a table named")
        self._schema_path()
        found = self.rows(
            "SELECT table_name, 'table' FROM duckdb_tables() WHERE database_name = $1 AND schema_name = $2 "
            "AND lower(table_name) = lower($3) UNION ALL "
            "SELECT view_name, 'view' FROM duckdb_views() WHERE database_name = $1 AND schema_name = $2 "
            "AND lower(view_name) = lower($3)",
            [self._catalog, self._schema, name],
        )
        # DuckDB's lower() folds letters that its catalog tells apart.
        if not check_table([(other, kind) for other, kind in found if folded(other) == folded(name)], name):
            return None
        return {row[0]: _unquoted(row[1]) for row in self.rows(f"DESCRIBE {self.path(name)}")}

    def traces(self, names: Collection[str]) -> Mapping[str, int]:
        """By the oid in the catalog: no other table of the process gets it, and what is done to a table leaves it."""
        self._schema_path()
        found = self.rows(
            "SELECT table_name, table_oid FROM duckdb_tables() WHERE database_name = $1 AND schema_name = $2 "
            f"AND table_name IN ({', '.join(self.numbered(len(names), 3))})",
            [self._catalog, self._schema, *names],
        )
        return dict(found)

    def change_type(self, table: str, column: str, existing: str, target: str) -> None:
        with self._indexes_aside(table):
            self.rows(
                f"ALTER TABLE {self.path(table)} ALTER COLUMN {quoted(column)} SET DATA TYPE {target} "
                f"USING {self.types.converted(quoted(column), existing, target)}"
            )

    def put_in_place(self, new: str, name: str) -> None:
        indexes = self._indexes(name)
        self.rows(f"DROP TABLE {self.path(name)}")
        self.rename(new, name)
        for _, sql in indexes:
            self.rows(sql)

    @contextmanager
    def temporary(self, select: str, columns: Sequence[str]) -> Iterator[str]:
        # In a table DuckDB knows how many keys there are, and how far they reach: it builds its hash table from them,
        # and skips the row groups of the landed table where none can be.
        self.rows(f"CREATE OR REPLACE TEMP TABLE _vdk_keys AS {select}")
        yield "temp.main._vdk_keys"
        self.rows("DROP TABLE temp.main._vdk_keys")

    def _schema_path(self) -> str:
        if self._catalog is None:
            self._catalog = str(self.rows("SELECT current_catalog()")[0][0])
        return f"{quoted(self._catalog)}.{quoted(self._schema)}"

    def _indexes(self, name: str) -> list[tuple[str, str]]:
        """Indexes that people made: name, and the SQL that makes it again."""
        return [
            (row[0], row[1])
            for row in self.rows(
                "SELECT index_name, sql FROM duckdb_indexes() "
                "WHERE database_name = ? AND schema_name = ? AND table_name = ? AND sql IS NOT NULL",
                [self._catalog, self._schema, name],
            )
        ]

    @contextmanager
    def _indexes_aside(self, table: str) -> Iterator[None]:
        """DuckDB changes no column of a table that has an index; one that is itself indexed not even without it."""
        indexes = self._indexes(table)
        for name, _ in indexes:
            self.rows(f"DROP INDEX {self._schema_path()}.{quoted(name)}")
        yield
        for _, sql in indexes:
            self.rows(sql)


def _expression_of(table: pa.Table) -> Callable[[str, pa.DataType], str]:
    """``arrow_expression``, except that JSON which is checked already is taken as it is: DuckDB's cast takes several
    times the memory of the largest value."""
    checked = {quoted(name) for name in table.schema.names if is_checked_json(table.column(name))}
    return lambda name, type_: name if name in checked else arrow_expression(name, type_)


def _always(view: str) -> Callable[[Sequence[str]], str]:
    return lambda names: view


def _unquoted(type_: str) -> str:
    """``DESCRIBE`` quotes a type's name where it is a word of SQL too."""
    return type_[1:-1] if type_.startswith('"') and type_.endswith('"') else type_
