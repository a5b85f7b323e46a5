# SPDX-License-Identifier: Apache-2.0
"""The facts about a table and its cursor column that a database reports. Plain and picklable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ..cursors.formats import CursorFormat


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """Columns that the database keeps unique.

    :param collations: the collation each column is unique under; None: there is only one.
    :param nullable: rows with a NULL in it may exist, and are not kept unique.
    """

    columns: tuple[str, ...]
    collations: tuple[str | None, ...]
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table or view.

    :param columns: name → declared type, as it was declared.
    :param primary_key: the declared one; empty: none.
    :param keys: unique keys, the primary key first.
    :param indexes: orders that an index over all rows gives: ``(column, collation)``, one direction.
    :param typed: every value enters and leaves a column through its declared type, as in the database's own tables.
        False for a view, and for a table that a program provides.
    :param problem: why it cannot be read, if it cannot.
    :param schema: the schema that the table is in; None: the database has none, or the default one is meant.
    :param table: the table's own name, if the stream has another one.
    :param hint: SQLAlchemy's hint for the table in each statement, such as PostgreSQL's ``ONLY``.
    """

    name: str
    columns: dict[str, str]
    kind: Literal["table", "view"] = "table"
    primary_key: tuple[str, ...] = ()
    keys: tuple[KeyInfo, ...] = ()
    indexes: tuple[tuple[tuple[str, str | None], ...], ...] = field(default_factory=tuple)
    typed: bool = False
    problem: str | None = None
    schema: str | None = None
    table: str = ""
    hint: str = ""

    @property
    def table_name(self) -> str:
        return self.table or self.name


@dataclass(frozen=True, slots=True)
class Barrier:
    """An end that a pass noted, and the transactions that may still commit rows up to it.

    :param upper: a cursor. :param open: names of transactions. :param server: the server's start, after which the names
        mean other ones. :param since: when it was noted, as ISO 8601.
    """

    upper: Any
    open: tuple[str, ...]
    server: str
    since: str


@dataclass(frozen=True, slots=True)
class CursorInfo:
    """A cursor column in one snapshot.

    :param format: None: all values are NULL.
    :param maximum: the highest value, as stored; None: all are NULL.
    :param nulls: rows without a cursor.
    """

    format: CursorFormat | None
    maximum: Any
    nulls: int
