# SPDX-License-Identifier: Apache-2.0
"""Tables, columns and keys, from what a dialect can reflect.

Dialects differ in how much they implement, so each step is tried if the one before it fails: all tables of a schema
at once, table by table, ``information_schema``, and the columns of an empty result.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine.reflection import ObjectKind
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import NullType, TypeEngine

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import RESERVED_PREFIX

from ..plans.table_info import KeyInfo, TableInfo
from .column_types import GEOMETRIES, UNKNOWN, is_key_type, sql_of

log = logging.getLogger(__name__)


@dataclass
class ReflectedTable:
    """A table as SQLAlchemy describes it.

    :param columns: name → type.
    :param uniques: unique constraints and indexes.
    :param indexes: columns of each index, as far as they ascend.
    """

    schema: str | None
    name: str
    kind: Literal["table", "view"] = "table"
    columns: dict[str, TypeEngine[Any]] = field(default_factory=dict)
    not_null: set[str] = field(default_factory=set)
    primary_key: tuple[str, ...] = ()
    uniques: list[tuple[str, ...]] = field(default_factory=list)
    indexes: list[tuple[str, ...]] = field(default_factory=list)
    problem: str | None = None

    def add_columns(self, columns: Sequence[Any]) -> None:
        self.columns = {column["name"]: column["type"] for column in columns}
        self.not_null = {column["name"] for column in columns if not column.get("nullable", True)}

    def add_keys(self, primary_key: Any, uniques: Sequence[Any], indexes: Sequence[Any]) -> None:
        self.primary_key = tuple((primary_key or {}).get("constrained_columns") or ())
        self.uniques = [tuple(unique["column_names"]) for unique in uniques]
        for index in indexes:
            names = tuple(index.get("column_names") or ())
            # Of a partial index and of one over expressions, only the dialect's own options tell.
            if None in names or not names or any("where" in str(option) for option in index.get("dialect_options", {})):
                continue
            if index.get("unique"):
                self.uniques.append(names)
            if not any("desc" in order for order in index.get("column_sorting", {}).values()):
                self.indexes.append(names)

    def info(self, dialect: sa.Dialect, *, qualified: bool) -> TableInfo:
        primary_key = tuple(name for name in self.primary_key if name in self.columns)
        keys = [primary_key] if primary_key else []
        keys += [key for key in sorted(self.uniques, key=len) if set(key) <= self.not_null and key not in keys]
        keeps_nulls = dialect.name == "sqlite"  # in a primary key too
        orders = [key for key in [*keys, *self.indexes] if key]
        return TableInfo(
            f"{self.schema}.{self.name}" if qualified else self.name,
            {name: sql_of(type_, dialect) for name, type_ in self.columns.items()},
            self.kind,
            primary_key,
            tuple(
                KeyInfo(key, (None,) * len(key), nullable=keeps_nulls and not set(key) <= self.not_null)
                for key in keys
                if all(name in self.columns and is_key_type(self.columns[name]) for name in key)
            ),
            tuple(tuple((name, None) for name in order) for order in dict.fromkeys(orders)),
            typed=True,
            problem=self.problem,
            schema=self.schema,
            table=self.name,
        )


Step = Callable[[sa.Connection, str | None, Sequence[str]], list[ReflectedTable]]


def reflect(connection: sa.Connection, schemas: Sequence[str], named: Sequence[str]) -> list[ReflectedTable]:
    """Every table and view, but those that vdk destinations keep for themselves.

    :param named: the tables that the configuration names, which is all that the last step knows of.
    """
    dialect = connection.dialect
    if dialect.name in ("mysql", "mariadb"):
        dialect.ischema_names = {**GEOMETRIES, **dialect.ischema_names}  # type: ignore[attr-defined]  # of this one
    tables: list[ReflectedTable] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sa.exc.SAWarning)  # of types that it does not know, which land as text
        for schema in schemas or (None,):
            tables += _reflect_schema(connection, schema, named)
    return [table for table in tables if not table.name.lower().startswith(RESERVED_PREFIX)]


def _reflect_schema(connection: sa.Connection, schema: str | None, named: Sequence[str]) -> list[ReflectedTable]:
    failures: list[Exception] = []
    for step in STEPS:
        try:
            tables = step(connection, schema, named)
        except Exception as error:  # a dialect may fail in any way
            log.debug("%s does not describe the tables: %s", step.__name__, error)
            failures.append(error)
            connection.rollback()
            continue
        if tables or not failures:  # what a step after a failure does not find may exist
            if failures:
                log.warning(
                    "the dialect %s does not describe the tables (%s): they are described by %s",
                    connection.dialect.name, _first_line(failures[0]), (step.__doc__ or "").rstrip("."),
                )  # fmt: skip
            return tables
    if named or isinstance(failures[0], sa.exc.SQLAlchemyError):  # the database's own words say more
        raise failures[-1 if named else 0]
    raise ConfigurationError(
        f"the dialect {connection.dialect.name} does not describe the tables of the database "
        f"({_first_line(failures[0])}); name those to read, with their key and their cursor if they have one, in the "
        'source\'s config: tables = { orders = { primary_key = "id", cursor = "updated_at" } }'
    ) from failures[0]


def all_at_once(connection: sa.Connection, schema: str | None, named: Sequence[str]) -> list[ReflectedTable]:
    """SQLAlchemy, all tables of a schema at once."""
    inspector = sa.inspect(connection)
    views = {key[1] for key in inspector.get_multi_columns(schema=schema, kind=ObjectKind.ANY_VIEW)}
    columns = inspector.get_multi_columns(schema=schema, kind=ObjectKind.ANY)
    primary_keys = inspector.get_multi_pk_constraint(schema=schema)
    uniques = inspector.get_multi_unique_constraints(schema=schema)
    indexes = inspector.get_multi_indexes(schema=schema)
    tables = []
    for key, own_columns in columns.items():
        table = ReflectedTable(schema, key[1], "view" if key[1] in views else "table")
        table.add_columns(own_columns)
        table.add_keys(primary_keys.get(key), uniques.get(key, ()), indexes.get(key, ()))
        tables.append(table)
    return sorted(tables, key=lambda table: table.name)


class UndescribedError(Exception):
    """A step has described none of the tables; the message is the reason for the first one."""


def one_by_one(connection: sa.Connection, schema: str | None, named: Sequence[str]) -> list[ReflectedTable]:
    """SQLAlchemy, table by table."""
    inspector = sa.inspect(connection)
    names: dict[str, Literal["table", "view"]] = dict.fromkeys(inspector.get_table_names(schema), "table")
    try:
        names |= dict.fromkeys(inspector.get_view_names(schema), "view")
    except NotImplementedError:  # as SQLAlchemy says that a dialect has no such query
        log.debug("the dialect does not list views")
    tables = []
    for name, kind in names.items():
        table = ReflectedTable(schema, name, kind)
        try:
            table.add_columns(inspector.get_columns(name, schema))
        except Exception as error:
            table.problem = _first_line(error)
            connection.rollback()
        table.add_keys(
            _or_nothing(connection, inspector.get_pk_constraint, name, schema),
            _or_nothing(connection, inspector.get_unique_constraints, name, schema) or (),
            _or_nothing(connection, inspector.get_indexes, name, schema) or (),
        )
        tables.append(table)
    if tables and all(table.problem is not None for table in tables):
        raise UndescribedError(tables[0].problem)
    return tables


def _or_nothing(connection: sa.Connection, describe: Callable[..., Any], name: str, schema: str | None) -> Any:
    """Keys and indexes are left out where they are not described: the table is read without them."""
    try:
        return describe(name, schema)
    except Exception as error:
        log.debug("%s of %s: %s", describe.__name__, name, error)
        connection.rollback()
        return None


_COLUMNS = """
SELECT c.table_name, t.table_type, c.column_name, c.is_nullable, c.data_type, c.numeric_precision, c.numeric_scale
FROM information_schema.columns c
JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE c.table_schema = :schema ORDER BY c.table_name, c.ordinal_position
"""
_KEYS = """
SELECT k.table_name, k.column_name FROM information_schema.table_constraints c
JOIN information_schema.key_column_usage k ON k.constraint_schema = c.constraint_schema
    AND k.constraint_name = c.constraint_name AND k.table_name = c.table_name
WHERE c.constraint_type = 'PRIMARY KEY' AND c.table_schema = :schema ORDER BY k.table_name, k.ordinal_position
"""


def by_information_schema(connection: sa.Connection, schema: str | None, named: Sequence[str]) -> list[ReflectedTable]:
    """information_schema."""
    in_schema = {"schema": schema or connection.dialect.default_schema_name}
    tables: dict[str, ReflectedTable] = {}
    for name, kind, column, nullable, *type_ in connection.execute(sa.text(_COLUMNS), in_schema):
        table = tables.setdefault(name, ReflectedTable(schema, name, "view" if "VIEW" in kind.upper() else "table"))
        table.columns[column] = _type_of(*type_)
        if nullable == "NO":
            table.not_null.add(column)
    for name, column in connection.execute(sa.text(_KEYS), in_schema):
        if name in tables:
            tables[name].primary_key += (column,)
    return list(tables.values())


def _type_of(name: str, precision: int | None, scale: int | None) -> TypeEngine[Any]:
    """The standard's names of types; NullType for others."""
    bare = name.lower().partition("(")[0].strip()
    if bare in ("numeric", "decimal"):
        return sa.Numeric(precision, scale)
    if bare.startswith(("timestamp", "time ", "datetime")) or bare == "time":
        is_time = bare.startswith("time") and not bare.startswith("timestamp")
        zoned = "with time zone" in bare
        return sa.Time(timezone=zoned) if is_time else sa.DateTime(timezone=zoned)
    return _STANDARD.get(bare, NullType)()


_STANDARD: dict[str, type[TypeEngine[Any]]] = {
    **dict.fromkeys(("integer", "int", "smallint", "bigint", "tinyint", "mediumint", "int64"), sa.BigInteger),
    **dict.fromkeys(("real", "float", "double", "double precision", "float64"), sa.Double),
    **dict.fromkeys(("character varying", "varchar", "character", "char", "text", "string", "nvarchar"), sa.String),
    **dict.fromkeys(("binary", "varbinary", "blob", "bytea", "bytes"), sa.LargeBinary),
    **{"boolean": sa.Boolean, "bool": sa.Boolean, "date": sa.Date, "uuid": sa.Uuid, "json": sa.JSON},
}


def by_empty_result(connection: sa.Connection, schema: str | None, named: Sequence[str]) -> list[ReflectedTable]:
    """the columns of an empty result, for the tables that the configuration names: without types and keys."""
    tables = []
    for name in named:
        table = sa.table(quoted_name(name, True), schema=None if schema is None else quoted_name(schema, True))
        result = connection.execute(sa.select(sa.text("*")).select_from(table).limit(0))
        tables.append(ReflectedTable(schema, name, columns=dict.fromkeys(result.keys(), NullType())))
    return tables


STEPS: tuple[Step, ...] = (all_at_once, one_by_one, by_information_schema, by_empty_result)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]


def types_of(tables: Sequence[ReflectedTable], dialect: sa.Dialect) -> Iterator[tuple[str, TypeEngine[Any]]]:
    """The SQL of every type that columns have, and the type."""
    for table in tables:
        for type_ in table.columns.values():
            declared = sql_of(type_, dialect)
            if declared != UNKNOWN:
                yield declared, type_
