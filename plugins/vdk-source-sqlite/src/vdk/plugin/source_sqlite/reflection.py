# SPDX-License-Identifier: Apache-2.0
"""Tables, views, keys and indexes of a SQLite database, from its pragmas.

SQLAlchemy's reflection maps every declared type to one of its own and leaves out collations and
hidden columns; https://www.sqlite.org/pragma.html describes each column.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from vdk.plugin.datasource_base.parts import RESERVED_PREFIX
from vdk.plugin.datasource_sql import KeyInfo, SqlSession, TableInfo

OrderedIndex = tuple[tuple[str, str | None], ...]


def reflect(session: SqlSession) -> list[TableInfo]:
    """Every table and view but SQLite's own (``sqlite_…``), those that vdk destinations keep beside the tables
    they land (``_vdk_…``), and the shadow tables that virtual tables live in.
    """
    shadows = _shadow_tables(session)
    tables = []
    master = "SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    for name, kind, sql in _run(session, master):
        if not name.lower().startswith(("sqlite_", RESERVED_PREFIX)) and name not in shadows:
            tables.append(_table(session, name, kind, sql or ""))
    return tables


def _table(session: SqlSession, name: str, kind: Any, sql: str) -> TableInfo:
    try:
        columns = _pragma(session, "table_xinfo", name)
        return _table_of(session, name, kind, sql, columns)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:  # locked, or damaged
            raise
        return TableInfo(name, {}, kind, problem=str(error))  # a module or a viewed table is missing


def _table_of(session: SqlSession, name: str, kind: Any, sql: str, rows: list[Any]) -> TableInfo:
    visible = [row for row in rows if row["hidden"] != 1]  # 1: a hidden column of a virtual table; 2, 3: generated
    columns = {row["name"]: row["type"] for row in visible}
    if kind == "view":
        return TableInfo(name, columns, kind)
    primary = sorted((row for row in rows if row["pk"]), key=lambda row: row["pk"])
    primary_key = tuple(row["name"] for row in primary)
    not_null = {row["name"] for row in rows if row["notnull"]}
    rowid = _rowid_alias(session, name, sql, primary)
    uniques, indexes = _indexes(session, name, rowid, set(columns))
    if rowid is not None:
        keys = [KeyInfo((rowid,), (None,))]
        indexes.insert(0, ((rowid, None),))
    else:
        keys = []
    keys += [
        KeyInfo(names, collations, nullable=not set(names) <= not_null)
        for names, collations, is_primary in sorted(uniques, key=lambda key: (not key[2], len(key[0])))
        if is_primary or set(names) <= not_null
    ]
    return TableInfo(name, columns, kind, primary_key, tuple(keys), tuple(indexes), typed=not _is_virtual(sql))


def _rowid_alias(session: SqlSession, name: str, sql: str, primary: list[Any]) -> str | None:
    """The column that is the rowid: a sole primary key declared exactly INTEGER, unless an index keeps it unique."""
    if len(primary) != 1 or primary[0]["type"].upper() != "INTEGER":
        return None
    has_index = any(row["origin"] == "pk" for row in _pragma(session, "index_list", name))
    return None if has_index or _is_virtual(sql) else str(primary[0]["name"])


def _is_virtual(sql: str) -> bool:
    return re.match(r"\s*CREATE\s+VIRTUAL", sql, re.IGNORECASE) is not None


def _indexes(
    session: SqlSession, name: str, rowid: str | None, columns: set[str]
) -> tuple[list[tuple[tuple[str, ...], tuple[str | None, ...], bool]], list[OrderedIndex]]:
    """What is unique (columns, collations, whether it is the primary key), and which orders there are."""
    uniques, orders = [], []
    for index in _pragma(session, "index_list", name):
        parts = sorted(_pragma(session, "index_xinfo", index["name"]), key=lambda part: part["seqno"])
        named = [(rowid if part["cid"] == -1 else part["name"], part["coll"]) for part in parts if part["cid"] != -2]
        own = [part for part in parts if part["key"]]
        if index["partial"] or len(named) < len(parts) or not own:  # -2: an expression
            continue
        if index["unique"] and all(part["name"] in columns for part in own):
            uniques.append(
                (tuple(part["name"] for part in own), tuple(part["coll"] for part in own), index["origin"] == "pk")
            )
        order: list[tuple[str, str | None]] = []
        for (column, collation), part in zip(named, parts, strict=True):
            if column is None or part["desc"] != parts[0]["desc"]:
                break
            order.append((column, None if column == rowid else collation))
        orders.append(tuple(order))
    return uniques, orders


def _shadow_tables(session: SqlSession) -> set[str]:
    """Where virtual tables keep their data (``notes_content`` of an FTS table ``notes``). Listed since SQLite 3.37."""
    try:
        return {row["name"] for row in _mappings(session, "PRAGMA main.table_list") if row["type"] == "shadow"}
    except KeyError:
        return set()


def _pragma(session: SqlSession, pragma: str, name: str) -> list[Any]:
    quoted = '"' + name.replace('"', '""') + '"'
    return _mappings(session, f"PRAGMA main.{pragma}({quoted})")


def _mappings(session: SqlSession, sql: str) -> list[Any]:
    cursor = session.connection.execute(sql)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _run(session: SqlSession, sql: str) -> list[Any]:
    return list(session.connection.execute(sql))
