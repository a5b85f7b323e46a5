"""The little SQL that reading a table takes: expressions with their values apart, and one SELECT.

A library for all of SQL takes a fifth of a second to import, which every run of every job would pay. What is here is
standard SQL: names in double quotes, values as question marks (``qmark`` in PEP 249), and everything in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vdk.plugin.datasource_base.parts import quoted


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A piece of SQL and its values, in order. Names are quoted and values are bound by the functions here."""

    sql: str
    values: tuple[Any, ...] = ()

    def __gt__(self, other: Expression) -> Expression:
        return _infix(">", self, other)

    def __ge__(self, other: Expression) -> Expression:
        return _infix(">=", self, other)

    def __lt__(self, other: Expression) -> Expression:
        return _infix("<", self, other)

    def __le__(self, other: Expression) -> Expression:
        return _infix("<=", self, other)

    def infix(self, operator: str, other: Expression) -> Expression:
        """``self operator other``, for operators that Python has none of."""
        return _infix(operator, self, other)

    def is_null(self) -> Expression:
        return Expression(f"({self.sql} IS NULL)", self.values)

    def is_not_null(self) -> Expression:
        return Expression(f"({self.sql} IS NOT NULL)", self.values)

    def collate(self, collation: str) -> Expression:
        return Expression(f"({self.sql} COLLATE {quoted(collation)})", self.values)

    def descending(self) -> Expression:
        return Expression(f"{self.sql} DESC", self.values)

    def named(self, name: str) -> Expression:
        """As a column of a result."""
        return Expression(f"{self.sql} AS {quoted(name)}", self.values)


ONE = Expression("1")
NULL = Expression("NULL")


def value(one: Any) -> Expression:
    """A bound value, that reaches the driver as it is. Text that is not UTF-8 comes with its bytes as surrogates."""
    try:
        if isinstance(one, str):
            one.encode()
    except UnicodeEncodeError:
        return Expression("CAST(? AS TEXT)", (one.encode("utf-8", "surrogateescape"),))
    return Expression("?", (one,))


def call(function: str, *arguments: Expression) -> Expression:
    return Expression(f"{function}({', '.join(argument.sql for argument in arguments)})", _values(arguments))


def count() -> Expression:
    return Expression("count(*)")


def as_text(one: Expression) -> Expression:
    return Expression(f"CAST({one.sql} AS TEXT)", one.values)


def case(condition: Expression, then: Expression, otherwise: Expression = NULL) -> Expression:
    return Expression(
        f"(CASE WHEN {condition.sql} THEN {then.sql} ELSE {otherwise.sql} END)", _values((condition, then, otherwise))
    )


def all_of(*conditions: Expression) -> Expression:
    return Expression(f"({' AND '.join(condition.sql for condition in conditions)})", _values(conditions))


def any_of(*conditions: Expression) -> Expression:
    return Expression(f"({' OR '.join(condition.sql for condition in conditions)})", _values(conditions))


def negated(condition: Expression) -> Expression:
    return Expression(f"(NOT {condition.sql})", condition.values)


def names_in(text: str) -> set[str]:
    """The names of values in SQL that a person wrote: ``:name``, but not ``::name``, ``a:name`` or ``\\:name``."""
    return set(_NAME.findall(text))


def written(text: str, values: Mapping[str, Any]) -> Expression:
    """SQL that a person wrote, with a value for each of ``names_in``."""
    names = _NAME.findall(text)
    return Expression(_NAME.sub("?", text).replace("\\:", ":"), tuple(values[name] for name in names))


@dataclass(frozen=True, slots=True)
class Select:
    """``SELECT columns FROM table …``. Every method returns another one."""

    columns: tuple[Expression, ...]
    table: str
    conditions: tuple[Expression, ...] = ()
    tail: tuple[Expression, ...] = ()

    def where(self, *conditions: Expression) -> Select:
        return replace(self, conditions=self.conditions + conditions)

    def group_by(self, *keys: Expression) -> Select:
        return self._then("GROUP BY", keys)

    def having(self, condition: Expression) -> Select:
        return self._then("HAVING", [condition])

    def order_by(self, *keys: Expression) -> Select:
        return self._then("ORDER BY", keys)

    def limit(self, rows: int, *, offset: int = 0) -> Select:
        return replace(self, tail=(*self.tail, Expression("LIMIT ? OFFSET ?", (rows, offset))))

    def compiled(self) -> tuple[str, list[Any]]:
        """The statement, and its values by position."""
        listed = Expression(", ".join(column.sql for column in self.columns), _values(self.columns))
        parts = [Expression(f"SELECT {listed.sql} FROM {self.table}", listed.values)]
        if self.conditions:
            condition = all_of(*self.conditions)
            parts.append(Expression(f"WHERE {condition.sql}", condition.values))
        parts += self.tail
        return " ".join(part.sql for part in parts), list(_values(parts))

    def _then(self, clause: str, keys: Sequence[Expression]) -> Select:
        if not keys:
            return self
        added = Expression(f"{clause} {', '.join(key.sql for key in keys)}", _values(keys))
        return replace(self, tail=(*self.tail, added))


def _infix(operator: str, left: Expression, right: Expression) -> Expression:
    return Expression(f"({left.sql} {operator} {right.sql})", left.values + right.values)


def _values(parts: Sequence[Expression]) -> tuple[Any, ...]:
    return tuple(one for part in parts for one in part.values)


_NAME = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
