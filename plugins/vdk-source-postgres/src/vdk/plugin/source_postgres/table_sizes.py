# SPDX-License-Identifier: Apache-2.0
"""How large tables are, for those that can be read in ranges of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vdk.plugin.datasource_sql import SqlSession

MIN_VERSION = 140000
"""The first version that reads a range of blocks without looking at the others."""
_BYTES_OF_A_ROW = 100
"""Of a table that was never analyzed."""
_SIZES = """
SELECT n.nspname, c.relname, max(s.blocks)::bigint, sum(s.blocks)::bigint,
    sum(CASE WHEN l.relpages > 0 AND l.reltuples >= 0 THEN l.reltuples / l.relpages * s.blocks
             ELSE s.blocks * current_setting('block_size')::float8 / %s END)::bigint
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT c.oid WHERE c.relkind IN ('r', 'm')
    UNION ALL SELECT t.relid FROM pg_catalog.pg_partition_tree(c.oid) t WHERE c.relkind = 'p' AND t.isleaf
) leaf
JOIN pg_catalog.pg_class l ON l.oid = leaf.oid
LEFT JOIN pg_catalog.pg_am m ON m.oid = l.relam
CROSS JOIN LATERAL (
    SELECT pg_catalog.pg_relation_size(l.oid) / current_setting('block_size')::bigint AS blocks
) s
WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'm', 'p') AND NOT c.relispartition
GROUP BY n.nspname, c.relname
HAVING bool_and(coalesce(m.amname = 'heap', false))
"""


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table; of a partitioned one, which has the blocks 0, 1, … of each partition, all partitions.

    :param blocks: the highest number of blocks of a partition.
    :param total_blocks: of all partitions.
    :param rows: an estimate.
    """

    blocks: int
    total_blocks: int
    rows: int


def table_sizes(session: SqlSession, schemas: Sequence[str]) -> dict[tuple[str, str], TableSize]:
    """By schema and table: those that consist of blocks of rows, as PostgreSQL's own storage has them."""
    if session.connection.info.server_version < MIN_VERSION:
        return {}
    rows = session.connection.execute(_SIZES, [_BYTES_OF_A_ROW, list(schemas)]).fetchall()
    return {(schema, table): TableSize(*size) for schema, table, *size in rows if size[0]}
