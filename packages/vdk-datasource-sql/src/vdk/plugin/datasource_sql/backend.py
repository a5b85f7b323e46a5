# SPDX-License-Identifier: Apache-2.0
"""What one database does its own way, in one class that a plugin derives from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import sqlalchemy as sa

from vdk.plugin.datasource_base.contract import ConfigurationError

from .cursors import CursorFormat, native_format
from .expressions import Expression
from .kinds import Kind
from .pages.bulk import BulkReader
from .plans.planning import TablePlan
from .plans.table_info import Barrier, CursorInfo, TableInfo
from .session import Connector, SqlSession
from .statements import ExpressionBuilder, TableQuery


class Backend(Connector, ExpressionBuilder, Protocol):
    """One database: how it is connected to, described, and read.

    A plugin derives from it. What is not abstract suits a database that enforces its declared types.
    """

    reads_kinds: ClassVar[bool] = False
    """Whether ``kinds`` reads values, for which a snapshot is held. Otherwise no connection is made for a schema, which
    matters with thousands of tables."""

    @abstractmethod
    def identity(self) -> str:
        """The database as a URL without secrets; stable."""

    def database_id(self) -> str:
        """What tells the database from another one of the same name; empty: nothing does. Known after connecting."""
        return ""

    def relations(self, table: TableInfo) -> Collection[str]:
        """The names of a table that no other one has, as ``DataSourceStream.relations``; none: unknown."""
        return ()

    @abstractmethod
    def tables(self, session: SqlSession) -> Sequence[TableInfo]:
        """Every table and view that holds a user's data, in a stable order."""

    @abstractmethod
    def kind(self, declared: str, sample: Sequence[Any]) -> Kind:
        """How a column lands, by its declared type and by some of its values (none of them None)."""

    def kinds(self, session: SqlSession, query: TableQuery) -> dict[str, Kind]:
        """How each column of the plan lands. A kind that ``waits`` is resolved by ``kind`` when a value arrives."""
        declared = query.plan.table.columns
        return {name: self.kind(declared[name], ()) for name in query.plan.columns}

    def check_plan(self, plan: TablePlan) -> None:
        """Raises ``ConfigurationError`` for options of a table that do not apply to this database."""
        for name in plan.column_types:
            raise ConfigurationError(
                f"{plan.config_path}.columns.{name}: how a column lands cannot be set, because the database enforces "
                "the types of its columns; leave it out, or write include or exclude with a list of names"
            )

    def misfit(self, plan: TablePlan, name: str, kind: Kind, value: Any) -> str:
        """Why a value of a column does not land as ``kind``, and what to do about it."""
        return (
            f"the column is declared {plan.table.columns[name] or 'no type'} and lands as {kind.arrow}, which does not "
            f"hold this {type(value).__name__}; land the column as text with "
            f'{plan.config_path}.dynamic_types = "text"'
        )

    def check_keys(self, session: SqlSession, query: TableQuery, kinds: Mapping[str, Kind]) -> None:
        """Raises ``BadRecordError`` for primary keys that differ in the database and are equal once they land."""
        return

    def safe_upper(
        self, session: SqlSession, query: TableQuery, high: Any, barrier: Barrier | None
    ) -> tuple[Any, Barrier | None]:
        """The highest cursor up to which no further row will be committed; None if the database cannot know. And what
        the next pass is to be given as ``barrier``.

        :param high: the high watermark of the last pass.

        Called outside a transaction; the snapshot that is read begins afterwards. Not called for a backfill.
        """
        return None, None

    def cursor_expression(self, column: Expression, declared: str, cursor_format: str) -> Expression:
        return column

    def cursor_info(self, session: SqlSession, query: TableQuery, known: str | None) -> CursorInfo:
        """Format, maximum and NULLs of the query's cursor, in the session's snapshot.

        :param known: the tag of the stored state's format. With it and an index, no more than the index is
            read; without, one pass over the table.
        :raises ConfigurationError: for formats that are mixed or do not sort, with how many of each.

        By default the format is that of ``cursor_format``.
        """
        cursor_format = self.cursor_format(query)
        highest, nulls = highest_and_nulls(session, query)
        return CursorInfo(None if highest is None else cursor_format, highest, nulls)

    def cursor_format(self, query: TableQuery) -> CursorFormat:
        """What the query's cursors mean, by the type of their column.

        By default it follows from how the column lands: a time, a date or a number, compared as it is.

        :raises ConfigurationError: for a type that does not sort, or that is not supported as a cursor.
        """
        plan = query.plan
        declared = plan.table.columns[plan.cursor[0]]
        cursor_format = native_format(self.kind(declared, ()).arrow, plan.cursor_format, plan.zone)
        if cursor_format is None:
            chosen = (
                "" if plan.cursor_format == "auto" else f", which cursor_format {plan.cursor_format!r} does not fit"
            )
            raise ConfigurationError(
                f"{plan.config_path}.cursor: {plan.cursor[0]!r} is declared {declared}{chosen}; a cursor is a time, a "
                f"date or a number. Name another column, or set {plan.config_path}.cursor = false"
            )
        return cursor_format

    def past_format(self, query: TableQuery, tag: str | None) -> CursorFormat | None:
        """The format ``tag`` of a state, of cursors as the query reads them; None: it is not known."""
        cursor_format = self.cursor_format(query)
        return cursor_format if cursor_format.tag == tag else None

    def is_of_format(self, query: TableQuery, cursor_format: CursorFormat) -> Expression:
        """The condition for a cursor that is of the format, near enough. By default all are."""
        return sa.true()

    def known_format(self, session: SqlSession, query: TableQuery, known: str) -> CursorFormat | None:
        """The format of cursors that ``cursor_info`` has looked at before, and that have the tag ``known``."""
        return self.cursor_format(query)

    def cursor_error(self, session: SqlSession, query: TableQuery) -> ConfigurationError:
        """The error for cursors that are not of the format that ``cursor_info`` found."""
        return ConfigurationError(
            f"stream {query.plan.name!r}: the cursor {'/'.join(query.plan.cursor)!r} has values of another type than "
            f"it declares; name another column with {query.plan.config_path}.cursor"
        )

    def bulk_reader(self, query: TableQuery, kinds: Mapping[str, Kind]) -> BulkReader | None:
        """Reads large spans of the query's table faster; None if there is no other way."""
        return None


def highest_and_nulls(session: SqlSession, query: TableQuery) -> tuple[Any, int]:
    """The highest cursor, which is None if there is none, and the number of rows without one."""
    highest = session.all(query.highest())
    (nulls,) = session.one(query.select(sa.func.count()).where(query.lacks_cursor))
    return highest[0][0] if highest else None, nulls
