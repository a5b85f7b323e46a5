# SPDX-License-Identifier: Apache-2.0
"""Tables, views, keys and indexes, from two catalog queries.

SQLAlchemy's reflection lacks privileges, partitions, inheritance and the collations of indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import RESERVED_PREFIX
from vdk.plugin.datasource_sql import KeyInfo, SqlSession, TableInfo

from .column_types import COMPOSITE, without_length

KEY_TYPES = frozenset(
    {
        *("smallint", "integer", "bigint", "oid", "numeric", "uuid", "bytea"),
        *("text", "character", "character varying", "name"),
        *("date", "timestamp without time zone", "timestamp with time zone", "time without time zone"),
    }
)
"""Types whose values, as they are read, are values of the type again, and go through a state."""

# Domains are their base types. Partitions are read by their root.
_COLUMNS = f"""
SELECT n.nspname, c.relname, c.relkind::text, c.oid::bigint,
    CASE WHEN NOT has_schema_privilege(n.oid, 'USAGE')
         THEN format('GRANT USAGE ON SCHEMA %%I TO %%I', n.nspname, current_user)
         WHEN NOT has_table_privilege(c.oid, 'SELECT')
         THEN format('GRANT SELECT ON %%I.%%I TO %%I', n.nspname, c.relname, current_user) END,
    a.attname, a.attnotnull,
    format_type(b.type, b.typmod) || CASE WHEN b.typtype = 'c' THEN '{COMPOSITE}' ELSE '' END
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN LATERAL (
    WITH RECURSIVE base(type, typmod, typtype) AS (
        SELECT t.oid, a.atttypmod, t.typtype FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid
        UNION ALL
        SELECT t.oid, d.typtypmod, t.typtype FROM base b JOIN pg_catalog.pg_type d ON d.oid = b.type
        JOIN pg_catalog.pg_type t ON t.oid = d.typbasetype WHERE b.typtype = 'd'
    ) SELECT * FROM base WHERE typtype <> 'd'
) b ON true
WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
ORDER BY n.nspname, c.relname, a.attnum
"""
_INDEXES = """
SELECT i.indrelid::bigint, i.indisprimary,
    -- A key is ordered as its columns are, which may take two of its texts for equal: see CREATE COLLATION.
    i.indisunique AND i.indimmediate AND bool_and(k.position > i.indnkeyatts OR o.oid IS NULL OR o.oid = l.oid
        OR to_jsonb(o) ->> 'collisdeterministic' IS DISTINCT FROM 'false'),
    array_agg(a.attname::text ORDER BY k.position), array_agg(k.position <= i.indnkeyatts ORDER BY k.position),
    array_agg(CASE WHEN l.collname IN ('C', 'POSIX', 'ucs_basic') THEN NULL
                   WHEN l.collname = 'default' AND d.datcollate IN ('C', 'POSIX') AND d.datlocprovider = 'c' THEN NULL
                   ELSE l.collname::text END ORDER BY k.position),
    array_agg((i.indoption::int2[])[k.position - 1] & 1 ORDER BY k.position)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'
JOIN pg_catalog.pg_database d ON d.datname = current_database()
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
LEFT JOIN pg_catalog.pg_collation l ON l.oid = (i.indcollation::oid[])[k.position - 1]
WHERE n.nspname = ANY(%s) AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid, i.indrelid, i.indisprimary, i.indisunique, i.indimmediate
ORDER BY i.indrelid, i.indisprimary DESC, count(*), i.indexrelid
"""

# Foreign tables, and what a subscription writes, with all tables that they are partitions of.
_REMOTE = """
SELECT coalesce(a.relid::oid, r.oid)::bigint
FROM (SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'f'
    UNION SELECT srrelid FROM pg_catalog.pg_subscription_rel) r
LEFT JOIN LATERAL pg_catalog.pg_partition_ancestors(r.oid) AS a(relid) ON true
"""


@dataclass(frozen=True, slots=True)
class PostgresTable(TableInfo):
    """A table or view.

    :param is_local: all of its rows are written by transactions of this very database.
    """

    is_local: bool = False


def reflect(session: SqlSession, schemas: Sequence[str]) -> list[PostgresTable]:
    """Every table, view and foreign table of the schemas, but those that vdk destinations keep for themselves."""
    rows = session.connection.execute(_COLUMNS, [list(schemas)]).fetchall()
    indexes: dict[int, list[Any]] = {}
    for oid, *index in session.connection.execute(_INDEXES, [list(schemas)]).fetchall():
        indexes.setdefault(oid, []).append(index)
    remote = {oid for (oid,) in session.connection.execute(_REMOTE)}
    existing = {row[0] for row in session.connection.execute("SELECT nspname FROM pg_catalog.pg_namespace")}
    if missing := [schema for schema in schemas if schema not in existing]:
        raise ConfigurationError(f"schemas: {missing[0]!r} does not exist, or this user may not see it")
    grouped: dict[int, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row[3], []).append(row)
    return [
        _table(columns, indexes.get(oid, []), qualified=len(schemas) > 1, is_remote=oid in remote)
        for oid, columns in grouped.items()
        if not columns[0][1].lower().startswith(RESERVED_PREFIX)
    ]


def _table(rows: list[Any], indexes: list[Any], *, qualified: bool, is_remote: bool) -> PostgresTable:
    schema, table, relkind, _, missing_grant = rows[0][:5]
    columns = {name: declared for *_, name, _, declared in rows if name is not None}
    not_null = {name for *_, name, is_not_null, _ in rows if is_not_null}
    primary_key: tuple[str, ...] = ()
    keys, orders = [], []
    for is_primary, is_unique, names, is_key, collations, descending in indexes:
        key_names = tuple(name for name, in_key in zip(names, is_key, strict=True) if in_key)
        primary_key = key_names if is_primary else primary_key
        if is_unique and all(_is_comparable(columns[name]) for name in key_names):
            nullable = not set(key_names) <= not_null
            keys.append(KeyInfo(key_names, tuple(collations[: len(key_names)]), nullable=nullable))
        if len(set(descending[: len(key_names)])) == 1:
            orders.append(tuple(zip(key_names, collations, strict=False)))
    return PostgresTable(
        f"{schema}.{table}" if qualified else table,
        columns,
        "view" if relkind in "vm" else "table",
        primary_key,
        tuple(key for key in keys if not key.nullable or key.columns == primary_key),
        tuple(orders),
        typed=True,
        problem=f"permission denied; a database administrator can run: {missing_grant}" if missing_grant else None,
        schema=schema,
        table=table,
        hint="ONLY" if relkind == "r" else "",  # a table that others inherit from has their rows, and their keys, too
        is_local=relkind in "rp" and not is_remote,
    )


def _is_comparable(declared: str) -> bool:
    return without_length(declared) in KEY_TYPES
