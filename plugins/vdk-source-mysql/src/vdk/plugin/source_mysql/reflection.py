# SPDX-License-Identifier: Apache-2.0
"""Tables, views, keys and indexes, from a few queries of the information schema.

SQLAlchemy's reflection asks for each table apart, and lacks privileges, collations and the CHECK that makes a column
JSON in MariaDB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import RESERVED_PREFIX
from vdk.plugin.datasource_sql import KeyInfo, SqlSession, TableInfo

from .column_types import INTEGERS, base_type

KEY_TYPES = frozenset(
    {*INTEGERS, "char", "varchar", "binary", "varbinary", "date", "datetime", "timestamp", "uuid", "inet4", "inet6"}
)
"""Types whose values, as they are read, compare with a column exactly. A decimal and its text compare as doubles, an
ENUM is ordered by its number."""
SNAPSHOTS = frozenset({"INNODB", "ROCKSDB", "TOKUDB", "NDBCLUSTER"})
"""Storage engines that read a snapshot."""

_COLUMNS = """
SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, t.ENGINE,
    c.COLUMN_NAME, c.COLUMN_TYPE, c.COLLATION_NAME, c.IS_NULLABLE, c.PRIVILEGES
FROM information_schema.TABLES t
LEFT JOIN information_schema.COLUMNS c ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
WHERE t.TABLE_SCHEMA IN %s AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW')
ORDER BY t.TABLE_SCHEMA, t.TABLE_NAME, c.ORDINAL_POSITION
"""
_INDEXES = """
SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART, COLLATION, INDEX_TYPE
FROM information_schema.STATISTICS WHERE TABLE_SCHEMA IN %s
ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX
"""
_CHECKS = """
SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS
WHERE CONSTRAINT_SCHEMA IN %s AND CHECK_CLAUSE LIKE 'json_valid(%%'
"""
Table = tuple[str, str]


def reflect(session: SqlSession, schemas: Sequence[str], *, is_mariadb: bool) -> list[TableInfo]:
    """Every table and view of the schemas that the user has a privilege on, but those that vdk destinations keep for
    themselves."""
    existing = {name for (name,) in _rows(session, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")}
    if missing := [schema for schema in schemas if schema not in existing]:
        raise ConfigurationError(f"schemas: {missing[0]!r} does not exist, or this user may not see it")
    indexes = _by_table(_rows(session, _INDEXES, schemas))
    checks = _by_table(_rows(session, _CHECKS, schemas)) if is_mariadb else {}
    return [
        _table(table, columns, indexes.get(table, []), checks.get(table, []), qualified=len(schemas) > 1)
        for table, columns in _by_table(_rows(session, _COLUMNS, schemas)).items()
        if not table[1].lower().startswith(RESERVED_PREFIX)
    ]


def without_snapshot(session: SqlSession, schemas: Sequence[str]) -> list[str]:
    """Tables whose storage engine reads no snapshot, such as MyISAM."""
    rows = _rows(session, "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA IN %s", schemas)
    return sorted(f"{name} ({engine})" for name, engine in rows if engine and engine.upper() not in SNAPSHOTS)


def _rows(session: SqlSession, sql: str, schemas: Sequence[str] | None = None) -> list[Any]:
    with session.connection.cursor() as cursor:
        cursor.execute(sql, None if schemas is None else [tuple(schemas)])
        return list(cursor.fetchall())


def _by_table(rows: Iterable[Any]) -> dict[Table, list[Any]]:
    tables: dict[Table, list[Any]] = {}
    for schema, table, *row in rows:
        tables.setdefault((schema, table), []).append(row)
    return tables


def _table(table: Table, rows: list[Any], indexes: list[Any], checks: list[Any], *, qualified: bool) -> TableInfo:
    schema, name = table
    is_json = {clause for (clause,) in checks}
    columns = {column: _declared(column, type_, is_json) for _, _, column, type_, *_ in rows if column is not None}
    not_null = {column for _, _, column, _, _, is_nullable, _ in rows if is_nullable == "NO"}
    collations = {column: collation for _, _, column, _, collation, *_ in rows}
    is_innodb = (rows[0][1] or "").upper() == "INNODB"
    primary_key: tuple[str, ...] = ()
    appended: tuple[str, ...] = ()
    keys, orders = [], []
    for index, parts in groupby(indexes, key=itemgetter(0)):
        _, non_unique, names, lengths, directions, types = zip(*parts, strict=True)
        primary_key = names if index == "PRIMARY" else primary_key
        if None in names or any(lengths):  # expressions, prefixes
            continue
        if not any(non_unique) and all(base_type(columns[column]) in KEY_TYPES for column in names):
            nullable = not set(names) <= not_null
            keys.append(KeyInfo(names, tuple(collations[column] for column in names), nullable=nullable))
        if set(types) == {"BTREE"} and len(set(directions)) == 1:
            if index == "PRIMARY" and is_innodb:
                appended = names  # to all others: https://dev.mysql.com/doc/refman/8.4/en/index-extensions.html
            ordered = dict.fromkeys((*names, *(appended if directions[0] == "A" else ())))
            orders.append(tuple((column, collations[column]) for column in ordered))
    return TableInfo(
        f"{schema}.{name}" if qualified else name,
        columns,
        "view" if rows[0][0] == "VIEW" else "table",
        primary_key,
        tuple(key for key in keys if not key.nullable),
        tuple(orders),
        typed=True,
        problem=_problem(table, rows),
        schema=schema,
        table=name,
    )


def _declared(column: str, type_: str, is_json: set[str]) -> str:
    """MariaDB's JSON is a text with a CHECK."""
    return "json" if f"json_valid({backquoted(column)})" in is_json else type_


def _problem(table: Table, rows: list[Any]) -> str | None:
    """Why a table cannot be read at all. A column without the privilege is an error of the statement that reads it."""
    if any("select" in privileges.lower() for *_, privileges in rows if privileges):
        return None
    schema, name = map(backquoted, table)
    return f"permission denied; a database administrator can run: GRANT SELECT ON {schema}.{name} TO the user"


def backquoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
