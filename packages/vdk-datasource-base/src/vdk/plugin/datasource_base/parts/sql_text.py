# SPDX-License-Identifier: Apache-2.0
"""Names and texts as SQL writes them; the rules are those of ISO 9075, which every database here follows."""

from __future__ import annotations


def quoted(name: str) -> str:
    """``name`` as an SQL identifier (a delimited identifier), whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def relation_name(database: str, schema: str, table: str) -> str:
    """One name for a table that no other one has, if ``database`` is the name of one database only."""
    return f"{database}/{quoted(schema)}.{quoted(table)}"


def literal(text: str) -> str:
    """``text`` as an SQL string (a character string literal)."""
    return "'" + text.replace("'", "''") + "'"
