# SPDX-License-Identifier: Apache-2.0
"""The SELECT statements of one plan. SQLAlchemy quotes every name and binds every value."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import sqlalchemy as sa
from sqlalchemy.sql import operators, quoted_name

from vdk.plugin.datasource_base.contract import ConfigurationError

from .cursors.formats import fits_64_bits
from .expressions import Condition, Expression, Statement, bound, names_in, user_condition
from .plans.planning import TablePlan

IndexLevel = Literal["none", "cursor", "full"]
PLAIN_FORMATS = frozenset({"auto", "text", "number", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "julian_day"})
"""Cursor formats that compare as the column is stored, so that an index on it serves."""


class ExpressionBuilder(Protocol):
    """The expressions that a database writes its own way."""

    has_gaps: ClassVar[bool] = False
    """Whether values that do not count as cursors may lie between two that do: see ``has_cursor``."""

    def bound(self, value: Any) -> Expression:
        """A value as it is compared with a column."""
        return bound(value)

    def collated(self, column: Expression, collation: str | None) -> Expression:
        """``column``, ordered under ``collation``, which is that of a unique index on it."""
        return column

    def exact(self, column: Expression) -> Expression:
        """``column`` so that values are equal only if all their bytes are."""
        return column

    def selected(self, column: Expression, declared: str) -> Expression:
        """``column`` as it is read."""
        return column

    @abstractmethod
    def cursor_expression(self, column: Expression, declared: str, cursor_format: str) -> Expression:
        """The cursor as the database orders it by its bytes or number. ``column`` itself where an index may serve.

        :raises ConfigurationError: for a ``cursor_format`` that is not known.
        """

    def has_cursor(self, cursor: Expression, declared: str) -> Expression:
        """The condition for a cursor that can be compared: it is neither NULL nor an infinity. Never NULL itself."""
        return cursor.is_not(None)


@dataclass(frozen=True)
class CursorRange:
    """Cursors to read: from ``lower`` (inclusive; None: all) to ``upper`` (inclusive) or below ``end``."""

    lower: Any = None
    upper: Any = None
    end: Any = None


class TableQuery:
    """Builds the statements of one plan.

    :param keyed: ``plan.order_key`` tells apart the rows of one cursor. False: the plan has none, or it
        currently holds NULLs.
    """

    def __init__(self, plan: TablePlan, builder: ExpressionBuilder, *, keyed: bool = True) -> None:
        self.plan, self._builder = plan, builder
        self.key = plan.order_key if keyed else None
        self._table = sa.table(
            quoted_name(plan.table.table_name, True),
            *(sa.column(quoted_name(name, True)) for name in plan.table.columns),
            schema=None if plan.table.schema is None else quoted_name(plan.table.schema, True),
        )

    def read_by(self, plan: TablePlan) -> TableQuery:
        """The same table by another plan, so that expressions of both may be in one statement."""
        query = TableQuery(plan, self._builder, keyed=self.key is not None)
        query._table = self._table
        return query

    @property
    def _cursor_type(self) -> str:
        return self.plan.table.columns[self.plan.cursor[0]]

    def column(self, name: str) -> Expression:
        return self._table.c[name]

    def read_column(self, name: str) -> Expression:
        """A column as it is read."""
        return self._builder.selected(self.column(name), self.plan.table.columns[name])

    def bound(self, value: Any) -> Expression:
        """A value as it is compared with a column."""
        return self._builder.bound(value)

    def exact(self, column: Expression) -> Expression:
        return self._builder.exact(column)

    @property
    def stored_cursor(self) -> Expression:
        """The cursor as it is stored; NULL where its value stands for none."""
        columns = [self._without_nulls(self.column(name)) for name in self.plan.cursor]
        return columns[0] if len(columns) == 1 else sa.func.coalesce(*columns)

    def _without_nulls(self, column: Expression) -> Expression:
        values = self.plan.options.null_cursor_values
        if not values:
            return column
        return sa.case((sa.or_(*(column == self.bound(value) for value in values)), sa.null()), else_=column)

    @cached_property
    def cursor(self) -> Expression:
        """The cursor as it is compared."""
        return self._builder.cursor_expression(self.stored_cursor, self._cursor_type, self.plan.cursor_format)

    @cached_property
    def has_cursor(self) -> Expression:
        return self._builder.has_cursor(self.cursor, self._cursor_type)

    @property
    def lacks_cursor(self) -> Expression:
        return sa.not_(self.has_cursor)

    @cached_property
    def keys(self) -> tuple[Expression, ...]:
        if self.key is None:
            return ()
        pairs = zip(self.key.columns, self.key.collations, strict=True)
        return tuple(self._builder.collated(self.column(name), collation) for name, collation in pairs)

    @cached_property
    def order(self) -> tuple[Expression, ...]:
        """What the pages of a pass by cursor are ordered by."""
        return (self.cursor, *self.keys)

    @cached_property
    def selected(self) -> tuple[Expression, ...]:
        """The columns that land, then what only the reading needs."""
        is_computed = bool(self.plan.cursor) and self.cursor_index == len(self._column_indexes)
        computed = [self.cursor.label("_vdk_cursor")] if is_computed else []
        return (*(self.read_column(name) for name in self._column_indexes), *computed)

    @cached_property
    def _column_indexes(self) -> dict[str, int]:
        """The index of each column in a row."""
        key = self.key.columns if self.key and self.plan.cursor else ()
        deleted = () if self.plan.deleted_column is None else (self.plan.deleted_column,)
        return {name: index for index, name in enumerate(dict.fromkeys([*self.plan.columns, *key, *deleted]))}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of a row, without a computed cursor."""
        return tuple(self._column_indexes)

    @cached_property
    def cursor_index(self) -> int:
        """The index of the cursor in a row: of its own column if that is it, unchanged."""
        return self._column_indexes[self.plan.cursor[0]] if self.is_plain else len(self._column_indexes)

    @property
    def selected_cursor(self) -> Expression:
        return self.selected[self.cursor_index]

    @property
    def is_plain(self) -> bool:
        """Whether the cursor compares as its column is stored."""
        plan = self.plan
        return len(plan.cursor) == 1 and plan.cursor_format in PLAIN_FORMATS and not plan.options.null_cursor_values

    @cached_property
    def key_indexes(self) -> tuple[int, ...]:
        return tuple(self._column_indexes[name] for name in self.key.columns) if self.key else ()

    @cached_property
    def deleted_index(self) -> int | None:
        return None if self.plan.deleted_column is None else self._column_indexes[self.plan.deleted_column]

    @cached_property
    def index_level(self) -> IndexLevel:
        """Which order an index gives: of (cursor, key), of the cursor, or none."""
        plan = self.plan
        if not self.is_plain or not _is_stored(self.cursor):
            return "none"
        level: IndexLevel = "none"
        pairs = list(zip(self.key.columns, self.key.collations, strict=True)) if self.key else []
        rest = [pair for pair in pairs if pair[0] != plan.cursor[0]]
        for index in plan.table.indexes:
            if index and index[0][0] == plan.cursor[0] and index[0][1] in (None, "BINARY"):
                level = "cursor"
                if list(index[1 : 1 + len(rest)]) == rest:
                    return "full"
        return level

    def rows(self, *conditions: Condition) -> Statement:
        """The rows that land and meet ``conditions``."""
        return self.select(*self.selected).where(*conditions)

    def select(self, *columns: Expression) -> Statement:
        """``columns`` of the rows that the configured filter lets through."""
        return self.all_rows(*columns).where(*self._filter)

    def all_rows(self, *columns: Expression) -> Statement:
        """``columns`` of every row of the table."""
        statement = sa.select(*columns).select_from(self._table)
        hint = self.plan.table.hint
        return statement.with_hint(self._table, hint) if hint else statement

    def highest(self, *conditions: Condition) -> Statement:
        """The highest cursor among the rows that meet ``conditions``; no row if none does."""
        return self.select(self.cursor).where(self.has_cursor, *conditions).order_by(self.cursor.desc()).limit(1)

    @cached_property
    def _filter(self) -> tuple[Condition, ...]:
        hidden = self.plan.hidden_mark
        present: tuple[Condition, ...] = () if hidden is None else (self.column(hidden).is_(None),)
        present += self._in_part()
        condition = self.plan.options.where
        if condition is None:
            return present
        names = names_in(condition.sql)
        if names != set(condition.params):
            raise ConfigurationError(
                f"{self.plan.config_path}.where: the condition has the names {sorted(names)}, and params has "
                f"{sorted(condition.params)}; write a colon that does not begin a name as \\:"
            )
        for name, param in condition.params.items():
            if not fits_64_bits(param):
                raise ConfigurationError(
                    f"{self.plan.config_path}.where.params.{name}: {param} does not fit the database's integers of 64 "
                    f"bits; write a number from {-(2**63)} to {2**63 - 1}"
                )
        return (*present, user_condition(condition.sql, condition.params))

    def _in_part(self) -> tuple[Condition, ...]:
        part = self.plan.part
        if part is None:
            return ()
        columns = self.keys if part.by == "key" else (self.cursor,)
        conditions: list[Condition] = []
        if part.after is not None:
            conditions.append(rows_after(columns, [self.bound(value) for value in part.after]))
        if part.upto is not None:
            conditions.append(rows_up_to(columns, [self.bound(value) for value in part.upto]))
        return tuple(conditions)

    def between(self, cursors: CursorRange) -> list[Condition]:
        """Conditions for cursors in the range."""
        conditions: list[Condition] = []
        if cursors.lower is not None:
            conditions.append(self.cursor >= self.bound(cursors.lower))
        if cursors.upper is not None:
            conditions.append(self.cursor <= self.bound(cursors.upper))
        if cursors.end is not None:
            conditions.append(self.cursor < self.bound(cursors.end))
        is_clear = cursors.lower is not None and not self._builder.has_gaps
        return conditions if is_clear else [self.has_cursor, *conditions]

    def after(self, cursor: Any, key: tuple[Any, ...] | None) -> Expression:
        """Rows after (cursor, key); ``key`` None: after every row with that cursor."""
        if key is None:
            return self.cursor > self.bound(cursor)
        return rows_after(self.order, [self.bound(value) for value in (cursor, *key)])

    def after_key(self, key: tuple[Any, ...]) -> Expression:
        return rows_after(self.keys, [self.bound(value) for value in key])


def _is_stored(expression: Expression) -> bool:
    """Whether it is a column, under a collation or not: no index serves what is computed from one."""
    if isinstance(expression, sa.BinaryExpression) and expression.operator is operators.collate:
        expression = expression.left
    return isinstance(expression, sa.ColumnClause)


def rows_after(columns: Sequence[Expression], values: Sequence[Expression]) -> Expression:
    """``(columns) > (values)`` in lexical order, expanded.

    ``a >= x AND (a > x OR b > y)`` equals ``a > x OR (a = x AND b > y)``, and lets a planner
    start in the middle of an index on ``a`` instead of reading two ranges and sorting them.
    """
    first, rest = columns[0], columns[1:]
    if not rest:
        return first > values[0]
    return sa.and_(first >= values[0], sa.or_(first > values[0], rows_after(rest, values[1:])))


def rows_up_to(columns: Sequence[Expression], values: Sequence[Expression]) -> Expression:
    """``(columns) <= (values)`` in lexical order, expanded; see ``rows_after``."""
    first, rest = columns[0], columns[1:]
    if not rest:
        return first <= values[0]
    return sa.and_(first <= values[0], sa.or_(first < values[0], rows_up_to(rest, values[1:])))
