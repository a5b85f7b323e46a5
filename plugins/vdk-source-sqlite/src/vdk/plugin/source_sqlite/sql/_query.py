"""A plan as SQL: columns, conditions and orders. Names are always quoted, values always bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.parts import quoted

from ._dialect import Dialect
from ._expression import NULL, Expression, Select, all_of, any_of, call, case, names_in, value, written
from ._formats import fits_64_bits
from ._plan import Plan

IndexLevel = Literal["none", "cursor", "full"]


@dataclass(frozen=True)
class Range:
    """Cursors to read: from ``lower`` (inclusive; None: all) to ``upper`` (inclusive) or below ``end``."""

    lower: Any = None
    upper: Any = None
    end: Any = None


class Query:
    """Builds the statements of one plan.

    :param keyed: rows of one cursor are told apart by ``plan.order_key``. False: it has none, or one
        that holds NULLs just now.
    """

    def __init__(self, plan: Plan, dialect: Dialect, *, keyed: bool = True) -> None:
        self.plan, self.dialect = plan, dialect
        self.key = plan.order_key if keyed else None
        self.table = quoted(plan.name)

    def column(self, name: str) -> Expression:
        return Expression(f"{self.table}.{quoted(name)}")

    @property
    def stored_cursor(self) -> Expression:
        """The cursor as it is stored; NULL where its value stands for none."""
        columns = [self._without_nulls(self.column(name)) for name in self.plan.cursor]
        return columns[0] if len(columns) == 1 else call("coalesce", *columns)

    def _without_nulls(self, column: Expression) -> Expression:
        values = self.plan.options.null_cursor_values
        if not values:
            return column
        return case(any_of(*(column.infix("=", value(one)) for one in values)), NULL, column)

    @cached_property
    def cursor(self) -> Expression:
        """The cursor as it is compared."""
        return self.dialect.cursor_expression(self.stored_cursor, self.plan.cursor_format)

    @cached_property
    def keys(self) -> tuple[Expression, ...]:
        if self.key is None:
            return ()
        pairs = zip(self.key.columns, self.key.collations, strict=True)
        return tuple(self.dialect.collated(self.column(name), collation) for name, collation in pairs)

    @cached_property
    def selected(self) -> tuple[Expression, ...]:
        """The columns that land, then what only the reading needs."""
        computed = [self.cursor.named("_vdk_cursor")] if self.plan.cursor and self.cursor_index == len(self._at) else []
        return (*(self.column(name) for name in self._at), *computed)

    @cached_property
    def _at(self) -> dict[str, int]:
        """Where a row has each column."""
        key = self.key.columns if self.key and self.plan.cursor else ()
        deleted = () if self.plan.deleted_column is None else (self.plan.deleted_column,)
        return {name: index for index, name in enumerate(dict.fromkeys([*self.plan.columns, *key, *deleted]))}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns a row has, but for a computed cursor."""
        return tuple(self._at)

    @cached_property
    def cursor_index(self) -> int:
        """Where a row has its cursor: its own column if that is it, unchanged."""
        return self._at[self.plan.cursor[0]] if self._is_plain else len(self._at)

    @property
    def _is_plain(self) -> bool:
        """Whether the cursor compares as its column is stored."""
        plan = self.plan
        return len(plan.cursor) == 1 and plan.cursor_format in PLAIN_FORMATS and not plan.options.null_cursor_values

    @cached_property
    def key_indexes(self) -> tuple[int, ...]:
        return tuple(self._at[name] for name in self.key.columns) if self.key else ()

    @cached_property
    def deleted_at(self) -> int | None:
        return None if self.plan.deleted_column is None else self._at[self.plan.deleted_column]

    @cached_property
    def index_level(self) -> IndexLevel:
        """Which order an index gives: of (cursor, key), of the cursor, or none."""
        plan = self.plan
        if not self._is_plain:
            return "none"
        level: IndexLevel = "none"
        wanted = list(zip(self.key.columns, self.key.collations, strict=True)) if self.key else []
        rest = [pair for pair in wanted if pair[0] != plan.cursor[0]]
        for index in plan.table.indexes:
            if index and index[0][0] == plan.cursor[0] and index[0][1] in (None, "BINARY"):
                level = "cursor"
                if list(index[1 : 1 + len(rest)]) == rest:
                    return "full"
        return level

    def rows(self, *conditions: Expression) -> Select:
        """The rows that land and meet ``conditions``."""
        return self.select(*self.selected).where(*conditions)

    def select(self, *columns: Expression) -> Select:
        """``columns`` of the rows that the configured filter lets through."""
        return self.all_rows(*columns).where(*self._where)

    def all_rows(self, *columns: Expression) -> Select:
        """``columns`` of every row of the table."""
        return Select(columns, self.table)

    @cached_property
    def _where(self) -> tuple[Expression, ...]:
        hidden = self.plan.hidden_mark
        present = () if hidden is None else (self.column(hidden).is_null(),)
        where = self.plan.options.where
        if where is None:
            return present
        wanted = names_in(where.sql)
        if wanted != set(where.params):
            raise ConfigurationError(
                f"{self.plan.place}.where: the condition has the names {sorted(wanted)}, and params has "
                f"{sorted(where.params)}; a colon that is no name is written \\:"
            )
        for name, param in where.params.items():
            if not fits_64_bits(param):
                raise ConfigurationError(
                    f"{self.plan.place}.where.params.{name}: {param} does not fit the database's integers of 64 "
                    f"bits; write a number from {-(2**63)} to {2**63 - 1}"
                )
        return (*present, written(f"({where.sql}\n)", where.params))  # a new line ends a comment that it may end with

    def between(self, span: Range) -> list[Expression]:
        """Conditions for cursors in ``span``; with no bound at all: for cursors that are not NULL."""
        found: list[Expression] = []
        if span.lower is not None:
            found.append(self.cursor >= value(span.lower))
        if span.upper is not None:
            found.append(self.cursor <= value(span.upper))
        if span.end is not None:
            found.append(self.cursor < value(span.end))
        return found or [self.cursor.is_not_null()]

    def after(self, cursor: Any, key: tuple[Any, ...] | None) -> Expression:
        """Rows behind (cursor, key); ``key`` None: behind every row with that cursor."""
        if key is None:
            return self.cursor > value(cursor)
        return after((self.cursor, *self.keys), (cursor, *key))

    def after_key(self, key: tuple[Any, ...]) -> Expression:
        return after(self.keys, key)


PLAIN_FORMATS = frozenset({"auto", "text", "number", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "julian_day"})
"""Cursor formats that compare as the column is stored, so that an index on it serves."""


def after(columns: Sequence[Expression], values: Sequence[Any]) -> Expression:
    """``(columns) > (values)`` in lexical order, expanded.

    ``a >= x AND (a > x OR b > y)`` says the same as ``a > x OR (a = x AND b > y)``, and lets a planner
    start in the middle of an index on ``a`` instead of reading two ranges and sorting them.
    """
    first, rest = columns[0], columns[1:]
    if not rest:
        return first > value(values[0])
    return all_of(first >= value(values[0]), any_of(first > value(values[0]), after(rest, values[1:])))
