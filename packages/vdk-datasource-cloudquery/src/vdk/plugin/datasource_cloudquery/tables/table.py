# SPDX-License-Identifier: Apache-2.0
"""Streams as CloudQuery's tables: names, columns, keys, relations, and which of them a configuration selects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import pyarrow as pa

from vdk.plugin.datasource_base import ConfigurationError, StreamSchema
from vdk.plugin.datasource_base.parts import DELETED_AT, did_you_mean

from .columns import UUID, Column, column_of
from .names import fold_name

CQ_ID = "_cq_id"
CQ_PARENT_ID = "_cq_parent_id"
RESERVED = frozenset({CQ_ID, CQ_PARENT_ID, "_cq_source_name", "_cq_sync_time", "_cq_sync_group_id"})
"""Columns that CloudQuery adds."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table in CloudQuery's terms.

    :param title: the name as the source has it. :param columns: those of the source, in order, without ``_cq_id``.
    :param complete: whether all columns are known before a row is read.
    :param parent: the table whose rows this one belongs to.
    """

    name: str
    title: str
    columns: tuple[Column, ...] = ()
    incremental: bool = False
    complete: bool = True
    parent: str | None = None

    @classmethod
    def of(
        cls, title: str, schema: StreamSchema | None, *, incremental: bool = False, parent: str | None = None
    ) -> Table:
        """The table of a stream. Raises ``ConfigurationError`` if two columns get one name."""
        fields = list(schema.fields) if schema is not None else []
        key = schema.primary_key if schema is not None else ()
        columns = tuple(column_of(fold_name(field.name), field.name, field.type, field.name in key) for field in fields)
        check_columns(title, columns)
        complete = bool(fields) and not any(pa.types.is_null(field.type) for field in fields)
        return cls(fold_name(title), title, columns, incremental, complete, fold_name(parent) if parent else None)

    @property
    def key(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.key)

    def schema(self) -> pa.Schema:
        """The Arrow schema with CloudQuery's metadata: a table that the CLI and destinations understand."""
        metadata = {
            "cq:table_name": self.name,
            "cq:table_title": self.title,
            "cq:table_description": "",
            "cq:extension:constraint_name": f"{self.name}_cqpk",
        }
        if self.incremental:
            metadata["cq:extension:incremental"] = "true"
        if self.parent is not None:
            metadata["cq:table_depends_on"] = self.parent
        return pa.schema([column.field() for column in self.all_columns()], metadata)

    def all_columns(self) -> tuple[Column, ...]:
        """The columns with ``_cq_id``, which is the key of a table without another, and ``_cq_parent_id``."""
        cq_id = Column(CQ_ID, CQ_ID, *UUID, key=not self.key, unique=True, required=True)
        return cq_id, Column(CQ_PARENT_ID, CQ_PARENT_ID, *UUID), *self.columns

    def read_whole(self) -> Table:
        """The table, not flagged as incremental."""
        return replace(self, incremental=False)

    def with_deleted_at(self) -> Table:
        """The table with the column for the time at which a row was reported as deleted."""
        column = column_of(DELETED_AT, DELETED_AT, pa.timestamp("us", tz="UTC"))
        return replace(self, columns=(*self.columns, column))

    def with_columns(self, columns: Sequence[Column]) -> Table:
        """The table with other columns. Raises ``ConfigurationError`` if two of them get one name."""
        check_columns(self.title, columns)
        return replace(self, columns=tuple(columns), complete=True)


def check_columns(title: str, columns: Iterable[Column]) -> None:
    """Refuse columns whose folded names are equal, and those that CloudQuery adds."""
    known: dict[str, str] = {}
    for column in columns:
        if column.name in RESERVED:
            raise ConfigurationError(
                f"table {title!r}: the column {column.source!r} has a name that CloudQuery uses itself; rename it in "
                "the source, or leave it out"
            )
        other = known.setdefault(column.name, column.source)
        if other != column.source:
            raise ConfigurationError(
                f"table {title!r}: the columns {other!r} and {column.source!r} are both {column.name!r} in CloudQuery, "
                "whose names have lower-case letters, digits and underscores only; rename one, or leave it out"
            )


def check_tables(tables: Iterable[Table]) -> None:
    """Refuse tables that have one name once they are folded."""
    known: dict[str, str] = {}
    for table in tables:
        other = known.setdefault(table.name, table.title)
        if other != table.title:
            raise ConfigurationError(
                f"the tables {other!r} and {table.title!r} are both {table.name!r} in CloudQuery, whose names have "
                "lower-case letters, digits and underscores only; rename one in the source, or leave it out"
            )


def select_tables(
    tables: Sequence[Table], include: Sequence[str], skip: Sequence[str], *, skip_dependent: bool
) -> list[Table]:
    """The tables that the patterns of a configuration select, in their order.

    A selected table brings its children, unless ``skip_dependent``, and its parents. Skipping a table skips its
    children. Patterns are globs over the folded names.

    :raises ConfigurationError: for a pattern that matches no table, and if none is selected.
    """
    for option, patterns in (("tables", include), ("skip_tables", skip)):
        for pattern in patterns:
            if not any(fnmatchcase(table.name, pattern) for table in tables) and not (pattern == "*" and not tables):
                names = [table.name for table in tables]
                hint = did_you_mean(pattern, names) or f"the tables are {', '.join(names) or 'none'}"
                raise ConfigurationError(f"{option}: {pattern!r} matches no table; {hint}")
    by_name = {table.name: table for table in tables}
    skipped = {table.name for table in tables if _any_matches(_lineage(table, by_name), skip)}
    selected: set[str] = set()
    for table in tables:
        lineage = _lineage(table, by_name)
        names = lineage[:1] if skip_dependent else lineage
        if table.name not in skipped and _any_matches(names, include or ["*"]):
            selected.update(name for name in lineage if name in by_name)
    if tables and not selected:
        raise ConfigurationError(
            f"tables and skip_tables leave no table of {', '.join(table.name for table in tables)}; remove a pattern "
            "from skip_tables"
        )
    return [table for table in tables if table.name in selected]


def _lineage(table: Table, by_name: Mapping[str, Table]) -> list[str]:
    """The table's name, its parent's, and so on."""
    names = [table.name]
    while table.parent is not None and table.parent in by_name and table.parent not in names:
        table = by_name[table.parent]
        names.append(table.name)
    return names


def _any_matches(names: Iterable[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
