"""What a database says about its tables, and about a cursor column just now. Plain, picklable facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ._formats import CursorFormat


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """Columns that the database keeps unique.

    :param collations: the collation each column is unique under; None: it has but one.
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
    :param typed: the database lets no value into a column, or out of it, but through its declared type: a table of
        its own making. Not so a view, or a table behind which there is a program.
    :param problem: why it cannot be read, if it cannot.
    """

    name: str
    columns: dict[str, str]
    kind: Literal["table", "view"] = "table"
    primary_key: tuple[str, ...] = ()
    keys: tuple[KeyInfo, ...] = ()
    indexes: tuple[tuple[tuple[str, str | None], ...], ...] = field(default_factory=tuple)
    typed: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class CursorFacts:
    """A cursor column in one snapshot.

    :param format: None: there is no value but NULL.
    :param maximum: the highest value, as stored; None: there is none.
    :param nulls: rows without a cursor.
    """

    format: CursorFormat | None
    maximum: Any
    nulls: int
